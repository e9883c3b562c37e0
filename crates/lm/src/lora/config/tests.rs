use super::*;

/// A usable adapter with some keys changed.
fn with(keys: Value) -> Result<AdapterConfig, LoadError> {
    let mut config = json!({ "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"] });
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    AdapterConfig::parse(&config.to_string(), Path::new("a/adapter_config.json"))
}

#[test]
fn more_entries_than_any_adapter_has_are_refused() {
    let names: Vec<String> = (0..=MOST_ENTRIES).map(|i| format!("m{i}")).collect();
    let patterns: serde_json::Map<String, Value> = names.iter().map(|name| (name.clone(), json!(2))).collect();
    for (key, value) in [
        ("target_modules", json!(names)),
        ("exclude_modules", json!(names)),
        ("modules_to_save", json!(names)),
        ("rank_pattern", json!(patterns)),
        ("alpha_pattern", json!(patterns)),
    ] {
        let error = with(json!({ key: value })).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}` is 4097 entries: give at most 4096")), "{error}");
    }
}

#[test]
fn what_would_change_results_is_refused_by_name() {
    let cases = [
        (json!({ "peft_type": "LOHA" }), "`peft_type` is \"LOHA\": not supported; only \"LORA\" is"),
        (json!({ "peft_type": null }), "`peft_type` is missing"),
        (json!({ "task_type": 3 }), "`task_type` is 3: give a text"),
        (json!({ "use_dora": true }), "`use_dora` is true"),
        (json!({ "bias": "all" }), "`bias` is \"all\": not supported; only \"none\" is"),
        (json!({ "lora_bias": true }), "`lora_bias` is true"),
        (json!({ "trainable_token_indices": [1] }), "`trainable_token_indices` is [1]"),
        (json!({ "layer_replication": [[0, 2]] }), "`layer_replication` is [[0,2]]"),
        (json!({ "megatron_config": { "a": 1 } }), "`megatron_config`"),
        (json!({ "alora_invocation_tokens": [3] }), "`alora_invocation_tokens`"),
        (json!({ "target_parameters": ["x"] }), "`target_parameters`"),
        (json!({ "use_qalora": true }), "`use_qalora`"),
        (json!({ "ensure_weight_tying": true }), "`ensure_weight_tying`"),
        (json!({ "init_lora_weights": "pissa" }), "`init_lora_weights` is \"pissa\": such an adapter belongs to a changed base"),
        (json!({ "made_up": 3 }), "`made_up` is 3: this option is not known here"),
        (json!({ "r": 0 }), "`r` is 0: give a whole number from 1"),
        (json!({ "r": 2.5 }), "`r` is 2.5"),
        (json!({ "r": 1_u64 << 60 }), "`r` is 1152921504606846976"),
        (json!({ "r": null }), "`r` is \"missing\""),
        (json!({ "lora_alpha": "much" }), "`lora_alpha` is \"much\": give a finite number"),
        (json!({ "lora_alpha": 1e300 }), "`lora_alpha` is 1e+300"),
        (json!({ "target_modules": [] }), "`target_modules` is missing"),
        (json!({ "target_modules": [1] }), "`target_modules` is [1]: give a list of names"),
        (json!({ "rank_pattern": { "q_proj": 0 } }), "`rank_pattern.q_proj` is 0"),
        (json!({ "alpha_pattern": { "q_proj": null } }), "`alpha_pattern.q_proj` is null"),
        (json!({ "rank_pattern": [1] }), "not valid JSON for a model directory"),
        (json!({ "layers_pattern": "h" }), "`layers_pattern` is h: give layers_to_transform too"),
        (json!({ "layers_to_transform": [0], "target_modules": "x" }), "`layers_to_transform` is given"),
        (json!({ "layers_to_transform": "all" }), "`layers_to_transform` is \"all\": give a list of whole numbers"),
        (json!({ "modules_to_save": "lm_head" }), "`modules_to_save`"),
        (json!({ "base_model_name_or_path": 3 }), "`base_model_name_or_path` is 3: give a text"),
    ];
    for (keys, expected) in cases {
        let error = with(keys).unwrap_err().to_string();
        assert!(error.starts_with("a/adapter_config.json: ") && error.contains(expected), "expected {expected} in {error}");
        assert_eq!(error.lines().count(), 1);
    }
    for text in ["", "{", "[]", "3", "null"] {
        let error = AdapterConfig::parse(text, Path::new("x")).unwrap_err().to_string();
        assert!(error.contains("not valid JSON"), "{error}");
    }
}

#[test]
fn what_changes_nothing_is_read_over() {
    let plain = with(json!({})).unwrap();
    let keys = json!({
        "lora_dropout": 0.1, "fan_in_fan_out": true, "inference_mode": true, "init_lora_weights": "gaussian",
        "peft_version": "0.21.2", "megatron_core": "megatron.core", "loftq_config": { "a": 1 }, "use_dora": false,
        "target_parameters": null, "auto_mapping": { "a": 1 }, "qalora_group_size": 16, "runtime_config": { "x": true },
    });
    assert_eq!(with(keys).unwrap(), plain);
}

#[test]
fn patterns_keep_their_order_and_what_is_written_says_the_same() {
    let text = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 1.5, "target_modules": ["v", "k"],
                   "rank_pattern": {"z": 3, "a": 4}, "base_model_name_or_path": "org/name", "revision": "v1"}"#;
    let config = AdapterConfig::parse(text, Path::new("x")).unwrap();
    assert_eq!(config.rank_pattern, [("z".to_string(), 3), ("a".to_string(), 4)]);
    let plain = AdapterConfig { rank_pattern: Vec::new(), ..config };
    assert_eq!(AdapterConfig::parse(&plain.json(true).to_string(), Path::new("x")).unwrap(), plain);
}
