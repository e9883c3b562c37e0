//! How many observations it takes to know.

use crate::null::{NullKind, NullLaw};
use crate::repeat::upper_normal_quantile;
use crate::tail::log10_binomial_sf;

/// Fewest trials that show, at `confidence`, a rate of at most `rate` when none of them hits: ln(1 - confidence) / ln(1 - rate).
///
/// # Panics
/// When `rate` or `confidence` is outside (0, 1).
pub fn trials_to_bound(rate: f64, confidence: f64) -> u64 {
    assert!(rate > 0.0 && rate < 1.0, "rate {rate} is outside (0, 1)");
    assert!(confidence > 0.0 && confidence < 1.0, "confidence {confidence} is outside (0, 1)");
    // the logarithm of a power may end a hair above the whole number
    let trials = libm::log1p(-confidence) / libm::log1p(-rate);
    (trials * (1.0 - 1e-12)).ceil() as u64
}

/// Fewest trials with which the exact binomial test at `error` refutes that hits come at a rate of at most `claimed`, with probability
/// `power` where they come at `truth`.
///
/// # Panics
/// Unless 0 < `claimed` < `truth` < 1, and `error` and `power` are inside (0, 1).
pub fn trials_to_refute(claimed: f64, truth: f64, error: f64, power: f64) -> u64 {
    assert!(0.0 < claimed && claimed < truth && truth < 1.0, "a rate of {truth} beyond a claimed {claimed}");
    assert!(error > 0.0 && error < 1.0 && power > 0.0 && power < 1.0, "error {error}, power {power}");
    let (log10_error, log10_power) = (libm::log10(error), libm::log10(power));
    let refutes = |hits: u64, trials: u64| hits <= trials && log10_binomial_sf(hits, trials, claimed) <= log10_error;
    let shown = |hits: u64, trials: u64| hits <= trials && log10_binomial_sf(hits, trials, truth) >= log10_power;
    // most trials of which `hits` still refute: p grows with the trials
    let most = |hits: u64| least(hits, |trials| !refutes(hits, trials)) - 1;
    // the more hits there must be, the more trials there may be, and the surer a higher rate shows
    let enough = |hits: u64| {
        let most = most(hits);
        most >= hits && shown(hits, most)
    };
    let hits = least(1, enough);
    least(hits, |trials| shown(hits, trials))
}

/// About how many units a test needs whose p is to be at most `alpha` with probability `power`, where units score `above` the mean of `law`
/// on average: exact for hits at a known rate, else by the normal approximation, in which Exp(1) scores spread as widely as their mean and all
/// others as widely as under the law. `None` where they do not score above it, or where units
/// have no law of their own, or are drawn without replacement.
///
/// # Panics
/// When `alpha` or `power` is outside (0, 1).
pub fn units_needed(law: &NullLaw, above: f64, alpha: f64, power: f64) -> Option<u64> {
    assert!(alpha > 0.0 && alpha < 1.0 && power > 0.0 && power < 1.0, "alpha {alpha}, power {power}");
    let (mean, sd) = (law.mean?, law.sd?);
    // drawn without replacement: more texts bring hardly any more
    if law.kind == NullKind::Hypergeometric || !(above > 0.0 && above.is_finite()) {
        return None;
    }
    if law.kind == NullKind::Binomial {
        // a rate of 1 has no tail to compute with
        return Some(trials_to_refute(mean, (mean + above).min(1.0 - 1e-9), alpha, power));
    }
    let shown = if law.kind == NullKind::Gamma { mean + above } else { sd };
    // Chernoff's bound exp(-z^2 / 2) asks for more than the tail
    let critical = if law.kind == NullKind::Chernoff { (-2.0 * libm::log(alpha)).sqrt() } else { upper_normal_quantile(alpha) };
    let root = (critical * sd + upper_normal_quantile(1.0 - power) * shown) / above;
    Some(root.max(0.0).powi(2).ceil().max(1.0) as u64)
}

/// The least number from `from` on at which `is` turns from false to true, as it does once and for good.
fn least(from: u64, is: impl Fn(u64) -> bool) -> u64 {
    let (mut step, mut high) = (1, from);
    while !is(high) {
        high += step;
        step *= 2;
    }
    let mut low = from;
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) { high = middle } else { low = middle + 1 }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::critical_hits;

    #[test]
    fn no_false_positive_in_three_thousand_texts_bounds_a_rate_of_one_in_a_thousand() {
        assert_eq!([0.1, 0.01, 0.001].map(|rate| trials_to_bound(rate, 0.95)), [29, 299, 2_995]);
        assert_eq!(trials_to_bound(0.5, 0.875), 3, "(1/2)^3 = 1/8");
    }

    #[test]
    fn so_many_texts_have_the_power_and_one_fewer_has_not() {
        let power = |trials: u64, claimed: f64, truth: f64, error: f64| {
            critical_hits(trials, claimed, error).map_or(0.0, |hits| libm::pow(10f64, log10_binomial_sf(hits, trials, truth)))
        };
        for (claimed, truth, error) in [(0.1, 0.2, 0.0025), (0.01, 0.02, 0.0025), (0.001, 0.002, 0.01), (0.01, 0.5, 0.001)] {
            let trials = trials_to_refute(claimed, truth, error, 0.8);
            assert!(power(trials, claimed, truth, error) >= 0.8, "{claimed} {truth}: {trials}");
            // the power is a saw: fewer trials never have it
            assert!(
                (1..trials.min(400)).all(|few| power(trials - few, claimed, truth, error) < 0.8),
                "{claimed} {truth}: {trials}"
            );
        }
        assert_eq!(units_needed(&NullLaw::binomial(7, 0.1), 0.1, 0.0025, 0.8), Some(trials_to_refute(0.1, 0.2, 0.0025, 0.8)));
        // in the normal limit (2.807 sqrt(c (1 - c)) + .842 sqrt(t (1 - t)))^2 / (t - c)^2 trials: 140, 1,615
        let tenth = trials_to_refute(0.1, 0.2, 0.0025, 0.8);
        assert!((120..190).contains(&tenth), "{tenth}");
    }

    /// The gamma tail itself, at the number of units that the approximation names: near the level that was asked for.
    #[test]
    fn units_of_scores_are_about_right() {
        let law = NullLaw::new(NullKind::Gamma, "Gamma").with_unit(1.0, 1.0);
        for effect in [0.1, 0.3, 1.0] {
            let units = units_needed(&law, effect, 0.001, 0.5).unwrap() as f64;
            let log10_p = crate::tail::log10_gamma_sf(units, units * (1.0 + effect));
            assert!((-3.3..-2.2).contains(&log10_p), "{effect}: {units}, {log10_p}");
        }
        let bits = NullLaw::new(NullKind::Bits, "bits").with_unit(15.0, 7.5f64.sqrt());
        // (3.0902 + .8416)^2 7.5 / .25
        assert_eq!(units_needed(&bits, 0.5, 0.001, 0.8), Some(464));
        let bound = NullLaw::new(NullKind::Chernoff, "bits").with_unit(15.0, 7.5f64.sqrt());
        // (3.7169 + .8416)^2 7.5 / .25
        assert_eq!(units_needed(&bound, 0.5, 0.001, 0.8), Some(624));
        assert_eq!((units_needed(&bits, 0.0, 0.001, 0.8), units_needed(&bits, f64::NAN, 0.001, 0.8)), (None, None));
        assert_eq!(units_needed(&NullLaw::new(NullKind::Decoys, "rank"), 1.0, 0.001, 0.8), None);
        assert!(units_needed(&NullLaw::binomial(9, 0.25), 0.75, 0.001, 0.8).is_some_and(|units| units == 5));
    }
}
