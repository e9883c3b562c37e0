//! How large an audit has to be whose p is Chernoff's bound.

use crate::repeat::upper_normal_quantile;
use crate::tail::log10_normal_sf;

/// Smallest mean of a statistic that varies like a normal one of standard deviation `sd`, and whose p is Chernoff's bound
/// exp(-z^2 / 2), at which that p is at most `alpha` with probability `power`: (sqrt(2 ln(1 / alpha)) + z(power)) sd.
///
/// # Panics
/// When `alpha` or `power` is outside (0, 1), or `sd` is negative or NaN.
pub fn detectable_by_bound(sd: f64, alpha: f64, power: f64) -> f64 {
    assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is outside (0, 1)");
    assert!(power > 0.0 && power < 1.0, "power {power} is outside (0, 1)");
    assert!(sd >= 0.0, "a standard deviation of {sd}");
    ((-2.0 * libm::log(alpha)).sqrt() + upper_normal_quantile(1.0 - power)).max(0.0) * sd
}

/// The level at which a normal tail asks for as much as Chernoff's bound exp(-z^2 / 2) does at `alpha`: P\[Z >= sqrt(2 ln(1 / alpha))\].
///
/// # Panics
/// When `alpha` is outside (0, 1).
pub fn tail_of_bound(alpha: f64) -> f64 {
    assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is outside (0, 1)");
    libm::pow(10f64, log10_normal_sf((-2.0 * libm::log(alpha)).sqrt()))
}

/// How many times as many units an audit needs that shows effects from `shown` on, to show them from `wanted` on: the square of their
/// ratio, as what an effect varies by falls with the root of the number of units.
///
/// # Panics
/// When an effect is not above 0.
pub fn times_as_many(shown: f64, wanted: f64) -> f64 {
    assert!(shown > 0.0 && wanted > 0.0, "effects of {shown} and {wanted}");
    (shown / wanted).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_needs_more_than_the_tail_that_it_bounds() {
        // sqrt(2 ln 1000) = 3.7169, where the normal quantile is 3.0902; z(.8) = 0.8416
        let effect = detectable_by_bound(0.01, 0.001, 0.8);
        assert!((effect - 0.045_585).abs() < 1e-6, "{effect}");
        assert_eq!(detectable_by_bound(0.0, 0.001, 0.8), 0.0);
        // a standard normal variable is above 3.7169 with probability 1.008e-4
        assert!((tail_of_bound(0.001) - 1.008e-4).abs() < 1e-7, "{}", tail_of_bound(0.001));
        // 16 times the units show a quarter of the effect
        assert!((times_as_many(0.04, 0.01) - 16.0).abs() < 1e-12);
        assert!((detectable_by_bound(0.01 / 4.0, 0.001, 0.8) - 0.25 * effect).abs() < 1e-12);
    }
}
