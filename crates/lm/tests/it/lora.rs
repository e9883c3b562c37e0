//! Adapters: those of the library peft (`tests/fixtures/peft`, made by its `make.py`), what merging and the chain rule say, and
//! files that lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lm::lora::{Adapter, AdapterConfig, AdapterShape, Modules, adapter_engine, is_adapter, read_config};
use lm::{ComputePath, Model, ModelCard, ModelConfig, Tolerances, verify};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::support::{NextToken, PATHS, random_batch, runtime, stirred, unit};

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/peft");
    let mut all: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.sort();
    assert!(all.len() >= 7, "{all:?}");
    all
}

fn base_of(dir: &Path) -> Model {
    Model::load(&dir.join(read_config(dir).unwrap().base.unwrap())).unwrap()
}

#[test]
fn merged_models_say_what_peft_says_of_base_and_adapter() {
    for dir in fixtures() {
        assert!(is_adapter(&dir).unwrap());
        let base = base_of(&dir);
        let adapter = Adapter::load(&dir, base.config()).unwrap();
        let merged = adapter.merged(&base);
        for path in PATHS {
            let rt = runtime(2, path);
            let deviations = verify(&merged, &dir.join("expected.safetensors"), &Tolerances::of(base.config()), &rt).unwrap();
            assert_eq!(deviations.len(), 3, "logits, loss and greedy");
            for deviation in &deviations {
                println!("{}: {} {:.1e}", dir.display(), deviation.tensor, deviation.worst);
                assert!(deviation.is_rounding(), "{}: {deviation:?}", dir.display());
            }
            let without = verify(&base, &dir.join("expected.safetensors"), &Tolerances::of(base.config()), &rt).unwrap();
            assert!(without.iter().any(|deviation| !deviation.is_rounding()), "the adapter does something");
        }
    }
}

/// An adapter whose pairs are all well away from zero.
fn stirred_adapter(config: &AdapterConfig, model: &ModelConfig, seed: u64) -> (Arc<AdapterShape>, Vec<f32>) {
    let shape = Arc::new(AdapterShape::new(config, model).unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..shape.n_params()).map(|_| 0.3 * unit(&mut rng)).collect();
    (shape, values)
}

fn on_all(rank: usize) -> AdapterConfig {
    AdapterConfig::plain(rank, 3.0, Modules::AllLinear, false)
}

#[test]
fn merging_adds_the_scaled_product_and_nothing_elsewhere() {
    for (i, config) in ModelConfig::examples().iter().enumerate() {
        let base = stirred(config, i as u64);
        let (shape, values) = stirred_adapter(&on_all(2), config, 5);
        let mut weights = base.weights().to_vec();
        shape.merge(&values, &mut weights);
        let mut expected: Vec<f64> = base.weights().iter().map(|w| f64::from(*w)).collect();
        let mut adapted = vec![false; expected.len()];
        for pair in shape.pairs() {
            let (a, b) = (&values[pair.a.clone()], &values[pair.b.clone()]);
            for o in 0..pair.outputs {
                for i in 0..pair.inputs {
                    let product = |k: usize| f64::from(b[o * pair.rank + k]) * f64::from(a[k * pair.inputs + i]);
                    let at = if pair.transposed { i * pair.outputs + o } else { o * pair.inputs + i };
                    expected[pair.weight.start + at] += f64::from(pair.scale) * (0..pair.rank).map(product).sum::<f64>();
                    adapted[pair.weight.start + at] = true;
                }
            }
        }
        for (at, (is, want)) in weights.iter().zip(&expected).enumerate() {
            assert!((f64::from(*is) - want).abs() < 1e-6, "{}: {at}: {is} against {want}", config.model_type());
            assert!(adapted[at] || is.to_bits() == base.weights()[at].to_bits(), "{}: {at} is of no target", config.model_type());
        }
        assert!(adapted.contains(&false) && adapted.contains(&true));
    }
}

#[test]
fn the_gradient_of_an_adapter_is_the_slope_of_the_loss() {
    for (i, config) in ModelConfig::examples().iter().enumerate() {
        for path in PATHS {
            let base = stirred(config, i as u64);
            let (shape, values) = stirred_adapter(&on_all(2), config, 3);
            let batch = random_batch(config, 3, 7, 5);
            let loss = NextToken { batch: &batch, skip: 5, weight: 1.0 };
            let engine = adapter_engine(&base, &shape, &runtime(1, path));
            let mut grad = vec![f32::NAN; shape.n_params()];
            let whole = engine.loss_and_gradient(&values, &batch, &loss, &mut grad).unwrap();
            let mut scratch = vec![0.0; shape.n_params()];
            for pair in shape.pairs() {
                for (matrix, range) in [("A", &pair.a), ("B", &pair.b)] {
                    let part = &grad[range.clone()];
                    let norm = part.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                    assert!(norm > 1e-4, "{} {matrix}: gradient norm {norm}", pair.module);
                    let mut rng = ChaCha8Rng::seed_from_u64(9);
                    let along: Vec<f32> =
                        part.iter().map(|g| *g / norm as f32 + unit(&mut rng) / (part.len() as f32).sqrt()).collect();
                    let mut at = |step: f32| {
                        let mut moved = values.clone();
                        moved[range.clone()].iter_mut().zip(&along).for_each(|(p, d)| *p += step * d);
                        engine.loss_and_gradient(&moved, &batch, &loss, &mut scratch).unwrap()
                    };
                    let step = 5e-3;
                    // Fourth-order central difference, as for whole models in `gradients`.
                    let slope = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * f64::from(step));
                    let expected: f64 = part.iter().zip(&along).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                    let tolerance = 0.01 * norm + 0.005;
                    let what = format!("{} {} {matrix} {path:?}", config.model_type(), pair.module);
                    assert!((slope - expected).abs() < tolerance, "{what}: {slope} against {expected}");
                }
            }
            // buffers are used again: what was tried between leaves no trace
            let mut again = vec![f32::NAN; shape.n_params()];
            assert_eq!(engine.loss_and_gradient(&values, &batch, &loss, &mut again).unwrap(), whole);
            assert!(again == grad);
        }
    }
}

#[test]
fn vectors_of_another_length_are_errors() {
    let config = &ModelConfig::examples()[0];
    let (shape, values) = stirred_adapter(&on_all(2), config, 3);
    let batch = random_batch(config, 1, 4, 1);
    let loss = NextToken { batch: &batch, skip: 3, weight: 1.0 };
    let engine = adapter_engine(&stirred(config, 1), &shape, &runtime(1, ComputePath::Fused));
    let mut grad = vec![0.0; values.len()];
    let error = engine.loss_and_gradient(&values[1..], &batch, &loss, &mut grad).unwrap_err().to_string();
    assert!(error.contains("for an adapter of"), "{error}");
}

#[test]
fn what_is_saved_is_read_again_bit_by_bit() {
    let dir = tempfile::tempdir().unwrap();
    for (i, config) in ModelConfig::examples().iter().enumerate() {
        let base = stirred(config, i as u64);
        let (shape, values) = stirred_adapter(&on_all(3), config, 4);
        let adapter = Adapter::new(&on_all(3), &shape, values.clone());
        let place = dir.path().join(i.to_string());
        adapter.save(&place, "../base", Some("v2"), None, &ModelCard::default()).unwrap();
        let again = Adapter::load(&place, config).unwrap();
        let (said, meant) = (again.config(), adapter.config());
        assert_eq!((said.base.as_deref(), said.revision.as_deref()), (Some("../base"), Some("v2")));
        assert_eq!((said.rank, said.alpha, &said.targets), (meant.rank, meant.alpha, &meant.targets));
        let mut weights = base.weights().to_vec();
        shape.merge(&values, &mut weights);
        assert!(again.merged(&base).weights() == weights, "{}", config.model_type());
        let readme = std::fs::read_to_string(place.join("README.md")).unwrap();
        assert!(readme.contains("library_name: peft"), "{readme}");
    }
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// What comes of reading the fixture `name` when its tensors or its configuration are changed, with its base.
fn read_with(name: &str, change: impl FnOnce(&mut Tensors, &Path)) -> (Result<Adapter, lm::LoadError>, Model) {
    let dir = fixtures().into_iter().find(|dir| dir.ends_with(name)).unwrap();
    let base = base_of(&dir);
    let bytes = std::fs::read(dir.join("adapter_model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let owned = |(name, view): (String, TensorView<'_>)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    let mut tensors: Tensors = file.tensors().into_iter().map(owned).collect();
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("adapter_config.json"), copy.path().join("adapter_config.json")).unwrap();
    change(&mut tensors, copy.path());
    let views = tensors.iter().map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    if !tensors.is_empty() {
        let bytes = safetensors::serialize(views, None).unwrap();
        std::fs::write(copy.path().join("adapter_model.safetensors"), bytes).unwrap();
    }
    (Adapter::load(copy.path(), base.config()), base)
}

/// The error that the fixture `name` gives when its tensors are changed.
fn error_with(name: &str, change: impl FnOnce(&mut Tensors, &Path)) -> String {
    let error = read_with(name, change).0.unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// The merged model of the fixture `name`, changed.
fn merged_with(name: &str, change: impl FnOnce(&mut Tensors, &Path)) -> Model {
    let (adapter, base) = read_with(name, change);
    adapter.unwrap().merged(&base)
}

/// Changes keys of the configuration that lies in `dir`.
fn say(dir: &Path, keys: &serde_json::Value) {
    let path = dir.join("adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    std::fs::write(path, config.to_string()).unwrap();
}

fn renamed(tensors: &mut Tensors, rename: impl Fn(&str) -> String) {
    *tensors = std::mem::take(tensors).into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect();
}

#[test]
fn names_that_other_programs_write_are_read_and_those_that_peft_drops_are_named() {
    let own = |name: &str, own: &str| match name
        .strip_suffix(".weight")
        .filter(|module| module.ends_with("lora_A") || module.ends_with("lora_B"))
    {
        Some(module) => format!("{module}.{own}.weight"),
        None if name.ends_with("lora_embedding_A") || name.ends_with("lora_embedding_B") => format!("{name}.{own}"),
        None => name.to_string(),
    };
    let bare = |name: &str| name.strip_prefix("base_model.model.").unwrap().to_string();
    type Rename<'a> = &'a dyn Fn(&str) -> String;
    let read: [(Rename<'_>, &str); 7] = [
        (&|name| bare(name), ""),
        (&|name| own(name, "default"), ""),
        (&|name| format!("base_model.model.{name}"), "have `base_model.model.base_model.model.` in their names"),
        (&|name| own(name, "mine"), "have `mine` in their names"),
        (&|name| format!("_orig_mod.{name}"), "have `_orig_mod` in their names"),
        (&|name| format!("base_model.model._orig_mod.{}", bare(name)), "have `_orig_mod` in their names"),
        (&|name| format!("module.{}", own(name, "default")), "have `module` in their names"),
    ];
    for fixture in ["llama-all-linear", "llama-untied-tables", "gpt-neox-patterns"] {
        let plain = merged_with(fixture, |_, _| {});
        assert!(plain.notes().is_empty(), "{:?}", plain.notes());
        for (rename, note) in read {
            let merged = merged_with(fixture, |tensors, _| renamed(tensors, rename));
            assert!(merged.weights() == plain.weights(), "{fixture}: {note}");
            assert_eq!(merged.notes().len(), usize::from(!note.is_empty()), "{:?}", merged.notes());
            assert!(
                merged.notes().iter().all(|said| said.contains(note) && said.contains("peft drops them")),
                "{:?}",
                merged.notes()
            );
        }
    }
}

#[test]
fn what_belongs_to_no_part_of_the_model_is_left_out_and_named() {
    let plain = merged_with("llama-all-linear", |_, _| {});
    let more = merged_with("llama-all-linear", |tensors, dir| {
        tensors.insert("base_model.model.score.weight".into(), (Dtype::F32, vec![2, 32], vec![0; 256]));
        say(dir, &serde_json::json!({ "task_type": "SEQ_CLS", "modules_to_save": ["classifier", "score"] }));
    });
    assert!(more.weights() == plain.weights());
    let notes = more.notes().join("\n");
    for part in [
        "`task_type` is \"SEQ_CLS\"",
        "names classifier,",
        "names score,",
        "left out, as peft does: `base_model.model.score.weight`",
    ] {
        assert!(notes.contains(part), "expected {part} in {notes}");
    }
    for task in [serde_json::json!(null), serde_json::json!("CAUSAL_LM")] {
        let other = merged_with("llama-all-linear", |_, dir| say(dir, &serde_json::json!({ "task_type": task })));
        assert!(other.weights() == plain.weights() && other.notes().is_empty(), "{:?}", other.notes());
    }
    // a table that the adapter brings though nothing asks for it takes the place of the base's
    let table = "model.embed_tokens.weight";
    let base = base_of(&fixtures().into_iter().find(|dir| dir.ends_with("llama-all-linear")).unwrap());
    let place = base.layout().get(table).unwrap().clone();
    let whole = merged_with("llama-all-linear", |tensors, _| {
        let values: Vec<u8> = (0..place.range.len()).flat_map(|i| (i as f32).to_le_bytes()).collect();
        tensors.insert(format!("base_model.model.{table}"), (Dtype::F32, place.shape.clone(), values));
    });
    assert_eq!(whole.weights()[place.range.start + 5], 5.0);
    let wrong = error_with("llama-all-linear", |tensors, _| {
        tensors.insert(format!("base_model.model.{table}"), (Dtype::F32, vec![1, 2], vec![0; 8]));
    });
    assert!(wrong.contains("has shape [1, 2]"), "{wrong}");
}

#[test]
fn an_adapter_that_changes_nothing_says_so() {
    let nothing = merged_with("llama-all-linear", |_, dir| say(dir, &serde_json::json!({ "lora_alpha": 0 })));
    let base = base_of(&fixtures().into_iter().find(|dir| dir.ends_with("llama-all-linear")).unwrap());
    assert!(nothing.weights() == base.weights());
    assert_eq!(nothing.notes(), ["`lora_alpha` is 0: this adapter changes nothing"]);
    let idle = merged_with("llama-all-linear", |tensors, _| {
        tensors.iter_mut().filter(|(name, _)| name.contains("lora_B")).for_each(|(_, tensor)| tensor.2.fill(0));
    });
    assert!(idle.weights() == base.weights());
    assert!(idle.notes()[0].contains("one matrix of every pair is 0: this adapter changes nothing"), "{:?}", idle.notes());
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    const Q: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let rename = |to: &'static str| {
        move |tensors: &mut Tensors, _: &Path| {
            let tensor = tensors.remove(Q).unwrap();
            tensors.insert(to.into(), tensor);
        }
    };
    let cases: Vec<(String, &str)> = vec![
        (
            error_with("llama-all-linear", |tensors, _| drop(tensors.remove(Q))),
            "q_proj.lora_A.weight` of shape [4, 32] is missing; adapter_config.json, adapter and base do not belong together",
        ),
        (error_with("llama-all-linear", rename("x.lora_A.weight")), "of shape [4, 32] is not asked for"),
        (error_with("llama-all-linear", rename("base_model.model.x.lora_A.weight")), "of shape [4, 32] is not asked for"),
        (
            error_with("llama-all-linear", rename("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector")),
            "is of a DoRA",
        ),
        (
            error_with("llama-all-linear", |tensors, _| tensors.get_mut(Q).unwrap().1 = vec![32, 4]),
            "has shape [32, 4], but shape [4, 32] is asked for",
        ),
        (
            error_with("llama-all-linear", |tensors, _| {
                *tensors.get_mut(Q).unwrap() = (Dtype::I8, vec![4, 32], vec![0; 128]);
            }),
            "has type I8; only F32, F16 and BF16 are read",
        ),
        (
            error_with("llama-all-linear", |tensors, _| {
                let tensor = tensors[Q].clone();
                tensors.insert(Q.replace("model.layers", "layers"), tensor);
            }),
            "is there under two names",
        ),
        (
            error_with("llama-untied-tables", |tensors, _| tensors.retain(|name, _| !name.ends_with("input_layernorm.weight"))),
            "input_layernorm.weight` of shape [32] is missing",
        ),
        (error_with("llama-all-linear", |tensors, _| tensors.clear()), "adapter_model.safetensors: not found"),
        (
            error_with("llama-all-linear", |tensors, dir| {
                tensors.clear();
                std::fs::write(dir.join("adapter_model.bin"), b"PK\x03\x04").unwrap();
            }),
            "adapter_model.bin: is a pickle checkpoint",
        ),
        (
            error_with("llama-all-linear", |_, dir| {
                let path = dir.join("adapter_config.json");
                let text = std::fs::read_to_string(&path).unwrap().replace("\"r\": 4", "\"r\": 1000000");
                std::fs::write(path, text).unwrap();
            }),
            "but shape [1000000, 88] is asked for",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "expected {expected} in {error}");
    }
}

#[test]
fn a_directory_with_a_whole_model_and_an_adapter_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let touch = |name: &str| std::fs::write(dir.path().join(name), "").unwrap();
    assert!(!is_adapter(dir.path()).unwrap());
    touch("adapter_config.json");
    assert!(is_adapter(dir.path()).unwrap());
    touch("model.safetensors");
    assert!(!is_adapter(dir.path()).unwrap(), "a note of where a merged model came from");
    touch("adapter_model.safetensors");
    let error = is_adapter(dir.path()).unwrap_err().to_string();
    assert!(error.contains("holds a whole model (model.safetensors) and an adapter"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // A damaged configuration gives an error or an adapter that fits its base; never a panic, and no memory for what it claims.
    #[test]
    fn damaged_configurations_never_panic(at in 0_usize..1500, to in any::<u8>(), cut in 0_usize..3000, which in 0_usize..7) {
        let dir = &fixtures()[which];
        let mut bytes = std::fs::read(dir.join("adapter_config.json")).unwrap();
        let len = bytes.len();
        bytes[at % len] = to;
        bytes.truncate(len - cut.saturating_sub(1500) % len);
        if let Ok(config) = AdapterConfig::parse(&String::from_utf8_lossy(&bytes), dir) {
            let _ = AdapterShape::new(&config, base_of(dir).config());
        }
    }

    #[test]
    fn hostile_patterns_end_soon(pattern in r"[a-z.*+?()\[\]{}|\\0-9^$<=!:]{0,40}") {
        let config = AdapterConfig::plain(1, 1.0, Modules::Pattern(pattern), false);
        let _ = AdapterShape::new(&config, &ModelConfig::examples()[0]);
    }
}
