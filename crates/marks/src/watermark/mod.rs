//! Watermarks: a keyed bend of the law a teacher answers with, found again in what a suspect writes.
//!
//! A scheme supplies a score per unit and the law of that score when the text owes nothing to the key; the walk over the
//! answers, the de-duplication, the decoy keys and the evidence are the same for all (methods 0.1 to 0.6).

mod detection;
mod distinct;
mod green;
mod kgw;
mod null;
mod siphash;
mod walk;

use std::sync::Arc;

use oracle::{Codec, Exchange, LogitsProcessor};

pub use detection::Detection;
pub use kgw::KgwConfig;
pub use walk::{Dedup, MAX_CONTEXT, Rules, Skipped, Units};

use crate::key::Key;
use crate::mark::{Mark, MarkError};
use crate::registry::MarkConfig;

/// A watermark under one key.
pub trait Watermark: Mark {
    /// Bends the law while the teacher answers.
    fn processor(&self) -> Arc<dyn LogitsProcessor>;

    /// Tests whether `answers` carry this watermark's key. Exchanges count in the order given, which should be the order
    /// of the audit; `decoys` keys of the family `decoy_seed` are tried beside the real one, on the threads of `pool`.
    ///
    /// # Errors
    /// When the evidence would not be a number.
    fn detect(
        &self,
        answers: &[Exchange],
        decoys: usize,
        decoy_seed: u64,
        pool: &rayon::ThreadPool,
    ) -> Result<Detection, MarkError>;
}

/// A watermark's configuration, which builds it.
pub trait WatermarkBuilder: MarkConfig {
    /// The watermark under `key` for the vocabulary of `codec`.
    fn build(&self, key: &Key, codec: &dyn Codec) -> Arc<dyn Watermark>;
}

registry! {
    /// Every registered watermark with its parameters.
    WatermarkConfig: WatermarkBuilder {
        /// Soft green list (Kirchenbauer et al. 2023).
        Kgw(KgwConfig),
    }
}

impl WatermarkConfig {
    /// The watermark under `key` for the vocabulary of `codec`.
    ///
    /// # Errors
    /// [`MarkError::Config`] when [`validate`](Self::validate) refuses.
    pub fn build(&self, key: &Key, codec: &dyn Codec) -> Result<Arc<dyn Watermark>, MarkError> {
        self.validate()?;
        Ok(self.config().build(key, codec))
    }
}

#[cfg(test)]
mod tests;
