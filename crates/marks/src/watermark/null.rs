//! Laws of a unit's score in text that owes nothing to the key.

use stats::evalue::BinomialEProcess;
use stats::{Interval, NullLaw, interval, tail};

/// The law of one unit's score under the null; units are independent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Null {
    /// 1 with probability `rate`, else 0.
    Bernoulli {
        /// Probability of a hit.
        rate: f64,
    },
}

impl Null {
    /// The law of the total over `units`.
    pub fn describe(&self, units: u64) -> NullLaw {
        match self {
            Self::Bernoulli { rate } => NullLaw::binomial(units, *rate),
        }
    }

    /// log10 of the probability that the total over `units` is at least `total` (methods 0.3).
    pub fn log10_p(&self, total: f64, units: u64) -> f64 {
        match self {
            Self::Bernoulli { rate } => tail::log10_binomial_sf(total as u64, units, *rate),
        }
    }

    /// Mean score above the null's mean, with its 95 % interval; for no units 0 and everything possible.
    pub fn effect(&self, total: f64, units: u64) -> (f64, Interval) {
        match self {
            Self::Bernoulli { rate } if units == 0 => (0.0, Interval { low: -rate, high: 1.0 - rate }),
            Self::Bernoulli { rate } => {
                let found = interval::clopper_pearson(total as u64, units, 0.95);
                (total / units as f64 - rate, Interval { low: found.low - rate, high: found.high - rate })
            }
        }
    }

    /// A bet against this law that may be looked at after every unit (methods 0.5).
    pub fn bet(&self) -> Bet {
        match self {
            Self::Bernoulli { rate } => Bet::Bernoulli(BinomialEProcess::new(*rate)),
        }
    }
}

/// A running e-process.
#[derive(Debug, Clone)]
pub(crate) enum Bet {
    /// Against a hit rate.
    Bernoulli(BinomialEProcess),
}

impl Bet {
    /// One more unit.
    pub fn push(&mut self, score: f64) {
        match self {
            Self::Bernoulli(process) => process.push(score > 0.5),
        }
    }

    /// log10 e-value after all units so far.
    pub fn log10_e(&self) -> f64 {
        match self {
            Self::Bernoulli(process) => process.log10_e(),
        }
    }

    /// The largest so far.
    pub fn max_log10_e(&self) -> f64 {
        match self {
            Self::Bernoulli(process) => process.max_log10_e(),
        }
    }

    /// Number of units after which the e-value first reached 1 / `alpha`.
    pub fn first_crossing(&self, alpha: f64) -> Option<u64> {
        match self {
            Self::Bernoulli(process) => process.first_crossing(alpha),
        }
    }
}
