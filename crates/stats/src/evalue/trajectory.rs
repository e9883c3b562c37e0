//! Where an e-process has been.

/// Current and largest value of an e-process, and when each new maximum was set.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Trajectory {
    units: u64,
    log10_e: f64,
    /// (units, log10 e) at each new maximum above the starting value of 1; both rise.
    maxima: Vec<(u64, f64)>,
}

impl Trajectory {
    pub(super) fn advance(&mut self, units: u64, ln_e: f64) {
        assert!(!ln_e.is_nan(), "an e-value became NaN");
        self.units += units;
        self.log10_e = Self::log10_of(ln_e);
        if self.log10_e > self.max_log10_e() {
            self.maxima.push((self.units, self.log10_e));
        }
    }

    /// log10 of an e-value, finite.
    pub(super) fn log10_of(ln_e: f64) -> f64 {
        (ln_e / std::f64::consts::LN_10).clamp(-f64::MAX, f64::MAX)
    }

    /// Whether an e-value of at most `ln_e` is no new maximum.
    pub(super) fn is_below_maximum(&self, ln_e: f64) -> bool {
        ln_e / std::f64::consts::LN_10 <= self.max_log10_e()
    }

    /// Goes on by `units` to a value that is no new maximum, and that nobody asks [`log10_e`](Self::log10_e) for.
    pub(super) fn pass(&mut self, units: u64) {
        self.units += units;
    }

    pub(super) fn units(&self) -> u64 {
        self.units
    }

    pub(super) fn log10_e(&self) -> f64 {
        self.log10_e
    }

    pub(super) fn max_log10_e(&self) -> f64 {
        self.maxima.last().map_or(0.0, |maximum| maximum.1)
    }

    pub(super) fn first_crossing(&self, alpha: f64) -> Option<u64> {
        assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is outside (0, 1)");
        let before = self.maxima.partition_point(|maximum| maximum.1 < -libm::log10(alpha));
        self.maxima.get(before).map(|maximum| maximum.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossing_is_read_off_the_running_maximum() {
        let mut path = Trajectory::default();
        for log10_e in [-0.5, 1.0, 0.2, 2.0, 1.5, 3.5] {
            path.advance(10, log10_e * std::f64::consts::LN_10);
        }
        assert_eq!((path.units(), path.max_log10_e()), (60, path.log10_e()));
        let crossings = [0.5, 0.05, 0.001, 0.0001].map(|alpha| path.first_crossing(alpha));
        assert_eq!(crossings, [Some(20), Some(40), Some(60), None]);
    }
}
