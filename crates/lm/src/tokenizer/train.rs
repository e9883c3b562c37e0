//! Training a tokenizer.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use serde_json::json;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainerBuilder;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::Tokenizer;
use crate::directory::{SETTINGS, SPECIALS, TOKENIZER};

/// Tokens of a trained tokenizer that are never text, with ids 0 and 1.
const BEGIN: &str = "<s>";
const END: &str = "</s>";

impl Tokenizer {
    /// Trains a byte-level BPE tokenizer (Sennrich et al. 2016, arXiv 1508.07909; over bytes as GPT-2 does): id 0 is `<s>`,
    /// put before every text, id 1 is `</s>`, then the 256 bytes, then up to `vocab_size` merges of decreasing frequency
    /// (fewer when the texts hold fewer pairs). Any text can be encoded. Equal texts give equal tokenizers.
    ///
    /// # Errors
    /// When `vocab_size` leaves no room for the bytes and the special tokens.
    pub fn train_bpe(texts: impl Iterator<Item = String> + Send, vocab_size: usize) -> anyhow::Result<Self> {
        let least = 256 + 2;
        if vocab_size < least {
            bail!(
                "a byte-level tokenizer of {vocab_size} entries has no room for 256 bytes and 2 special tokens: give at least {least}"
            );
        }
        // Its own threads would come from rayon's global pool; the order of its hash maps does not show in the result.
        tokenizers::parallelism::set_parallelism(false);
        let special = |content: &str| AddedToken::from(content, true);
        let trainer = BpeTrainerBuilder::new()
            .vocab_size(vocab_size)
            .show_progress(false)
            .special_tokens(vec![special(BEGIN), special(END)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true});
        let begin = json!({"SpecialToken": {"id": BEGIN, "type_id": 0}});
        let untrained = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": byte_level,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {BEGIN: {"id": BEGIN, "ids": [0], "tokens": [BEGIN]}},
            },
            "decoder": byte_level,
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": {}, "merges": []},
        });
        let mut inner: Inner = untrained.to_string().parse().map_err(|error| anyhow!("setting up the tokenizer: {error}"))?;
        inner
            .train(&mut TrainerWrapper::BpeTrainer(trainer), texts)
            .map_err(|error| anyhow!("training the tokenizer: {error}"))?;
        let settings = json!({
            "add_bos_token": true,
            "add_eos_token": false,
            "bos_token": BEGIN,
            "clean_up_tokenization_spaces": false,
            "eos_token": END,
            "tokenizer_class": "PreTrainedTokenizerFast",
        });
        let specials = json!({"bos_token": BEGIN, "eos_token": END});
        let files = BTreeMap::from([
            (TOKENIZER, inner.to_string(true).map_err(|error| anyhow!("writing out the tokenizer: {error}"))?),
            (SETTINGS, format!("{settings:#}\n")),
            (SPECIALS, format!("{specials:#}\n")),
        ]);
        Self::assemble(files, &[settings]).map_err(|why| anyhow!(why)).context("checking the trained tokenizer")
    }
}
