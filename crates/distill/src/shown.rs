use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use oracle::{Access, Exchange, Law, Oracle, TokenId};

use crate::error::DistillError;
use crate::loss::{Loss, check_surface};
use crate::served::Served;

/// The `k` most probable tokens at each answer position of one exchange, as its surface showed them.
#[derive(Debug, PartialEq)]
pub(crate) struct ExchangeLaws {
    /// (answer tokens, k), most probable first.
    pub(crate) ids: Vec<TokenId>,
    /// Their natural-log probabilities, likewise.
    pub(crate) log_probs: Vec<f32>,
}

/// The reported top tokens of a transcript: computed when a batch first needs them, and kept as far as they fit.
///
/// The laws of an exchange depend on that exchange alone, so whether they were kept or asked again changes no bit, and students
/// of different budgets of one transcript share them.
pub struct TopLaws {
    served: Arc<Served>,
    k: usize,
    /// By query index.
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    laws: HashMap<u64, Arc<ExchangeLaws>>,
    bytes: usize,
}

impl TopLaws {
    /// Most bytes of laws that are kept; whatever goes beyond is asked again.
    pub const KEPT_BYTES: usize = 192 << 20;

    fn new(served: Arc<Served>, k: usize) -> Self {
        let k = k.min(served.tokens());
        Self { served, k, kept: Mutex::default() }
    }

    /// Tokens of each law.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Number of laws that a batch would not have to ask for.
    #[cfg(test)]
    pub(crate) fn n_kept(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).laws.len()
    }

    /// The laws of each of `exchanges`.
    pub(crate) fn of(&self, exchanges: &[&Exchange]) -> Result<Vec<Arc<ExchangeLaws>>, DistillError> {
        // never held while laws are computed: a worker that waits for its own pool may be given a batch that waits for this
        let kept = |index| self.kept.lock().unwrap_or_else(PoisonError::into_inner).laws.get(&index).cloned();
        let found: Vec<Option<Arc<ExchangeLaws>>> = exchanges.iter().map(|e| kept(e.query.index)).collect();
        let missing: Vec<&Exchange> = exchanges.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(e, _)| *e).collect();
        let mut asked = self.ask(&missing)?.into_iter();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::with_capacity(exchanges.len());
        for (exchange, found) in exchanges.iter().zip(found) {
            let laws = match found {
                Some(laws) => laws,
                None => {
                    let laws = asked.next().ok_or_else(|| DistillError::Data("a law was not answered".into()))?;
                    let bytes = laws.ids.len() * (size_of::<TokenId>() + size_of::<f32>()) + size_of::<(u64, ExchangeLaws)>();
                    if kept.bytes + bytes <= Self::KEPT_BYTES && kept.laws.insert(exchange.query.index, laws.clone()).is_none() {
                        kept.bytes += bytes;
                    }
                    laws
                }
            };
            if laws.log_probs.len() != exchange.answer.len() * self.k {
                return Err(DistillError::Data("the teacher's laws belong to another transcript".into()));
            }
            all.push(laws);
        }
        Ok(all)
    }

    fn ask(&self, exchanges: &[&Exchange]) -> Result<Vec<Arc<ExchangeLaws>>, DistillError> {
        if exchanges.is_empty() {
            return Ok(Vec::new());
        }
        let k = self.k;
        let blank = |e: &&Exchange| {
            let n = e.answer.len() * k;
            Mutex::new(ExchangeLaws { ids: vec![0; n], log_probs: vec![0.0; n] })
        };
        let found: Vec<Mutex<ExchangeLaws>> = exchanges.iter().map(blank).collect();
        self.served.laws(exchanges, &|exchange, position, law| {
            if let Law::Top { ids, log_probs } = law {
                let mut laws = found[exchange].lock().unwrap_or_else(PoisonError::into_inner);
                laws.ids[position * k..][..k].copy_from_slice(ids);
                laws.log_probs[position * k..][..k].copy_from_slice(log_probs);
            }
        })?;
        Ok(found.into_iter().map(|laws| Arc::new(laws.into_inner().unwrap_or_else(PoisonError::into_inner))).collect())
    }
}

/// What a trainer is shown of the teacher's laws, besides the tokens of the transcript.
#[derive(Clone)]
pub enum ShownLaws {
    /// Nothing: the loss is a function of tokens.
    Tokens,
    /// The reported top tokens.
    Top(Arc<TopLaws>),
    /// Whole laws, too large to keep: asked again for each batch.
    Live(Arc<Served>),
}

impl ShownLaws {
    /// Whatever `loss` needs, from what `served` shows; nothing is computed yet.
    ///
    /// # Errors
    /// When the surface shows less than the loss needs.
    pub fn prepare(loss: &dyn Loss, served: &Arc<Served>) -> Result<Self, DistillError> {
        check_surface(loss, served.surface())?;
        if loss.needs() == Access::Text {
            return Ok(Self::Tokens);
        }
        Ok(match served.surface().reported_tokens() {
            Some(k) => Self::Top(Arc::new(TopLaws::new(served.clone(), k))),
            None => Self::Live(served.clone()),
        })
    }

    /// The teacher behind the laws.
    pub(crate) fn served(&self) -> Option<&Arc<Served>> {
        match self {
            Self::Tokens => None,
            Self::Top(laws) => Some(&laws.served),
            Self::Live(served) => Some(served),
        }
    }
}
