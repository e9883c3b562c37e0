//! Agreement with transformers on its own checkpoints: tiny random models made by version 5 with torch, `f32`.

use std::path::Path;

use lm::{Batch, Model, ModelConfig, Row, for_each_law, generate, gradient_engine};
use oracle::{Query, Sampling};
use safetensors::SafeTensors;

use crate::support::{NextToken, PATHS, runtime, shared};

/// Every fixture whose architecture is registered must load and agree, unless it is in this list of `config.json` keys that
/// a registered architecture refuses.
const REFUSED: &[(&str, &str)] = &[("llama3-rope", "rope_parameters.")];

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap();
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn ids(file: &SafeTensors<'_>, name: &str) -> Vec<u32> {
    let view = file.tensor(name).unwrap();
    view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect()
}

#[test]
fn logits_loss_gradients_and_greedy_answers_equal_those_of_transformers() {
    let Some(root) = shared("parity") else { return };
    let mut checked = 0;
    let mut names: Vec<_> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    names.sort();
    for dir in names {
        let name = dir.file_name().unwrap().to_str().unwrap();
        let config = std::fs::read_to_string(dir.join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        if !ModelConfig::KNOWN.contains(&config["model_type"].as_str().unwrap()) {
            continue;
        }
        match REFUSED.iter().find(|(refused, _)| *refused == name) {
            Some((_, key)) => {
                let error = Model::load(&dir).err().expect("an unsupported option is refused").to_string();
                assert!(error.contains(key), "{error}");
            }
            None => {
                agree(&dir);
                checked += 1;
            }
        }
    }
    assert!(checked >= 2, "llama, with and without biases");
}

fn agree(dir: &Path) {
    let model = Model::load(dir).unwrap();
    let older = std::fs::read_to_string(dir.join("config.v4.json")).unwrap();
    assert_eq!(&ModelConfig::parse(&older, dir).unwrap(), model.config(), "both dialects say the same");
    let again = model.config().arch().config_json().to_string();
    assert_eq!(&ModelConfig::parse(&again, dir).unwrap(), model.config(), "what we write says the same");

    let bytes = std::fs::read(dir.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let batch = Batch { ids: ids(&expected, "input_ids"), rows: 2, time: 24 };
    let logits = floats(&expected, "logits");
    let greedy = ids(&expected, "greedy");
    for path in PATHS {
        let rt = runtime(2, path);
        let rows: Vec<Row<'_>> = batch.ids.chunks(24).map(|ids| Row { ids, laws: 1..25 }).collect();
        for_each_law(&model, &rows, &rt, &|row, i, law| {
            let start = (row * 24 + i - 1) * law.len();
            for (a, b) in law.iter().zip(&logits[start..]) {
                assert!((a - b).abs() < 1e-4, "{dir:?}: logit {a} against {b}");
            }
        })
        .unwrap();

        let n = 2.0 * 23.0;
        let loss = NextToken { batch: &batch, skip: 1, weight: 1.0 / n };
        let mut grad = vec![0.0; model.n_params()];
        let mean = gradient_engine(model.config(), &rt).loss_and_gradient(model.weights(), &batch, &loss, &mut grad).unwrap();
        let reference = f64::from(floats(&expected, "loss")[0]);
        assert!((mean - reference).abs() < 1e-5, "{dir:?}: loss {mean} against {reference}");
        for parameter in model.layout().parameters() {
            let reference = floats(&expected, &format!("grad.{}", parameter.name));
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
            let part = &grad[parameter.range.clone()];
            let size = norm(&mut reference.iter().map(|x| f64::from(*x)));
            let distance = norm(&mut part.iter().zip(&reference).map(|(a, b)| f64::from(a - b)));
            // A bias on keys has no slope but rounding, hence the absolute part.
            assert!(distance <= 1e-3 * size + 1e-7, "{dir:?}: gradient of {} off by {distance} of {size}", parameter.name);
        }

        let query = Query { index: 0, prompt: greedy[..8].to_vec(), max_new_tokens: 16, sampling: Sampling::GREEDY, seed: 0 };
        let answer = generate(&model, &[query], &[], &rt, &|_| {}).unwrap().remove(0).answer;
        assert_eq!(answer, greedy[8..], "{dir:?}");
    }
}
