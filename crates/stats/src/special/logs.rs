//! Probabilities as logs.

/// Natural logs of the lower and the upper tail of a law at one point; both finite or at most 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LnTails {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl LnTails {
    pub(crate) fn from_lower(lower: f64) -> LnTails {
        LnTails { lower: lower.min(0.0), upper: ln_1m_exp(lower) }
    }

    pub(super) fn swapped(self) -> LnTails {
        LnTails { lower: self.upper, upper: self.lower }
    }
}

/// ln(1 - e^x) for x <= 0, without cancellation on either side of ln 2 (Maechler 2012); rounding to x = 0 still gives a
/// finite number, so that a tail never becomes `-inf`.
pub(crate) fn ln_1m_exp(x: f64) -> f64 {
    let x = x.min(-f64::MIN_POSITIVE);
    if x > -std::f64::consts::LN_2 { libm::log(-libm::expm1(x)) } else { libm::log1p(-libm::exp(x)) }
}

/// ln of what is too small beside 1 to enter a sum.
const NEGLIGIBLE: f64 = -60.0;

/// ln(sum of e^x); `-inf` for no terms.
pub(crate) fn ln_sum_exp(terms: &[f64]) -> f64 {
    let max = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max.is_infinite() {
        return max;
    }
    let share = |x: f64| if x - max > NEGLIGIBLE { libm::exp(x - max) } else { 0.0 };
    max + libm::log(terms.iter().map(|x| share(*x)).sum::<f64>())
}

/// A natural log of a probability as log10, clamped into what the crate promises: finite and at most 0 (and not -0, which JSON shows).
pub(crate) fn ln_to_log10_p(ln_p: f64) -> f64 {
    assert!(!ln_p.is_nan(), "a probability became NaN");
    let log10_p = (ln_p / std::f64::consts::LN_10).clamp(-f64::MAX, 0.0);
    if log10_p == 0.0 { 0.0 } else { log10_p }
}
