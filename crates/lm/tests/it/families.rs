//! Small tokenizers of every family: what open models bring, with vocabularies of a few hundred words.

use lm::Tokenizer;
use serde_json::{Value, json};

/// Which texts come back as they were.
type Lossless = fn(&str) -> bool;

/// A tokenizer in a directory of its own.
pub struct Family {
    pub name: &'static str,
    pub tokenizer: Tokenizer,
    pub lossless: Lossless,
}

/// Loads `tokenizer.json` with the other files of a model directory, by name.
pub fn load(json: &Value, others: &[(&str, Value)]) -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    for (name, value) in others {
        std::fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    Tokenizer::load(dir.path()).unwrap()
}

pub fn added(id: usize, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": special})
}

/// `<bos>` put before a text.
fn begins_with(token: &str, id: usize) -> Value {
    json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    })
}

fn tokenizer_json(parts: &Value) -> Value {
    let mut whole = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null});
    for (key, value) in parts.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole
}

/// As Llama 3 and Qwen 2 have it: bytes, words split by a pattern that looks ahead, whole words taken before any merge.
pub fn byte_level() -> Value {
    let texts = (0..300).map(|i| format!("The {} cat's {i} birds saw 你好 and café.\n\n  Well", ["red", "old", "big"][i % 3]));
    let mut whole: Value = serde_json::from_str(Tokenizer::train_bpe(texts, 330).unwrap().json()).unwrap();
    let pattern =
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    whole["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
    ]});
    // trims spans, which tokens cannot do with
    let trims = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    let begins = begins_with("<|begin|>", 331);
    whole["post_processor"] = json!({"type": "Sequence", "processors": [trims, begins]});
    whole["model"]["ignore_merges"] = json!(true);
    whole["model"]["vocab"]["Ġunmergeable"] = json!(330);
    whole["added_tokens"] = json!([
        added(0, "<s>", true),
        added(1, "</s>", true),
        added(330, "<|begin|>", true),
        added(332, "<|end|>", true),
        added(333, "<|turn|>", true),
        added(334, "<think>", false),
    ]);
    whole
}

/// The vocabulary of a SentencePiece model with a token for every byte, and its merges.
fn sentence_pieces() -> (Value, Vec<String>) {
    let mut words: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    words.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    words.extend("▁abcdefghijklmnopqrstuvwxyzTHEé.,'".chars().map(String::from));
    let merges = ["▁ t", "▁t h", "▁th e", "▁ c", "a t", "▁c at", "i n", "in g", "▁ ▁", "▁▁ ▁▁", "s a", "sa w", "▁ saw"];
    words.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    let vocab: Value =
        words.iter().enumerate().map(|(id, word)| (word.clone(), json!(id))).collect::<serde_json::Map<_, _>>().into();
    (vocab, merges.map(String::from).to_vec())
}

/// As Llama 2, Mistral, Phi 3 and Gemma have it. `blank` is the normalizer and pre-tokenizer that turn blanks into `▁`;
/// `strips` says whether the decoder takes the first one away.
pub fn byte_fallback(blank: &Value, strips: bool) -> Value {
    let (vocab, merges) = sentence_pieces();
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if strips {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let mut whole = tokenizer_json(&json!({
        "post_processor": begins_with("<s>", 1),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "added_tokens": [added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true)],
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": merges},
    }));
    for (key, value) in blank.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole
}

pub fn prepends() -> Value {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    json!({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]}})
}

/// As T5 has it.
pub fn unigram() -> Value {
    let mut vocab = vec![json!(["<pad>", 0.0]), json!(["</s>", 0.0]), json!(["<unk>", 0.0])];
    let words = ["▁", "▁the", "▁cat", "▁saw", "the", "ing", "at", "é"];
    vocab.extend(words.iter().map(|word| json!([word, -3.0 - word.len() as f64 / 10.0])));
    vocab.extend("abcdefghijklmnopqrstuvwxyz<>/.".chars().map(|c| json!([c.to_string(), -6.0])));
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    tokenizer_json(&json!({
        "added_tokens": [added(0, "<pad>", true), added(1, "</s>", true), added(2, "<unk>", true)],
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": metaspace,
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": false},
    }))
}

/// As BERT has it, but words end at blanks only, so that a word of the text can be a special token.
pub fn word_piece() -> Value {
    let mut words: Vec<String> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "saw", "##ing", "play"].map(String::from).to_vec();
    words.extend("abcdefghijklmnopqrstuvwxyz[]CLS.".chars().flat_map(|c| [c.to_string(), format!("##{c}")]));
    words.sort_by_key(|word| word.len() == 1 || word.starts_with("##") && word.len() == 3);
    words.dedup();
    let vocab: serde_json::Map<_, _> = words.iter().enumerate().map(|(id, word)| (word.clone(), json!(id))).collect();
    tokenizer_json(&json!({
        "added_tokens": [added(0, "[PAD]", true), added(1, "[UNK]", true), added(2, "[CLS]", true), added(3, "[SEP]", true)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": true, "lowercase": false},
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": false},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocab},
    }))
}

/// One of each.
pub fn all() -> Vec<Family> {
    let settings = ("tokenizer_config.json", json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}));
    let metaspace = |scheme: &str| json!({"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false}});
    let gemma = json!({
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
    });
    let family = |name, tokenizer, lossless: Lossless| Family { name, tokenizer, lossless };
    let named = ("tokenizer_config.json", json!({"bos_token": {"content": "<|begin|>"}, "eos_token": {"content": "<|turn|>"}}));
    let ends = ("generation_config.json", json!({"eos_token_id": [333, 332]}));
    // a `▁` of the text is a blank to SentencePiece, and Metaspace puts no blank before one
    let (no_rule, no_first_blank): (Lossless, Lossless) =
        (|text| !text.contains('▁'), |text| !text.contains('▁') && !text.starts_with(' '));
    vec![
        family("byte-level", load(&byte_level(), &[named, ends]), |_| true),
        family("prepend", load(&byte_fallback(&prepends(), true), std::slice::from_ref(&settings)), no_rule),
        family("metaspace", load(&byte_fallback(&metaspace("first"), true), std::slice::from_ref(&settings)), no_first_blank),
        family("no prefix", load(&byte_fallback(&gemma, false), std::slice::from_ref(&settings)), no_rule),
        family("unigram", load(&unigram(), &[("config.json", json!({"eos_token_id": 1, "pad_token_id": 0}))]), |_| false),
        family("word piece", load(&word_piece(), &[("config.json", json!({"pad_token_id": 0}))]), |_| false),
    ]
}
