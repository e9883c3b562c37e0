//! What the metadata says of the model, as a `config.json` would say it, so that every check of [`ModelConfig::parse`] applies.
//!
//! Keys: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>; what a missing one means is what llama.cpp takes it for.

use std::path::Path;

use oracle::ConfigError;
use serde_json::{Value as Json, json};

use super::header::Header;
use super::keys::Keys;
use super::metadata::Value;
use super::rope;
use crate::arch::ModelConfig;
use crate::read::LoadError;

/// Architectures that are read, which are the `model_type` of a `config.json` too.
pub(super) const ARCHITECTURES: [&str; 2] = [LLAMA, "qwen2"];
/// The one whose queries and keys llama.cpp stores with interleaved rotary pairs.
pub(super) const LLAMA: &str = "llama";

/// Names of `config.json` beside those of the metadata, for messages.
const NAMES: [(&str, &str); 10] = [
    ("hidden_size", "embedding_length"),
    ("num_hidden_layers", "block_count"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("head_dim", "attention.key_length"),
    ("intermediate_size", "feed_forward_length"),
    ("max_position_embeddings", "context_length"),
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("rope_theta", "rope.freq_base"),
    ("rope_scaling.factor", "rope.scaling.factor"),
];

/// The architecture that the file names.
pub(super) fn architecture(header: &Header) -> Result<&'static str, ConfigError> {
    let key = "general.architecture";
    let known = || format!("not read from GGUF; architectures that are: {}", ARCHITECTURES.join(", "));
    let Some(value) = header.metadata.get(key) else { return Err(ConfigError::new(key, "missing", known())) };
    let found = ARCHITECTURES.into_iter().find(|known| value.as_text() == Some(known));
    found.ok_or_else(|| ConfigError::new(key, value, known()))
}

/// The configuration of the model in the file at `path`, which is only named in errors. `factors` are the values of
/// `rope_freqs.weight`, if the file has it.
pub(super) fn config(header: &Header, factors: Option<&[f32]>, path: &Path) -> Result<ModelConfig, LoadError> {
    let refused = |error| LoadError::Config { path: path.into(), error };
    let architecture = architecture(header).map_err(refused)?;
    check_general(header).map_err(refused)?;
    let json = config_json(header, architecture, factors).map_err(refused)?;
    ModelConfig::parse(&json.to_string(), path).map_err(|error| match error {
        LoadError::Config { path, error } => LoadError::Config { path, error: in_words_of_gguf(error, architecture) },
        other => other,
    })
}

fn in_words_of_gguf(mut error: ConfigError, architecture: &str) -> ConfigError {
    if let Some((_, key)) = NAMES.iter().find(|(name, _)| error.key == *name) {
        error.key = format!("{architecture}.{key}");
    }
    error
}

/// Refuses files that are no whole model, or whose blocks are of a layout that was given up.
fn check_general(header: &Header) -> Result<(), ConfigError> {
    let metadata = &header.metadata;
    let refuse = |key: &str, value: &Value, remedy: &str| Err(ConfigError::new(key, value, remedy));
    if let Some(value) = metadata.get("general.type").filter(|value| value.as_text() != Some("model")) {
        return refuse("general.type", value, "only \"model\" is read");
    }
    if let Some(value) = metadata.get("split.count").filter(|value| value.as_count().is_none_or(|count| count > 1)) {
        return refuse("split.count", value, "join the parts first, with `llama-gguf-split --merge`");
    }
    let quantised = header.tensors.values().any(|info| info.kind.is_quantised());
    let version = metadata.get("general.quantization_version").filter(|value| value.as_count() != Some(2));
    if let Some(value) = version.filter(|_| quantised) {
        return refuse("general.quantization_version", value, "only 2 is read; quantise the model again");
    }
    Ok(())
}

fn config_json(header: &Header, architecture: &str, factors: Option<&[f32]>) -> Result<Json, ConfigError> {
    let keys = Keys::new(&header.metadata, architecture);
    let rows = header.tensors.get("token_embd.weight").and_then(|info| info.shape.first());
    let Some(vocab_size) = rows else {
        return Err(ConfigError::new("token_embd.weight", "missing", "this file holds no weights; name one that does"));
    };
    let (hidden, heads) = (keys.needed_count("embedding_length")?, keys.needed_count("attention.head_count")?);
    let Some(even) = hidden.checked_div(heads) else {
        return Err(ConfigError::new(keys.full("attention.head_count"), heads, "give a whole number from 1 up"));
    };
    let head_dim = keys.count("attention.key_length")?.unwrap_or(even);
    let theta = keys.number("rope.freq_base")?.unwrap_or(10_000.0);
    for key in ["attention.value_length", "rope.dimension_count"] {
        keys.only(key, &Value::Unsigned(head_dim))?;
    }
    let has = |ending: &str| header.tensors.keys().any(|name| name.starts_with("blk.") && name.ends_with(ending));
    let mut config = json!({
        "model_type": architecture,
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "num_hidden_layers": keys.needed_count("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.count("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "intermediate_size": keys.needed_count("feed_forward_length")?,
        "max_position_embeddings": keys.needed_count("context_length")?,
        "rms_norm_eps": keys.needed_number("attention.layer_norm_rms_epsilon")?,
        "rope_theta": theta,
        "rope_scaling": rope::scaling(&keys, factors, theta, head_dim)?,
        "tie_word_embeddings": !header.tensors.contains_key("output.weight"),
        "use_cache": true,
    });
    if architecture == LLAMA {
        config["attention_bias"] = ["q", "k", "v", "output"].iter().any(|part| has(&format!(".attn_{part}.bias"))).into();
        config["mlp_bias"] = ["gate", "up", "down"].iter().any(|part| has(&format!(".ffn_{part}.bias"))).into();
    }
    for (name, value) in token_ids(header)? {
        config[name] = value;
    }
    refuse_what_changes_results(&keys)?;
    Ok(config)
}

/// Reads the keys that may only say what is so anyway, and refuses all that are left.
fn refuse_what_changes_results(keys: &Keys<'_>) -> Result<(), ConfigError> {
    for key in ["expert_count", "expert_used_count", "attention.sliding_window", "pooling_type"] {
        keys.only(key, &Value::Unsigned(0))?;
    }
    keys.only("attention.causal", &Value::Bool(true))?;
    keys.only("use_parallel_residual", &Value::Bool(false))?;
    // written when a checkpoint of Meta's own layout was converted, which is the layout of every GGUF of this architecture
    keys.only("tensor_data_layout", &Value::Text("Meta AI original pth".into()))?;
    // how many tokens there are is told by the embedding
    keys.get("vocab_size");
    keys.refuse_unread()
}

/// `bos_token_id`, `eos_token_id` (one or several) and `pad_token_id` as in a `config.json`. Like llama.cpp, the ends of a turn
/// and of a message count as ends.
pub(super) fn token_ids(header: &Header) -> Result<Vec<(&'static str, Json)>, ConfigError> {
    let id = |role: &str| -> Result<Option<u64>, ConfigError> {
        let key = format!("tokenizer.ggml.{role}_token_id");
        let Some(value) = header.metadata.get(&key) else { return Ok(None) };
        match value {
            // none, as converters write it
            Value::Signed(-1) | Value::Unsigned(0xffff_ffff) => Ok(None),
            value => match value.as_count() {
                Some(id) => Ok(Some(id)),
                None => Err(ConfigError::new(key, value, "give a token id")),
            },
        }
    };
    let mut ends: Vec<u64> = Vec::new();
    for role in ["eos", "eot", "eom"] {
        ends.extend(id(role)?.filter(|end| !ends.contains(end)));
    }
    let eos = match ends[..] {
        [] => Json::Null,
        [one] => json!(one),
        _ => json!(ends),
    };
    Ok(vec![("bos_token_id", json!(id("bos")?)), ("eos_token_id", eos), ("pad_token_id", json!(id("padding")?))])
}
