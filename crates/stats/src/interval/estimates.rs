//! Bootstrap on two levels: of groups, and of the estimates in them.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::bootstrap::percentiles;
use super::ends::{Interval, check_level};
use crate::random::{below, unit};
use crate::special::normal_quantile;

/// A number that was measured, with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What was measured.
    pub value: f64,
    /// Its standard error; 0 where it is known.
    pub standard_error: f64,
}

/// Percentile interval of `statistic` at `level` by a bootstrap on two levels (Davison & Hinkley 1997, section 3.8), the lower one parametric:
/// groups are drawn with replacement `draws` times, and each estimate of a drawn group from the normal law about it. Of one group, only its
/// estimates move.
///
/// `statistic` gets as many groups as there are. Of few groups the upper level is too narrow: of k it has (k - 1) / k of the variance between
/// them. None without groups or draws, where a standard error is negative or not finite, or when the statistic is not finite on a draw.
///
/// # Panics
/// When `level` is outside (0, 1).
pub fn two_level_bootstrap<const N: usize>(
    groups: &[[Estimate; N]],
    statistic: impl Fn(&[[f64; N]]) -> f64,
    level: f64,
    draws: u64,
    seed: u64,
) -> Option<Interval> {
    check_level(level);
    let count = u32::try_from(groups.len()).ok().filter(|&n| n > 0)?;
    if groups.iter().flatten().any(|one| !(one.standard_error >= 0.0 && one.standard_error.is_finite())) {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = Vec::with_capacity(groups.len());
    let mut values = Vec::new();
    for _ in 0..draws {
        drawn.clear();
        for _ in 0..count {
            let group = &groups[below(&mut rng, count) as usize];
            drawn.push(group.map(|one| one.value + one.standard_error * normal_quantile(unit(&mut rng))));
        }
        values.push(statistic(&drawn));
    }
    percentiles(values, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, standard_error: f64) -> Estimate {
        Estimate { value, standard_error }
    }

    #[test]
    fn one_estimate_has_its_normal_interval() {
        let found = two_level_bootstrap(&[[estimate(3.0, 0.5)]], |drawn| drawn[0][0], 0.95, 20_000, 1).unwrap();
        let ends = [3.0 - 1.959_964 * 0.5, 3.0 + 1.959_964 * 0.5];
        assert!((found.low - ends[0]).abs() < 0.03 && (found.high - ends[1]).abs() < 0.03, "{found:?}");
    }

    /// The mean of k groups: the variance between them, (k - 1) / k of it, and that of the estimates, each over k.
    #[test]
    fn both_levels_move_a_mean() {
        let groups: Vec<[Estimate; 1]> = (0..10).map(|i| [estimate(f64::from(i), 2.0)]).collect();
        let mean = |drawn: &[[f64; 1]]| drawn.iter().map(|group| group[0]).sum::<f64>() / drawn.len() as f64;
        let found = two_level_bootstrap(&groups, mean, 0.95, 20_000, 2).unwrap();
        // 0 to 9 have the variance 8.25 about their own mean
        let half = 1.959_964 * ((8.25 + 4.0) / 10.0_f64).sqrt();
        assert!((found.low - (4.5 - half)).abs() < 0.06 && (found.high - (4.5 + half)).abs() < 0.06, "{found:?}");
    }

    #[test]
    fn what_cannot_be_drawn_has_no_interval() {
        let first = |drawn: &[[f64; 1]]| drawn[0][0];
        assert_eq!(two_level_bootstrap(&[], first, 0.95, 100, 1), None);
        assert_eq!(two_level_bootstrap(&[[estimate(1.0, 1.0)]], first, 0.95, 0, 1), None);
        assert_eq!(two_level_bootstrap(&[[estimate(1.0, f64::NAN)]], first, 0.95, 100, 1), None);
        assert_eq!(two_level_bootstrap(&[[estimate(f64::INFINITY, 1.0)]], first, 0.95, 100, 1), None);
        let known = two_level_bootstrap(&[[estimate(1.0, 0.0)]], first, 0.95, 100, 1);
        assert_eq!(known, Some(Interval { low: 1.0, high: 1.0 }));
    }
}
