//! A null law as numbers.

use serde::{Deserialize, Serialize};

/// What sort of law a p-value is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullKind {
    /// Independent hits at one rate: the total is Binomial(n, rate).
    Binomial,
    /// Several fair bits in each unit: the total is Binomial(bits, 1/2).
    Bits,
    /// Exp(1) scores: the total is Gamma(n, 1).
    Gamma,
    /// Weighted sums of two Exp(1) scores: the total is that of two gamma variables.
    TwoGamma,
    /// Hits among units drawn without replacement.
    Hypergeometric,
    /// Pairs that disagree, each side equally likely.
    Mcnemar,
    /// Relabelling of exchangeable items.
    Permutation,
    /// Rank among decoy keys.
    Decoys,
    /// Two samples of one law.
    TwoSample,
    /// A central limit: right only for many units.
    Normal,
    /// Chernoff's bound with the exact cumulant: never below the tail.
    Chernoff,
    /// The inverse of a betting e-value on bounded scores of a known mean: never below the tail.
    Betting,
}

impl NullKind {
    /// Name as records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binomial => "binomial",
            Self::Bits => "bits",
            Self::Gamma => "gamma",
            Self::TwoGamma => "two_gamma",
            Self::Hypergeometric => "hypergeometric",
            Self::Mcnemar => "mcnemar",
            Self::Permutation => "permutation",
            Self::Decoys => "decoys",
            Self::TwoSample => "two_sample",
            Self::Normal => "normal",
            Self::Chernoff => "chernoff",
            Self::Betting => "betting",
        }
    }

    /// Whether p is a bound that lies above the tail, about a decade where the effect is four standard errors.
    pub fn bound(self) -> bool {
        matches!(self, Self::Chernoff | Self::Betting)
    }

    /// Whether p is exact, or too large, by construction wherever the law holds, so that nothing more is needed to believe it. An
    /// approximation is not: its p must be confirmed by decoy keys.
    pub fn exact(self) -> bool {
        self != Self::Normal
    }
}

/// The law of a test's scores when the mark is absent: in words for people, as numbers for programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NullLaw {
    /// In words: `Binomial(48201, 0.25)`.
    pub words: String,
    /// What sort of law it is.
    pub kind: NullKind,
    /// Mean score of one unit, in the units of the statistic; None where units have no law of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Standard deviation of one unit's score; None where units have no law of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
}

impl NullLaw {
    /// A law whose units have no law of their own (permutations, pairs).
    pub fn new(kind: NullKind, words: impl Into<String>) -> NullLaw {
        NullLaw { words: words.into(), kind, mean: None, sd: None }
    }

    /// With mean and standard deviation of one unit.
    #[must_use]
    pub fn with_unit(self, mean: f64, sd: f64) -> NullLaw {
        NullLaw { mean: Some(mean), sd: Some(sd), ..self }
    }

    /// `n` independent units that hit at `rate`.
    pub fn binomial(n: u64, rate: f64) -> NullLaw {
        NullLaw::new(NullKind::Binomial, format!("Binomial({n}, {rate})")).with_unit(rate, (rate * (1.0 - rate)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_file_format() {
        use NullKind::*;
        let bounds = [Chernoff, Betting];
        let laws = [Binomial, Bits, Gamma, TwoGamma, Hypergeometric, Mcnemar, Permutation, Decoys, TwoSample, Normal];
        for kind in laws.into_iter().chain(bounds) {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert!(Chernoff.bound() && Betting.bound() && !Binomial.bound());
        assert!(Chernoff.exact() && Betting.exact() && !Normal.exact());
    }

    #[test]
    fn a_coin_has_mean_and_deviation_one_half() {
        let law = NullLaw::binomial(10, 0.5);
        assert_eq!((law.words.as_str(), law.mean, law.sd), ("Binomial(10, 0.5)", Some(0.5), Some(0.5)));
        let json = serde_json::to_string(&NullLaw::new(NullKind::Permutation, "shuffled")).unwrap();
        assert_eq!(json, r#"{"words":"shuffled","kind":"permutation"}"#);
        assert_eq!(serde_json::from_str::<NullLaw>(&json).unwrap().mean, None);
    }
}
