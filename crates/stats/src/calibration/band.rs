//! What counts of a known rate look like.

use crate::Interval;
use crate::power::critical_hits;

/// The shares of `texts` texts that a rate of `rate` shows, but for 2.5 % of the cases on either side.
///
/// # Panics
/// When `rate` is outside (0, 1).
pub fn band(texts: u64, rate: f64) -> Interval {
    const TAIL: f64 = 0.025;
    // one below the fewest hits that would be too many; the same of misses
    let most = |rate: f64| critical_hits(texts, rate, TAIL).map_or(texts, |hits| hits - 1) as f64;
    let size = texts.max(1) as f64;
    Interval { low: (texts as f64 - most(1.0 - rate)) / size, high: most(rate) / size }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R: qbinom(c(.025, .975), 100, .3) = 21, 39; of 1,000 at 0.001: 0, 3.
    #[test]
    fn ends_are_the_quantiles() {
        assert_eq!(band(100, 0.3), Interval { low: 0.21, high: 0.39 });
        assert_eq!(band(1_000, 0.001), Interval { low: 0.0, high: 0.003 });
        assert_eq!(band(0, 0.5), Interval { low: 0.0, high: 0.0 });
    }
}
