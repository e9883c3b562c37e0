//! Hits in lists of fixed size.

use super::bernoulli::Bernoulli;
use super::law::NullLaw;
use super::scores::Null;
use crate::interval::Interval;

/// Scores 0 or 1 of distinct items, each asked of one of many lists of fixed size that holds it with probability `rate`: KGW's permuted
/// green lists. Hits in one list exclude each other a little, so that their number varies less than a binomial one.
///
/// p is the binomial tail. The number of hits is a sum of independent indicators of unequal rates whose mean is `rate` (Vatutin and
/// Mikhailov 1982), so that the tail is never above the binomial one from one hit above the mean on (Hoeffding 1956); below, both are beyond
/// a third. The interval of the effect is that of [`Bernoulli`], on the safe side. There is no e-process: after misses in a list, a hit in it is
/// likelier than `rate`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListHits {
    /// Share of a list among all items, inside (0, 1).
    pub rate: f64,
}

impl ListHits {
    fn binomial(&self) -> Bernoulli {
        Bernoulli { rate: self.rate }
    }
}

impl Null for ListHits {
    fn law(&self, n: u64) -> NullLaw {
        self.binomial().law(n)
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        self.binomial().log10_p(scores)
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        self.binomial().effect(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two lists of 4 of 10 items, six items asked of each: the exact law of the hits by convolution.
    #[test]
    fn the_tail_of_fixed_lists_is_below_the_binomial_one() {
        let choose = |n: u64, k: u64| (1..=k).fold(1.0, |product, i| product * (n - k + i) as f64 / i as f64);
        let one: Vec<f64> = (0..=6).map(|j| if j <= 4 { choose(6, j) * choose(4, 4 - j) / choose(10, 4) } else { 0.0 }).collect();
        let null = ListHits { rate: 0.4 };
        for hits in 0..=12_usize {
            let tail: f64 = (0..=6)
                .flat_map(|a| (0..=6).map(move |b| (a, b)))
                .filter(|(a, b)| a + b >= hits)
                .map(|(a, b)| one[a] * one[b])
                .sum();
            let scores: Vec<f64> = (0..12).map(|i| f64::from(u8::from(i < hits))).collect();
            let p = libm::pow(10f64, null.log10_p(&scores));
            // the mean is 4.8
            assert!(p >= tail - 1e-12 || hits < 6, "{hits}: {p} below {tail}");
            assert!(p > 0.33 || hits >= 6);
        }
        assert!(null.bet().is_none());
    }
}
