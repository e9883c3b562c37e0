//! The ways of byte-level tokenizers to cut a text, by the names that a GGUF has for them.

/// How text is cut and normalised before merging, by the names that `tokenizer.ggml.pre` has for it.
pub(super) struct Way {
    pub(super) names: &'static [&'static str],
    pub(super) cut: Cut,
    /// Whether text is brought to Unicode's composed form (NFC) first.
    pub(super) composes: bool,
    /// Whether a word that is a token is taken whole, whatever the merges say.
    pub(super) ignores_merges: bool,
    /// Whether a text begins with the beginning token when the file does not say.
    pub(super) bos: bool,
}

pub(super) enum Cut {
    /// At digits, and then as GPT-2 does.
    Digits,
    /// As GPT-2 does: the library knows how.
    Gpt2,
    /// Into what this matches and what lies between.
    Pattern(&'static str),
}

/// Each as the `tokenizer.json` of the models that are converted under the name has it: GPT-2; Llama 3; Qwen 2 and 2.5;
/// SmolLM and SmolLM 2; Mistral NeMo. Other names stand for several models that differ, or for ones not looked at.
const WAYS: [Way; 5] = [
    Way { names: &["gpt-2"], cut: Cut::Gpt2, composes: false, ignores_merges: false, bos: false },
    Way {
        names: &["llama-bpe", "llama3", "llama-v3"],
        cut: Cut::Pattern(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        composes: false,
        ignores_merges: true,
        bos: true,
    },
    Way {
        names: &["qwen2"],
        cut: Cut::Pattern(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        composes: true,
        ignores_merges: false,
        bos: false,
    },
    Way { names: &["smollm"], cut: Cut::Digits, composes: false, ignores_merges: false, bos: false },
    Way {
        names: &["tekken"],
        cut: Cut::Pattern(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        composes: false,
        ignores_merges: true,
        bos: true,
    },
];

pub(super) fn way(pre: &str) -> Option<&'static Way> {
    WAYS.iter().find(|way| way.names.contains(&pre))
}

/// Whether texts begin with the beginning token under this name, when the file does not say.
pub(super) fn begins_with_bos(pre: &str) -> bool {
    way(pre).is_some_and(|way| way.bos)
}
