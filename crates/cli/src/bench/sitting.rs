//! Times taken in turns, with one set of threads.

use std::time::Instant;

use lm::Runtime;

use super::ceiling::Ceiling;
use super::median::median;

/// What all measurements share.
pub struct Sitting {
    pub rt: Runtime,
    pub seconds: f64,
    pub ceiling: Ceiling,
}

/// Repeats of a measurement, at least, unless once is enough.
const REPEATS: usize = 3;

impl Sitting {
    /// Median seconds of each of `runs`, after a warm-up, taken in turns so that what disturbs the machine disturbs all.
    pub fn medians<const N: usize>(&self, runs: [&mut dyn FnMut() -> anyhow::Result<()>; N]) -> anyhow::Result<[f64; N]> {
        let medians = self.medians_of(runs.into_iter().collect())?;
        medians.try_into().map_err(|medians: Vec<f64>| anyhow::anyhow!("{} times were taken of {N} runs", medians.len()))
    }

    /// [`medians`](Self::medians) of any number of runs.
    pub fn medians_of(&self, mut runs: Vec<&mut dyn FnMut() -> anyhow::Result<()>>) -> anyhow::Result<Vec<f64>> {
        let mut times = vec![Vec::new(); runs.len()];
        let once = self.seconds == 0.0;
        for run in runs.iter_mut().filter(|_| !once) {
            self.rt.check_cancelled()?;
            run()?;
        }
        let (start, rounds) = (Instant::now(), if once { 1 } else { REPEATS });
        while times.iter().any(|times| times.len() < rounds) || start.elapsed().as_secs_f64() < self.seconds * runs.len() as f64 {
            for (run, times) in runs.iter_mut().zip(&mut times) {
                self.rt.check_cancelled()?;
                let start = Instant::now();
                run()?;
                times.push(start.elapsed().as_secs_f64());
            }
        }
        Ok(times.into_iter().map(median).collect())
    }
}
