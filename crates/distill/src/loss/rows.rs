use std::sync::Arc;

use kernels::{RowLoss, vecmath};
use oracle::TokenId;

use super::{Loss, Shown};

/// Where the teacher's laws of a batch's positions lie.
#[derive(Debug)]
pub enum LawsAt {
    /// Nothing but tokens is needed.
    Nowhere,
    /// `ids` and `log_probs` are (laws, k), most probable token first; `at[position]` is the row of that position's law, read at
    /// scored positions only.
    Top {
        /// Number of tokens of each law.
        k: usize,
        /// Tokens of the batch's laws.
        ids: Vec<TokenId>,
        /// Their natural-log probabilities.
        log_probs: Vec<f32>,
        /// Row index, by position of the batch.
        at: Vec<u32>,
    },
    /// `log_probs` is (laws, vocab); `at[position]` the row of that position.
    Whole {
        /// Laws computed for this batch alone.
        log_probs: Vec<f32>,
        /// Number of tokens of each law.
        vocab: usize,
        /// Row index, by position of the batch.
        at: Vec<u32>,
    },
}

/// A loss bound to one batch: which positions are scored, against which tokens and laws.
#[derive(Debug)]
pub struct RowTargets {
    /// The loss.
    pub loss: Arc<dyn Loss>,
    /// The token each position predicts; `None` where it is not scored. Length: rows * time.
    pub next: Vec<Option<TokenId>>,
    /// The teacher's laws at the scored positions.
    pub laws: LawsAt,
}

impl RowTargets {
    /// Number of scored positions.
    pub fn n_scored(&self) -> usize {
        self.next.iter().flatten().count()
    }
}

impl RowLoss for RowTargets {
    fn scored(&self, position: usize) -> bool {
        self.next[position].is_some()
    }

    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        let Some(token) = self.next[position] else {
            logits.fill(0.0);
            return 0.0;
        };
        let shown = match &self.laws {
            LawsAt::Nowhere => Shown::Nothing,
            LawsAt::Top { k, ids, log_probs, at } => {
                let law = at[position] as usize * k..(at[position] as usize + 1) * k;
                Shown::Top { ids: &ids[law.clone()], log_probs: &log_probs[law] }
            }
            LawsAt::Whole { log_probs, vocab, at } => Shown::Whole(&log_probs[at[position] as usize * vocab..][..*vocab]),
        };
        self.loss.row(token, shown, logits)
    }
}

/// A loss times a constant: how two kinds of rows share one batch in stated proportions.
pub struct ScaledLoss {
    /// The loss that is scaled.
    pub inner: Box<dyn RowLoss + Send + Sync>,
    /// The factor.
    pub factor: f64,
}

impl RowLoss for ScaledLoss {
    fn scored(&self, position: usize) -> bool {
        self.inner.scored(position)
    }

    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        let loss = self.inner.loss_and_gradient(position, logits);
        vecmath::scale(logits, self.factor as f32);
        self.factor * loss
    }
}
