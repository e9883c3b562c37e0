use std::collections::BTreeMap;

use oracle::TokenId;

/// What a suspect shows after one prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shown {
    /// The token of the prompt that has a phase.
    pub token: TokenId,
    /// The probability that the mark moves, as the suspect shows it.
    pub value: f64,
    /// The same in the raw teacher.
    pub expected: f64,
    /// How many looks it is the mean of, above 0.
    pub size: f64,
}

/// What a suspect shows beyond what the raw teacher explains, by token: no phase enters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Places {
    /// Distinct tokens, ascending.
    pub tokens: Vec<TokenId>,
    /// Prompts with each.
    pub prompts: Vec<u64>,
    /// Mean residual of each, less the mean of all.
    pub means: Vec<f64>,
    /// What each counts.
    pub weights: Vec<f64>,
    /// How far the suspect follows the raw teacher: the slope of its values on the teacher's.
    pub slope: f64,
}

impl Places {
    /// Of what was `shown`, all of it finite.
    ///
    /// The teacher's value is a regressor, not the truth: a suspect that has nothing to do with it has slope 0, and loses nothing. A token's
    /// residuals vary by sigma² / n within it, and by tau² from token to token for reasons of their own, so its mean counts n / (1 + n tau² /
    /// sigma²). Both are estimated from the residuals, which know no phase.
    pub fn of(shown: &[Shown]) -> Self {
        let sum = |of: &dyn Fn(&Shown) -> f64| shown.iter().map(|shown| shown.size * of(shown)).sum::<f64>();
        let all = sum(&|_| 1.0);
        if all <= 0.0 {
            return Self::default();
        }
        let (value, expected) = (sum(&|shown| shown.value) / all, sum(&|shown| shown.expected) / all);
        let square = sum(&|shown| (shown.expected - expected) * (shown.expected - expected));
        let product = sum(&|shown| (shown.expected - expected) * (shown.value - value));
        let slope = if square > 1e-12 * all { product / square } else { 0.0 };
        let residual = |shown: &Shown| shown.value - value - slope * (shown.expected - expected);

        // prompts, sum of sizes, sum of residuals
        let mut by_token: BTreeMap<TokenId, (u64, f64, f64)> = BTreeMap::new();
        for shown in shown {
            let (prompts, sizes, residuals) = by_token.entry(shown.token).or_default();
            *prompts += 1;
            *sizes += shown.size;
            *residuals += shown.size * residual(shown);
        }
        let within = sum(&|shown| {
            let (_, sizes, residuals) = by_token[&shown.token];
            let off = residual(shown) - residuals / sizes;
            off * off
        });
        let between: f64 = by_token.values().map(|(_, sizes, residuals)| residuals * residuals / sizes).sum();
        let (prompts, tokens) = (shown.len() as f64, by_token.len() as f64);
        // where no token comes twice, sizes alone tell what a mean is worth
        let sigma = if prompts > tokens { within / (prompts - tokens) } else { f64::INFINITY };
        let tau = ((between - tokens * sigma) / all).max(0.0);
        let weight = |size: f64| {
            if sigma > 1e-12 * tau { size / (1.0 + size * if sigma.is_finite() { tau / sigma } else { 0.0 }) } else { 1.0 }
        };
        let weights: Vec<f64> = by_token.values().map(|(_, sizes, _)| weight(*sizes)).collect();
        let raw: Vec<f64> = by_token.values().map(|(_, sizes, residuals)| residuals / sizes).collect();
        let mean = raw.iter().zip(&weights).map(|(mean, weight)| mean * weight).sum::<f64>() / weights.iter().sum::<f64>();
        Self {
            tokens: by_token.keys().copied().collect(),
            prompts: by_token.values().map(|(prompts, ..)| *prompts).collect(),
            means: raw.into_iter().map(|raw| raw - mean).collect(),
            weights,
            slope,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(token: TokenId, value: f64, expected: f64) -> Shown {
        Shown { token, value, expected, size: 1.0 }
    }

    #[test]
    fn what_the_teacher_explains_is_taken_off() {
        let follows: Vec<Shown> = (0..40).map(|i| shown(i % 7, 0.1 + 0.5 * f64::from(i), f64::from(i))).collect();
        let places = Places::of(&follows);
        assert!((places.slope - 0.5).abs() < 1e-12 && places.means.iter().all(|mean| mean.abs() < 1e-9), "{places:?}");
        assert_eq!((places.tokens.len(), places.prompts.iter().sum::<u64>()), (7, 40));
        let flat: Vec<Shown> = (0..40).map(|i| shown(i % 7, f64::from(i % 7), 3.0)).collect();
        assert_eq!(Places::of(&flat).slope, 0.0);
        assert_eq!(Places::of(&[]), Places::default());
    }

    #[test]
    fn tokens_that_differ_by_themselves_count_nearly_alike() {
        // token 0 ten times, token 1 once; differences between tokens far above those within
        let mut far: Vec<Shown> = (0..10).map(|i| shown(0, 5.0 + 0.01 * f64::from(i % 2), 0.0)).collect();
        far.extend([shown(1, -5.0, 0.0), shown(2, 1.0, 0.0), shown(2, 1.01, 0.0)]);
        let weights = Places::of(&far).weights;
        assert!((weights[0] / weights[1] - 1.0).abs() < 0.01, "{weights:?}");
        // no differences but noise: a mean counts by how many it is of
        let near: Vec<Shown> = (0..30).map(|i| shown(i / 10, if i % 2 == 0 { 1.0 } else { -1.0 }, 0.0)).collect();
        assert_eq!(Places::of(&near).weights, [10.0; 3]);
        let weighted = Places::of(&[Shown { size: 4.0, ..shown(0, 1.0, 0.0) }, shown(1, 0.0, 0.0)]);
        assert_eq!(weighted.weights, [4.0, 1.0]);
    }

    #[test]
    fn weighted_means_add_up_to_nothing() {
        let places = Places::of(&(0..50).map(|i| shown(i * i % 11, f64::from(i * i % 17), f64::from(i % 5))).collect::<Vec<_>>());
        let sum: f64 = places.means.iter().zip(&places.weights).map(|(mean, weight)| mean * weight).sum();
        assert!(sum.abs() < 1e-9);
    }
}
