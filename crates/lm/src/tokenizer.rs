//! Text to token ids and back: Hugging Face tokenizers, loaded or trained.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use oracle::{Codec, TokenId};
use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainerBuilder;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

use crate::checkpoint::read_text;
use crate::model::write;
use crate::read::LoadError;

const TOKENIZER: &str = "tokenizer.json";
const SETTINGS: &str = "tokenizer_config.json";
const SPECIALS: &str = "special_tokens_map.json";

/// Tokens of a trained tokenizer that are never text, with ids 0 and 1.
const BEGIN: &str = "<s>";
const END: &str = "</s>";

/// A Hugging Face tokenizer. Words that look like special tokens are ordinary text to [`Codec::encode`]: no text, whatever
/// it says, yields a special id.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Inner,
    /// The files of a model directory, as read or made.
    files: BTreeMap<&'static str, String>,
    max_id: TokenId,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    special_ids: Vec<TokenId>,
}

impl Tokenizer {
    /// Loads `tokenizer.json` of a directory, and what `tokenizer_config.json`, `special_tokens_map.json` and `config.json`
    /// say about beginning and end, if they are there. The beginning token counts only if the tokenizer itself puts it
    /// before a text or `add_bos_token` says so. Truncation and padding that the file may ask for are switched off.
    ///
    /// # Errors
    /// When `tokenizer.json` is missing or broken, or cannot encode arbitrary text.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let path = dir.join(TOKENIZER);
        let mut files = BTreeMap::new();
        let mend = "a model directory holds config.json, model.safetensors and tokenizer.json";
        files.insert(TOKENIZER, read_text(&path, mend)?);
        let mut settings = Vec::new();
        for name in [SETTINGS, SPECIALS, "config.json"] {
            let path = dir.join(name);
            if !path.exists() {
                continue;
            }
            let text = read_text(&path, "")?;
            let value: Value =
                serde_json::from_str(&text).map_err(|error| LoadError::Json { path: path.clone(), why: error.to_string() })?;
            settings.push(value);
            if name != "config.json" {
                files.insert(name, text);
            }
        }
        Self::assemble(files, &settings).map_err(|why| LoadError::Tokenizer { path, why })
    }

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

    fn assemble(files: BTreeMap<&'static str, String>, settings: &[Value]) -> Result<Self, String> {
        let broken = |error: tokenizers::Error| format!("not a tokenizer this program can read: {error}");
        let mut inner = Inner::from_bytes(files.get(TOKENIZER).map_or("", String::as_str)).map_err(broken)?;
        inner.with_truncation(None).map_err(broken)?;
        inner.with_padding(None);
        let max_id = inner.get_vocab(true).into_values().max().ok_or("it has no tokens")?;
        let mut special_ids: Vec<TokenId> =
            inner.get_added_tokens_decoder().into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();

        // A token is named by its text (or an object around it) in the tokenizer's files, by its id in config.json.
        let named = |role: &str| {
            settings.iter().find_map(|value| {
                let text = &value[format!("{role}_token")];
                let text = text.as_str().or_else(|| text["content"].as_str());
                let by_id = || value[format!("{role}_token_id")].as_u64().and_then(|id| TokenId::try_from(id).ok());
                text.and_then(|text| inner.token_to_id(text)).or_else(by_id).filter(|id| *id <= max_id)
            })
        };
        let begins = inner.encode_fast("a", true).map_err(broken)?.get_ids().first().copied();
        let asked = settings.iter().any(|value| value["add_bos_token"] == true);
        let bos = named("bos").filter(|bos| asked || begins == Some(*bos));
        let eos = named("eos");
        special_ids.extend(bos.iter().chain(&eos));
        special_ids.sort_unstable();
        special_ids.dedup();
        inner.set_encode_special_tokens(true);

        // `encode` cannot fail later: every step either handles this text or none that lacks a token for a character.
        let strange = "a\u{0}\u{10fffd}\u{301}\u{4e00} <s> \n";
        inner.encode_fast(strange, false).map_err(|error| format!("it cannot encode arbitrary text: {error}"))?;
        let all: Vec<TokenId> = (0..=max_id.min(1 << 20)).collect();
        inner.decode(&all, true).map_err(broken)?;
        Ok(Self { inner, files, max_id, bos, eos, special_ids })
    }

    /// Refuses a model whose embedding has no row for some id of this tokenizer; `path` is only named in the error.
    ///
    /// # Errors
    /// When the largest id is not below `vocab_size`.
    pub fn check_fits(&self, vocab_size: usize, path: &Path) -> Result<(), LoadError> {
        if (self.max_id as usize) < vocab_size {
            return Ok(());
        }
        let why = format!(
            "the tokenizer has ids up to {}, but config.json says `vocab_size` {vocab_size}: they do not belong together",
            self.max_id
        );
        Err(LoadError::Tokenizer { path: path.into(), why })
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, as read or made.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("{}: creating", dir.display()))?;
        for (name, text) in &self.files {
            write(dir, name, text.as_bytes())?;
        }
        Ok(())
    }

    /// `text` as a model sees a document: the beginning token, if there is one, and [`Codec::encode`].
    pub fn encode_document(&self, text: &str) -> Vec<TokenId> {
        self.bos.into_iter().chain(self.encode(text)).collect()
    }

    /// The algorithm that cuts text into tokens, by its usual name.
    pub fn kind(&self) -> &'static str {
        use tokenizers::models::ModelWrapper;
        match self.inner.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        }
    }

    /// The largest id.
    pub fn max_id(&self) -> TokenId {
        self.max_id
    }

    /// The content of `tokenizer.json`: what two tokenizers must share to be one.
    pub fn json(&self) -> &str {
        self.files.get(TOKENIZER).map_or("", String::as_str)
    }
}

impl Codec for Tokenizer {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        self.inner
            .encode_fast(text, false)
            .expect("a tokenizer that encoded arbitrary text when it was assembled encodes any")
            .get_ids()
            .to_vec()
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        self.inner.decode(ids, true).expect("a tokenizer that decoded all its ids when it was assembled decodes any of them")
    }

    fn vocab_size(&self) -> usize {
        self.max_id as usize + 1
    }

    fn bos(&self) -> Option<TokenId> {
        self.bos
    }

    fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    fn special_ids(&self) -> &[TokenId] {
        &self.special_ids
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Iterator<Item = String> + Send {
        (0..200).map(|i| format!("The {} cat saw {} birds. 12 + {i} = {}.\nWell done!", ["red", "old", "big"][i % 3], i, i + 12))
    }

    #[test]
    fn training_twice_gives_equal_files() {
        let [a, b] = [(); 2].map(|()| Tokenizer::train_bpe(texts(), 320).unwrap());
        assert_eq!(a.files, b.files);
        assert_eq!((a.bos(), a.eos(), a.special_ids(), a.vocab_size()), (Some(0), Some(1), &[0, 1][..], 320));
    }

    #[test]
    fn saved_and_loaded_is_the_same() {
        let tokenizer = Tokenizer::train_bpe(texts(), 300).unwrap();
        let dir = tempfile::tempdir().unwrap();
        tokenizer.save(dir.path()).unwrap();
        let again = Tokenizer::load(dir.path()).unwrap();
        assert_eq!((again.bos(), again.eos(), again.max_id()), (tokenizer.bos(), tokenizer.eos(), tokenizer.max_id()));
        assert_eq!(again.files, tokenizer.files);
        let text = "The old cat saw 7 birds.";
        assert_eq!(again.encode(text), tokenizer.encode(text));
        assert!(tokenizer.encode(text).len() < text.len() / 2, "merges are used");
    }

    #[test]
    fn too_small_a_vocabulary_is_refused() {
        let error = Tokenizer::train_bpe(texts(), 200).err().unwrap().to_string();
        assert!(error.contains("at least 258"), "{error}");
    }

    #[test]
    fn a_tokenizer_with_more_ids_than_the_model_is_refused() {
        let tokenizer = Tokenizer::train_bpe(texts(), 300).unwrap();
        assert!(tokenizer.check_fits(300, Path::new("t")).is_ok());
        let error = tokenizer.check_fits(299, Path::new("t")).unwrap_err().to_string();
        assert!(error.contains("ids up to 299") && error.contains("`vocab_size` 299"), "{error}");
    }

    #[test]
    fn broken_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Tokenizer::load(dir.path()), Err(LoadError::Missing { .. })));
        for content in ["", "{}", "[1,2]", "{\"model\": {\"type\": \"BPE\"}}"] {
            std::fs::write(dir.path().join(TOKENIZER), content).unwrap();
            assert!(matches!(Tokenizer::load(dir.path()), Err(LoadError::Tokenizer { .. })), "{content}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_comes_back_and_no_text_is_special(text in "\\PC{0,40}|(<s>|</s>| |\n|[a-z]){0,12}") {
            let tokenizer = Tokenizer::train_bpe(texts(), 280).unwrap();
            let ids = tokenizer.encode(&text);
            prop_assert!(ids.iter().all(|id| !tokenizer.special_ids().contains(id)));
            prop_assert_eq!(tokenizer.decode(&ids), text);
        }
    }
}
