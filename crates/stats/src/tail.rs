//! Exact upper tails in log space, right down to 1e-100000 and beyond.
//!
//! Every tail includes the observed value, P\[X >= x\]: `scipy`'s `sf` on a count does not, and is anti-conservative
//! (methods 0.3). Results are finite and at most 0.

use crate::special::{LnTails, ln_1m_exp, ln_beta_tails, ln_binomial_term, ln_gamma_tails, ln_to_log10_p, ln_two_gamma_sf};

/// log10 P\[X >= hits\] for X ~ Binomial(n, gamma): the regularised incomplete beta I_gamma(hits, n - hits + 1). 0 for `hits` = 0.
///
/// # Panics
/// When `hits` > `n` or `gamma` is outside (0, 1).
pub fn log10_binomial_sf(hits: u64, n: u64, gamma: f64) -> f64 {
    ln_to_log10_p(ln_binomial_sf(hits, n, gamma))
}

/// Natural-log form of [`log10_binomial_sf`].
///
/// # Panics
/// As [`log10_binomial_sf`].
pub fn ln_binomial_sf(hits: u64, n: u64, gamma: f64) -> f64 {
    assert!(hits <= n, "{hits} hits in {n} trials");
    assert!(gamma > 0.0 && gamma < 1.0, "gamma {gamma} is outside (0, 1)");
    if hits == 0 {
        return 0.0;
    }
    ln_beta_tails(hits as f64, (n - hits) as f64 + 1.0, gamma).lower.min(0.0)
}

/// ln P\[X = hits\] for X ~ Binomial(n, gamma).
///
/// # Panics
/// When `hits` > `n` or `gamma` is outside (0, 1).
pub fn ln_binomial_pmf(hits: u64, n: u64, gamma: f64) -> f64 {
    assert!(hits <= n, "{hits} hits in {n} trials");
    assert!(gamma > 0.0 && gamma < 1.0, "gamma {gamma} is outside (0, 1)");
    ln_binomial_term(hits as f64, (n - hits) as f64, gamma)
}

/// log10 P\[X >= x\] for X ~ Gamma(shape, 1): the law of a sum of `shape` Exp(1) scores (methods a3). 0 for x <= 0.
///
/// # Panics
/// When `shape` is not positive and finite, or `x` is not finite.
pub fn log10_gamma_sf(shape: f64, x: f64) -> f64 {
    ln_to_log10_p(ln_gamma_sf(shape, x))
}

/// Natural-log form of [`log10_gamma_sf`].
///
/// # Panics
/// As [`log10_gamma_sf`].
pub fn ln_gamma_sf(shape: f64, x: f64) -> f64 {
    assert!(shape > 0.0 && shape.is_finite(), "gamma shape {shape}");
    assert!(x.is_finite(), "gamma tail at {x}");
    if x <= 0.0 {
        return 0.0;
    }
    ln_gamma_tails(shape, x).upper.min(0.0)
}

/// log10 P\[(1 - alpha) X + alpha Y >= s\] for X, Y ~ Gamma(n, 1): the law of n scores of a Gumbel watermark with two keys. 0 for s <= 0
/// or n = 0.
///
/// # Panics
/// When `alpha` is not 0, 1 or inside \[0.001, 0.999\] (the terms of the series would be too many), or `s` is not finite.
pub fn log10_two_gamma_sf(n: u64, alpha: f64, s: f64) -> f64 {
    assert!([0.0, 1.0].contains(&alpha) || (0.001..=0.999).contains(&alpha), "weight {alpha} of the second gamma");
    assert!(s.is_finite(), "two gammas at {s}");
    if n == 0 || s <= 0.0 {
        return 0.0;
    }
    let (n, low) = (n as f64, alpha.min(1.0 - alpha));
    if low == 0.0 { log10_gamma_sf(n, s) } else { ln_to_log10_p(ln_two_gamma_sf(n, low, 1.0 - low, s)) }
}

/// log10 P\[Z >= z\] for a standard normal Z.
///
/// # Panics
/// When `z` is not finite.
pub fn log10_normal_sf(z: f64) -> f64 {
    ln_to_log10_p(ln_normal_sf(z))
}

/// Natural-log form of [`log10_normal_sf`].
///
/// # Panics
/// As [`log10_normal_sf`].
pub fn ln_normal_sf(z: f64) -> f64 {
    assert!(z.is_finite(), "normal tail at {z}");
    // Beyond 1e150 the square overflows; the tail is then below any number a test could have reached.
    let half_square = (0.5 * z * z).min(f64::MAX);
    if half_square == 0.0 {
        return -std::f64::consts::LN_2;
    }
    // Z^2 / 2 ~ Gamma(1/2), and each sign is equally likely.
    let beyond = ln_gamma_tails(0.5, half_square).upper - std::f64::consts::LN_2;
    if z > 0.0 { beyond.max(-f64::MAX) } else { ln_1m_exp(beyond) }
}

/// log10 P\[X >= x\] for X ~ chi-squared with `dof` degrees of freedom. 0 for x <= 0.
///
/// # Panics
/// When `dof` is not positive and finite, or `x` is not finite.
pub fn log10_chi2_sf(x: f64, dof: f64) -> f64 {
    log10_gamma_sf(0.5 * dof, 0.5 * x)
}

/// log10 of Hoeffding's bound exp(-2 n (mean - expected)^2) on the chance that `n` scores in \[0, 1\] reach a mean of `mean`, where each has
/// at most the mean `expected` given those before it (Hoeffding 1963, Azuma 1967); 0 where `mean` is not above `expected`. The p of ADFP
/// (arXiv 2602.03812, `stage5_plotting.py::compute_pvalue`). Loose where scores vary little.
///
/// # Panics
/// When a mean is outside \[0, 1\].
pub fn log10_hoeffding(n: u64, mean: f64, expected: f64) -> f64 {
    assert!((0.0..=1.0).contains(&mean) && (0.0..=1.0).contains(&expected), "means {mean} and {expected}");
    let above = (mean - expected).max(0.0);
    ln_to_log10_p(-2.0 * n as f64 * above * above)
}

/// log10 P\[X >= hits\], where X is the number of successes among `draws` drawn without replacement from a population with
/// `successes` successes. Exact sum of terms.
///
/// # Panics
/// When `successes` or `draws` exceeds `population`, or so many hits are impossible.
pub fn log10_hypergeometric_sf(hits: u64, population: u64, successes: u64, draws: u64) -> f64 {
    ln_to_log10_p(ln_hypergeometric_sf(hits, population, successes, draws))
}

/// Natural-log form of [`log10_hypergeometric_sf`].
///
/// # Panics
/// As [`log10_hypergeometric_sf`].
pub fn ln_hypergeometric_sf(hits: u64, population: u64, successes: u64, draws: u64) -> f64 {
    assert!(successes <= population && draws <= population, "{successes} successes and {draws} draws of {population}");
    assert!(hits <= successes.min(draws), "{hits} hits among {successes} successes and {draws} draws");
    let least = (successes + draws).saturating_sub(population);
    if hits <= least {
        return 0.0;
    }
    let failures = population - successes;
    let (success, failure, draw, miss) = (successes as f64, failures as f64, draws as f64, population as f64 - draws as f64);
    // least < hits <= min(successes, draws) implies 0 < draws < population.
    let share = draw / population as f64;
    let ln_term = |k: f64| {
        ln_binomial_term(k, success - k, share) + ln_binomial_term(draw - k, failure - (draw - k), share)
            - ln_binomial_term(draw, miss, share)
    };
    // Terms rise to the mode and fall after it; sum away from it, so that the first term is the largest.
    let up = |k: f64| (success - k) * (draw - k) / ((k + 1.0) * (failure - draw + k + 1.0));
    let hits = hits as f64;
    if hits * population as f64 >= success * draw {
        let (mut term, mut sum, mut k) = (1.0, 1.0, hits);
        while term > 1e-17 * sum {
            term *= up(k);
            sum += term;
            k += 1.0;
        }
        (ln_term(hits) + libm::log(sum)).min(0.0)
    } else {
        let (mut term, mut sum, mut k) = (1.0, 1.0, hits - 1.0);
        while term > 1e-17 * sum && k > least as f64 {
            term /= up(k - 1.0);
            sum += term;
            k -= 1.0;
        }
        LnTails::from_lower(ln_term(hits - 1.0) + libm::log(sum)).upper
    }
}

#[cfg(test)]
mod tests;
