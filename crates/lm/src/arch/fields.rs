//! Reading `config.json` so that nothing in it is silently ignored.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use oracle::{ConfigError, TokenId};
use serde_json::{Map, Value};

/// Keys that describe the file, its training, its use or the way in which it is computed (kernels, slices), never what the model computes
/// in `f32` once it is trained. Keys with a leading underscore count as such too.
const HARMLESS: &[&str] = &[
    "activation_dropout",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cls_token_id",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "embed_dropout",
    "embedding_dropout",
    "encoder_no_repeat_ngram_size",
    "eos_token",
    "exponential_decay_length_penalty",
    "ffn_dropout",
    "finetuning_task",
    "flash_attn",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "head_dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "label_smoothing",
    "layerdrop",
    "length_penalty",
    "loss_type",
    "mask_token_id",
    "max_length",
    "max_seq_len",
    "max_seq_length",
    "max_sequence_length",
    "min_length",
    "model_max_length",
    "model_type",
    "n_ctx",
    "neftune_noise_alpha",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_logits_to_keep",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "pad_token",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "renormalize_logits",
    "repetition_penalty",
    "resid_dropout",
    "resid_pdrop",
    "residual_dropout",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "seq_len",
    "seq_length",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_flash_attn",
    "use_memory_efficient_attention",
    "use_return_dict",
    "use_xformers",
];

/// Bounds far beyond any model, so that sizes of a damaged or hostile file are refused before memory is taken for them.
pub const WIDEST: usize = 1 << 20;
/// Most layers.
pub const DEEPEST: usize = 1024;
/// Longest context, most token ids.
pub const LONGEST: usize = 1 << 24;

/// Refuses sizes below 1 or beyond a bound: key, value, most.
///
/// # Errors
/// Naming the first of them.
pub fn check_sizes(sizes: &[(&str, usize, usize)]) -> Result<(), ConfigError> {
    match sizes.iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
        Some((key, value, most)) => Err(ConfigError::new(*key, value, format!("give a whole number from 1 to {most}"))),
        None => Ok(()),
    }
}

/// Refuses numbers that are not finite and above 0: key, value.
///
/// # Errors
/// Naming the first of them.
pub fn check_positive(numbers: &[(&str, f64)]) -> Result<(), ConfigError> {
    match numbers.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
        Some((key, value)) => Err(ConfigError::new(*key, value, "give a number above 0")),
        None => Ok(()),
    }
}

/// The keys of a `config.json`, remembering which were read.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Fields<'a> {
    /// Over the top level of a `config.json`.
    pub fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, read: RefCell::default() }
    }

    /// The value of `key`; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        let (key, value) = self.map.get_key_value(key)?;
        self.read.borrow_mut().insert(key);
        (!value.is_null()).then_some(value)
    }

    fn need(&self, key: &str, what: &str) -> Result<&'a Value, ConfigError> {
        self.get(key).ok_or_else(|| ConfigError::new(key, "missing", format!("give {what}")))
    }

    /// A text.
    ///
    /// # Errors
    /// When absent or not a text.
    pub fn text(&self, key: &str) -> Result<&'a str, ConfigError> {
        let value = self.need(key, "a text")?;
        value.as_str().ok_or_else(|| ConfigError::new(key, value, "give a text"))
    }

    /// A whole number in `range`.
    ///
    /// # Errors
    /// When absent, not a whole number, or outside.
    pub fn count(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, ConfigError> {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.need(key, &what)?;
        value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| ConfigError::new(key, value, format!("give {what}")))
    }

    /// A whole number in `range`, if the key is there.
    ///
    /// # Errors
    /// When not a whole number, or outside.
    pub fn count_if(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, ConfigError> {
        self.get(key).map(|_| self.count(key, range)).transpose()
    }

    /// A finite number above 0.
    ///
    /// # Errors
    /// When absent, not a number, or not above 0.
    pub fn positive(&self, key: &str) -> Result<f64, ConfigError> {
        let value = self.need(key, "a number above 0")?;
        positive(key, value)
    }

    /// A finite number above 0, if the key is there.
    ///
    /// # Errors
    /// When not a number, or not above 0.
    pub fn positive_if(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.get(key).map(|value| positive(key, value)).transpose()
    }

    /// A finite number above 0; null means none, `default` is what transformers assumes when the key is absent.
    ///
    /// # Errors
    /// When not a number, or not above 0.
    pub fn positive_or_null(&self, key: &str, default: Option<f64>) -> Result<Option<f64>, ConfigError> {
        if self.map.contains_key(key) { self.positive_if(key) } else { Ok(default) }
    }

    /// The deviation that new weights would have: no weight of a published model is new, so that any value that cannot be is passed over.
    pub fn deviation(&self, key: &str, default: f64) -> f64 {
        self.get(key).and_then(Value::as_f64).filter(|number| number.is_finite() && *number > 0.0).unwrap_or(default)
    }

    /// A switch; `default` is what transformers assumes when the key is absent.
    ///
    /// # Errors
    /// When neither true nor false.
    pub fn switch(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| ConfigError::new(key, value, "give true or false"))
    }

    /// Refuses any value of `key` but `only`, which is also what its absence means.
    ///
    /// # Errors
    /// When the key has another value.
    pub fn only(&self, key: &str, only: Value) -> Result<(), ConfigError> {
        match self.get(key) {
            Some(value) if *value != only => {
                Err(ConfigError::new(key, value, format!("not supported for this architecture, only {only} is")))
            }
            _ => Ok(()),
        }
    }

    /// A token id, or a list of them, or nothing: those below `vocab_size`, and the numbers that are not.
    ///
    /// # Errors
    /// When not whole numbers.
    pub fn tokens(&self, key: &str, vocab_size: usize) -> Result<(Vec<TokenId>, Vec<i128>), ConfigError> {
        let Some(value) = self.get(key) else { return Ok((Vec::new(), Vec::new())) };
        let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let (mut known, mut none) = (Vec::new(), Vec::new());
        for value in list.iter().filter(|value| !value.is_null()) {
            let number = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
            let number =
                number.ok_or_else(|| ConfigError::new(key, value, format!("give a token id below vocab_size = {vocab_size}")))?;
            match TokenId::try_from(number) {
                Ok(id) if (id as usize) < vocab_size => known.push(id),
                _ => none.push(number),
            }
        }
        Ok((known, none))
    }

    /// The width of an attention window; null means none, `default` is what transformers assumes when the key is absent.
    ///
    /// # Errors
    /// When not a whole number from 1 up.
    pub fn window(&self, key: &str, default: Option<usize>) -> Result<Option<usize>, ConfigError> {
        if self.map.contains_key(key) { self.count_if(key, 1..=usize::MAX) } else { Ok(default) }
    }

    /// What each layer looks at: `layer_types`, one of `sliding_attention` and `full_attention` for each of `layers`, or
    /// `default`; true where it looks through a window.
    ///
    /// # Errors
    /// When it is not such a list.
    pub fn sliding_layers(&self, layers: usize, default: impl Fn(usize) -> bool) -> Result<Vec<bool>, ConfigError> {
        let Some(value) = self.get("layer_types") else { return Ok((0..layers).map(default).collect()) };
        let one = |value: &Value| match value.as_str() {
            Some("sliding_attention") => Some(true),
            Some("full_attention") => Some(false),
            _ => None,
        };
        let list: Option<Vec<bool>> = value.as_array().and_then(|list| list.iter().map(one).collect());
        list.filter(|list| list.len() == layers).ok_or_else(|| {
            let remedy = format!("give a list of {layers} names, each sliding_attention or full_attention");
            ConfigError::new("layer_types", value, remedy)
        })
    }

    /// Refuses keys that nobody read, unless they are known to be harmless or switched off: what they mean is unknown, so
    /// running the model without them could silently compute something else.
    ///
    /// # Errors
    /// Naming the first such key.
    pub fn refuse_unread(&self) -> Result<(), ConfigError> {
        let read = self.read.borrow();
        for (key, value) in self.map {
            let off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if !(off || read.contains(key.as_str()) || key.starts_with('_') || HARMLESS.contains(&key.as_str())) {
                let remedy = "this option is not known here and could change results; remove it if it does not concern the model";
                return Err(ConfigError::new(key, value, remedy));
            }
        }
        Ok(())
    }
}

/// A finite number above 0, found under `key`.
///
/// # Errors
/// When it is something else.
pub fn positive(key: &str, value: &Value) -> Result<f64, ConfigError> {
    value
        .as_f64()
        .filter(|number| number.is_finite() && *number > 0.0)
        .ok_or_else(|| ConfigError::new(key, value, "give a number above 0"))
}
