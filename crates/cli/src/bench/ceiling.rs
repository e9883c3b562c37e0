use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lm::Runtime;

/// Side of the matrices.
const SIDE: usize = 1024;

/// What this machine can do at most: independent single-threaded matrix products, one per worker at a time.
///
/// The clock of a machine that others share moves within seconds, so whatever is compared with its ceiling is measured in turns
/// with it.
pub(super) struct Ceiling {
    operand: Vec<f32>,
    outputs: Vec<Mutex<Vec<f32>>>,
}

impl Ceiling {
    pub(super) fn new(rt: &Runtime) -> Self {
        Self {
            operand: (0..SIDE * SIDE).map(|i| (i % 61) as f32 / 61.0 - 0.5).collect(),
            outputs: (0..rt.threads()).map(|_| Mutex::new(vec![0.0; SIDE * SIDE])).collect(),
        }
    }

    /// One product on every worker.
    pub(super) fn products(&self, rt: &Runtime) {
        rt.pool.broadcast(|worker| {
            let mut output = self.outputs[worker.index()].lock().unwrap_or_else(PoisonError::into_inner);
            kernels::peak::product(SIDE, &self.operand, &self.operand, &mut output);
        });
    }

    /// GFLOP/s of products that took `seconds` together.
    pub(super) fn gflops(&self, seconds: f64) -> f64 {
        2.0 * (SIDE as f64).powi(3) * self.outputs.len() as f64 / seconds / 1e9
    }

    /// GFLOP/s now: the median of a few products.
    pub(super) fn now(&self, rt: &Runtime) -> f64 {
        let times = [(); 3].map(|()| {
            let start = Instant::now();
            self.products(rt);
            start.elapsed().as_secs_f64()
        });
        self.gflops(super::median::median(times.to_vec()))
    }
}
