//! What a GGUF says that is wrong or not understood is refused in one line that names file and key or tensor.

use lm::gguf::Value;
use lm::{LoadError, Model, ModelConfig, Tokenizer};

use super::write::{Parts, words};

fn refused(parts: &Parts) -> String {
    let (_dir, path) = parts.save();
    let error = Model::load(&path).err().expect("it must be refused").to_string();
    assert!(error.starts_with(&format!("{}: ", path.display())) && error.lines().count() == 1, "{error}");
    error
}

fn number(n: u64) -> Value {
    Value::Unsigned(n)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn metadata_that_is_not_understood_is_refused_by_name() {
    let llama = Parts::read("llama-linear-rope.gguf");
    let float = Value::Single;
    let cases: Vec<(&str, Option<Value>, &str)> = vec![
        (
            "general.architecture",
            Some(text("gpt2")),
            "`general.architecture` is \"gpt2\": not read from GGUF; architectures that are: llama, qwen2",
        ),
        ("general.architecture", None, "`general.architecture` is missing"),
        ("general.architecture", Some(number(3)), "`general.architecture` is 3"),
        ("general.type", Some(text("adapter")), "`general.type` is \"adapter\": only \"model\""),
        ("general.quantization_version", Some(number(1)), "`general.quantization_version` is 1"),
        ("split.count", Some(number(3)), "`split.count` is 3: join the parts first"),
        ("llama.context_length", None, "`llama.context_length` is missing: convert the model again"),
        ("llama.context_length", Some(number(0)), "`llama.context_length` is 0: give a whole number from 1"),
        ("llama.context_length", Some(text("x")), "`llama.context_length` is \"x\": not supported, only a whole number"),
        ("llama.embedding_length", Some(number(1 << 40)), "`llama.embedding_length` is 1099511627776"),
        ("llama.embedding_length", None, "`llama.embedding_length` is missing"),
        ("llama.block_count", Some(number(1 << 20)), "`llama.block_count` is 1048576"),
        ("llama.block_count", None, "`llama.block_count` is missing"),
        ("llama.feed_forward_length", None, "`llama.feed_forward_length` is missing"),
        (
            "llama.feed_forward_length",
            Some(Value::List(vec![number(32), number(32)])),
            "`llama.feed_forward_length` is a list of 2",
        ),
        ("llama.attention.head_count", Some(number(0)), "`llama.attention.head_count` is 0"),
        ("llama.attention.head_count", None, "`llama.attention.head_count` is missing"),
        ("llama.attention.head_count_kv", Some(number(3)), "`llama.attention.head_count_kv` is 3"),
        ("llama.attention.layer_norm_rms_epsilon", None, "`llama.attention.layer_norm_rms_epsilon` is missing"),
        ("llama.attention.layer_norm_rms_epsilon", Some(float(f32::NAN)), "`llama.attention.layer_norm_rms_epsilon` is NaN"),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Some(float(0.0)),
            "`llama.attention.layer_norm_rms_epsilon` is 0.0: give a number above 0",
        ),
        ("llama.attention.key_length", Some(number(8)), "`llama.attention.value_length` is 16: not supported, only 8 is"),
        ("llama.rope.dimension_count", Some(number(8)), "`llama.rope.dimension_count` is 8: not supported, only 16 is"),
        ("llama.rope.freq_base", Some(float(-1.0)), "`llama.rope.freq_base` is -1"),
        ("llama.rope.scaling.type", Some(text("yarn")), "`llama.rope.scaling.type` is \"yarn\": not supported"),
        ("llama.rope.scaling.type", Some(text("longrope")), "`llama.rope.scaling.type` is \"longrope\": not supported"),
        ("llama.rope.scaling.factor", Some(float(0.5)), "`llama.rope.scaling.factor` is 0.5: give a number from 1 up"),
        ("llama.rope.scaling.attn_factor", Some(float(1.5)), "`llama.rope.scaling.attn_factor` is 1.5"),
        (
            "llama.rope.scaling.yarn_beta_fast",
            Some(float(32.0)),
            "`llama.rope.scaling.yarn_beta_fast` is 32: this option is not known",
        ),
        ("llama.expert_count", Some(number(8)), "`llama.expert_count` is 8: not supported, only 0 is"),
        ("llama.attention.sliding_window", Some(number(4096)), "`llama.attention.sliding_window` is 4096"),
        ("llama.attention.causal", Some(Value::Bool(false)), "`llama.attention.causal` is false"),
        ("llama.attention.clamp_kqv", Some(float(8.0)), "`llama.attention.clamp_kqv` is 8: this option is not known here"),
        ("llama.logit_scale", Some(float(0.5)), "`llama.logit_scale` is 0.5: this option is not known here"),
        ("llama.new\nkey", Some(number(1)), "`llama.new\\nkey` is 1"),
        ("tokenizer.ggml.bos_token_id", Some(text("x")), "`tokenizer.ggml.bos_token_id` is \"x\""),
        ("general.alignment", Some(number(0)), "`general.alignment` is 0"),
        ("general.alignment", Some(number(4)), "`general.alignment` is 4"),
        ("general.alignment", Some(number(48)), "`general.alignment` is 48"),
        ("general.alignment", Some(text("x")), "`general.alignment` is \"x\""),
    ];
    for (key, value, expected) in cases {
        let error = refused(&llama.clone().with(key, value));
        assert!(error.contains(expected), "expected `{expected}` in\n{error}");
    }
    let (_dir, path) = llama.clone().with("llama.logit_scale", float(0.5)).save();
    assert!(matches!(ModelConfig::load(&path), Err(LoadError::Config { .. })));
    let twice = Parts { keys: [llama.keys.clone(), vec![llama.keys[3].clone()]].concat(), ..llama };
    assert!(refused(&twice).contains("is there twice"));
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let llama = Parts::read("llama3-biased.gguf");
    let change = |name: &str, change: fn(&mut super::write::Tensor)| refused(&llama.clone().with_tensor(name, change));
    let lacking = |name: &str| {
        let mut parts = llama.clone();
        parts.tensors.retain(|tensor| tensor.name != name);
        refused(&parts)
    };
    let cases = [
        (lacking("blk.1.ffn_up.weight"), "tensor `blk.1.ffn_up.weight` of shape [32, 32] is missing"),
        (lacking("output_norm.weight"), "tensor `output_norm.weight` of shape [32] is missing"),
        (lacking("token_embd.weight"), "`token_embd.weight` is missing: this file holds no weights"),
        (
            change("blk.1.attn_q.weight", |t| t.name = "blk.1.attn_qkv.weight".into()),
            "tensor `blk.1.attn_q.weight` of shape [64, 32] is missing",
        ),
        (
            change("blk.1.attn_q.bias", |t| t.name = "blk.1.attn_sinks.weight".into()),
            "tensor `blk.1.attn_sinks.weight` of shape [64] is not part of the model",
        ),
        (
            change("blk.1.attn_q.weight", |t| t.shape = vec![64, 32]),
            "tensor `blk.1.attn_q.weight` has shape [32, 64], but the metadata asks for [64, 32]",
        ),
        (change("blk.1.attn_q.weight", |t| t.shape = vec![32, 63]), "has shape [63, 32]"),
        (
            // all bits set: of whatever type, scales and values are no numbers
            change("blk.1.attn_norm.weight", |t| t.data.fill(0xff)),
            "tensor `blk.1.attn_norm.weight` is NaN at 0 of its 32 values",
        ),
        (
            change("blk.1.attn_q.weight", |t| t.shape = vec![0, 32]),
            "tensor `blk.1.attn_q.weight` has the shape [32, 0], which holds nothing",
        ),
        (change("blk.1.attn_q.weight", |t| t.shape = vec![1 << 40, 1 << 40]), "more values than any file holds"),
        (change("blk.1.attn_q.weight", |t| t.shape = vec![]), "tensor `blk.1.attn_q.weight` has 0 dimensions"),
        (change("blk.1.attn_q.weight", |t| t.shape = vec![2, 2, 2, 16, 16]), "has 5 dimensions"),
        (change("blk.1.attn_q.weight", |t| t.shape = vec![32, 1 << 30]), "the file is cut short"),
        (
            change("blk.1.attn_q.weight", |t| t.kind = 23),
            "tensor `blk.1.attn_q.weight` has the type IQ4_XS, which is not read; types that are: F32, F16, Q4_0",
        ),
        (change("blk.1.attn_q.weight", |t| t.kind = 4), "has the type of number 4, which is not read"),
        (
            change("blk.1.attn_q.weight", |t| t.kind = 12),
            "tensor `blk.1.attn_q.weight` has rows of 32 values, but its type Q4_K comes in blocks of 256",
        ),
        (
            change("blk.1.attn_q.weight", |t| t.name = "blk.1.attn_k.weight".into()),
            "tensor `blk.1.attn_k.weight` is described twice",
        ),
        (change("blk.1.attn_k.weight", |t| t.data.truncate(32)), "but `blk.1.attn_k.weight` reaches to"),
        (
            change("rope_freqs.weight", |t| t.data[..4].copy_from_slice(&1.5_f32.to_le_bytes())),
            "`rope_freqs.weight` is a tensor of 16: these are not the factors of Llama 3's",
        ),
        (change("rope_freqs.weight", |t| t.shape = vec![8]), "`rope_freqs.weight` is a tensor of 8"),
        (
            refused(&llama.clone().with("llama.rope.scaling.factor", Value::Single(2.0))),
            "`llama.rope.scaling.factor` is 2: not supported together with `rope_freqs.weight`",
        ),
        (
            refused(&llama.clone().with("llama.block_count", number(1))),
            "tensor `blk.1.attn_k.bias` of shape [32] is not part of the model",
        ),
        (
            refused(&Parts::of_keys(llama.keys.iter().map(|(k, v)| (k.as_str(), v.clone())).collect())),
            "this file holds no weights",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "expected `{expected}` in\n{error}");
    }
    let qwen = Parts::read("qwen2.gguf");
    let mut without = qwen;
    without.tensors.retain(|tensor| tensor.name != "blk.0.attn_v.bias");
    assert!(refused(&without).contains("tensor `blk.0.attn_v.bias` of shape [32] is missing"));
}

#[test]
fn other_formats_are_told_apart() {
    let good = Parts::read("llama-linear-rope.gguf");
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.bytes();
        change(&mut bytes);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        Model::load(&path).err().unwrap().to_string()
    };
    let cases = [
        (with(|b| b[4] = 1), "GGUF version 1; versions 2 and 3 in little-endian order are read"),
        (with(|b| b[4] = 4), "GGUF version 4; versions 2 and 3"),
        (with(|b| b[4..8].reverse()), "a GGUF in big-endian order; versions 2 and 3 in little-endian order are read"),
        (with(|b| b[..4].copy_from_slice(b"tjgg")), "a format from before GGUF"),
        (with(|b| b[0] = b'X'), "not a valid GGUF file: it does not begin with `GGUF`; fetch the file again"),
        (with(|b| b.truncate(0)), "its beginning takes 4 bytes, but only 0 follow"),
        (with(|b| b.truncate(15)), "the number of tensors takes 8 bytes, but only 7 follow"),
        (with(|b| b.truncate(5000)), "entries, but only 2425 bytes follow"),
        (with(|b| b.truncate(b.len() - 1)), "the file is cut short"),
        (with(|b| b[8..16].fill(0xff)), "the number of tensors claims 18446744073709551615 entries"),
        (with(|b| b[16..24].fill(0x7f)), "the number of metadata keys claims"),
        (with(|b| b[24..32].fill(0xff)), "metadata key 0 takes 18446744073709551615 bytes"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected) && error.lines().count() == 1, "expected `{expected}` in\n{error}");
    }
}

#[test]
fn tokenizers_that_cannot_be_rebuilt_are_asked_for() {
    let (bytes, pieces) = (Parts::read("tokenizer-qwen2.gguf"), Parts::read("tokenizer-sentence-pieces.gguf"));
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let cases = [
        (&bytes, "pre", Some(text("deepseek-llm")), "(tokenizer.ggml.pre = \"deepseek-llm\")"),
        (&bytes, "pre", Some(text("default")), "(tokenizer.ggml.pre = \"default\")"),
        (&bytes, "pre", None, "(tokenizer.ggml.pre is missing)"),
        (&bytes, "model", Some(text("t5")), "(tokenizer.ggml.model = \"t5\")"),
        (&bytes, "model", Some(text("bert")), "(tokenizer.ggml.model = \"bert\")"),
        (&bytes, "tokens", None, "(tokenizer.ggml.tokens is missing)"),
        (&bytes, "tokens", Some(words(&["a", "a"])), "(it has 2 tokens, but 426 of tokenizer.ggml.token_type)"),
        (&bytes, "token_type", None, "(tokenizer.ggml.token_type is missing)"),
        (&bytes, "merges", None, "(tokenizer.ggml.merges is missing)"),
        (&bytes, "merges", Some(words(&["no-blank"])), "(merge 0 of tokenizer.ggml.merges is \"no-blank\")"),
        (&bytes, "merges", Some(words(&["no such"])), "out of vocabulary"),
        (&bytes, "add_space_prefix", Some(Value::Bool(true)), "(tokenizer.ggml.add_space_prefix = true)"),
        (&bytes, "add_bos_token", Some(number(1)), "(tokenizer.ggml.add_bos_token = 1)"),
        (&bytes, "normalizer.lowercase", Some(Value::Bool(true)), "(tokenizer.ggml.normalizer.lowercase = true)"),
        (&pieces, "remove_extra_whitespaces", Some(Value::Bool(true)), "(tokenizer.ggml.remove_extra_whitespaces = true)"),
        (
            &pieces,
            "precompiled_charsmap",
            Some(Value::List(vec![number(1)])),
            "(tokenizer.ggml.precompiled_charsmap = a list of 1)",
        ),
        (&pieces, "scores", None, "(tokenizer.ggml.scores is missing)"),
        (&pieces, "scores", Some(Value::List(vec![Value::Single(-1000.0); 400])), "(its tokenizer.ggml.scores are all the same)"),
        (&pieces, "scores", Some(Value::List(vec![Value::Single(f32::NAN); 400])), "has the score NaN)"),
    ];
    for (parts, name, value, reason) in cases {
        let (_dir, path) = parts.clone().with(&key(name), value).save();
        let error = Tokenizer::load(&path).err().expect(reason).to_string();
        let begin = format!("{}: its tokenizer cannot be rebuilt (", path.display());
        assert!(error.starts_with(&begin) && error.ends_with(": put the model's tokenizer.json beside it"), "{error}");
        assert!(error.contains(reason) && error.lines().count() == 1, "expected `{reason}` in\n{error}");
        assert!(Tokenizer::find(&path).is_err());
    }
    for parts in [bytes.clone().with(&key("model"), None), bytes.clone().with(&key("model"), text("none"))] {
        let (_dir, path) = parts.save();
        assert!(Tokenizer::find(&path).unwrap().is_none());
        let error = Tokenizer::load(&path).err().unwrap().to_string();
        assert!(error.ends_with("it holds no tokenizer: put the model's tokenizer.json beside it"), "{error}");
    }
    // more tokens than the embedding has rows
    let vocabulary = Parts::read("tokenizer-qwen2.gguf").keys;
    let more = vocabulary.into_iter().fold(Parts::read("llama-linear-rope.gguf"), |parts, (key, value)| {
        if key.starts_with("tokenizer.ggml.") { parts.with(&key, value) } else { parts }
    });
    let none = [("bos", None), ("eos", None)];
    let more = none.into_iter().fold(more, |parts, (role, id)| parts.with(&key(&format!("{role}_token_id")), id));
    let (_dir, path) = more.with(&key("scores"), None).save();
    let error = Model::load_with_tokenizer(&path).err().unwrap().to_string();
    assert!(error.contains("model.gguf: the tokenizer has ids up to 422, but the model's `vocab_size` is 400"), "{error}");
}
