//! Quantile of the standard normal law.

use statrs::distribution::{ContinuousCDF, Normal};

/// The z with P\[Z <= z\] = `p`, for 0 < p < 1.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_tables() {
        for (p, z) in [(0.975, 1.959_963_984_540_054), (0.5, 0.0), (0.999, 3.090_232_306_167_813)] {
            assert!((normal_quantile(p) - z).abs() < 1e-9, "{p}: {}", normal_quantile(p));
        }
    }
}
