//! The rank of a canary among its references, and what follows from it.

/// 1 + the number of references with strictly lower log-perplexity.
///
/// # Panics
/// When a log-perplexity is NaN.
pub fn rank(canary: f64, references: &[f64]) -> u64 {
    assert!(!canary.is_nan() && references.iter().all(|x| !x.is_nan()), "a log-perplexity is NaN");
    1 + references.iter().filter(|&&reference| reference < canary).count() as u64
}

/// Exposure log2(references) - log2(rank) in bits, by interpolation: at most log2(references), and slightly negative for a
/// canary above all references.
///
/// # Panics
/// When there is no reference, or `rank` is outside 1..=references + 1.
pub fn exposure(rank: u64, references: u64) -> f64 {
    assert!(references > 0 && rank >= 1 && rank <= references + 1, "rank {rank} among {references} references");
    libm::log2(references as f64) - libm::log2(rank as f64)
}

/// log10 p that the canary was not learned: (1 + references at or below it) / (references + 1), ties against.
///
/// # Panics
/// When a log-perplexity is NaN.
pub fn rank_log10_p(canary: f64, references: &[f64]) -> f64 {
    let negated: Vec<f64> = references.iter().map(|x| -x).collect();
    crate::monte_carlo::log10_p_against(-canary, &negated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exposures_of_methods_appendix_a() {
        let references: Vec<f64> = (1..=16).map(f64::from).collect();
        for (value, expected) in [(0.0, 4.0), (0.1, 4.0), (3.5, 2.0), (20.0, -0.087_462_841_3)] {
            let found = exposure(rank(value, &references), 16);
            assert!((found - expected).abs() < 1e-10, "{value}: {found}");
        }
    }

    #[test]
    fn ties_favour_exposure_and_oppose_the_p_value() {
        let references = [1.0, 1.0, 1.0, 2.0];
        assert_eq!(rank(1.0, &references), 1);
        assert_eq!(rank_log10_p(1.0, &references), libm::log10(0.8_f64));
        assert_eq!(rank_log10_p(0.5, &references), libm::log10(0.2_f64));
        assert_eq!(rank_log10_p(3.0, &references), 0.0);
    }

    #[test]
    #[should_panic(expected = "NaN")]
    fn nan_is_not_the_best_rank() {
        rank(f64::NAN, &[1.0]);
    }

    proptest! {
        #[test]
        fn a_lower_perplexity_is_never_less_exposed(references in prop::collection::vec(0i32..20, 1..40), canary in 0i32..20) {
            let references: Vec<f64> = references.into_iter().map(f64::from).collect();
            let (here, lower) = (f64::from(canary), f64::from(canary) - 1.0);
            prop_assert!(rank(lower, &references) <= rank(here, &references));
            prop_assert!(rank_log10_p(lower, &references) <= rank_log10_p(here, &references));
        }
    }
}
