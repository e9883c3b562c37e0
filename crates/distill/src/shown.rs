use std::sync::{Arc, Mutex, PoisonError};

use oracle::{Access, Exchange, TokenId};

use crate::error::DistillError;
use crate::loss::{Loss, Shown, check_surface};
use crate::served::{Served, ShownLaw};

/// Exchanges re-scored between two reports of progress.
const CHUNK: usize = 256;

/// The `k` most probable tokens at each answer position of a transcript, as its surface showed them.
///
/// Laws of an exchange depend on that exchange alone, so those of a prefix of the transcript are a prefix of these: compute them
/// once for the largest budget and share them.
#[derive(Debug)]
pub struct TopLaws {
    k: usize,
    /// Index of the first law of each exchange, and at last the number of laws.
    starts: Vec<u32>,
    ids: Vec<TokenId>,
    log_probs: Vec<f32>,
}

impl TopLaws {
    /// Index of the law of answer token `position` of exchange `exchange`.
    pub fn index(&self, exchange: usize, position: usize) -> u32 {
        self.starts[exchange] + position as u32
    }

    /// The law at `index`, most probable token first.
    pub fn law(&self, index: usize) -> Shown<'_> {
        let range = index * self.k..(index + 1) * self.k;
        Shown::Top { ids: &self.ids[range.clone()], log_probs: &self.log_probs[range] }
    }

    /// Number of exchanges covered.
    pub fn n_exchanges(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of laws.
    pub fn n_laws(&self) -> usize {
        self.log_probs.len() / self.k
    }

    /// Number of laws of one exchange: the length of its answer.
    pub fn n_laws_of(&self, exchange: usize) -> usize {
        (self.starts[exchange + 1] - self.starts[exchange]) as usize
    }
}

/// What a trainer was shown of the teacher's laws, besides the tokens of the transcript.
#[derive(Clone)]
pub enum ShownLaws {
    /// Nothing: the loss is a function of tokens.
    Tokens,
    /// The reported top tokens, computed once.
    Top(Arc<TopLaws>),
    /// Whole laws, too large to keep: asked again for each batch.
    Live(Arc<Served>),
}

impl ShownLaws {
    /// Whatever `loss` needs, from what `served` shows of `exchanges`; `progress` is told the number of exchanges done.
    ///
    /// # Errors
    /// When the surface shows less than the loss needs, or the teacher fails.
    pub fn prepare(
        loss: &dyn Loss,
        served: &Arc<Served>,
        exchanges: &[Exchange],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, DistillError> {
        use oracle::{Oracle, Surface};
        check_surface(loss, served.surface())?;
        if loss.needs() == Access::Text {
            return Ok(Self::Tokens);
        }
        match served.surface() {
            Surface::TopLogprobs { k, .. } => {
                let k = (*k).min(served.vocab_size());
                Ok(Self::Top(Arc::new(top_laws(served, k, exchanges, progress)?)))
            }
            _ => Ok(Self::Live(served.clone())),
        }
    }
}

fn top_laws(served: &Served, k: usize, exchanges: &[Exchange], progress: &mut dyn FnMut(usize)) -> Result<TopLaws, DistillError> {
    let mut laws = TopLaws { k, starts: vec![0], ids: Vec::new(), log_probs: Vec::new() };
    let mut end = 0;
    for exchange in exchanges {
        end += exchange.answer.len();
        let end = u32::try_from(end).map_err(|_| DistillError::Data("more than 2^32 answer tokens in one transcript".into()))?;
        laws.starts.push(end);
    }
    laws.ids.reserve_exact(end * k);
    laws.log_probs.reserve_exact(end * k);
    for (n_chunk, chunk) in exchanges.chunks(CHUNK).enumerate() {
        let rows: Vec<&Exchange> = chunk.iter().collect();
        let blank = |e: &Exchange| Mutex::new((vec![0; e.answer.len() * k], vec![0.0; e.answer.len() * k]));
        let found: Vec<Mutex<(Vec<TokenId>, Vec<f32>)>> = chunk.iter().map(blank).collect();
        served.laws(&rows, &|exchange, position, law| {
            if let ShownLaw::Top { ids, log_probs } = law {
                let mut row = found[exchange].lock().unwrap_or_else(PoisonError::into_inner);
                row.0[position * k..][..k].copy_from_slice(ids);
                row.1[position * k..][..k].copy_from_slice(log_probs);
            }
        })?;
        for row in found {
            let (ids, log_probs) = row.into_inner().unwrap_or_else(PoisonError::into_inner);
            laws.ids.extend(ids);
            laws.log_probs.extend(log_probs);
        }
        progress(n_chunk * CHUNK + chunk.len());
    }
    Ok(laws)
}
