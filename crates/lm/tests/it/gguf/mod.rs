//! GGUF files: the numbers of transformers with the values that their blocks stand for, the tokens that their tokenizers' own
//! libraries give, and what is wrong with wrong ones. `tests/fixtures/gguf/make.py` made the files with llama.cpp's package.

mod hostile;
mod refusals;
mod tokenizers;
mod write;

use std::path::Path;

use lm::arch::decoder::RopeScaling;
use lm::gguf::Value;
use lm::{ComputePath, Model, ModelCard, ModelConfig, Stored, Tokenizer, Tolerances, verify};
use oracle::Codec as _;

use crate::support::{PATHS, runtime};
use write::{Parts, fixture};

const MODELS: [&str; 4] = ["llama-k-quants", "qwen2", "llama3-biased", "llama-linear-rope"];

fn check(model: &Model, name: &str) {
    for path in PATHS {
        let expected = fixture(&format!("{name}.safetensors"));
        let deviations = verify(model, &expected, &Tolerances::of(model.config()), &runtime(1, path)).unwrap();
        let tensors: Vec<&str> = deviations.iter().map(|deviation| deviation.tensor.as_str()).collect();
        assert_eq!(tensors, ["logits", "loss", "greedy"]);
        for deviation in deviations {
            assert!(deviation.is_rounding(), "{name} {path:?}: {deviation:?}");
        }
    }
}

#[test]
fn models_compute_what_transformers_computes_with_the_same_values() {
    for name in MODELS {
        let path = fixture(&format!("{name}.gguf"));
        let model = Model::load(&path).unwrap();
        assert_eq!(*model.config(), ModelConfig::load(&path).unwrap());
        check(&model, name);
        assert_eq!(model.layout().get("lm_head.weight").is_some(), name == "qwen2");
    }
    let config = |name: &str| ModelConfig::load(&fixture(name)).unwrap();
    let ModelConfig::Llama(biased) = config("llama3-biased.gguf") else { panic!("not a Llama") };
    assert!(biased.attention_bias && biased.mlp_bias);
    let llama3 =
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
    assert_eq!(biased.shape.rope_scaling, Some(llama3));
    let ModelConfig::Llama(quants) = config("llama-k-quants.gguf") else { panic!("not a Llama") };
    assert_eq!((quants.shape.head_dim, quants.shape.rms_norm_eps, quants.shape.rope_theta), (Some(16), 1e-5, 10_000.0));
    assert_eq!((quants.tokens.bos, &quants.tokens.eos[..]), (Some(1), &[2][..]));
    assert_eq!(config("qwen2.gguf").model_type(), "qwen2");
}

#[test]
fn what_is_stored_is_told_from_the_header() {
    let stored = |name: &str| Stored::of(&fixture(name)).unwrap().unwrap().to_string();
    assert_eq!(stored("llama-k-quants.gguf"), "Q6_K, Q4_K, Q4_0, Q8_0, F32 in one file");
    assert_eq!(stored("llama-linear-rope.gguf"), "Q4_0, F32 in one file");
}

#[test]
fn a_converted_model_is_the_same_model() {
    for name in MODELS {
        let (model, tokenizer) = Model::load_with_tokenizer(&fixture(&format!("{name}.gguf"))).unwrap();
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path(), Some(&tokenizer), &ModelCard::default()).unwrap();
        let (again, same) = Model::load_with_tokenizer(dir.path()).unwrap();
        assert_eq!(again.config(), model.config());
        assert!(again.weights().iter().zip(model.weights()).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(same.encode_document("the miller, 7 sacks"), tokenizer.encode_document("the miller, 7 sacks"));
        assert_eq!((same.bos(), same.eos(), same.special_ids()), (tokenizer.bos(), tokenizer.eos(), tokenizer.special_ids()));
        assert_eq!(same.chat().is_some(), tokenizer.chat().is_some());
    }
}

#[test]
fn a_directory_of_one_gguf_is_that_model() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |to: &str| std::fs::copy(fixture("llama-linear-rope.gguf"), dir.path().join(to)).unwrap();
    copy("Model-Q4_0.GGUF");
    let (model, _) = Model::load_with_tokenizer(dir.path()).unwrap();
    check(&model, "llama-linear-rope");
    copy("b.gguf");
    let error = Model::load(dir.path()).err().unwrap().to_string();
    assert!(error.contains("several GGUF files (Model-Q4_0.GGUF, b.gguf); name one of them"), "{error}");
    check(&Model::load(&dir.path().join("b.gguf")).unwrap(), "llama-linear-rope");
    // a file without the ending is told by its beginning
    copy("sha256-0123");
    check(&Model::load(&dir.path().join("sha256-0123")).unwrap(), "llama-linear-rope");
    // safetensors go first
    model.save(dir.path(), None, &ModelCard::default()).unwrap();
    assert_eq!(Stored::of(dir.path()).unwrap().unwrap().to_string(), "F32 in one file");
}

#[test]
fn files_may_be_written_otherwise() {
    let (name, parts) = ("llama3-biased", Parts::read("llama3-biased.gguf"));
    let same = |parts: &Parts| {
        let (_dir, path) = parts.save();
        check(&Model::load(&path).unwrap(), name);
    };
    same(&Parts { version: 2, ..parts.clone() });
    for alignment in [8, 32, 4096] {
        same(&parts.clone().with("general.alignment", Value::Unsigned(alignment)));
    }
    let mut reversed = parts.clone();
    reversed.tensors.reverse();
    same(&reversed);
    same(&parts.clone().with("llama.attention.head_count", Value::Signed(2)));
    same(&parts.clone().with("llama.attention.head_count", Value::Unsigned(2)).with("llama.rope.dimension_count", None));
    for (key, value) in [
        ("general.file_type", Value::Unsigned(1)),
        ("general.tags", write::words(&["a", "b"])),
        ("general.name", Value::Bytes(vec![0xff])),
        ("llama.vocab_size", Value::Unsigned(5)),
        ("llama.expert_count", Value::Unsigned(0)),
        ("llama.rope.scaling.type", Value::Text("none".into())),
        ("llama.rope.scaling.attn_factor", Value::Single(1.0)),
        ("llama.tensor_data_layout", Value::Text("Meta AI original pth".into())),
        ("tokenizer.ggml.padding_token_id", Value::Unsigned(u64::from(u32::MAX))),
        ("quantize.imatrix.file", Value::Text("x".into())),
    ] {
        same(&parts.clone().with(key, value));
    }
    // biases of zeros may be left out
    let mut some = parts;
    for tensor in &mut some.tensors {
        if tensor.name.ends_with("ffn_up.bias") {
            tensor.data.fill(0);
        }
    }
    let mut without = some.clone();
    without.tensors.retain(|tensor| !tensor.name.ends_with("ffn_up.bias"));
    let [zeros, without] = [some, without].map(|parts| {
        let (_dir, path) = parts.save();
        Model::load(&path).unwrap()
    });
    assert!(without.weights() == zeros.weights());
}

#[test]
fn ends_of_turns_end_answers() {
    let (_dir, path) = Parts::read("llama3-biased.gguf").with("tokenizer.ggml.eot_token_id", Value::Unsigned(7)).save();
    let (model, tokenizer) = Model::load_with_tokenizer(&path).unwrap();
    let eos = tokenizer.eos().unwrap();
    assert_eq!(model.config().arch().eos(), [eos, 7]);
    assert!(tokenizer.special_ids().contains(&7));
}

#[test]
fn a_gguf_can_be_trained_further() {
    let model = Model::load(&fixture("llama-k-quants.gguf")).unwrap();
    let batch = lm::Batch { ids: (3..27).collect(), rows: 2, time: 12 };
    let loss = crate::support::NextToken { batch: &batch, skip: 1, weight: 1.0 };
    let mut gradient = vec![0.0; model.n_params()];
    let rt = runtime(1, ComputePath::Fused);
    let engine = lm::gradient_engine(model.config(), &rt);
    rt.pool.install(|| engine.loss_and_gradient(model.weights(), &batch, &loss, &mut gradient)).unwrap();
    for parameter in model.layout().parameters() {
        assert!(gradient[parameter.range.clone()].iter().any(|g| *g != 0.0), "{}", parameter.name);
    }
}

#[test]
fn a_tokenizer_beside_the_file_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::copy(fixture("llama3-biased.gguf"), &path).unwrap();
    let inside = Tokenizer::load(&path).unwrap();
    assert!(inside.chat().is_some() && inside.bos().is_some());
    let own = Tokenizer::train_bpe(["some text"].into_iter().map(String::from), 300).unwrap();
    own.save(dir.path()).unwrap();
    std::fs::remove_file(dir.path().join("tokenizer_config.json")).ok();
    for place in [path.as_path(), dir.path()] {
        let beside = Tokenizer::load(place).unwrap();
        assert!(beside.json() == own.json() && beside.json() != inside.json());
        assert!(beside.chat().is_some(), "the template inside still holds");
        assert!(Tokenizer::find(place).unwrap().is_some());
    }
    std::fs::write(dir.path().join("chat_template.jinja"), "own").unwrap();
    assert_eq!(Tokenizer::load(&path).unwrap().chat().unwrap().source(), "own");
    std::fs::write(dir.path().join("tokenizer.json"), "{").unwrap();
    let error = Tokenizer::load(&path).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json: not a tokenizer"), "{error}");
}

#[test]
fn what_is_nowhere_is_said_to_be_nowhere() {
    for path in ["no/such.gguf", "no/such"] {
        let error = Model::load(Path::new(path)).err().unwrap().to_string();
        assert!(error.starts_with(&format!("{path}: not found; give a directory")) && error.contains(".gguf file"), "{error}");
    }
}
