//! Bootstrap interval.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::ends::{Interval, check_level};
use crate::random::below;

/// Percentile bootstrap interval of `statistic` at `level` (Efron 1979): items are drawn with replacement `draws` times.
///
/// `statistic` gets references to as many items as there are; let an item be a cluster to resample clusters. Too narrow for
/// fewer than some 20 items. None without items or draws, or when the statistic is not finite on a resample.
///
/// # Panics
/// When `level` is outside (0, 1).
pub fn bootstrap<T>(items: &[T], statistic: impl Fn(&[&T]) -> f64, level: f64, draws: u64, seed: u64) -> Option<Interval> {
    check_level(level);
    let count = u32::try_from(items.len()).ok().filter(|&n| n > 0)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sample = Vec::with_capacity(items.len());
    let mut values = Vec::new();
    for _ in 0..draws {
        sample.clear();
        sample.extend((0..count).map(|_| &items[below(&mut rng, count) as usize]));
        values.push(statistic(&sample));
    }
    percentiles(values, level)
}

/// The middle `level` of some values, between neighbours in proportion; None without any, or when one is not finite.
pub(super) fn percentiles(mut values: Vec<f64>, level: f64) -> Option<Interval> {
    if values.is_empty() || values.iter().any(|x| !x.is_finite()) {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let tail = 0.5 * (1.0 - level);
    let last = values.len() - 1;
    let at = |share: f64| {
        let position = share * last as f64;
        let (below, part) = (position.floor() as usize, position.fract());
        values[below] + part * (values[(below + 1).min(last)] - values[below])
    };
    Some(Interval { low: at(tail), high: at(1.0 - tail) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::mean_interval;

    fn mean(sample: &[&f64]) -> f64 {
        sample.iter().copied().sum::<f64>() / sample.len() as f64
    }

    #[test]
    fn interval_of_a_mean_agrees_with_student() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 200)).collect();
        let (found, expected) = (bootstrap(&values, mean, 0.95, 4000, 5).unwrap(), mean_interval(&values).unwrap());
        // A percentile of 4,000 draws is known to about 3 % of the half-width; fixed seed.
        let half = 0.5 * (expected.high - expected.low);
        assert!(
            (found.low - expected.low).abs() < 0.1 * half && (found.high - expected.high).abs() < 0.1 * half,
            "{found:?} {expected:?}"
        );
    }

    #[test]
    fn same_seed_same_interval() {
        let values = [1.0, 4.0, 2.0, 8.0];
        assert_eq!(bootstrap(&values, mean, 0.9, 100, 1), bootstrap(&values, mean, 0.9, 100, 1));
        assert_ne!(bootstrap(&values, mean, 0.9, 100, 1), bootstrap(&values, mean, 0.9, 100, 2));
        assert_eq!(bootstrap(&[], mean, 0.9, 100, 1), None);
        assert_eq!(bootstrap(&[3.0], mean, 0.9, 100, 1), Some(Interval { low: 3.0, high: 3.0 }));
    }
}
