use std::sync::Arc;
use std::time::Instant;

use distill::{BatchSource, Decay, DistillError, ShardBatch, TrainPlan, TrainState};
use kernels::rowloss::kl_to_teacher;
use kernels::{RowLoss, vecmath};
use lm::{Batch, ComputePath, Model, Runtime};

use super::line::{Line, What};
use super::median::median;
use super::shapes::{Shape, random_ids};
use super::sitting::Sitting;

/// Parts of a batch, as in the experiments.
const LOGICAL_SHARDS: usize = 4;

/// Seconds of training between two looks at the ceiling.
const TURN: f64 = 0.1;
/// Steps of a measurement, at least, unless one is enough.
const STEPS: u64 = 5;

/// Whole training steps on the fused path, then on the generic one.
pub(super) fn train(shape: Shape, sitting: &Sitting) -> anyhow::Result<Vec<Line>> {
    let (model, batches) = (shape.model()?, shape.batches());
    let plan = plan(batches.train_rows);
    let steps = Steps::new(&plan, batches.train_time, model.vocab_size());
    let tokens = (batches.train_rows * batches.train_time) as f64;
    let gflop = 6.0 * model.n_params() as f64 * tokens / 1e9;
    let mut lines = Vec::new();
    for (path, name) in [(ComputePath::Fused, "fused"), (ComputePath::Generic, "generic")] {
        let rt = Runtime::new(sitting.rt.threads(), path, Arc::clone(&sitting.rt.cancelled))?;
        let turns = turns(&model, &plan, &steps, &rt, sitting)?;
        let seconds = median(turns.iter().map(|turn| turn.step_seconds).collect());
        let share = median(turns.iter().map(|turn| gflop / turn.step_seconds / turn.ceiling).collect());
        let line = Line::new(What::Train, rt.threads());
        let line = line.of_model(shape, batches.train_rows, tokens / seconds, gflop / seconds, share);
        lines.push(Line { path: Some(name), ..line });
    }
    Ok(lines)
}

/// Some steps of a training, and the ceiling right after them.
struct Turn {
    /// Median seconds of a step.
    step_seconds: f64,
    /// GFLOP/s.
    ceiling: f64,
}

/// One training of many steps, as trainings are, with a look at the ceiling after every turn.
fn turns(model: &Model, plan: &TrainPlan, steps: &Steps, rt: &Runtime, sitting: &Sitting) -> anyhow::Result<Vec<Turn>> {
    let engine = lm::gradient_engine(model.config(), rt);
    let mut state = TrainState::new(model);
    let mut train = |n: u64| -> anyhow::Result<Vec<Turn>> {
        let (mut turns, mut times, mut last) = (Vec::new(), Vec::new(), Instant::now());
        let (until, mut left) = (state.step + n, n);
        distill::train(&*engine, plan, steps, &mut state, until, rt, &mut |_| {
            times.push(last.elapsed().as_secs_f64());
            left -= 1;
            if left == 0 || times.iter().sum::<f64>() >= TURN {
                turns.push(Turn { step_seconds: median(std::mem::take(&mut times)), ceiling: sitting.ceiling.now(rt) });
            }
            last = Instant::now();
        })?;
        Ok(turns)
    };
    if sitting.seconds == 0.0 {
        return train(1);
    }
    let warm = train(2)?;
    let steps = sitting.seconds / warm.last().map_or(f64::INFINITY, |turn| turn.step_seconds);
    train((steps as u64).max(STEPS))
}

fn plan(batch_rows: usize) -> TrainPlan {
    TrainPlan {
        steps: u64::MAX,
        batch_rows,
        logical_shards: LOGICAL_SHARDS,
        peak_lr: 1e-4,
        warmup_steps: 0,
        decay_from: u64::MAX,
        final_lr_fraction: 1.0,
        decay: Decay::Cosine,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        grad_clip: 1.0,
    }
}

/// The same batch at every step, with a full teacher distribution at every position.
struct Steps {
    plan: TrainPlan,
    ids: Vec<u32>,
    time: usize,
    vocab: usize,
    /// Log-probabilities (batch, time, vocab).
    teacher: Arc<Vec<f32>>,
}

impl Steps {
    fn new(plan: &TrainPlan, time: usize, vocab: usize) -> Self {
        let positions = plan.batch_rows * time;
        let logit = |bits: u32| (bits >> 8) as f32 / (1 << 21) as f32;
        let mut teacher: Vec<f32> = random_ids(positions * vocab, u32::MAX as usize, 2).into_iter().map(logit).collect();
        for law in teacher.chunks_exact_mut(vocab) {
            vecmath::log_softmax_in_place(law);
        }
        Self { plan: plan.clone(), ids: random_ids(positions, vocab, 3), time, vocab, teacher: Arc::new(teacher) }
    }
}

impl BatchSource for Steps {
    fn shard(&self, _step: u64, shard: usize) -> Result<ShardBatch, DistillError> {
        let rows = self.plan.shard_rows(0, shard);
        let (start, end) = (rows.start as usize * self.time, rows.end as usize * self.time);
        let batch = Batch { ids: self.ids[start..end].to_vec(), rows: (rows.end - rows.start) as usize, time: self.time };
        let loss = Box::new(ToTeacher { teacher: Arc::clone(&self.teacher), start, vocab: self.vocab });
        Ok(ShardBatch { batch, loss, weight: (end - start) as f64, tokens: (end - start) as u64 })
    }
}

/// KL divergence from the teacher's law at every position.
struct ToTeacher {
    teacher: Arc<Vec<f32>>,
    /// First position of the shard.
    start: usize,
    vocab: usize,
}

impl RowLoss for ToTeacher {
    fn scored(&self, _position: usize) -> bool {
        true
    }

    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        let law = &self.teacher[(self.start + position) * self.vocab..][..self.vocab];
        kl_to_teacher(logits, law, 1.0, 1.0)
    }
}
