//! Holding a model against reference values: what agrees passes, what does not is named with its size and place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lm::{ComputePath, Deviation, Model, Tolerances, verify};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::support::runtime;

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity").join(name)
}

fn tensors(name: &str) -> Tensors {
    let bytes = std::fs::read(fixture(name).join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let owned =
        file.tensors().into_iter().map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())));
    owned.collect()
}

fn check(model: &str, tensors: &Tensors) -> anyhow::Result<Vec<Deviation>> {
    let views = tensors.iter().map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), safetensors::serialize(views, None).unwrap()).unwrap();
    let model = Model::load(&fixture(model)).unwrap();
    verify(&model, file.path(), &Tolerances::of(model.config()), &runtime(2, ComputePath::Generic))
}

fn over(deviations: Vec<Deviation>) -> Vec<String> {
    deviations.into_iter().filter(|deviation| !deviation.is_rounding()).map(|deviation| deviation.tensor).collect()
}

#[test]
fn every_tensor_of_a_reference_is_compared_and_agrees() {
    for name in ["llama", "gpt-neox", "gemma2", "opt"] {
        let tensors = tensors(name);
        let deviations = check(name, &tensors).unwrap();
        assert_eq!(deviations.len(), tensors.len() - 1, "all but input_ids");
        assert_eq!(over(deviations), [""; 0], "{name}");
    }
}

#[test]
fn each_kind_of_deviation_is_named() {
    let change = |name: &str, at: usize, by: f32| {
        let mut tensors = tensors("llama");
        let data = &mut tensors.get_mut(name).unwrap().2;
        let value = f32::from_le_bytes(data[4 * at..4 * at + 4].try_into().unwrap()) + by;
        data[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
        check("llama", &tensors).unwrap()
    };
    let logits = change("logits", (24 + 3) * 96 + 5, 2e-3);
    assert_eq!(over(logits.clone()), ["logits"]);
    let place = &logits.iter().find(|deviation| deviation.tensor == "logits").unwrap().place;
    assert_eq!(place, "row 1, position 3, token id 5");
    assert_eq!(over(change("loss", 0, 1e-4)), ["loss"]);
    assert_eq!(over(change("loss", 0, f32::NAN)), ["loss"]);
    assert_eq!(over(change("grad.model.norm.weight", 1, 1.0)), ["grad.model.norm.weight"]);

    let mut other = tensors("llama");
    let greedy = &mut other.get_mut("greedy").unwrap().2;
    greedy[8 * 20] ^= 1;
    let deviations = check("llama", &other).unwrap();
    let greedy = deviations.iter().find(|deviation| deviation.tensor == "greedy").unwrap();
    assert!(!greedy.is_rounding() && greedy.place == "first at token 20", "{greedy:?}");
}

#[test]
fn files_that_are_no_reference_for_the_model_are_refused_in_words() {
    let mut cases: Vec<(Tensors, &str)> = Vec::new();
    let mut without = tensors("llama");
    without.remove("input_ids");
    cases.push((without, "`input_ids` is missing"));
    let mut only = tensors("llama");
    only.retain(|name, _| name == "input_ids");
    cases.push((only, "nothing to compare"));
    let mut foreign = tensors("llama");
    let gradient = foreign["grad.model.norm.weight"].clone();
    foreign.insert("grad.model.norm.bias".into(), gradient);
    cases.push((foreign, "`grad.model.norm.bias` is of no parameter"));
    cases.push((tensors("gpt2-scaled"), "is of no parameter that the model has"));
    let mut smaller = tensors("llama");
    smaller.insert("logits".into(), (Dtype::F32, vec![2, 24, 1], vec![0; 4 * 48]));
    cases.push((smaller, "has shape [2, 24, 1], but input_ids and the model ask for [2, 24, 96]"));
    let mut floats = tensors("llama");
    floats.insert("input_ids".into(), (Dtype::F32, vec![1, 1], vec![0; 4]));
    cases.push((floats, "has type F32; token ids are I64 or I32"));
    let mut negative = tensors("llama");
    negative.insert("input_ids".into(), (Dtype::I64, vec![1, 1], (-1_i64).to_le_bytes().to_vec()));
    cases.push((negative, "holds a number that is no token id"));
    for (tensors, expected) in cases {
        let error = format!("{:#}", check("llama", &tensors).unwrap_err());
        assert!(error.contains(expected) && error.lines().count() == 1, "expected `{expected}` in `{error}`");
    }
}
