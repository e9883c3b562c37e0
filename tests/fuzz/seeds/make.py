"""Small tokenizers of every family, as seeds for the fuzz target `tokenizer`. By hand: python tests/fuzz/seeds/make.py (tokenizers 0.23)."""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = Path(__file__).parent / "tokenizer"
TEXT = ["the cat sat on the mat", "the hat that the cat had", "1 2 3 10 12", "a man, a plan: an ant!"] * 4
SPECIAL = ["<unk>", "<s>", "</s>"]


def save(name, tokenizer):
    tokenizer.save(str(OUT / f"{name}.json"), pretty=False)


def main():
    OUT.mkdir(exist_ok=True)
    gpt2 = Tokenizer(models.BPE())
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2.decoder = decoders.ByteLevel()
    gpt2.post_processor = processors.ByteLevel(trim_offsets=False)
    gpt2.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=270, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    save("byte-level", gpt2)

    split = Tokenizer(models.BPE())
    split.normalizer = normalizers.NFC()
    split.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}|[^\r\n\p{L}\p{N}]?\p{L}+|\s+(?!\S)|\s+|."), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    split.decoder = decoders.ByteLevel()
    split.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=265, special_tokens=["<bos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    split.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    save("split", split)

    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    letters = [chr(c) for c in range(97, 110)] + ["\u2581"]
    vocab = {piece: i for i, piece in enumerate(SPECIAL + bytes_ + letters + ["ca", "\u2581ca"])}
    llama = Tokenizer(models.BPE(vocab, [("c", "a"), ("\u2581", "ca")], fuse_unk=True, byte_fallback=True, unk_token="<unk>"))
    llama.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    llama.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    llama.add_special_tokens(SPECIAL)
    llama.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    save("sentence-pieces", llama)

    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("\u2581", -1.0)] + [(chr(c), -3.0 - c / 50) for c in range(97, 123)] + [("\u2581the", -2.0)], unk_id=0, byte_fallback=False))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    save("unigram", unigram)

    pieces = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(["[UNK]"] + [chr(c) for c in range(97, 123)] + ["##" + chr(c) for c in range(97, 123)])}, unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.decoder = decoders.WordPiece()
    save("word-pieces", pieces)

    words = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "cat": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    save("words", words)


main()
