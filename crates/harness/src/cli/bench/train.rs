use std::sync::Arc;
use std::time::Instant;

use distill::{BatchSource, Decay, DistillError, ShardBatch, TrainPlan, TrainState};
use kernels::rowloss::kl_to_teacher;
use kernels::{RowLoss, vecmath};
use lm::{Batch, ComputePath, Runtime};

use super::shapes::{Shape, random_ids};
use super::{Line, Sitting, What};

/// Parts of a batch, as in the experiments.
const LOGICAL_SHARDS: usize = 4;

/// Whole training steps on the fused path, then on the generic one.
pub(super) fn train(shape: Shape, sitting: &Sitting) -> anyhow::Result<Vec<Line>> {
    let (model, batches) = (shape.model()?, shape.batches());
    let plan = plan(batches.train_rows);
    let steps = Steps::new(&plan, batches.train_time, model.vocab_size());
    let mut lines = Vec::new();
    for (path, name) in [(ComputePath::Fused, "fused"), (ComputePath::Generic, "generic")] {
        let rt = Runtime::new(sitting.rt.threads(), path, Arc::clone(&sitting.rt.cancelled))?;
        let engine = lm::gradient_engine(model.config(), &rt);
        let mut state = TrainState::new(&model);
        let mut train = |n: u64| -> anyhow::Result<f64> {
            let (until, mut ends) = (state.step + n, vec![Instant::now()]);
            distill::train(&*engine, &plan, &steps, &mut state, until, &rt, &mut |_| ends.push(Instant::now()))?;
            let mut seconds: Vec<f64> = ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
            seconds.sort_by(f64::total_cmp);
            Ok(seconds[seconds.len() / 2])
        };
        // one training of many steps, as trainings are: what it sets up once is not counted for each of them
        let warm_up = train(2)?;
        let seconds = train(sitting.repeats(warm_up))?;
        let tokens_per_s = (batches.train_rows * batches.train_time) as f64 / seconds;
        let line = Line::new(What::Train, rt.threads());
        let line = line.of_model(shape, batches.train_rows, tokens_per_s, 6.0 * model.n_params() as f64, sitting);
        lines.push(Line { path: Some(name), ..line });
    }
    Ok(lines)
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
