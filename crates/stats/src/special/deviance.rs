//! Binomial and Poisson terms by saddle-point deviance (Loader, *Fast and Accurate Computation of Binomial Probabilities*, 2000),
//! for real counts.

/// ln sqrt(2 pi).
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_7;

/// ln Gamma(x + 1) - \[(x + 1/2) ln x - x + ln sqrt(2 pi)\], for x > 0.
fn stirling_error(x: f64) -> f64 {
    // Below 16 the series has not converged to f64 yet; the recurrence of the error term lifts x there.
    let mut x = x;
    let mut lifted = 0.0;
    while x < 16.0 {
        lifted += (x + 0.5) * libm::log1p(1.0 / x) - 1.0;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = 1.0 / 12.0
        - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y * (1.0 / 1680.0 - y * (1.0 / 1188.0 - y * (691.0 / 360_360.0 - y / 156.0)))));
    lifted + series / x
}

/// Deviance x ln(x / m) + m - x, for x >= 0 and m > 0.
fn deviance(x: f64, m: f64) -> f64 {
    if x == 0.0 {
        return m;
    }
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * libm::log(x / m) + m - x;
    }
    let v = (x - m) / (x + m);
    let mut sum = (x - m) * v;
    let mut power = 2.0 * x * v;
    let mut odd = 1.0;
    loop {
        power *= v * v;
        odd += 2.0;
        let next = sum + power / odd;
        if next == sum {
            return sum;
        }
        sum = next;
    }
}

/// ln of Gamma(a + b + 1) / (Gamma(a + 1) Gamma(b + 1)) p^a (1 - p)^b: for whole a and b the probability of `a` hits and `b` misses.
///
/// a, b >= 0 and real; 0 < p < 1.
pub(crate) fn ln_binomial_term(a: f64, b: f64, p: f64) -> f64 {
    if a == 0.0 {
        return b * libm::log1p(-p);
    }
    if b == 0.0 {
        return a * libm::log(p);
    }
    let n = a + b;
    stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * p) - deviance(b, n * (1.0 - p)) - LN_SQRT_2PI
        + 0.5 * (libm::log(n) - libm::log(a) - libm::log(b))
}

/// ln of m^x e^-m / Gamma(x + 1), for x > 0 and m > 0.
pub(super) fn ln_poisson_term(x: f64, m: f64) -> f64 {
    -stirling_error(x) - deviance(x, m) - LN_SQRT_2PI - 0.5 * libm::log(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stirling_error_is_the_remainder_of_log_gamma() {
        for x in [0.01, 0.5, 1.0, 3.25, 15.5, 16.0, 40.0] {
            let direct = statrs::function::gamma::ln_gamma(x + 1.0) - ((x + 0.5) * libm::log(x) - x + LN_SQRT_2PI);
            assert!((stirling_error(x) - direct).abs() < 2e-13, "{x}: {} {direct}", stirling_error(x));
        }
    }

    #[test]
    fn deviance_is_continuous_where_series_meets_closed_form() {
        let m = 1000.0;
        for x in [m * 1.1 / 0.9, m * 0.9 / 1.1] {
            let (near, far) = (deviance(x * (1.0 - 1e-9), m), deviance(x * (1.0 + 1e-9), m));
            let slope = libm::log(x / m);
            assert!((far - near - slope * x * 2e-9).abs() < 1e-9, "{near} {far}");
        }
    }

    #[test]
    fn small_terms_equal_direct_products() {
        let cases = [(2.0, 1.0, 0.25, 3.0 * 0.0625 * 0.75), (0.0, 3.0, 0.25, 0.421_875), (3.0, 0.0, 0.25, 0.015_625)];
        for (a, b, p, expected) in cases {
            assert!((libm::exp(ln_binomial_term(a, b, p)) / expected - 1.0).abs() < 1e-14);
        }
        assert!((libm::exp(ln_poisson_term(3.0, 2.0)) / (8.0 * libm::exp(-2.0_f64) / 6.0) - 1.0).abs() < 1e-14);
    }
}
