use oracle::{Access, ConfigError};
use serde::{Deserialize, Serialize};

use crate::Whom;

/// Occurrences at which a context weighs half, where neither a file nor the scheme says it.
const KAPPA: f64 = 1000.0;

/// How the keyed score test is made; everything is stated before anything is known of a suspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreTest {
    /// A token weighs n / (n + kappa), where n is how often its context occurs in the clean twin's answers to the queries that were
    /// paid for: a student learns what it meets often. 0 weighs every context alike. Where it is not given it is 1000; 0 for schemes
    /// that draw tokens by a key, whose answers stand in contexts that the clean twin, whose draws are its own, seldom comes to; and 0 for those
    /// whose key looks at some tokens of a context only, and meets these oftener than the whole context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kappa: Option<f64>,
    /// What is taken of the suspect.
    pub suspect: Choices,
    /// Models whose laws say what an unmarked model would have chosen: `teacher` (raw), `clean`, `base`, `stranger`, or entries of
    /// `[models]`. Of several, the mixture of them that is nearest to the suspect's choices.
    pub references: Vec<String>,
    /// Whether the scheme draws tokens by its key, where others only raise some tokens' probability; it is the scheme's to say.
    #[serde(skip)]
    pub(in crate::keyed) drawn: bool,
    /// Whether its key looks at some tokens of a context and not at the others; likewise.
    #[serde(skip)]
    pub(in crate::keyed) some_tokens: bool,
}

/// The name of the owner's own model among references.
const TEACHER: &str = "teacher";

/// What says how often a suspect chose something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choices {
    /// The tokens of its answers: text is enough.
    #[default]
    Answers,
    /// Its own laws along its answers, which no draw makes noisy: it must show log-probabilities.
    Laws,
}

impl Choices {
    /// What is taken where the mark is one of laws.
    pub(crate) fn laws() -> Self {
        Self::Laws
    }

    /// Whether a file need not say it there.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn is_laws(&self) -> bool {
        *self == Self::Laws
    }

    /// The least that a suspect must show.
    pub(crate) fn access(self) -> Access {
        match self {
            Self::Answers => Access::Text,
            Self::Laws => Access::Logprobs,
        }
    }
}

impl Default for ScoreTest {
    fn default() -> Self {
        Self { kappa: None, suspect: Choices::default(), references: vec![TEACHER.into()], drawn: false, some_tokens: false }
    }
}

impl ScoreTest {
    /// Occurrences at which a context weighs half. Answers that a key drew lie in contexts of their own, so that how often the clean twin
    /// comes to one says nothing; and how often a whole context occurs says little where the key looks at one token of it, which a student
    /// meets in many contexts.
    pub(in crate::keyed) fn kappa(&self) -> f64 {
        self.kappa.unwrap_or(if self.drawn || self.some_tokens { 0.0 } else { KAPPA })
    }

    /// Refuses values that cannot be; keys are relative to the mark's own table.
    ///
    /// # Errors
    /// A [`ConfigError`] naming key, value and what to write.
    pub(in crate::keyed) fn validate(&self) -> Result<(), ConfigError> {
        if let Some(kappa) = self.kappa.filter(|kappa| !(*kappa >= 0.0 && kappa.is_finite())) {
            let instead = "use a number of occurrences, for example 1000, or 0 to weigh every context alike";
            return Err(ConfigError::new("test.score.kappa", kappa, instead));
        }
        let named = format!("{:?}", self.references);
        if self.references.is_empty() || self.references.iter().any(|name| name.trim().is_empty()) {
            let instead = "name at least one model, for example [\"teacher\"]";
            return Err(ConfigError::new("test.score.references", named, instead));
        }
        if self.references.iter().enumerate().any(|(at, name)| self.references[..at].contains(name)) {
            return Err(ConfigError::new("test.score.references", named, "name each model once"));
        }
        Ok(())
    }

    /// Whom the second round asks for laws, the suspect left out.
    pub(in crate::keyed) fn asked(&self) -> impl Iterator<Item = Whom> {
        self.references.iter().map(|name| Whom::called(name))
    }
}
