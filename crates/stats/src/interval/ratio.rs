//! Interval of a ratio of sums: a value pooled over tokens, whose units are documents.

use super::Interval;
use crate::special::student_quantile;

/// 95 % interval of `sum(numerators) / sum(denominators)`, the units (documents, rows) being independent: the linearised variance of a
/// ratio estimator (Cochran 1977, Sampling Techniques, section 6.4), `m / (m - 1) sum (y - R x)^2 / (sum x)^2`, and Student's t with m - 1
/// degrees of freedom. It is centred on the ratio, so it holds it by construction.
///
/// Units with a denominator of 0 say nothing and are left out. None for fewer than two units, or when a value is not finite.
///
/// # Panics
/// When there are not as many numerators as denominators.
pub fn ratio_interval(numerators: &[f64], denominators: &[f64]) -> Option<Interval> {
    assert_eq!(numerators.len(), denominators.len(), "a ratio of different units");
    let units = || numerators.iter().zip(denominators).filter(|(_, x)| **x != 0.0);
    let (count, total) = (units().count(), units().map(|(_, x)| x).sum::<f64>());
    let ratio = units().map(|(y, _)| y).sum::<f64>() / total;
    if count < 2 || !ratio.is_finite() {
        return None;
    }
    let m = count as f64;
    let squares: f64 = units().map(|(y, x)| (y - ratio * x).powi(2)).sum();
    let half = student_quantile(m - 1.0, 0.025) * (m / (m - 1.0) * squares).sqrt() / total.abs();
    half.is_finite().then_some(Interval { low: ratio - half, high: ratio + half })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::interval::mean_interval;
    use crate::random::unit;

    #[test]
    fn units_of_one_size_give_the_interval_of_their_mean() {
        let values = [1.0, 2.0, 3.0, 4.0, 7.0];
        let (ratio, mean) = (ratio_interval(&values.map(|y| 8.0 * y), &[8.0; 5]).unwrap(), mean_interval(&values).unwrap());
        assert!((ratio.low - mean.low).abs() < 1e-12 && (ratio.high - mean.high).abs() < 1e-12, "{ratio:?} {mean:?}");
    }

    #[test]
    fn too_little_has_no_interval() {
        assert_eq!(ratio_interval(&[1.0], &[2.0]), None);
        assert_eq!(ratio_interval(&[1.0, 5.0], &[2.0, 0.0]), None);
        assert_eq!(ratio_interval(&[1.0, f64::NAN], &[2.0, 1.0]), None);
        assert_eq!(ratio_interval(&[1.0, 2.0, 0.0], &[2.0, 4.0, 0.0]), Some(Interval { low: 0.5, high: 0.5 }));
    }

    /// Documents of 1 to 40 tokens, short ones worse by the token: the interval is of the pooled value, not of the mean of documents.
    #[test]
    fn covers_the_pooled_value_where_long_units_differ_from_short_ones() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let loss = |tokens: f64| 1.0 + 4.0 / tokens;
        // sum over lengths of tokens times loss, over the sum of tokens
        let truth = (1..=40).map(|n| f64::from(n) * loss(f64::from(n))).sum::<f64>() / (1..=40).sum::<i32>() as f64;
        let (mut covered, mut by_mean, experiments) = (0, 0, 1000);
        for _ in 0..experiments {
            let tokens: Vec<f64> = (0..200).map(|_| 1.0 + (40.0 * unit(&mut rng)).floor()).collect();
            let nats: Vec<f64> = tokens.iter().map(|&n| n * (loss(n) + unit(&mut rng) - 0.5)).collect();
            let interval = ratio_interval(&nats, &tokens).unwrap();
            let pooled = nats.iter().sum::<f64>() / tokens.iter().sum::<f64>();
            assert!(interval.contains(pooled));
            covered += u32::from(interval.contains(truth));
            let means: Vec<f64> = nats.iter().zip(&tokens).map(|(y, x)| y / x).collect();
            by_mean += u32::from(mean_interval(&means).unwrap().contains(truth));
        }
        // three standard errors of a share of 0.95 over 1,000 experiments are 0.021
        assert!(covered >= 929, "{covered} of {experiments}");
        assert!(by_mean < 100, "the interval of the documents' mean: {by_mean}");
    }
}
