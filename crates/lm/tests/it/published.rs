//! Models as they are published: keys without effect, names of wrapped modules, tables under one of two names, pointers in the place of
//! files.

use lm::{Model, ModelCard, ModelConfig, Tokenizer};
use serde_json::{Value, json};
use std::path::Path;

use crate::refusals::{edit_header, load_error, saved, with};
use crate::support::stirred;

#[test]
fn ends_and_beginnings_that_no_row_has_are_none_and_noted() {
    let end = ModelConfig::examples()[0].arch().eos().to_vec();
    let cases = [
        (
            "eos_token_id",
            json!(37),
            vec![],
            "`eos_token_id` is 37, but the model's token ids end with 36: the model can never end",
        ),
        ("eos_token_id", json!([1, 4_294_967_295_u64]), end.clone(), "`eos_token_id` is 4294967295"),
        ("eos_token_id", json!(-1), vec![], "`eos_token_id` is -1"),
        (
            "bos_token_id",
            json!(-1),
            end.clone(),
            "`bos_token_id` is -1, but the model's token ids end with 36: it begins no text",
        ),
        ("bos_token_id", json!(null), end, ""),
    ];
    for (key, value, ends, expected) in cases {
        let config = with(key, value.clone()).unwrap();
        assert_eq!(config.arch().eos(), ends, "{key} = {value}");
        assert_eq!(config.notes().is_empty(), expected.is_empty(), "{key} = {value}: {:?}", config.notes());
        assert!(config.notes().iter().all(|note| note.contains(expected)), "{:?}", config.notes());
    }
}

#[test]
fn what_is_left_out_is_as_transformers_has_it() {
    for (key, value) in [("max_position_embeddings", 2048.0), ("rms_norm_eps", 1e-6)] {
        let config = with(key, json!(null)).unwrap();
        assert_eq!(config.arch().config_json()[key].as_f64(), Some(value), "{key}");
    }
}

/// `save_model` of safetensors keeps one name of a tensor that has two: the first by the alphabet.
#[test]
fn a_tied_model_may_have_its_table_under_the_name_of_its_head_alone() {
    for config in ModelConfig::examples() {
        let decoder = config.arch().decoder();
        if !decoder.head.tied {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let model = stirred(&config, 8);
        model.save(dir.path(), None, &ModelCard::default()).unwrap();
        let mut heads = vec![decoder.head.name];
        heads.extend((config.model_type() == "gpt_neox").then_some("lm_head.weight"));
        let mut held_as = decoder.embedding.tokens;
        for head in heads {
            let rename = |header: &mut serde_json::Map<String, Value>| {
                let entry = header.remove(held_as).unwrap();
                header.insert(head.into(), entry);
            };
            edit_header(dir.path(), rename, |data| data);
            held_as = head;
            let read = Model::load(dir.path()).unwrap();
            assert!(read.weights() == model.weights() && read.notes().is_empty(), "{}", config.model_type());
        }
    }
}

#[test]
fn names_of_wrapped_modules_are_read_and_named() {
    for (before, named) in [
        ("_orig_mod.", "_orig_mod"),
        ("module.", "module"),
        ("module._orig_mod.", "module"),
        ("base_model.model.", "base_model.model"),
    ] {
        let (model, dir) = saved();
        let wrap = |header: &mut serde_json::Map<String, Value>| {
            let all = std::mem::take(header);
            header.extend(all.into_iter().map(|(name, entry)| match name.as_str() {
                "__metadata__" => (name, entry),
                _ => (format!("{before}{name}"), entry),
            }));
        };
        edit_header(dir.path(), wrap, |data| data);
        let read = Model::load(dir.path()).unwrap();
        assert!(read.weights() == model.weights());
        let [note] = read.notes() else { panic!("{:?}", read.notes()) };
        let first = format!("`{before}lm_head.weight`");
        assert!(note.contains(&format!("carry the name `{named}` of a wrapped module")) && note.contains(&first), "{note}");
    }
    // under both names at once it cannot be known which is meant
    let (_, dir) = saved();
    let both = |header: &mut serde_json::Map<String, Value>| {
        let end = header.values().filter_map(|entry| entry["data_offsets"][1].as_u64()).max().unwrap();
        header.insert("module.model.norm.weight".into(), json!({"dtype": "F32", "shape": [20], "data_offsets": [end, end + 80]}));
    };
    edit_header(dir.path(), both, |mut data| {
        data.extend([0; 80]);
        data
    });
    let read = Model::load(dir.path()).unwrap();
    assert!(read.notes()[0].contains("left out: `module.model.norm.weight`"), "{:?}", read.notes());
}

#[test]
fn pointers_of_git_lfs_are_named_as_such() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 810701896\n";
    let (_, dir) = saved();
    Tokenizer::train_bpe((0..50).map(|i| format!("number {i}")), 270).unwrap().save(dir.path()).unwrap();
    let index = "model.safetensors.index.json";
    for name in ["config.json", "model.safetensors", "generation_config.json", "tokenizer.json", "tokenizer_config.json", index] {
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).ok();
        if name == index {
            std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        }
        for text in [pointer, "# xet version 0\nfilesize = 3\n"] {
            std::fs::write(&path, text).unwrap();
            let error = match name.starts_with("tokenizer") {
                true => Tokenizer::load(dir.path()).err().unwrap().to_string(),
                false => load_error(dir.path()),
            };
            assert!(error.contains(name) && error.contains("is a Git LFS pointer, not the file"), "{error}");
            assert_eq!(error.contains("of 810701896 bytes"), text == pointer, "{error}");
            assert!(error.contains("git lfs pull"), "{error}");
        }
        if let Some(whole) = whole {
            std::fs::write(&path, whole).unwrap();
        }
    }
    let other = tempfile::tempdir().unwrap();
    for name in ["model.gguf", "model"] {
        let path = other.path().join(name);
        std::fs::write(&path, pointer).unwrap();
        let error = load_error(&path);
        assert!(error.contains("is a Git LFS pointer"), "{error}");
    }
}

/// What transformers keeps and does not use, or uses for what is the same in `f32`.
#[test]
fn options_without_effect_are_read_and_change_nothing() {
    for (model_type, key, value) in [
        ("llama", "pretraining_tp", json!(4)),
        ("smollm3", "pretraining_tp", json!(2)),
        ("gpt2", "reorder_and_upcast_attn", json!(true)),
        ("gpt2", "n_ctx", json!(17)),
        ("gpt2", "initializer_range", json!(0)),
        ("gemma3_text", "attn_logit_softcapping", json!(50.0)),
        ("phi3", "full_attn_mod", json!(1)),
        ("opt", "init_std", json!(-1)),
        ("opt", "tie_encoder_decoder", json!(true)),
    ] {
        let examples = ModelConfig::examples();
        let config = examples.iter().find(|config| config.model_type() == model_type).unwrap();
        let mut json = config.arch().config_json();
        json[key] = value;
        let read = ModelConfig::parse(&json.to_string(), Path::new("c")).unwrap();
        assert_eq!(read.arch().decoder().blocks, config.arch().decoder().blocks, "{model_type}: {key}");
        assert_eq!(read.layout().n_params(), config.layout().n_params(), "{model_type}: {key}");
    }
}
