use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kernels::RowLoss;
use lm::{GradientAt, GradientEngine};

use super::*;
use crate::error::DistillError;
use crate::pretrain::{PackedDocuments, PretrainSource};
use crate::testing::{BOS, documents, model, plan, runtime};

fn packed(rows: u64) -> PackedDocuments {
    PackedDocuments::new(documents(2000, 5), 12, rows, Some(BOS)).unwrap()
}

fn trained(threads: usize, until: u64) -> TrainState {
    let (model, plan, documents) = (model(1), plan(10, 7), packed(70));
    let rt = runtime(threads);
    let source = PretrainSource::new(&documents, &plan).unwrap();
    let mut state = TrainState::new(&model);
    let engine = lm::gradient_engine(model.config(), &rt);
    train(&*engine, &plan, &source, &mut state, until, &rt, &mut |_| ()).unwrap();
    state
}

fn bits(state: &TrainState) -> Vec<u32> {
    [&state.params, &state.m, &state.v].into_iter().flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let one = trained(1, 10);
    for threads in [2, 3] {
        let many = trained(threads, 10);
        assert!(bits(&one) == bits(&many), "{threads} threads");
        assert_eq!(one.curve, many.curve);
    }
    assert!(one.curve.points[9].loss < one.curve.points[0].loss, "{:?}", one.curve);
}

#[test]
fn a_training_saved_and_resumed_is_the_training_run_through() {
    let whole = trained(1, 10);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let (model, plan, documents) = (model(1), plan(10, 7), packed(70));
    trained(2, 4).save(&path, "run").unwrap();
    let mut state = TrainState::load(&path, &model, "run").unwrap();
    assert_eq!(state, trained(2, 4));
    let rt = runtime(1);
    let source = PretrainSource::new(&documents, &plan).unwrap();
    let engine = lm::gradient_engine(model.config(), &rt);
    train(&*engine, &plan, &source, &mut state, 10, &rt, &mut |_| ()).unwrap();
    assert!(bits(&whole) == bits(&state));
    assert_eq!(whole.curve, state.curve);
    let again = dir.path().join("again.safetensors");
    trained(1, 4).save(&again, "run").unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap(), "equal states are written as equal bytes");
}

#[test]
fn two_trainings_share_the_trunk_before_the_first_mark() {
    let (model, plan, clean) = (model(1), plan(10, 7), packed(70));
    let slot = (0..clean.n_documents()).find(|&d| clean.row_of(d) == 40).unwrap();
    let marked = clean.with_slots(&[(slot, vec![BOS, 9, 9, 9])]).unwrap();
    let trunk = first_steps(marked.first_marked_row().unwrap(), plan.batch_rows);
    assert_eq!(trunk, 5);
    let rt = runtime(2);
    let engine = lm::gradient_engine(model.config(), &rt);
    let run = |documents: &PackedDocuments, mut state: TrainState, until: u64| {
        let source = PretrainSource::new(documents, &plan).unwrap();
        train(&*engine, &plan, &source, &mut state, until, &rt, &mut |_| ()).unwrap();
        state
    };
    let shared = run(&clean, TrainState::new(&model), trunk);
    let (clean_end, marked_end) = (run(&clean, shared.clone(), 10), run(&marked, shared, 10));
    assert!(bits(&marked_end) == bits(&run(&marked, TrainState::new(&model), 10)), "a branch is the training from the start");
    assert!(bits(&clean_end) == bits(&trained(1, 10)));
    assert!(bits(&clean_end) != bits(&marked_end));
    assert_eq!(clean_end.curve.points[..5], marked_end.curve.points[..5]);
    assert!(clean_end.curve.points[5].loss != marked_end.curve.points[5].loss);
}

#[test]
fn a_raised_flag_stops_between_steps_with_a_state_that_goes_on() {
    let (model, plan, documents) = (model(1), plan(10, 7), packed(70));
    let rt = runtime(1);
    let source = PretrainSource::new(&documents, &plan).unwrap();
    let engine = lm::gradient_engine(model.config(), &rt);
    let mut state = TrainState::new(&model);
    let stop_at_3 = &mut |p: &CurvePoint| rt.cancelled.store(p.step == 3, Ordering::Relaxed);
    let error = train(&*engine, &plan, &source, &mut state, 10, &rt, stop_at_3).unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(state, trained(1, 3));
    rt.cancelled.store(false, Ordering::Relaxed);
    train(&*engine, &plan, &source, &mut state, 10, &rt, &mut |_| ()).unwrap();
    assert_eq!(state, trained(2, 10));
}

#[test]
fn damaged_or_foreign_states_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let state = trained(1, 1);
    state.save(&path, "run a").unwrap();
    let check = |what: &str, expected: &str| {
        let error = TrainState::load(&path, &model(1), "run a").unwrap_err().to_string();
        assert!(error.contains("state.safetensors") && error.contains(expected), "{what}: {error}");
    };
    let whole = std::fs::read(&path).unwrap();
    let error = TrainState::load(&path, &model(1), "run b").unwrap_err().to_string();
    assert!(error.contains("another training") && error.contains("run a"), "{error}");
    let error = TrainState::load(&path, &crate::testing::model_of(51, 1), "run a").unwrap_err().to_string();
    assert!(error.contains("parameters"), "{error}");
    let mut flipped = whole.clone();
    let middle = whole.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&path, flipped).unwrap();
    check("one bit", "checksum");
    std::fs::write(&path, &whole[..middle]).unwrap();
    check("cut off", "not a readable training state");
    std::fs::write(&path, b"").unwrap();
    check("empty", "not a readable training state");
    std::fs::remove_file(&path).unwrap();
    check("missing", "read the training state");
}

/// One parameter vector whose loss is chosen freely.
struct Made<F>(F);

impl<F: Fn(u64, usize) -> (f64, f32) + Sync + Send> GradientEngine for Made<F> {
    fn at<'a>(&'a self, _params: Cow<'a, [f32]>) -> Result<Box<dyn GradientAt + 'a>, lm::RunError> {
        Ok(Box::new(self))
    }
}

impl<F: Fn(u64, usize) -> (f64, f32) + Sync + Send> GradientAt for &Made<F> {
    /// Loss and gradient are read off the batch's only id, which carries the step and shard.
    fn loss_and_gradient(&self, batch: &lm::Batch, _loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, lm::RunError> {
        let (loss, g) = (self.0)(u64::from(batch.ids[0] / 100), (batch.ids[0] % 100) as usize);
        grad.fill(g);
        Ok(loss)
    }
}

struct Nothing;

impl RowLoss for Nothing {
    fn scored(&self, _: usize) -> bool {
        true
    }

    fn loss_and_gradient(&self, _: usize, _: &mut [f32]) -> f64 {
        0.0
    }
}

/// Shard s weighs s + 1.
struct Weighted;

impl BatchSource for Weighted {
    fn shard(&self, step: u64, shard: usize) -> Result<ShardBatch, DistillError> {
        let batch = lm::Batch { ids: vec![step as u32 * 100 + shard as u32], rows: 1, time: 1 };
        Ok(ShardBatch { batch, loss: Box::new(Nothing), weight: shard as f64 + 1.0, tokens: 1 })
    }
}

#[test]
fn loss_and_norm_are_means_over_the_whole_batch() {
    let model = model(1);
    let mut state = TrainState::new(&model);
    let engine = Made(|_, shard| (10.0 * (shard + 1) as f64, 2.0));
    train(&engine, &plan(1, 3), &Weighted, &mut state, 1, &runtime(1), &mut |_| ()).unwrap();
    let point = state.curve.points[0];
    // shards: losses 10, 20, 30, gradients 2 each, weights 1, 2, 3
    assert!((point.loss - 10.0).abs() < 1e-12);
    let norm = (model.n_params() as f64).sqrt() * 6.0 / 6.0;
    assert!((point.gradient_norm - norm).abs() < 1e-6 * norm, "{} instead of {norm}", point.gradient_norm);
    assert_eq!(point.tokens, 3);
}

#[test]
fn clipping_bounds_the_first_moment() {
    let model = model(1);
    for (clip, expected_norm) in [(0.5, 0.5), (0.0, (model.n_params() as f64).sqrt())] {
        let mut state = TrainState::new(&model);
        let plan = TrainPlan { grad_clip: clip, ..plan(1, 3) };
        train(&Made(|_, _| (1.0, 2.0)), &plan, &Weighted, &mut state, 1, &runtime(1), &mut |_| ()).unwrap();
        // after one step m = (1 - beta1) * clipped mean gradient
        let norm = state.m.iter().map(|&m| f64::from(m).powi(2)).sum::<f64>().sqrt() / f64::from(1.0 - plan.beta1);
        assert!((norm / expected_norm - 1.0).abs() < 1e-4, "clip {clip}: {norm} instead of {expected_norm}");
    }
}

#[test]
fn weights_decay_in_matrices_only() {
    let model = model(1);
    let mut state = TrainState::new(&model);
    let plan = TrainPlan { warmup_steps: 0, final_lr_fraction: 1.0, weight_decay: 0.5, ..plan(1, 3) };
    train(&Made(|_, _| (1.0, 0.0)), &plan, &Weighted, &mut state, 1, &runtime(1), &mut |_| ()).unwrap();
    for parameter in model.layout().parameters() {
        let range = parameter.range.clone();
        let factor = if parameter.shape.len() >= 2 { 1.0 - 0.01 * 0.5 } else { 1.0 };
        for (after, before) in state.params[range.clone()].iter().zip(&model.weights()[range]) {
            assert!((after - before * factor).abs() <= 1e-6 * before.abs(), "{}: {before} became {after}", parameter.name);
        }
    }
}

#[test]
fn divergence_is_an_error_that_keeps_the_last_good_step() {
    let model = model(1);
    for (loss, gradient, what) in [(f64::NAN, 1.0, "loss"), (1.0, f32::INFINITY, "gradient norm")] {
        let mut state = TrainState::new(&model);
        let engine = Made(|step, _| if step == 2 { (loss, gradient) } else { (1.0, 1.0) });
        let error = train(&engine, &plan(9, 3), &Weighted, &mut state, 9, &runtime(1), &mut |_| ()).unwrap_err();
        assert!(matches!(error, DistillError::Diverged { step: 2, what: w, .. } if w == what), "{error}");
        assert_eq!(state.step, 2);
        assert!(state.params.iter().all(|p| p.is_finite()));
    }
}

#[test]
fn the_tree_sum_is_the_sum_and_has_a_fixed_shape() {
    for n in 1..=9 {
        let rows: Vec<Vec<f32>> = (0..n).map(|i| (0..10).map(|j| libm::sinf((i * 10 + j) as f32)).collect()).collect();
        let mut tree = rows.clone();
        let norm = reduce::sum_tree(&mut tree, 3);
        let squares: f64 = tree[0].iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((norm - squares.sqrt()).abs() < 1e-12, "{n} buffers");
        for j in 0..10 {
            let sum: f64 = rows.iter().map(|r| f64::from(r[j])).sum();
            assert!((f64::from(tree[0][j]) - sum).abs() < 1e-5, "{n} buffers");
        }
    }
    let mut four = vec![vec![1.0e8_f32], vec![1.0], vec![-1.0e8], vec![1.0]];
    reduce::sum_tree(&mut four, 1);
    assert_eq!(four[0][0], (1.0e8_f32 + 1.0) + (-1.0e8 + 1.0));
    assert!((reduce::sum_tree(&mut [vec![3.0, 4.0, 12.0]], 2) - 13.0).abs() < 1e-12);
}

#[test]
fn the_learning_rate_rises_to_its_peak_and_falls_to_its_last_fraction() {
    for decay in [Decay::Cosine, Decay::Linear] {
        let plan = TrainPlan { steps: 12, decay, ..plan(12, 4) };
        let rates: Vec<f32> = (0..12).map(|s| plan.learning_rate(s)).collect();
        assert_eq!(rates[..2], [0.005, 0.01]);
        assert!(rates[1..].windows(2).all(|w| w[1] < w[0]), "{rates:?}");
        assert!((rates[11] - 0.001).abs() < 1e-8);
        // half of the ten steps after warm-up: both shapes stand midway
        assert!((rates[6] - 0.0055).abs() < 1e-8, "{rates:?}");
    }
}

#[test]
fn the_learning_rate_stays_at_its_peak_until_it_decays() {
    let plan = TrainPlan { decay_from: 8, decay: Decay::Linear, ..plan(12, 4) };
    let rates: Vec<f32> = (0..12).map(|s| plan.learning_rate(s)).collect();
    assert_eq!(rates[..8], [0.005, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]);
    assert!(rates[7..].windows(2).all(|w| w[1] < w[0]) && (rates[11] - 0.001).abs() < 1e-8, "{rates:?}");
    let trunk = TrainPlan { decay_from: 99, ..plan };
    assert!((2..12).all(|s| trunk.learning_rate(s) == 0.01));
}

#[test]
fn a_thinned_curve_keeps_its_ends_and_means() {
    let point = |step: u64| CurvePoint { step, tokens: 10 * step, loss: step as f64, learning_rate: 0.1, gradient_norm: 2.0 };
    let curve = Curve { points: (1..=10).map(point).collect() };
    assert_eq!(curve.thinned(10), curve);
    let thin = curve.thinned(3);
    assert_eq!(
        thin.points.iter().map(|p| (p.step, p.tokens, p.loss)).collect::<Vec<_>>(),
        [(4, 40, 2.5), (8, 80, 6.5), (10, 100, 9.5)]
    );
    assert_eq!(Curve::default().thinned(3), Curve::default());
}

#[test]
fn shards_part_the_rows_of_a_step() {
    let plan = plan(5, 7);
    let mut next = 14;
    for shard in 0..3 {
        let rows = plan.shard_rows(2, shard);
        assert_eq!(rows.start, next);
        assert!((2..=3).contains(&(rows.end - rows.start)));
        next = rows.end;
    }
    assert_eq!(next, 21);
}

#[test]
fn plans_out_of_range_name_their_key() {
    let good = plan(5, 7);
    good.validate().unwrap();
    let cases = [
        (TrainPlan { batch_rows: 0, ..good.clone() }, "batch_rows"),
        (TrainPlan { logical_shards: 8, ..good.clone() }, "logical_shards"),
        (TrainPlan { peak_lr: f32::NAN, ..good.clone() }, "peak_lr"),
        (TrainPlan { final_lr_fraction: 1.5, ..good.clone() }, "final_lr_fraction"),
        (TrainPlan { weight_decay: -0.1, ..good.clone() }, "weight_decay"),
        (TrainPlan { beta1: 1.0, ..good.clone() }, "beta1"),
        (TrainPlan { beta2: -0.1, ..good.clone() }, "beta2"),
        (TrainPlan { epsilon: 0.0, ..good.clone() }, "epsilon"),
        (TrainPlan { grad_clip: f32::INFINITY, ..good.clone() }, "grad_clip"),
    ];
    for (plan, key) in cases {
        assert_eq!(plan.validate().unwrap_err().key, key);
    }
}

#[test]
fn a_model_fitted_is_a_model_trained() {
    let (model, plan, documents) = (model(1), plan(10, 7), packed(70));
    let source = PretrainSource::new(&documents, &plan).unwrap();
    let mut seen = 0;
    let fitted = fit(&model, &plan, &source, &runtime(2), &mut |_| seen += 1).unwrap();
    let through = trained(1, 10);
    assert!(fitted.model.weights() == through.params);
    assert_eq!((fitted.curve, seen), (through.curve.clone(), 10));
    assert_eq!(Arc::new(through.model(&model)).n_params(), model.n_params());
}
