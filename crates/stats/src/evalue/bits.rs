//! E-process of units of several bits.

use super::binomial::BinomialEProcess;
use super::process::EProcess;

/// Evidence that ones come more often than zeros, unit by unit: the binomial e-process over bits, looked at only after whole units.
///
/// The order of bits within a unit is not known, so that looking in between would not be valid.
#[derive(Debug, Clone, PartialEq)]
pub struct BitsEProcess {
    per_unit: u32,
    bits: BinomialEProcess,
}

impl BitsEProcess {
    /// Over `per_unit` bits in each unit.
    ///
    /// # Panics
    /// When `per_unit` is 0.
    pub fn new(per_unit: u32) -> BitsEProcess {
        BitsEProcess::with_rate(per_unit, 0.5)
    }

    /// The same against bits that are 1 with probability `rate`: evidence that they are 1 more often.
    ///
    /// # Panics
    /// When `per_unit` is 0, or `rate` is outside (0, 1).
    pub fn with_rate(per_unit: u32, rate: f64) -> BitsEProcess {
        assert!(per_unit > 0, "units without bits");
        BitsEProcess { per_unit, bits: BinomialEProcess::new(rate) }
    }
}

impl EProcess for BitsEProcess {
    /// Takes the number of ones of one unit.
    ///
    /// # Panics
    /// When it is no whole number up to the bits of a unit.
    fn push(&mut self, score: f64) {
        assert!(score >= 0.0 && score.fract() == 0.0, "{score} ones in a unit");
        self.bits.push_block(score as u64, u64::from(self.per_unit));
    }

    fn log10_e(&self) -> f64 {
        self.bits.log10_e()
    }

    fn max_log10_e(&self) -> f64 {
        self.bits.max_log10_e()
    }

    fn first_crossing(&self, alpha: f64) -> Option<u64> {
        self.bits.first_crossing(alpha).map(|bits| bits / u64::from(self.per_unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_its_bits_and_nothing_is_seen_in_between() {
        let (mut units, mut bits) = (BitsEProcess::new(4), BinomialEProcess::new(0.5));
        for _ in 0..10 {
            units.push(3.0);
            [true, true, true, false].into_iter().for_each(|bit| bits.push(bit));
        }
        assert!((units.log10_e() - bits.log10_e()).abs() < 1e-9);
        // after three of four bits of a unit it is higher
        assert!(units.max_log10_e() < bits.max_log10_e());
        let unit = units.first_crossing(0.2).unwrap();
        assert!((1..=10).contains(&unit) && bits.first_crossing(0.2).unwrap() <= 4 * unit);
    }

    #[test]
    fn one_unit_is_a_fair_bet() {
        // E over the binomial law of 5 fair bits after one unit that was seen
        let mut before = BitsEProcess::new(5);
        before.push(4.0);
        let choose = [1.0, 5.0, 10.0, 10.0, 5.0, 1.0];
        let mean: f64 = (0..=5u8)
            .map(|ones| {
                let mut after = before.clone();
                after.push(f64::from(ones));
                choose[usize::from(ones)] / 32.0 * libm::pow(10f64, after.log10_e() - before.log10_e())
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-10, "{mean}");
    }
}
