//! Where and how the work is done: worker pool, compute path, device, cancellation. Passed down, never global.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use kernels::llama::LlamaShape;

use crate::arch::{Arch, ModelConfig};
use crate::device::Device;

/// Which implementation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputePath {
    /// The fused kernels where architecture and device allow, the generic path elsewhere.
    Fused,
    /// Operations of candle and candle-nn, and our own with gradients, for every architecture.
    Generic,
}

impl ComputePath {
    /// What computes a model of this shape on `device` where the fused path is asked for.
    pub fn at(config: &ModelConfig, device: &Device) -> Self {
        if device.is_cpu() && config.arch().fused().is_some() { Self::Fused } else { Self::Generic }
    }

    /// Its name: `fused` or `generic`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::Generic => "generic",
        }
    }
}

/// Workers, compute path, device and cancellation flag of one caller.
pub struct Runtime {
    /// Workers; every parallel loop of this crate runs in this pool.
    pub pool: rayon::ThreadPool,
    /// Which implementation computes.
    pub path: ComputePath,
    /// Where the generic path computes; on any but the CPU there is no other path.
    pub device: Device,
    /// Raised from outside to stop long work at the next token or block.
    pub cancelled: Arc<AtomicBool>,
    /// Most answers a worker advances together on the fused path, which chooses if `None`. Answers do not depend on it.
    pub decode_rows: Option<usize>,
}

impl Runtime {
    /// A pool of `threads` workers (at least 1), computing on the CPU.
    ///
    /// # Errors
    /// When the operating system refuses the threads.
    pub fn new(threads: usize, path: ComputePath, cancelled: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|i| format!("worker-{i}"))
            .build()
            .with_context(|| format!("starting {threads} worker threads"))?;
        Ok(Self { pool, path, device: Device::cpu(), cancelled, decode_rows: None })
    }

    /// The same with so many [`decode_rows`](Self::decode_rows), at least 1.
    pub fn with_decode_rows(self, rows: usize) -> Self {
        Self { decode_rows: Some(rows.max(1)), ..self }
    }

    /// The same on another device.
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// The shape for the fused kernels, where they are to compute `arch`.
    pub(crate) fn fused(&self, arch: &dyn Arch) -> Option<LlamaShape> {
        arch.fused().filter(|_| self.path == ComputePath::Fused && self.device.is_cpu())
    }

    /// Number of workers.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// [`RunError::Cancelled`] once the flag is raised.
    ///
    /// # Errors
    /// Only that one.
    pub fn check_cancelled(&self) -> Result<(), RunError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(RunError::Cancelled) } else { Ok(()) }
    }
}

/// Why a computation on a model did not finish.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cancellation flag was raised.
    #[error("stopped before it was finished")]
    Cancelled,
    /// What was asked does not fit the model (a token id outside the vocabulary, a prompt longer than the context ...).
    #[error("{0}")]
    Input(String),
    /// The model gave a law that nothing can be drawn from.
    #[error("the law after token {position} of query {index} has no finite logit: the weights are damaged or training diverged")]
    NoLaw {
        /// `Query::index` of the query.
        index: u64,
        /// Number of tokens before the law.
        position: usize,
    },
    /// A tensor operation failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}
