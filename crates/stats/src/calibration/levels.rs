//! False-positive rates at the levels that p-values name.

use serde::{Deserialize, Serialize};

use crate::Interval;
use crate::interval::clopper_pearson;
use crate::needed::{trials_to_bound, trials_to_refute};
use crate::power::detectable_effect;
use crate::special::ln_to_log10_p;
use crate::tail::{ln_binomial_sf, log10_binomial_sf};

/// Level of the intervals of rates.
pub(super) const LEVEL: f64 = 0.95;

/// Probability with which a rate is said to be noticed.
pub(super) const POWER: f64 = 0.8;

/// A count of texts and the rate that it shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Texts that were called marked.
    pub hits: u64,
    /// All texts.
    pub texts: u64,
    /// Their share.
    pub rate: f64,
    /// 95 % interval of the rate behind it (Clopper and Pearson).
    pub interval: Interval,
}

impl Rate {
    /// `hits` of `texts`; `None` without texts.
    ///
    /// # Panics
    /// When there are more hits than texts.
    pub fn of(hits: u64, texts: u64) -> Option<Rate> {
        (texts > 0).then(|| Rate { hits, texts, rate: hits as f64 / texts as f64, interval: clopper_pearson(hits, texts, LEVEL) })
    }
}

/// What unmarked texts say of a claim that at most a share `nominal` of them is called marked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The claimed rate.
    pub nominal: f64,
    /// What was observed.
    pub observed: Rate,
    /// log10 of the chance of so many false positives or more, were the claim true.
    pub log10_p_too_many: f64,
    /// log10 of the chance of so few or fewer, were the rate as large as claimed.
    pub log10_p_too_few: f64,
    /// The smallest true rate that this many texts would have refuted the claim by, with probability 0.8; `None` where no rate would
    /// have.
    pub noticed_from: Option<f64>,
    /// Fewest texts that show the rate to be at most `nominal`, at 95 %, if none of them is called marked.
    pub texts_to_bound: u64,
    /// Fewest texts that refute the claim with probability 0.8 where the true rate is twice as large.
    pub texts_to_refute_double: u64,
    /// Whether the claim is refuted.
    pub refuted: bool,
}

impl Level {
    /// `hits` of `texts` unmarked texts were called marked where a share of at most `nominal` is claimed; refuted from p `error` on.
    /// `None` without texts.
    ///
    /// # Panics
    /// When there are more hits than texts, or `nominal` or `error` is outside (0, 1).
    pub fn of(nominal: f64, hits: u64, texts: u64, error: f64) -> Option<Level> {
        let observed = Rate::of(hits, texts)?;
        let log10_p_too_many = log10_binomial_sf(hits, texts, nominal);
        Some(Level {
            nominal,
            observed,
            log10_p_too_many,
            // so few hits are so many misses or more
            log10_p_too_few: ln_to_log10_p(ln_binomial_sf(texts - hits, texts, 1.0 - nominal)),
            noticed_from: detectable_effect(texts, nominal, error, POWER).map(|effect| (nominal + effect).min(1.0)),
            texts_to_bound: trials_to_bound(nominal, LEVEL),
            texts_to_refute_double: trials_to_refute(nominal, (2.0 * nominal).min(0.5 * (1.0 + nominal)), error, POWER),
            refuted: log10_p_too_many <= libm::log10(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_ten_times_the_claim_refutes_it_and_the_claim_itself_does_not() {
        let level = |hits| Level::of(0.01, hits, 1_000, 0.0025).unwrap();
        let held = level(10);
        assert!(!held.refuted && held.observed.interval.contains(0.01) && (held.observed.rate - 0.01).abs() < 1e-15);
        assert!(level(100).refuted && level(100).log10_p_too_many < -50.0);
        assert!(!level(0).refuted && level(0).log10_p_too_few < -4.0, "{:?}", level(0));
        // the sum of the terms as fractions: 0.542699407825
        assert!((libm::pow(10f64, held.log10_p_too_many) - 0.542_699_407_825).abs() < 1e-9, "{held:?}");
        assert_eq!(level(0).log10_p_too_many, 0.0);
        assert_eq!(Level::of(0.01, 0, 0, 0.01), None);
    }

    /// At the rate from which on it is noticed, the exact power is 0.8.
    #[test]
    fn what_would_have_been_noticed_is_the_power_of_the_test() {
        let level = Level::of(0.01, 3, 2_000, 0.0025).unwrap();
        let noticed = level.noticed_from.unwrap();
        let critical = crate::power::critical_hits(2_000, 0.01, 0.0025).unwrap();
        let power = libm::pow(10f64, log10_binomial_sf(critical, 2_000, noticed));
        assert!((power - 0.8).abs() < 1e-6 && noticed > 0.01 && noticed < 0.03, "{noticed}: {power}");
        assert_eq!(Level::of(0.1, 1, 2, 0.0025).unwrap().noticed_from, None, "two texts refute nothing");
    }
}
