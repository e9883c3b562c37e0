//! Interval of a mean.

use super::Interval;
use crate::special::student_quantile;

/// 95 % interval of the mean that independent, roughly normal values were drawn around (Student's t).
///
/// None for fewer than two values, or when a value is not finite.
pub fn mean_interval(values: &[f64]) -> Option<Interval> {
    if values.len() < 2 || values.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    let half = student_quantile(n - 1.0, 0.025) * (variance / n).sqrt();
    Some(Interval { low: mean - half, high: mean + half })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_interval_of_five_values() {
        let interval = mean_interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let half = 2.776_445_105 * (2.5_f64 / 5.0).sqrt();
        assert!((interval.low - (3.0 - half)).abs() < 1e-8 && (interval.high - (3.0 + half)).abs() < 1e-8, "{interval:?}");
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(mean_interval(&[1.0]), None);
        assert_eq!(mean_interval(&[1.0, f64::NAN]), None);
        assert_eq!(mean_interval(&[2.0, 2.0]), Some(Interval { low: 2.0, high: 2.0 }));
    }
}
