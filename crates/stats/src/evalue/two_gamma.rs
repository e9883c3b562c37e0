//! E-process of weighted sums of two exponential scores.

use super::process::EProcess;
use super::trajectory::Trajectory;
use crate::special::ln_sum_exp;

/// Evidence that scores are larger than low X + high Y with X, Y ~ Exp(1), unit by unit: dual-key Gumbel watermarks.
///
/// E_n = mean over j of Π_i e^(t_j s_i) (1 - low t_j)(1 - high t_j): a mixture of exponentially tilted laws over the law itself. With
/// low = 0 it is that of [`ExponentialEProcess`](super::ExponentialEProcess).
#[derive(Debug, Clone, PartialEq)]
pub struct TwoGammaEProcess {
    /// (t, ln of what one unit is divided by).
    tilts: Vec<(f64, f64)>,
    ln_ratios: Vec<f64>,
    path: Trajectory,
}

impl TwoGammaEProcess {
    /// With equal weights on high t = 7/8, 3/4, 1/2, 1/4, ... 1/128.
    ///
    /// # Panics
    /// When not 0 <= low <= high, or high is not above 0.
    pub fn new(low: f64, high: f64) -> TwoGammaEProcess {
        assert!(low >= 0.0 && low <= high && high > 0.0, "weights {low} and {high}");
        let shares = [0.875, 0.75].into_iter().chain((1..=7).map(|j| 0.5_f64.powi(j)));
        let tilt = |share: f64| (share / high, libm::log1p(-share) + libm::log1p(-low * share / high));
        let tilts: Vec<(f64, f64)> = shares.map(tilt).collect();
        let ln_weight = -libm::log(tilts.len() as f64);
        TwoGammaEProcess { ln_ratios: vec![ln_weight; tilts.len()], tilts, path: Trajectory::default() }
    }
}

impl EProcess for TwoGammaEProcess {
    fn push(&mut self, score: f64) {
        assert!(score >= 0.0 && score.is_finite(), "score {score}");
        for (ln_ratio, (tilt, ln_mean)) in self.ln_ratios.iter_mut().zip(&self.tilts) {
            *ln_ratio += tilt * score + ln_mean;
        }
        self.path.advance(1, ln_sum_exp(&self.ln_ratios));
    }

    fn log10_e(&self) -> f64 {
        self.path.log10_e()
    }

    fn max_log10_e(&self) -> f64 {
        self.path.max_log10_e()
    }

    fn first_crossing(&self, alpha: f64) -> Option<u64> {
        self.path.first_crossing(alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evalue::ExponentialEProcess;

    #[test]
    fn one_step_is_fair() {
        let (low, high) = (0.1, 0.9);
        let mut now = TwoGammaEProcess::new(low, high);
        [0.2, 3.0, 1.1].into_iter().for_each(|score| now.push(score));
        // the density of low X + high Y is (e^(-s/high) - e^(-s/low)) / (high - low); midpoint rule
        let (panels, end) = (40_000, 400.0);
        let width = end / f64::from(panels);
        let step = |score: f64| {
            let mut next = now.clone();
            next.push(score);
            let density = (libm::exp(-score / high) - libm::exp(-score / low)) / (high - low);
            libm::exp((next.log10_e() - now.log10_e()) * std::f64::consts::LN_10) * density * width
        };
        let mean: f64 = (0..panels).map(|i| step((f64::from(i) + 0.5) * width)).sum();
        assert!((mean - 1.0).abs() < 1e-4, "{mean}");
    }

    #[test]
    fn with_one_key_it_is_the_exponential_one() {
        let (mut two, mut one) = (TwoGammaEProcess::new(0.0, 1.0), ExponentialEProcess::new());
        for i in 0..60 {
            two.push(f64::from(i % 5));
            one.push(f64::from(i % 5));
        }
        assert!((two.log10_e() - one.log10_e()).abs() < 1e-12 && two.log10_e() > 0.0);
        assert_eq!((two.first_crossing(0.05), two.max_log10_e() > 1.0), (one.first_crossing(0.05), true));
    }
}
