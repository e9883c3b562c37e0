use oracle::ConfigError;
use serde::{Deserialize, Serialize};

/// Shape of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Half a cosine from the peak to the final value.
    Cosine,
    /// A straight line from the peak to the final value.
    Linear,
}

/// Everything that decides a training besides its data and its first weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainPlan {
    /// Updates of the weights.
    pub steps: u64,
    /// Rows of a step's batch, over all shards.
    pub batch_rows: usize,
    /// Parts a batch is cut into; part of the result's bits, unlike the number of threads.
    pub logical_shards: usize,
    /// Learning rate at the end of warm-up.
    pub peak_lr: f32,
    /// Steps in which the learning rate grows linearly to its peak.
    pub warmup_steps: u64,
    /// Step (from 0) at which the learning rate begins to fall: the end of warm-up, or later where the rate stays at its peak for a
    /// while; at or beyond `steps` it never falls.
    pub decay_from: u64,
    /// Learning rate of the last step as a fraction of the peak.
    pub final_lr_fraction: f32,
    /// How it gets there.
    pub decay: Decay,
    /// Decoupled weight decay, on matrices only.
    pub weight_decay: f32,
    /// AdamW's decay of the first moment.
    pub beta1: f32,
    /// AdamW's decay of the second moment.
    pub beta2: f32,
    /// AdamW's guard against division by zero.
    pub epsilon: f32,
    /// Largest norm of the mean gradient; 0 leaves it as it is.
    pub grad_clip: f32,
}

impl TrainPlan {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The key, its value and what to write.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |ok: bool, key: &str, value: String, remedy: &str| {
            if ok { Ok(()) } else { Err(ConfigError::new(key, value, remedy)) }
        };
        let unit = |x: f32| (0.0..1.0).contains(&x);
        let at_least_zero = |x: f32| x.is_finite() && x >= 0.0;
        let shards = self.logical_shards;
        check(self.batch_rows > 0, "batch_rows", self.batch_rows.to_string(), "choose at least 1")?;
        check(shards > 0 && shards <= self.batch_rows, "logical_shards", shards.to_string(), "choose 1 to `batch_rows`")?;
        check(self.peak_lr.is_finite() && self.peak_lr > 0.0, "peak_lr", self.peak_lr.to_string(), "choose a number above 0")?;
        let fraction = self.final_lr_fraction;
        check((0.0..=1.0).contains(&fraction), "final_lr_fraction", fraction.to_string(), "choose a number from 0 to 1")?;
        check(at_least_zero(self.weight_decay), "weight_decay", self.weight_decay.to_string(), "choose 0 or more")?;
        check(unit(self.beta1), "beta1", self.beta1.to_string(), "choose a number from 0 up to, not including, 1")?;
        check(unit(self.beta2), "beta2", self.beta2.to_string(), "choose a number from 0 up to, not including, 1")?;
        check(self.epsilon.is_finite() && self.epsilon > 0.0, "epsilon", self.epsilon.to_string(), "choose a number above 0")?;
        check(at_least_zero(self.grad_clip), "grad_clip", self.grad_clip.to_string(), "choose 0 (no clipping) or more")
    }

    /// As [`validate`](Self::validate), for a configuration that calls the peak rate `learning_rate`.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub(crate) fn validate_learning_rate(&self) -> Result<(), ConfigError> {
        self.validate().map_err(|error| match error.key.as_str() {
            "peak_lr" => ConfigError { key: "learning_rate".into(), ..error },
            _ => error,
        })
    }

    /// Learning rate of `step` (from 0): linear warm-up that reaches the peak at its last step, the peak until `decay_from`, then
    /// decay that reaches `final_lr_fraction` at the last step of the plan.
    pub fn learning_rate(&self, step: u64) -> f32 {
        if step < self.warmup_steps {
            return self.peak_lr * ((step + 1) as f64 / self.warmup_steps as f64) as f32;
        }
        if step < self.decay_from {
            return self.peak_lr;
        }
        let decay_steps = self.steps.saturating_sub(self.decay_from).max(1);
        let done = ((step - self.decay_from + 1) as f64 / decay_steps as f64).min(1.0);
        let left = match self.decay {
            Decay::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * done)),
            Decay::Linear => 1.0 - done,
        };
        let last = f64::from(self.final_lr_fraction);
        (f64::from(self.peak_lr) * (last + (1.0 - last) * left)) as f32
    }

    /// Rows of the whole training.
    pub fn total_rows(&self) -> u64 {
        self.steps * self.batch_rows as u64
    }

    /// The rows of the training's row stream that `shard` of `step` holds; shards differ by at most one row.
    pub fn shard_rows(&self, step: u64, shard: usize) -> std::ops::Range<u64> {
        let first = step * self.batch_rows as u64;
        let cut = |s: usize| first + (s * self.batch_rows / self.logical_shards) as u64;
        cut(shard)..cut(shard + 1)
    }
}
