//! Upper tail of a weighted sum of two gamma variables of one shape, in log space.

use super::deviance::{ln_binomial_term, ln_poisson_term};
use super::gamma::ln_gamma_tails;

/// How far below the largest term of the series, nats, terms are left out: together they are below any rounding.
const LEFT_OUT: f64 = 60.0;

/// ln P\[low X + high Y >= s\] for X, Y ~ Gamma(n, 1), 0 < low <= high, n >= 1 whole and s > 0.
///
/// With r = low / high, Y / r is Gamma(n + K, 1) for a K ~ NegativeBinomial(n, r), so that the tail is the sum over k of
/// C(n + k - 1, k) r^n (1 - r)^k Q(2n + k, s / low), Q the upper regularised gamma function. Its terms are log-concave: they are summed
/// from where they begin to count until the rest is nothing, by recurrences of positive numbers.
pub(crate) fn ln_two_gamma_sf(n: f64, low: f64, high: f64, s: f64) -> f64 {
    debug_assert!(n >= 1.0 && low > 0.0 && low <= high && s > 0.0, "two gammas of {n}, {low}, {high} at {s}");
    let (ratio, x) = (low / high, s / low);
    if ratio == 1.0 {
        return ln_gamma_tails(2.0 * n, x).upper.min(0.0);
    }
    let ln_weight = |k: f64| libm::log(n / (n + k)) + ln_binomial_term(n, k, ratio);
    let ln_term = |k: f64| ln_weight(k) + ln_gamma_tails(2.0 * n + k, x).upper;
    let top = last(x.max(n / ratio) + 10.0, |k| ln_term(k + 1.0) > ln_term(k));
    let least = ln_term(top) - LEFT_OUT;
    let mut k = last(top, |k| ln_term(k + 1.0) < least);
    // relative to the first term: the term, and what the next Q has more than this one
    let upper = ln_gamma_tails(2.0 * n + k, x).upper;
    let first = ln_weight(k) + upper;
    let (mut term, mut more) = (1.0, libm::exp(ln_poisson_term(2.0 * n + k, x) - upper));
    let mut sum = 0.0;
    loop {
        sum += term;
        let next = (n + k) / (k + 1.0) * (1.0 - ratio);
        let after = next * (term + more);
        more *= next * x / (2.0 * n + k + 1.0);
        // ratios of terms fall: the rest is below a geometric series
        if k > top && after < term && after < 1e-17 * sum * (1.0 - after / term) {
            return (first + libm::log(sum)).min(0.0);
        }
        term = after;
        k += 1.0;
    }
}

/// The number of whole k from 0 on for which `rising` holds, up to about `most`; it holds for those and for none after them.
fn last(most: f64, rising: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, most.ceil());
    while low < high {
        let middle = (0.5 * (low + high)).floor();
        if rising(middle) { low = middle + 1.0 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::ln_sum_exp;

    /// P\[Y >= s / high\], from where on X does not matter, and below it the integral of the density of Y times the tail of X, by Simpson's
    /// rule in x = (s - high y) / low: at x = 0 the product has a kink, over which no rule may go. Beyond the last x it falls like
    /// e^(-x (1 - low / high)).
    fn by_quadrature(n: f64, low: f64, high: f64, s: f64) -> f64 {
        let (panels, last) = (20_000, (8.0 * n + 400.0 / (1.0 - low / high)).min(s / low));
        let width = last / f64::from(panels);
        let term = |i: i32| {
            let x = (f64::from(i) * width).max(1e-200);
            let y = ((s - low * x) / high).max(1e-200);
            // y^n e^-y / n!, times n / y, is the density of Y
            let density = ln_poisson_term(n, y) + libm::log(n / y * low / high);
            let weight = match i {
                0 => 1.0,
                i if i == panels => 1.0,
                i if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            density + ln_gamma_tails(n, x).upper + libm::log(weight * width / 3.0)
        };
        let beyond = ln_gamma_tails(n, s / high).upper;
        ln_sum_exp(&(0..=panels).map(term).chain([beyond]).collect::<Vec<_>>())
    }

    #[test]
    fn the_series_is_the_integral() {
        for (n, low) in [(1.0, 0.1), (3.0, 0.3), (8.0, 0.45), (64.0, 0.1), (64.0, 0.02), (500.0, 0.25)] {
            let high = 1.0 - low;
            for times in [0.3, 0.9, 1.0, 1.3, 2.0, 6.0] {
                let (series, integral) = (ln_two_gamma_sf(n, low, high, times * n), by_quadrature(n, low, high, times * n));
                assert!((series - integral).abs() < 1e-8 * (1.0 + series.abs()), "{n} {low} {times}: {series} {integral}");
            }
        }
    }

    #[test]
    fn one_of_each_has_a_closed_form() {
        // (high e^(-s/high) - low e^(-s/low)) / (high - low)
        for (low, s) in [(0.1, 0.5), (0.1, 20.0), (0.3, 3.0), (0.001, 9_000.0), (0.45, 40.0)] {
            let high = 1.0 - low;
            let closed = -s / high + libm::log((high - low * libm::exp(s / high - s / low)) / (high - low));
            let series = ln_two_gamma_sf(1.0, low, high, s);
            assert!((series - closed).abs() < 1e-12 * (1.0 + closed.abs()), "{low} {s}: {series} {closed}");
        }
    }
}
