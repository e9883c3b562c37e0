//! Several bits in each unit.

use super::law::{NullKind, NullLaw};
use super::scores::{LEVEL, Null, hits};
use crate::{
    evalue::{BitsEProcess, EProcess},
    interval::{Interval, clopper_pearson},
    tail::log10_binomial_sf,
};

/// Scores that count the ones among `per_unit` fair bits: the total of n units is Binomial(per_unit n, 1/2), its upper tail exact.
/// Effect: share of ones minus 1/2, with its Clopper-Pearson interval over bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Bits of one unit, at least 1.
    pub per_unit: u32,
}

impl Bits {
    fn with_rate(self) -> BiasedBits {
        BiasedBits { per_unit: self.per_unit, rate: 0.5 }
    }
}

impl Null for Bits {
    fn law(&self, n: u64) -> NullLaw {
        self.with_rate().law(n)
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        self.with_rate().log10_p(scores)
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        self.with_rate().effect(scores)
    }

    fn bet(&self) -> Option<Box<dyn EProcess>> {
        self.with_rate().bet()
    }
}

/// As [`Bits`], where each bit is 1 with probability `rate`: bits that come from a table with a few ones more or less than zeros.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BiasedBits {
    /// Bits of one unit, at least 1.
    pub per_unit: u32,
    /// Probability of a one, inside (0, 1).
    pub rate: f64,
}

impl BiasedBits {
    fn bits(&self, n: usize) -> u64 {
        u64::from(self.per_unit) * n as u64
    }
}

impl Null for BiasedBits {
    fn law(&self, n: u64) -> NullLaw {
        let (m, rate) = (f64::from(self.per_unit), self.rate);
        let words = format!("Binomial({}, {rate})", u64::from(self.per_unit) * n);
        NullLaw::new(NullKind::Bits, words).with_unit(rate * m, (m * rate * (1.0 - rate)).sqrt())
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        log10_binomial_sf(hits(scores), self.bits(scores.len()), self.rate)
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        let (ones, bits) = (hits(scores), self.bits(scores.len()));
        let effect = if bits == 0 { 0.0 } else { ones as f64 / bits as f64 - self.rate };
        (effect, clopper_pearson(ones, bits, LEVEL).shifted(-self.rate))
    }

    fn bet(&self) -> Option<Box<dyn EProcess>> {
        Some(Box::new(BitsEProcess::with_rate(self.per_unit, self.rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::Bernoulli;

    #[test]
    fn one_bit_a_unit_is_a_coin() {
        let scores: Vec<f64> = (0..50).map(|i| f64::from(u8::from(i % 5 < 3))).collect();
        let (bits, coin) = (Bits { per_unit: 1 }, Bernoulli { rate: 0.5 });
        assert_eq!((bits.log10_p(&scores), bits.effect(&scores)), (coin.log10_p(&scores), coin.effect(&scores)));
        assert_eq!((bits.law(50).mean, bits.law(50).sd), (coin.law(50).mean, coin.law(50).sd));
        // methods, appendix A: 30 of 50
        assert!((libm::pow(10f64, bits.log10_p(&scores)) / 0.101_319_375_6 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn biased_bits_count_at_their_rate() {
        let null = BiasedBits { per_unit: 30, rate: 0.49962 };
        let scores = [20.0, 15.0, 18.0];
        assert_eq!(null.log10_p(&scores), log10_binomial_sf(53, 90, 0.49962));
        assert!((null.effect(&scores).0 - (53.0 / 90.0 - 0.49962)).abs() < 1e-15);
        assert_eq!(null.law(2).words, "Binomial(60, 0.49962)");
        // one unit is a fair bet at this rate
        let choose = [1.0, 2.0, 1.0];
        let mean: f64 = (0..=2_u8)
            .map(|ones| {
                let mut bet = BiasedBits { per_unit: 2, rate: 0.3 }.bet().unwrap();
                bet.push(f64::from(ones));
                let (hit, miss) = ([1.0, 0.3, 0.09], [0.49, 0.7, 1.0]);
                choose[usize::from(ones)] * hit[usize::from(ones)] * miss[usize::from(ones)] * libm::pow(10f64, bet.log10_e())
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-10, "{mean}");
    }

    #[test]
    fn bits_of_all_units_are_one_count() {
        let null = Bits { per_unit: 30 };
        let scores = [30.0, 30.0, 0.0];
        let expected = log10_binomial_sf(60, 90, 0.5);
        assert_eq!(null.log10_p(&scores), expected);
        assert!((null.effect(&scores).0 - 1.0 / 6.0).abs() < 1e-15);
        let law = null.law(3);
        assert_eq!((law.words.as_str(), law.kind, law.mean), ("Binomial(90, 0.5)", NullKind::Bits, Some(15.0)));
        assert!((law.sd.unwrap() - 7.5_f64.sqrt()).abs() < 1e-15);
        assert_eq!((null.log10_p(&[]), null.effect(&[])), (0.0, (0.0, Interval { low: -0.5, high: 0.5 })));
    }
}
