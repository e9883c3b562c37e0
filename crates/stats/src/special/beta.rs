//! Incomplete beta function, both tails in log space, and its quantiles.

use super::{LnTails, ln_binomial_term};

/// Iterations needed grow like the square root of the larger parameter; this cap is met above 10^12.
const MAX_ITERATIONS: u32 = 5_000_000;

/// ln I_x(a, b) and ln(1 - I_x(a, b)) for a, b > 0 and 0 < x < 1.
///
/// Continued fraction of DLMF 8.17.22 by the modified Lentz method, on the side of the mean where it converges fast.
pub(crate) fn ln_beta_tails(a: f64, b: f64, x: f64) -> LnTails {
    debug_assert!(a > 0.0 && b > 0.0 && x > 0.0 && x < 1.0, "incomplete beta of ({a}, {b}) at {x}");
    if x <= (a + 1.0) / (a + b + 2.0) {
        LnTails::from_lower(ln_binomial_term(a, b, x) + libm::log(b / (a + b)) + libm::log(continued_fraction(a, b, x)))
    } else {
        let y = 1.0 - x;
        LnTails::from_lower(ln_binomial_term(a, b, x) + libm::log(a / (a + b)) + libm::log(continued_fraction(b, a, y))).swapped()
    }
}

fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    let away_from_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for m in 1..MAX_ITERATIONS {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        value *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// The x at which the lower tail of Beta(a, b) is `p`, for 0 < p < 1; accurate relative to x and absolute near 1.
pub(crate) fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    // Solve on the side that is not rounded: ln of the smaller tail.
    let below = |x: f64| {
        let tails = ln_beta_tails(a, b, x);
        if p <= 0.5 { tails.lower < libm::log(p) } else { tails.upper > libm::log1p(-p) }
    };
    // Bisection in logit space keeps tiny quantiles relatively accurate.
    let logistic = |t: f64| if t < 0.0 { libm::exp(t) / (1.0 + libm::exp(t)) } else { 1.0 / (1.0 + libm::exp(-t)) };
    let (mut low, mut high) = (-700.0, 36.0);
    while high - low > 1e-13 * (1.0 + f64::abs(low)) {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if below(logistic(middle)) { low = middle } else { high = middle }
    }
    logistic(0.5 * (low + high))
}

/// Upper quantile of Student's t: the t with P\[T > t\] = `upper`, for 0 < upper < 1/2.
pub(crate) fn student_quantile(dof: f64, upper: f64) -> f64 {
    // P[T^2 / (dof + T^2) > y] with y ~ Beta(1/2, dof/2).
    let y = beta_quantile(0.5, 0.5 * dof, 1.0 - 2.0 * upper);
    (dof * y / (1.0 - y)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_statrs_on_both_tails() {
        for (a, b) in [(0.5, 0.5), (1.0, 3.0), (2.5, 7.5), (30.0, 4.0), (75.0, 126.0), (1.0, 1.0)] {
            for x in [0.01, 0.2, 0.37, 0.5, 0.8, 0.99] {
                let tails = ln_beta_tails(a, b, x);
                let lower = statrs::function::beta::beta_reg(a, b, x);
                assert!((libm::exp(tails.lower) - lower).abs() < 1e-12, "{a} {b} {x}");
                assert!((libm::exp(tails.upper) + libm::exp(tails.lower) - 1.0).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn quantile_inverts_the_tail() {
        for (a, b) in [(0.5, 8.0), (1.0, 1.0), (3.0, 8.0), (1000.0, 3.0)] {
            for p in [1e-12, 0.025, 0.5, 0.975] {
                let x = beta_quantile(a, b, p);
                assert!((libm::exp(ln_beta_tails(a, b, x).lower) / p - 1.0).abs() < 1e-9, "{a} {b} {p}: {x}");
            }
        }
        // Beta(1, b): 1 - (1 - p)^(1/b) in closed form.
        assert!((beta_quantile(1.0, 10.0, 0.975) - (1.0 - libm::pow(0.025_f64, 0.1))).abs() < 1e-13);
    }

    #[test]
    fn student_quantiles_of_the_tables() {
        for (dof, expected) in [(1.0, 12.706_204_736), (4.0, 2.776_445_105), (30.0, 2.042_272_456), (1e9, 1.959_963_987)] {
            let t = student_quantile(dof, 0.025);
            assert!((t - expected).abs() < 2e-8, "{dof}: {t}");
        }
    }
}
