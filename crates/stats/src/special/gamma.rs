//! Incomplete gamma function, both tails in log space.

use super::{LnTails, deviance::ln_poisson_term};

/// Iterations needed grow like the square root of the shape; this cap is met above 10^12.
const MAX_ITERATIONS: u32 = 5_000_000;

/// ln P(shape, x) and ln Q(shape, x) for shape > 0 and x > 0.
///
/// Series of DLMF 8.11.4 below shape + 1, continued fraction of DLMF 8.9.2 above.
pub(crate) fn ln_gamma_tails(shape: f64, x: f64) -> LnTails {
    debug_assert!(shape > 0.0 && x > 0.0, "incomplete gamma of {shape} at {x}");
    if x < shape + 1.0 {
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 1..MAX_ITERATIONS {
            term *= x / (shape + f64::from(k));
            sum += term;
            if term < 1e-17 * sum {
                break;
            }
        }
        LnTails::from_lower(ln_poisson_term(shape, x) + libm::log(sum))
    } else {
        let mut b = x + 1.0 - shape;
        let mut c = f64::INFINITY;
        let mut d = 1.0 / b;
        let mut value = d;
        for k in 1..MAX_ITERATIONS {
            let k = f64::from(k);
            let a = k * (shape - k);
            b += 2.0;
            let away_from_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
            d = 1.0 / away_from_zero(a * d + b);
            c = away_from_zero(b + a / c);
            value *= c * d;
            if (c * d - 1.0).abs() < 1e-15 {
                break;
            }
        }
        LnTails::from_lower(ln_poisson_term(shape, x) + libm::log(shape) + libm::log(value)).swapped()
    }
}

/// The x at which the lower tail of Gamma(shape, 1) is `p`, for 0 < p < 1; accurate relative to x.
pub(crate) fn gamma_quantile(shape: f64, p: f64) -> f64 {
    // Solve on the side that is not rounded: ln of the smaller tail.
    let below = |x: f64| {
        let tails = ln_gamma_tails(shape, x);
        if p <= 0.5 { tails.lower < libm::log(p) } else { tails.upper > libm::log1p(-p) }
    };
    // P[X > shape + sqrt(2 shape u) + u] <= e^-u (Boucheron, Lugosi & Massart 2013, 2.4): e^-40 is below any 1 - p. Bisection
    // in ln x keeps small quantiles relatively accurate.
    let (mut low, mut high) = (-700.0, libm::log(shape + (80.0 * shape).sqrt() + 40.0));
    while high - low > 1e-13 * (1.0 + f64::abs(low)) {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if below(libm::exp(middle)) { low = middle } else { high = middle }
    }
    libm::exp(0.5 * (low + high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_statrs_on_both_tails() {
        for shape in [0.5, 1.0, 3.5, 50.0, 1000.0] {
            for ratio in [0.3, 0.9, 1.0, 1.001, 1.1, 2.0] {
                let x = shape * ratio;
                let tails = ln_gamma_tails(shape, x);
                assert!((libm::exp(tails.upper) - statrs::function::gamma::gamma_ur(shape, x)).abs() < 1e-11, "{shape} {x}");
                assert!((libm::exp(tails.upper) + libm::exp(tails.lower) - 1.0).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn shape_one_is_the_exponential_law() {
        for x in [1e-9, 0.3, 1.0, 5.0, 700.0, 250_000.0] {
            assert!((ln_gamma_tails(1.0, x).upper / -x - 1.0).abs() < 1e-13, "{x}");
        }
    }

    #[test]
    fn quantile_inverts_the_tail() {
        for shape in [0.5, 1.0, 3.0, 100.0, 1e6] {
            for p in [1e-12, 0.025, 0.5, 0.975, 0.999_999] {
                let x = gamma_quantile(shape, p);
                assert!((libm::exp(ln_gamma_tails(shape, x).lower) / p - 1.0).abs() < 1e-8, "{shape} {p}: {x}");
            }
        }
        // shape 1 in closed form: -ln(1 - p)
        assert!((gamma_quantile(1.0, 0.975) + libm::log(0.025_f64)).abs() < 1e-11);
    }
}
