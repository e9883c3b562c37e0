//! Tests of paired yes/no outcomes.

use crate::tail::log10_binomial_sf;

/// log10 p that the first of two suspects does no better than the second, where `b` pairs say yes for the first only and
/// `c` for the second only: P\[Bin(b + c, 1/2) >= b\] (McNemar 1947, exact and one-sided). 0 without discordant pairs.
pub fn mcnemar_one_sided(b: u64, c: u64) -> f64 {
    log10_binomial_sf(b, b + c, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_sign_test() {
        assert_eq!(mcnemar_one_sided(0, 0), 0.0);
        assert_eq!(mcnemar_one_sided(0, 7), 0.0);
        assert!((libm::pow(10f64, mcnemar_one_sided(9, 1)) - 11.0 / 1024.0).abs() < 1e-15);
        assert!((mcnemar_one_sided(400, 0) - 400.0 * libm::log10(0.5_f64)).abs() < 1e-9);
    }

    #[test]
    fn both_directions_overlap_in_the_observed_table() {
        let (one, two) = (libm::pow(10f64, mcnemar_one_sided(6, 4)), libm::pow(10f64, mcnemar_one_sided(4, 6)));
        assert!((one + two - 1.0 - 210.0 / 1024.0).abs() < 1e-12, "{one} {two}");
    }
}
