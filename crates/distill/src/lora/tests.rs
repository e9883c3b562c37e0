use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lm::lora::Adapter;
use lm::{ComputePath, ModelCard, Runtime};

use super::*;
use crate::pretrain::{PackedDocuments, PretrainSource};
use crate::testing::{BOS, documents, model, plan, runtime};
use crate::train::{Checkpoints, CurvePoint, TrainPlan, TrainState, Trainable, train};

fn lora(rank: usize, targets: &[&str]) -> LoraConfig {
    let targets = targets.iter().map(|target| target.to_string()).collect();
    LoraConfig { rank, alpha: 2.0 * rank as f64, targets, rslora: false, save: SavedAs::Merged }
}

const STEPS: u64 = 40;

fn trained(training: &AdapterTraining, rt: &Runtime, mut state: TrainState, until: u64) -> TrainState {
    let plan = TrainPlan { peak_lr: 0.05, ..plan(STEPS, 7) };
    let documents = PackedDocuments::new(documents(2000, 5), 12, plan.total_rows(), Some(BOS)).unwrap();
    let source = PretrainSource::new(&documents, &plan).unwrap();
    train(&*training.engine(rt), &plan, &source, &mut state, until, rt, &mut |_| ()).unwrap();
    state
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn an_adapter_learns_and_leaves_everything_else_as_it_was() {
    let base = model(1);
    for (rank, targets) in [(4, &["q_proj", "v_proj"][..]), (8, &["all-linear"])] {
        let training = lora(rank, targets).training(&base, 3).unwrap();
        let state = trained(&training, &runtime(2), TrainState::new(&training), STEPS);
        assert_eq!(state.params.len(), training.n_params());
        assert!(state.params.len() < base.n_params() / 2 || rank == 8);
        let mean = |points: &[CurvePoint]| points.iter().map(|point| point.loss).sum::<f64>() / points.len() as f64;
        let (first, last) = (mean(&state.curve.points[..5]), mean(&state.curve.points[35..]));
        let most = if targets == ["all-linear"] { 0.97 } else { 0.995 };
        assert!(last < most * first, "{targets:?}: {first} to {last}");
        let after = state.model(&training);
        let meant = |name: &str| targets == ["all-linear"] && name.contains("proj") || targets.iter().any(|t| name.contains(t));
        for parameter in base.layout().parameters() {
            let (before, after) = (&base.weights()[parameter.range.clone()], &after.weights()[parameter.range.clone()]);
            assert_eq!(bits(before) == bits(after), !meant(&parameter.name), "{}", parameter.name);
        }
    }
}

#[test]
fn neither_threads_nor_checkpoints_change_a_bit() {
    let training = lora(4, &["all-linear"]).training(&model(1), 3).unwrap();
    let whole = trained(&training, &runtime(1), TrainState::new(&training), 12);
    for threads in [2, 3] {
        assert_eq!(trained(&training, &runtime(threads), TrainState::new(&training), 12), whole, "{threads} threads");
    }
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path(), "run").unwrap();
    checkpoints.save(&trained(&training, &runtime(2), TrainState::new(&training), 5)).unwrap();
    let size = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>();
    assert!(size < 12 * training.n_params() as u64 + 2000, "{size} bytes: the adapter's state alone");
    let found = checkpoints.latest(&training, 12, &mut |note| panic!("{note}")).unwrap().unwrap();
    assert_eq!(found.step, 5);
    assert_eq!(trained(&training, &runtime(1), found, 12), whole);
    // a state of one rank does not fit another
    let other = lora(5, &["all-linear"]).training(&model(1), 3).unwrap();
    let mut notes = Vec::new();
    assert!(checkpoints.latest(&other, 12, &mut |note| notes.push(note.to_string())).unwrap().is_none());
    assert!(notes[0].contains("parameters"), "{notes:?}");
}

#[test]
fn both_compute_paths_train_the_same_adapter() {
    let training = lora(4, &["all-linear"]).training(&model(1), 3).unwrap();
    let generic = Runtime::new(2, ComputePath::Generic, Arc::new(AtomicBool::new(false))).unwrap();
    let [fused, generic] = [&*runtime(2), &generic].map(|rt| trained(&training, rt, TrainState::new(&training), 3));
    for (a, b) in fused.curve.points.iter().zip(&generic.curve.points) {
        assert!((a.loss - b.loss).abs() < 1e-4, "{} and {}", a.loss, b.loss);
    }
}

#[test]
fn an_adapter_that_was_kept_makes_the_model_that_was_trained() {
    let base = model(1);
    let training = lora(4, &["q_proj", "down_proj"]).training(&base, 3).unwrap();
    let state = trained(&training, &runtime(2), TrainState::new(&training), 6);
    let dir = tempfile::tempdir().unwrap();
    training.adapter(&state.params).save(dir.path(), "../base", None, None, &ModelCard::default()).unwrap();
    let again = Adapter::load(dir.path(), base.config()).unwrap().merged(&base);
    assert!(bits(again.weights()) == bits(state.model(&training).weights()));
}

#[test]
fn what_cannot_be_trained_is_refused_by_its_key() {
    let cases = [
        (lora(0, &["q_proj"]), "`rank` is 0: write 1 or more"),
        (lora(17, &["q_proj"]), "`rank` is 17: `model.layers.0.self_attn.q_proj` is a matrix of 16 x 16; write at most 16"),
        (LoraConfig { alpha: 0.0, ..lora(4, &["q_proj"]) }, "`alpha` is 0: write a number above 0"),
        (LoraConfig { alpha: f64::NAN, ..lora(4, &["q_proj"]) }, "`alpha` is NaN"),
        (LoraConfig { alpha: 1e300, ..lora(4, &["q_proj"]) }, "`alpha` is 1"),
        (lora(4, &[]), "`targets` is []: name modules"),
        (lora(4, &["q_proj", ""]), "`targets[1]` is \"\": name a module"),
        (lora(4, &["q_proj", "q_proj"]), "`targets[1]` is q_proj: it is there already"),
        (lora(4, &["all-linear", "q_proj"]), "`targets[0]` is all-linear: it stands for every module"),
        (lora(4, &["q_proj", "c_attn"]), "`targets[1]` is c_attn: none of the model's modules is meant; it has q_proj, k_proj"),
        (lora(4, &["lm_head"]), "`targets[0]` is lm_head: the model's table of tokens is also its last product"),
    ];
    for (config, expected) in cases {
        let error = config.training(&model(1), 1).err().unwrap().to_string();
        assert!(error.contains(expected), "expected {expected} in {error}");
    }
}

#[test]
fn a_pair_that_peft_could_miss_is_not_kept_as_an_adapter() {
    let examples = ModelConfig::examples();
    let config = examples.iter().find(|config| config.model_type() == "gpt_neox" && !config.arch().decoder().head.tied).unwrap();
    for target in ["embed_out", "lm_head"] {
        let merged = lora(2, &[target, "query_key_value"]);
        assert!(merged.shape(config).is_ok());
        let error = LoraConfig { save: SavedAs::Adapter, ..merged }.shape(config).unwrap_err().to_string();
        assert!(error.contains(target) && error.contains("save = \"merged\""), "{error}");
    }
}
