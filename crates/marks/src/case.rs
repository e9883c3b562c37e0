use oracle::Exchange;
use stats::{Evidence, Interval};

use crate::{ContextCounts, MarkError, Seen};

/// Everything a mark judges by.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The suspect's answers, in the order of the questions.
    pub suspect: &'a [Seen],
    /// The answers of the owner's own model, asked as the mark needs ([`compared_with`](crate::Needs::compared_with)); `None` for marks
    /// that do not compare.
    pub teacher: Option<&'a [Seen]>,
    /// Answers of models that learned nothing from the teacher, the suspect itself left out; none for marks that do not compare.
    pub references: &'a [Reference<'a>],
    /// Answers to the second round, in the order in which it was asked.
    pub second: &'a [Seen],
    /// How often the contexts that the mark wants to know of occur in the clean twin's answers to the queries that were paid for; `None`
    /// where none was paid for, or the twin was not asked.
    pub contexts: Option<&'a ContextCounts>,
    /// What chance may do.
    pub chance: Chance,
}

/// Another model's answers to the same questions.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Name of the model, for messages and the null's description.
    pub name: &'a str,
    /// Its answers, in the order of the questions.
    pub seen: &'a [Seen],
}

/// Decoy keys and draws of a test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chance {
    /// Decoy keys tried beside the true one.
    pub decoys: usize,
    /// Names the family of decoy keys.
    pub decoy_seed: u64,
    /// Draws of a permutation test or a bootstrap.
    pub draws: u64,
    /// Seeds these draws.
    pub draw_seed: u64,
}

/// What a suspect shows of a mark.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The test.
    pub evidence: Evidence,
    /// What the effect is, for the axis of a figure.
    pub effect_unit: String,
    /// The result in a few words.
    pub detail: String,
    /// log10 p of every decoy key; empty where there is no key.
    pub decoy_log10_p: Vec<f64>,
    /// The statistic under every decoy key, in the same order. It depends on the answers and the decoy key and on no true key, so
    /// that several true keys can be ranked among the same decoys.
    pub decoy_statistics: Vec<f64>,
    /// Further numbers.
    pub metrics: Vec<Metric>,
    /// The account whose key this is about, where keys differ by account.
    pub account: Option<u32>,
    /// For every audit answer, in order: the largest log10 e-value up to and including it; empty without an e-process.
    pub max_log10_e_by_query: Vec<f64>,
}

impl Finding {
    /// A finding with its evidence, effect and words, and nothing else.
    pub fn new(evidence: Evidence, effect_unit: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            evidence,
            effect_unit: effect_unit.into(),
            detail: detail.into(),
            decoy_log10_p: Vec::new(),
            decoy_statistics: Vec::new(),
            metrics: Vec::new(),
            account: None,
            max_log10_e_by_query: Vec::new(),
        }
    }

    /// The further number called `name`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }

    /// How many audit queries had to be asked of this suspect until the e-process reached 1 / `alpha`: valid although
    /// one stops at the first crossing (methods 0.5).
    pub fn audit_queries_to_detect(&self, alpha: f64) -> Option<u64> {
        let threshold = -libm::log10(alpha);
        self.max_log10_e_by_query.iter().position(|&log10_e| log10_e >= threshold).map(|query| query as u64 + 1)
    }
}

/// A number beside a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name, unique within the mark.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its unit ("bits", "1").
    pub unit: String,
    /// Its 95 % interval, where it has one.
    pub interval: Option<Interval>,
}

impl Metric {
    /// A number with name and unit.
    pub fn new(name: impl Into<String>, value: f64, unit: impl Into<String>) -> Self {
        Self { name: name.into(), value, unit: unit.into(), interval: None }
    }

    /// The same with its 95 % interval.
    #[must_use]
    pub fn within(self, interval: Interval) -> Self {
        Self { interval: Some(interval), ..self }
    }
}

/// The answers to question number `at` among `seen`.
///
/// # Errors
/// [`MarkError::Unmeasurable`] when they are missing or of another kind.
pub(crate) fn exchanges<'a>(mark: &'static str, seen: &'a [Seen], at: usize) -> Result<&'a [Exchange], MarkError> {
    seen.get(at)
        .and_then(Seen::exchanges)
        .ok_or_else(|| MarkError::unmeasurable(mark, format!("answers to question {at} are missing")))
}

/// The scores of question number `at` among `seen`.
///
/// # Errors
/// As [`exchanges`].
pub(crate) fn scores<'a>(mark: &'static str, seen: &'a [Seen], at: usize) -> Result<&'a [f64], MarkError> {
    seen.get(at)
        .and_then(Seen::scores)
        .ok_or_else(|| MarkError::unmeasurable(mark, format!("scores of question {at} are missing")))
}
