//! Exponential scores.

use super::law::{NullKind, NullLaw};
use super::scores::{LEVEL, Null};
use crate::{
    Interval,
    evalue::{EProcess, ExponentialEProcess},
    special::gamma_quantile,
    tail::log10_gamma_sf,
};

/// Scores Exp(1), as those of Gumbel watermarks (methods a3): the total is Gamma(n, 1), its upper tail exact. Effect: mean score
/// minus 1; its interval is the exact one of the mean of exponential scores, by the chi-squared law of twice the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exponential;

/// Interval of no units. A mean has no upper limit, which no file can hold: 1 stands for it.
const NOTHING: Interval = Interval { low: -1.0, high: 1.0 };

impl Null for Exponential {
    fn law(&self, n: u64) -> NullLaw {
        NullLaw::new(NullKind::Gamma, format!("Gamma({n}, 1)")).with_unit(1.0, 1.0)
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        if scores.is_empty() {
            return 0.0;
        }
        log10_gamma_sf(scores.len() as f64, self.statistic(scores))
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        if scores.is_empty() {
            return (0.0, NOTHING);
        }
        let (total, n) = (self.statistic(scores), scores.len() as f64);
        let mean = |quantile: f64| total / gamma_quantile(n, quantile) - 1.0;
        let tail = 0.5 * (1.0 - LEVEL);
        (total / n - 1.0, Interval { low: mean(1.0 - tail), high: mean(tail) })
    }

    fn bet(&self) -> Option<Box<dyn EProcess>> {
        Some(Box::new(ExponentialEProcess::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_score_has_the_exponential_tail_and_interval() {
        // P[X >= x] = e^-x; the mean of one score x lies between x / -ln 0.025 and x / -ln 0.975
        let (log10_p, (effect, interval)) = (Exponential.log10_p(&[7.0]), Exponential.effect(&[7.0]));
        assert!((log10_p + 7.0 / std::f64::consts::LN_10).abs() < 1e-13);
        assert_eq!(effect, 6.0);
        assert!((interval.low - (7.0 / -libm::log(0.025_f64) - 1.0)).abs() < 1e-10, "{interval:?}");
        assert!((interval.high - (7.0 / -libm::log(0.975_f64) - 1.0)).abs() < 1e-8, "{interval:?}");
    }

    #[test]
    fn the_total_counts_and_not_how_it_comes_about() {
        // methods, appendix A: Gamma(100) at 140
        let scores: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 0.9 } else { 1.9 }).collect();
        assert!((libm::pow(10f64, Exponential.log10_p(&scores)) / 1.610_571_747_1e-4 - 1.0).abs() < 1e-9);
        assert_eq!(Exponential.law(100).words, "Gamma(100, 1)");
        // chi-squared table, 200 degrees of freedom: 162.728 and 241.058
        let (effect, interval) = Exponential.effect(&scores);
        assert!((effect - 0.4).abs() < 1e-12);
        assert!((interval.low - (280.0 / 241.058 - 1.0)).abs() < 1e-5, "{interval:?}");
        assert!((interval.high - (280.0 / 162.728 - 1.0)).abs() < 1e-5, "{interval:?}");
    }

    #[test]
    fn no_units_are_no_evidence_and_the_bet_is_the_exponential_one() {
        assert_eq!((Exponential.log10_p(&[]), Exponential.effect(&[])), (0.0, (0.0, NOTHING)));
        let (mut bet, mut process) = (Exponential.bet().unwrap(), ExponentialEProcess::new());
        for i in 0..50 {
            bet.push(f64::from(i % 5));
            process.push(f64::from(i % 5));
        }
        assert_eq!((bet.log10_e(), bet.first_crossing(0.05)), (process.log10_e(), process.first_crossing(0.05)));
        assert!(bet.log10_e() > 0.0);
    }
}
