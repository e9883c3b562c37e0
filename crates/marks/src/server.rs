//! A server's own configuration as a mark: what an operator has already, instead of a line of an experiment.

use oracle::ConfigError;
use serde_json::{Map, Value, json};

use crate::MarkEntry;

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// vLLM's `--watermark-config`, or the `vllm_xargs` of the plug-in `vllm-sbw`.
    Vllm,
    /// `watermarking_config` of transformers' `generation_config.json`.
    Transformers,
}

/// What makes an entry of a server's keys.
type Reader = fn(Map<String, Value>) -> Result<Value, ConfigError>;

impl MarkEntry {
    /// The mark that `server` serves under `config`, with the server's defaults where it leaves something out. A file that holds the
    /// configuration under its usual name is taken too.
    ///
    /// # Errors
    /// When it names a mark that is not known, lacks a key, has one that is not known, or a value that cannot be.
    pub fn served_by(server: Server, config: &Value) -> Result<Self, ConfigError> {
        let (wrapped, served): (&str, Reader) = match server {
            Server::Vllm => ("watermark_config", vllm),
            Server::Transformers => ("watermarking_config", transformers),
        };
        let config = config.get(wrapped).unwrap_or(config);
        let Some(table) = config.as_object().filter(|table| !table.is_empty()) else {
            let remedy = format!("give an object with the server's keys, or one that holds it as `{wrapped}`");
            return Err(ConfigError::new(wrapped, "no configuration of a watermark", remedy));
        };
        let entry: Self = serde_json::from_value(served(table.clone())?).map_err(|error| {
            // keys may be secrets: what serde quotes is a name or a type
            ConfigError::new(wrapped, error, "write it as the server has it")
        })?;
        entry.validate()?;
        Ok(entry)
    }
}

/// Keys of `table` in the order of `names`, those that are missing left out; `default` for some of them.
fn taken(table: &mut Map<String, Value>, names: &[&str], defaults: Value) -> Map<String, Value> {
    let mut taken = Map::new();
    for name in names {
        let given = table.remove(*name).filter(|value| !value.is_null());
        if let Some(value) = given.or_else(|| defaults.get(*name).cloned()) {
            taken.insert((*name).to_string(), value);
        }
    }
    taken
}

/// Refuses what is left of a configuration.
fn nothing_left(table: &Map<String, Value>) -> Result<(), ConfigError> {
    match table.keys().next() {
        None => Ok(()),
        Some(name) => {
            Err(ConfigError::new(name, "a key that this mark does not have", "drop it, if it says nothing of the mark"))
        }
    }
}

/// vLLM 0.30 to 0.33, its proposals, and the plug-in `vllm-sbw`. Served watermarks, 1.1 and 3 to 6.
fn vllm(mut table: Map<String, Value>) -> Result<Value, ConfigError> {
    if ["seeding_scheme", "hash_key"].iter().any(|name| table.contains_key(*name)) {
        return sbw_plugin(table);
    }
    let algorithm = table.remove("algorithm").unwrap_or_else(|| json!("gumbel"));
    if let Some(prf) = table.remove("prf").filter(|prf| !["philox", "philox4x32-10-v1"].iter().any(|known| prf == known)) {
        return Err(ConfigError::new("prf", prf, "only philox is known here"));
    }
    table.remove("allow_target_only_watermarking");
    // null searches all
    if table.get("deduplicate_contexts_max_history").is_some_and(Value::is_null) {
        table.insert("deduplicate_contexts_max_history".into(), json!(0));
    }
    let (kind, own, defaults) = match algorithm.as_str().unwrap_or_default() {
        "gumbel" => ("vllm_gumbel", &[][..], json!({})),
        "dual_key_gumbel" => ("vllm_dual_key", &["alpha"][..], json!({ "alpha": 0.1 })),
        "red_green" => ("vllm_red_green_proposal", &["gamma", "delta"][..], json!({ "gamma": 0.25, "delta": 2.0 })),
        "sbw" => return sbw_proposal(table),
        "synthid_text" => ("vllm_synthid_proposal", &["depth", "variant"][..], json!({ "depth": 32, "variant": "stream" })),
        "synthid" if table.contains_key("variant") => {
            ("vllm_synthid_proposal", &["depth", "variant"][..], json!({ "depth": 32 }))
        }
        "synthid" => {
            let remedy =
                "no release of vLLM has it, and its bits were proposed in several ways: add \"variant\": \"word\" or \"layer\"";
            return Err(ConfigError::new("algorithm", "synthid", remedy));
        }
        _ => {
            let known = "known are gumbel, dual_key_gumbel, and of proposals red_green, sbw, synthid and synthid_text; other marks: --mark";
            return Err(ConfigError::new("algorithm", algorithm, known));
        }
    };
    if !table.contains_key("key") {
        return Err(ConfigError::new("key", "missing", "give the server's key"));
    }
    if kind != "vllm_dual_key" {
        table.remove("alpha");
    }
    let mut defaults = defaults;
    for (name, value) in [
        ("context_width", json!(4)),
        ("deduplicate_contexts", json!("single_turn")),
        ("deduplicate_contexts_max_history", json!(8192)),
    ] {
        defaults[name] = value;
    }
    let shared = ["key", "context_width", "deduplicate_contexts", "deduplicate_contexts_max_history"];
    let names: Vec<&str> = shared.iter().chain(own).copied().collect();
    let config = taken(&mut table, &names, defaults);
    nothing_left(&table)?;
    Ok(json!({ kind: config }))
}

/// SBW as it is proposed for vLLM. It marks repeats, whatever is said of contexts that come again. Served watermarks, 6.3.
fn sbw_proposal(mut table: Map<String, Value>) -> Result<Value, ConfigError> {
    for not_applied in ["deduplicate_contexts", "deduplicate_contexts_max_history", "alpha"] {
        table.remove(not_applied);
    }
    let scheme = table.remove("sbw_scheme").unwrap_or_else(|| json!("selfhash"));
    let (seeding, width) = match scheme.as_str().unwrap_or_default() {
        "selfhash" => ("self_hash", 4),
        "lefthash" => ("left_hash", 1),
        _ => return Err(ConfigError::new("sbw_scheme", scheme, "known are selfhash and lefthash")),
    };
    let given = |table: &mut Map<String, Value>, name: &str, default: Value| {
        table.remove(name).filter(|value| !value.is_null()).unwrap_or(default)
    };
    let Some(key) = table.remove("key") else { return Err(ConfigError::new("key", "missing", "give the server's key")) };
    let config = json!({
        "form": "native_proposal", "seeding": seeding, "key": key,
        "gamma": given(&mut table, "sbw_gamma", json!(0.5)),
        "delta": given(&mut table, "sbw_delta", json!(2.0)),
        "width": given(&mut table, "context_width", json!(width)),
    });
    nothing_left(&table)?;
    Ok(json!({ "sbw": config }))
}

/// The `vllm_xargs` of the plug-in `vllm-sbw` 1.0.0, with its defaults. Served watermarks, 6.2.
fn sbw_plugin(mut table: Map<String, Value>) -> Result<Value, ConfigError> {
    table.remove("deduplicate_contexts");
    let scheme = table.remove("seeding_scheme").unwrap_or_else(|| json!("gpu-fused-selfhash-fullvocab"));
    if !["gpu-fused-selfhash-fullvocab", "gpu-fused-selfhash-fullvocab-cudagraphs"].iter().any(|known| scheme == *known) {
        return Err(ConfigError::new(
            "seeding_scheme",
            scheme,
            "of the plug-in, only gpu-fused-selfhash-fullvocab is known here",
        ));
    }
    let mut given = |name: &str, default: Value| table.remove(name).filter(|value| !value.is_null()).unwrap_or(default);
    let config = json!({
        "form": "plugin", "seeding": "self_hash", "width": 4,
        "key": given("hash_key", json!(15_485_863)),
        "gamma": given("gamma", json!(0.5)),
        "delta": given("delta", json!(2.0)),
    });
    nothing_left(&table)?;
    Ok(json!({ "sbw": config }))
}

/// Keys of `SynthIDTextWatermarkingConfig`.
const SYNTHID: [&str; 6] =
    ["ngram_len", "keys", "sampling_table_size", "sampling_table_seed", "context_history_size", "skip_first_ngram_calls"];

/// Keys of `WatermarkingConfig`, and the number of ids of the model's config, for files that say it.
const KGW: [&str; 6] = ["greenlist_ratio", "bias", "hashing_key", "seeding_scheme", "context_width", "vocab_size"];

/// transformers 4.46 to 5.24. Served watermarks, 7 and 8.
fn transformers(mut table: Map<String, Value>) -> Result<Value, ConfigError> {
    if let Some(true) = table.remove("debug_mode").and_then(|debug| debug.as_bool()) {
        return Err(ConfigError::new("debug_mode", true, "answers in this mode hold no mark"));
    }
    let (kind, names, defaults): (&str, &[&str], Value) = if table.contains_key("ngram_len") || table.contains_key("keys") {
        for name in ["ngram_len", "keys"] {
            if !table.contains_key(name) {
                return Err(ConfigError::new(name, "missing", "give it as the server has it"));
            }
        }
        ("hf_synthid", &SYNTHID, json!({}))
    } else {
        let defaults = json!({
            "greenlist_ratio": 0.25, "bias": 2.0, "hashing_key": 15_485_863, "seeding_scheme": "lefthash", "context_width": 1,
        });
        ("hf_kgw", &KGW, defaults)
    };
    let config = taken(&mut table, names, defaults);
    nothing_left(&table)?;
    Ok(json!({ kind: config }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn defaults_are_the_servers() {
        let gumbel = vllm(object(json!({ "key": 7 }))).unwrap();
        let shared = json!({
            "key": 7, "context_width": 4, "deduplicate_contexts": "single_turn", "deduplicate_contexts_max_history": 8192,
        });
        assert_eq!(gumbel, json!({ "vllm_gumbel": shared }));
        let dual = json!({ "algorithm": "dual_key_gumbel", "key": 7, "prf": "philox", "deduplicate_contexts_max_history": null });
        let dual = vllm(object(dual)).unwrap();
        assert_eq!(
            (&dual["vllm_dual_key"]["alpha"], &dual["vllm_dual_key"]["deduplicate_contexts_max_history"]),
            (&json!(0.1), &json!(0))
        );
        let sbw = vllm(object(json!({ "algorithm": "sbw", "key": 7, "sbw_scheme": "lefthash" }))).unwrap();
        assert_eq!(
            sbw,
            json!({ "sbw": { "form": "native_proposal", "seeding": "left_hash", "key": 7, "gamma": 0.5, "delta": 2.0, "width": 1 } })
        );
        let plugin = vllm(object(json!({ "gamma": 0.25, "hash_key": 7 }))).unwrap();
        assert_eq!(
            plugin,
            json!({ "sbw": { "form": "plugin", "seeding": "self_hash", "key": 7, "gamma": 0.25, "delta": 2.0, "width": 4 } })
        );
        for config in [sbw, plugin] {
            serde_json::from_value::<MarkEntry>(config).unwrap().validate().unwrap();
        }
        let kgw = transformers(object(json!({ "bias": 2.5 }))).unwrap();
        assert_eq!((&kgw["hf_kgw"]["bias"], &kgw["hf_kgw"]["hashing_key"]), (&json!(2.5), &json!(15_485_863)));
        let synthid = transformers(object(json!({ "ngram_len": 5, "keys": [1, 2], "debug_mode": false }))).unwrap();
        assert_eq!(synthid, json!({ "hf_synthid": { "ngram_len": 5, "keys": [1, 2] } }));
    }

    #[test]
    fn what_is_no_known_mark_is_refused() {
        for (config, part) in [
            (json!({ "algorithm": "gumbel" }), "give the server's key"),
            (json!({ "algorithm": "synthid", "key": 1 }), "variant"),
            (json!({ "algorithm": "stamp", "key": 1 }), "dual_key_gumbel"),
            (json!({ "key": 1, "width": 4 }), "drop it"),
            (json!({ "algorithm": "sbw", "key": 1, "sbw_scheme": "minhash" }), "lefthash"),
            (json!({ "algorithm": "sbw" }), "give the server's key"),
            (json!({ "seeding_scheme": "simple_1" }), "fullvocab"),
            (json!({ "hash_key": 1, "width": 4 }), "drop it"),
            (json!({ "key": 1, "prf": "sha" }), "philox"),
        ] {
            assert!(vllm(object(config.clone())).unwrap_err().to_string().contains(part), "{config}");
        }
        assert!(transformers(object(json!({ "ngram_len": 5 }))).unwrap_err().to_string().contains("`keys` is missing"));
        assert!(transformers(object(json!({ "debug_mode": true }))).is_err());
        assert!(MarkEntry::served_by(Server::Vllm, &json!([])).is_err());
    }

    /// Also under its usual name, with a key above 2^63.
    #[test]
    fn a_configuration_of_vllm_becomes_its_mark() {
        let config =
            json!({ "watermark_config": { "algorithm": "gumbel", "key": 8_446_744_073_709_551_557_u64, "context_width": 2 } });
        let entry = MarkEntry::served_by(Server::Vllm, &config).unwrap();
        let kind = entry.config().unwrap();
        assert!(kind.info().name == "vllm_gumbel" && kind.needs().served_key);
    }
}
