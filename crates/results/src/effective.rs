//! How many independent models some are worth, whose scores go together under one key.

/// Scores of some models under the same decoy keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Together {
    /// Models.
    pub models: usize,
    /// Mean correlation of two of them over keys; absent for a single one.
    pub correlation: Option<f64>,
    /// Independent models that tell as much.
    pub effective: f64,
}

impl Together {
    /// Of `models`, each with its scores under the same keys in the same order. Those whose scores do not vary are left out; `None` where
    /// nobody's do.
    ///
    /// With the mean correlation r of two models over keys, the mean of n of them varies as that of n / (1 + (n - 1) r) independent ones
    /// does (the design effect: Kish, *Survey Sampling*, 1965, 8.2). A negative r counts as 0.
    pub fn of<'a>(models: impl IntoIterator<Item = &'a [f64]>) -> Option<Self> {
        let standard: Vec<Vec<f64>> = models.into_iter().filter_map(standardised).collect();
        let n = standard.len() as f64;
        let keys = standard.iter().map(Vec::len).min()?;
        // the squared length of the sum of unit vectors is n plus twice the sum of all correlations
        let sum = (0..keys).map(|key| standard.iter().map(|scores| scores[key]).sum::<f64>().powi(2)).sum::<f64>();
        let correlation = (standard.len() > 1).then(|| (sum - n) / (n * (n - 1.0)));
        let effective = n / (1.0 + (n - 1.0) * correlation.unwrap_or(0.0).max(0.0));
        Some(Self { models: standard.len(), correlation, effective })
    }

    /// Of groups that met no key in common: their numbers add up, and correlations are averaged over pairs.
    pub fn sum(groups: &[Self]) -> Option<Self> {
        let pairs = |group: &Self| group.models as f64 * (group.models as f64 - 1.0) / 2.0;
        let all: f64 = groups.iter().map(pairs).sum();
        let weighted: f64 = groups.iter().filter_map(|group| Some(pairs(group) * group.correlation?)).sum();
        (!groups.is_empty()).then(|| Self {
            models: groups.iter().map(|group| group.models).sum(),
            correlation: (all > 0.0).then(|| weighted / all),
            effective: groups.iter().map(|group| group.effective).sum(),
        })
    }
}

/// `scores` with mean 0 and length 1; `None` where they do not vary.
fn standardised(scores: &[f64]) -> Option<Vec<f64>> {
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let length = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>().sqrt();
    (length.is_finite() && length > 1e-9).then(|| scores.iter().map(|score| (score - mean) / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern, about 0.
    fn noise(seed: u64, at: u64) -> f64 {
        let mixed = (seed << 32 | at).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 11) as f64 / 2f64.powi(53) - 0.5
    }

    /// Two parts of equal variance, one of them common, make a correlation of one half.
    #[test]
    fn models_with_a_common_part_count_for_fewer() {
        let score = |model: u64, key: u64| noise(0, key) + noise(model, key);
        let models: Vec<Vec<f64>> = (1..=16).map(|model| (0..999).map(|key| score(model, key)).collect()).collect();
        let found = Together::of(models.iter().map(Vec::as_slice)).unwrap();
        // mean of 120 correlations over 999 keys: one has a standard error of 0.024, and they share the common part
        assert!((found.correlation.unwrap() - 0.5).abs() < 0.1, "{found:?}");
        assert!((found.effective - 16.0 / (1.0 + 15.0 * found.correlation.unwrap())).abs() < 1e-9 && found.models == 16);
        // against the definition
        let pearson = |a: &[f64], b: &[f64]| {
            let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
            let moment = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x_i, y_i)| (x_i - mean(x)) * (y_i - mean(y))).sum::<f64>();
            moment(a, b) / (moment(a, a) * moment(b, b)).sqrt()
        };
        let three = &models[..3];
        let mean = (pearson(&three[0], &three[1]) + pearson(&three[0], &three[2]) + pearson(&three[1], &three[2])) / 3.0;
        let found = Together::of(three.iter().map(Vec::as_slice)).unwrap().correlation.unwrap();
        assert!((found - mean).abs() < 1e-9, "{found} {mean}");
    }

    #[test]
    fn equal_models_count_once_opposite_ones_in_full_and_constant_ones_not_at_all() {
        let of = |models: &[&[f64]]| Together::of(models.iter().copied());
        let found = of(&[&[1.0, 2.0, 4.0], &[2.0, 4.0, 8.0], &[5.0, 5.0, 5.0]]).unwrap();
        assert!((found.effective - 1.0).abs() < 1e-9 && found.models == 2, "{found:?}");
        assert_eq!(of(&[&[1.0, 2.0, 4.0], &[-1.0, -2.0, -4.0]]).unwrap().effective, 2.0);
        assert_eq!(of(&[&[1.0, 2.0]]), Some(Together { models: 1, correlation: None, effective: 1.0 }));
        assert_eq!(of(&[&[3.0, 3.0]]), None);
        let [pair, one] = [found, of(&[&[1.0, 2.0]]).unwrap()];
        let sum = Together::sum(&[pair, one]).unwrap();
        assert!((sum.effective - 2.0).abs() < 1e-9 && sum.models == 3 && sum.correlation == pair.correlation, "{sum:?}");
        assert_eq!(Together::sum(&[]), None);
    }
}
