use std::path::Path;
use std::time::{Duration, Instant};

use distill::{BatchSource, Checkpoints, Curve, TrainPlan, TrainState, Trainable};

use crate::progress::count;
use crate::stages::Context;

/// Steps at the end of a curve whose mean loss is said.
const SUMMARY_STEPS: usize = 20;

/// A training long enough to be worth resuming.
pub struct Training<'a> {
    /// For progress and timings.
    pub what: &'a str,
    /// What is trained: a model, or an adapter on one.
    pub trained: &'a dyn Trainable,
    /// Everything that decides the training besides its data and first weights.
    pub plan: &'a TrainPlan,
    /// Its data.
    pub source: &'a dyn BatchSource,
    /// Where its checkpoints lie, usually the scratch of its artifact.
    pub scratch: &'a Path,
    /// Names everything that decides its bits, usually the hash of its artifact: only its own checkpoints are its own.
    pub identity: &'a str,
}

impl Training<'_> {
    /// Trains until `until` steps are done, from the newest good checkpoint or from `start`, saving one every
    /// [`checkpoint_every`](Context::checkpoint_every) and when the work is cancelled. The bits that come of it are those of a
    /// training that nothing stopped.
    ///
    /// # Errors
    /// Those of `start`, of the training, and of the disk.
    pub fn run(
        &self,
        ctx: &Context<'_>,
        start: impl FnOnce() -> anyhow::Result<TrainState>,
        until: u64,
    ) -> anyhow::Result<TrainState> {
        let store = ctx.store.clone();
        let checkpoints = Checkpoints::open(self.scratch, self.identity)?.while_sound(move || store.check());
        let note = &mut |text: &str| ctx.progress.note(&format!("{}: {text}", self.what));
        let found = checkpoints.latest(self.trained, until, note)?;
        let resumed = found.as_ref().map(|state| state.step);
        let mut state = match found {
            Some(state) => state,
            None => start()?,
        };
        if state.step >= until {
            return Ok(state);
        }
        let started = Instant::now();
        let bar = ctx.progress.stage(self.what, until, "steps");
        bar.skip(state.step);
        if let Some(step) = resumed {
            ctx.progress.note(&format!("{}: goes on from step {step} of {until}", self.what));
        }
        let before = state.curve.last().map_or(0, |point| point.tokens);
        let engine = self.trained.engine(ctx.rt);
        let mut cadence = Cadence::new(ctx.checkpoint_every);
        let (due, observe) = (&mut || cadence.due(), &mut |_: &_| bar.inc(1));
        checkpoints.train(&*engine, self.plan, self.source, &mut state, until, ctx.rt, due, observe)?;
        let tokens = state.curve.last().map_or(0, |point| point.tokens) - before;
        ctx.timings.push(self.what, ctx.seed, started, tokens);
        let rate = tokens as f64 / started.elapsed().as_secs_f64().max(1e-3);
        bar.finish(&format!("loss {:.3}, {} tokens, {} tokens/s", last_loss(&state.curve), count(tokens as f64), count(rate)));
        Ok(state)
    }
}

/// Mean loss of the last steps.
fn last_loss(curve: &Curve) -> f64 {
    let last = &curve.points[curve.points.len().saturating_sub(SUMMARY_STEPS)..];
    last.iter().map(|point| point.loss).sum::<f64>() / last.len() as f64
}

/// Says that something is due once in a stretch of wall time.
struct Cadence {
    every: Duration,
    last: Instant,
}

impl Cadence {
    fn new(every: Duration) -> Self {
        Self { every, last: Instant::now() }
    }

    fn due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.every;
        if due {
            self.last = Instant::now();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut always = Cadence::new(Duration::ZERO);
        assert!(always.due() && always.due());
        let mut seldom = Cadence::new(Duration::from_millis(50));
        assert!(!seldom.due());
        std::thread::sleep(Duration::from_millis(60));
        assert!(seldom.due() && !seldom.due());
    }
}
