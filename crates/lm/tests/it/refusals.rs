//! Bad input: each gives one line that names file, key and value.

use std::path::Path;

use lm::{LoadError, Model, ModelCard, ModelConfig, Tokenizer};
use serde_json::{Value, json};

use crate::support::stirred;

pub fn saved() -> (Model, tempfile::TempDir) {
    let model = stirred(&ModelConfig::examples()[1], 8);
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path(), None, &ModelCard::default()).unwrap();
    (model, dir)
}

/// Parses a Llama's `config.json` with one key changed (null removes it).
pub fn with(key: &str, value: Value) -> Result<ModelConfig, LoadError> {
    let mut config = ModelConfig::examples()[0].arch().config_json();
    config[key] = value;
    ModelConfig::parse(&config.to_string(), Path::new("dir/config.json"))
}

#[test]
fn unsupported_or_impossible_configurations_are_refused_by_name() {
    let cases = [
        ("model_type", json!("mamba"), "\"mamba\": unknown architecture; known are: llama"),
        ("model_type", json!(null), "`model_type` is missing"),
        ("hidden_act", json!("gelu"), "`hidden_act` is \"gelu\""),
        ("rope_scaling", json!({"rope_type": "linear", "factor": 0.5}), "`rope_scaling.factor` is 0.5: give a number from 1 up"),
        ("rope_scaling", json!({"rope_type": "linear"}), "`rope_scaling.factor` is missing"),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0, "beta_fast": 32}), "`rope_scaling.beta_fast` is 32"),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 2.0}), "`rope_scaling.rope_type` is \"yarn\""),
        ("rope_scaling", json!({"rope_type": "dynamic"}), "`rope_scaling.rope_type` is \"dynamic\""),
        ("rope_scaling", json!(3), "`rope_scaling` is 3"),
        ("rope_parameters", json!({"rope_type": "llama3", "rope_theta": 1e4}), "`rope_parameters.factor` is missing"),
        ("partial_rotary_factor", json!(0.5), "`partial_rotary_factor` is 0.5"),
        ("rope_theta", json!(-1.0), "`rope_theta` is -1.0"),
        ("sliding_window", json!(128), "`sliding_window` is 128"),
        ("layer_types", json!(["sliding_attention"]), "`layer_types`"),
        ("quantization_config", json!({"bits": 4}), "`quantization_config`"),
        ("final_logit_softcapping", json!(30.0), "`final_logit_softcapping` is 30.0"),
        ("hidden_size", json!(null), "`hidden_size` is missing"),
        ("hidden_size", json!(0), "`hidden_size` is 0"),
        ("hidden_size", json!("20"), "`hidden_size` is \"20\""),
        ("hidden_size", json!(1e30), "`hidden_size` is"),
        ("num_hidden_layers", json!(4_000_000_000_u64), "`num_hidden_layers` is 4000000000"),
        ("num_key_value_heads", json!(3), "`num_key_value_heads` is 3: give a divisor of num_attention_heads = 4"),
        ("head_dim", json!(5), "`head_dim` is 5"),
        ("vocab_size", json!(0), "`vocab_size` is 0"),
        ("bos_token_id", json!(1.5), "`bos_token_id` is 1.5"),
        ("eos_token_id", json!([1, "</s>"]), "`eos_token_id` is \"</s>\""),
        ("attention_bias", json!("yes"), "`attention_bias` is \"yes\""),
        ("rms_norm_eps", json!(0.0), "`rms_norm_eps` is 0.0"),
    ];
    for (key, value, expected) in cases {
        let error = with(key, value.clone()).unwrap_err().to_string();
        assert!(error.starts_with("dir/config.json: "), "{error}");
        assert!(error.contains(expected) && error.lines().count() == 1, "{key} = {value}: {error}");
    }
    for (key, value) in [
        ("rope_scaling", json!({"rope_type": "default"})),
        ("rope_parameters", json!({"rope_type": "default", "rope_theta": 10000.0})),
        ("sliding_window", json!(null)),
        ("use_sliding_window", json!(false)),
        ("transformers_version", json!("5.0.0")),
        ("_name_or_path", json!("x")),
        ("eos_token_id", json!([1, 2])),
        ("num_key_value_heads", json!(null)),
        // which slices a product was trained in, how it is computed, what new weights were drawn from: all the same in f32
        ("pretraining_tp", json!(2)),
        ("use_flash_attn", json!(true)),
        ("attn_implementation", json!("flash_attention_2")),
        ("initializer_range", json!(0.0)),
        ("forced_eos_token_id", json!(1)),
        ("num_labels", json!(3)),
        ("max_seq_len", json!(2048)),
    ] {
        assert!(with(key, value.clone()).is_ok(), "{key} = {value}");
    }
    for text in ["", "[]", "{\"model_type\":", "\u{feff}{}"] {
        assert!(matches!(ModelConfig::parse(text, Path::new("c")), Err(LoadError::Json { .. })), "{text}");
    }
}

#[test]
fn both_dialects_give_the_same_rope_theta() {
    let mut config = ModelConfig::examples()[0].arch().config_json();
    config["rope_theta"] = json!(50_000.0);
    let old = ModelConfig::parse(&config.to_string(), Path::new("c")).unwrap();
    config.as_object_mut().unwrap().remove("rope_theta");
    config["rope_parameters"] = json!({"rope_theta": 50_000.0, "rope_type": "default"});
    let new = ModelConfig::parse(&config.to_string(), Path::new("c")).unwrap();
    assert_eq!(old, new);
    assert_ne!(old, ModelConfig::examples()[0]);
}

pub fn load_error(dir: &Path) -> String {
    Model::load(dir).err().expect("this must not load").to_string()
}

#[test]
fn missing_files_are_named() {
    let (_, dir) = saved();
    let error = load_error(&dir.path().join("nowhere"));
    assert!(error.contains("nowhere: not found; give a directory"), "{error}");
    let error = load_error(&dir.path().join("model.safetensors"));
    assert!(error.contains("is a file; give a directory"), "{error}");
    assert!(Tokenizer::load(dir.path()).err().unwrap().to_string().contains("tokenizer.json: not found"));
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let error = load_error(dir.path());
    assert!(error.contains("model.safetensors: not found"), "{error}");
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    let error = load_error(dir.path());
    assert!(error.contains("config.json: not found"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_tensor() {
    let (model, dir) = saved();
    let parameter = &model.layout().parameters()[3];
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut weights = model.weights().to_vec();
        weights[parameter.range.start + 2] = value;
        model.with_weights(weights).save(dir.path(), None, &ModelCard::default()).unwrap();
        let (error, n) = (load_error(dir.path()), parameter.range.len());
        let expected = format!("model.safetensors: tensor `{}` is {shown} at 2 of its {n} values", parameter.name);
        assert!(error.contains(&expected) && error.lines().count() == 1, "{error}");
    }
}

#[cfg(unix)]
#[test]
fn what_stands_in_place_of_a_file_is_named_and_not_waited_for() {
    for name in ["config.json", "generation_config.json", "model.safetensors"] {
        let (_, dir) = saved();
        let path = dir.path().join(name);
        let remove = || std::fs::remove_file(&path).unwrap();
        remove();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = load_error(dir.path());
        assert!(error.contains(&format!("{name}: is a pipe")), "{error}");
        remove();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let error = load_error(dir.path());
        assert!(error.contains(&format!("{name}: is a symbolic link to nothing")), "{error}");
        remove();
        std::os::unix::fs::symlink(name, &path).unwrap();
        let error = load_error(dir.path());
        assert!(error.contains(&format!("{name}: is a symbolic link that cannot be followed")), "{error}");
        remove();
        std::fs::create_dir(&path).unwrap();
        let error = load_error(dir.path());
        assert!(error.contains(&format!("{name}: is a directory")), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["model", "model.gguf"] {
        let pipe = dir.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for place in [&*pipe, dir.path()] {
            let error = load_error(place);
            assert!(error.contains("is a pipe") || error.contains("config.json: not found"), "{error}");
        }
    }
}

#[test]
fn pickles_are_refused_by_name() {
    let (_, dir) = saved();
    let weights = dir.path().join("model.safetensors");
    // A zip of pickles under a safe name.
    std::fs::write(&weights, b"PK\x03\x04\x14\0\x08\x08\x08\0\0\0").unwrap();
    assert!(load_error(dir.path()).contains("model.safetensors: is a pickle"));
    std::fs::remove_file(&weights).unwrap();
    let pickle = dir.path().join("pytorch_model.bin");
    std::fs::write(&pickle, b"\x80\x02}q\0.").unwrap();
    let error = load_error(dir.path());
    assert!(error.contains("pytorch_model.bin: is a pickle") && error.contains("convert it to safetensors"), "{error}");
    assert!(load_error(&pickle).contains("pytorch_model.bin: is a pickle"));
    let index = json!({"weight_map": {"a": "pytorch_model.bin"}});
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert!(load_error(dir.path()).contains("pytorch_model.bin: is a pickle"));
    let index = json!({"weight_map": {"a": "../secret.safetensors"}});
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert!(load_error(dir.path()).contains("not a plain file name"));
}

#[test]
fn truncated_checkpoints_are_refused_at_every_length() {
    let (_, dir) = saved();
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for len in (0..64).chain((64..whole.len()).step_by(997)).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..len]).unwrap();
        let error = load_error(dir.path());
        assert!(error.contains("model.safetensors: not a valid safetensors file"), "{len}: {error}");
    }
}

/// Saves with the header's JSON passed through `edit` and the data cut or filled to `data_bytes`.
pub fn edit_header(dir: &Path, edit: impl Fn(&mut serde_json::Map<String, Value>), data: impl Fn(Vec<u8>) -> Vec<u8>) {
    let path = dir.join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let n = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&whole[8..8 + n]).unwrap();
    edit(header.as_object_mut().unwrap());
    let json = header.to_string();
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.extend(data(whole[8 + n..].to_vec()));
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn tensors_that_do_not_fit_the_configuration_are_named_with_both_shapes() {
    let same = |data: Vec<u8>| data;
    let (_, dir) = saved();
    edit_header(dir.path(), |header| header["model.norm.weight"]["shape"] = json!([2, 10]), same);
    let error = load_error(dir.path());
    assert!(error.contains("tensor `model.norm.weight` has shape [2, 10], but config.json asks for [20]"), "{error}");

    let (_, dir) = saved();
    let rename = |header: &mut serde_json::Map<String, Value>| {
        let entry = header.remove("model.norm.weight").unwrap();
        header.insert("model.norm.wait".into(), entry);
    };
    edit_header(dir.path(), rename, same);
    let error = load_error(dir.path());
    assert!(error.contains("tensor `model.norm.weight` of shape [20] is missing"), "{error}");

    let (_, dir) = saved();
    edit_header(
        dir.path(),
        |header| {
            let end = header.values().filter_map(|entry| entry["data_offsets"][1].as_u64()).max().unwrap();
            header.insert("extra".into(), json!({"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}));
        },
        |mut data| {
            data.extend([0; 4]);
            data
        },
    );
    // beside the model it is left out, as transformers does, and named; inside it would change what is computed
    let model = Model::load(dir.path()).unwrap();
    let [note] = model.notes() else { panic!("{:?}", model.notes()) };
    assert!(note.contains("1 tensor(s) belong to no part of the language model and are left out: `extra`"), "{note}");
    for inside in ["model.layers.0.self_attn.q_proj.bias", "lm_head.bias", "x.lora_A.weight"] {
        edit_header(
            dir.path(),
            |header| {
                let name = header.keys().find(|name| name.as_str() == "extra" || name.contains("bias")).unwrap().clone();
                let entry = header.remove(&name).unwrap();
                header.insert(inside.into(), entry);
            },
            same,
        );
        let error = load_error(dir.path());
        assert!(error.contains(&format!("tensor `{inside}` of shape [1] is not part of the model")), "{error}");
    }

    let (_, dir) = saved();
    edit_header(dir.path(), |header| header["model.norm.weight"]["dtype"] = json!("I32"), same);
    let error = load_error(dir.path());
    assert!(error.contains("tensor `model.norm.weight` has type I32; only F32, F16 and BF16"), "{error}");

    let (_, dir) = saved();
    edit_header(dir.path(), |header| header["model.norm.weight"]["shape"] = json!([1u64 << 40, 1u64 << 40]), same);
    let error = load_error(dir.path());
    assert!(error.contains("does not take the 80 bytes"), "{error}");
}

#[test]
fn a_tied_head_may_be_in_the_file_only_if_it_is_the_embedding() {
    let model = stirred(&ModelConfig::examples()[1], 8);
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path(), None, &ModelCard::default()).unwrap();
    let mut config: Value = serde_json::from_slice(&std::fs::read(dir.path().join("config.json")).unwrap()).unwrap();
    config["tie_word_embeddings"] = json!(true);
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let error = load_error(dir.path());
    assert!(error.contains("`lm_head.weight` differs from `model.embed_tokens.weight`"), "{error}");

    let mut weights = model.weights().to_vec();
    let [table, head] =
        ["model.embed_tokens.weight", "lm_head.weight"].map(|name| model.layout().get(name).unwrap().range.clone());
    weights.copy_within(table, head.start);
    let equal = model.with_weights(weights);
    equal.save(dir.path(), None, &ModelCard::default()).unwrap();
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    assert_eq!(Model::load(dir.path()).unwrap().weights(), &equal.weights()[..head.start]);
}

#[test]
fn a_tokenizer_with_too_many_ids_is_refused() {
    let (_, dir) = saved();
    let tokenizer = Tokenizer::train_bpe((0..50).map(|i| format!("number {i}")), 270).unwrap();
    tokenizer.save(dir.path()).unwrap();
    let error = Model::load_with_tokenizer(dir.path()).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json") && error.contains("the model's `vocab_size` is 37"), "{error}");
}

#[test]
fn options_of_every_architecture_that_would_change_results_are_refused_by_name() {
    let cases = [
        ("mistral", "hidden_act", json!("gelu"), "`hidden_act` is \"gelu\""),
        ("mistral", "sliding_window", json!(0), "`sliding_window` is 0"),
        ("qwen2", "layer_types", json!(["sliding_attention", "full_attention"]), "`sliding_window` is missing"),
        ("qwen2", "layer_types", json!(["chunked_attention", "full_attention"]), "`layer_types` is"),
        ("qwen3", "rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "`rope_scaling.rope_type` is \"yarn\""),
        ("gemma", "use_bidirectional_attention", json!(true), "`use_bidirectional_attention` is true"),
        ("gemma", "hidden_activation", json!("quick_gelu"), "`hidden_activation` is \"quick_gelu\""),
        ("gemma2", "final_logit_softcapping", json!(-1.0), "`final_logit_softcapping` is -1.0"),
        ("gemma3_text", "attn_logit_softcapping", json!(-1.0), "`attn_logit_softcapping` is -1.0"),
        ("gemma3_text", "rope_parameters", json!({"full_attention": {}, "other": {}}), "`rope_parameters.other` is"),
        ("phi3", "rope_scaling", json!({"type": "longrope", "long_factor": [1.0]}), "`rope_scaling.rope_type` is \"longrope\""),
        ("phi3", "partial_rotary_factor", json!(0.25), "`partial_rotary_factor` is 0.25"),
        ("olmo2", "clip_qkv", json!(8.0), "`clip_qkv` is 8.0"),
        ("smollm3", "no_rope_layers", json!([1, 2]), "`no_rope_layers` is [1,2]"),
        ("gpt2", "add_cross_attention", json!(true), "`add_cross_attention` is true"),
        ("gpt2", "reorder_and_upcast_attn", json!("yes"), "`reorder_and_upcast_attn` is \"yes\""),
        ("phi3", "full_attn_mod", json!(2), "`full_attn_mod` is 2"),
        ("gpt2", "n_embd", json!(30), "`n_embd` is 30: give a multiple of n_head = 4"),
        ("gpt2", "n_inner", json!(0), "`n_inner` is 0"),
        ("gpt_neo", "attention_types", json!([[["global", "sparse"], 1]]), "`attention_types` is"),
        ("gpt_neo", "attention_types", json!([[["global"], u64::MAX]]), "`attention_types` is"),
        ("gpt_neo", "attention_layers", json!(["global"]), "`attention_layers` is [\"global\"]"),
        ("gpt_neox", "rotary_pct", json!(0.1), "`rotary_pct` is 0.1"),
        ("gpt_neox", "hidden_act", json!("tanh"), "`hidden_act` is \"tanh\""),
        ("opt", "do_layer_norm_before", json!(false), "`do_layer_norm_before` is false"),
        ("opt", "_remove_final_layer_norm", json!(true), "`_remove_final_layer_norm` is true"),
        ("opt", "word_embed_proj_dim", json!(10), "`word_embed_proj_dim` is 10"),
    ];
    for (model_type, key, value, expected) in cases {
        let examples = ModelConfig::examples();
        let config = examples.iter().find(|config| config.model_type() == model_type).unwrap();
        let mut json = config.arch().config_json();
        assert!(ModelConfig::parse(&json.to_string(), Path::new("c")).is_ok(), "{model_type}");
        json[key] = value;
        let error = ModelConfig::parse(&json.to_string(), Path::new("c")).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("{model_type}: {key} = {} is read", json[key]));
        assert!(error.contains(expected) && error.lines().count() == 1, "{model_type}, {key}: {error}");
    }
}
