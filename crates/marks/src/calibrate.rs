//! Whose probabilities are taken off before canaries are ranked (methods c1; Carlini et al., *The Secret Sharer*, USENIX Security 2019,
//! ranks raw ones; taking off a reference model's is Carlini et al., *Membership Inference Attacks From First Principles*, IEEE S&P 2022).
//!
//! Some secrets are likelier than others whatever was learned. A model that never saw a canary tells how likely each one is by itself, and
//! what is left says more of the suspect. The rank stays exact: canaries and references are drawn alike, and of a model that saw neither
//! any function of its scores treats them alike.

use serde::{Deserialize, Serialize};
use stats::exposure::ExposureTest;

use crate::case::scores;
use crate::{Case, FollowUp, MarkError, Metric, Question, Whom};

/// The model whose log-probabilities are taken off the suspect's before canaries are ranked: one that never saw them. The control of the
/// same point is none of these: a measurement would then depend on another suspect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Calibrate {
    /// None: the raw rank counts.
    #[default]
    None,
    /// The student before distillation: what distillation changed is ranked. It takes an owner who knows the thief's base.
    Base,
    /// The teacher's twin that never met a mark: always in the owner's hands.
    Clean,
    /// The independent teacher.
    Stranger,
}

impl Calibrate {
    /// Name in a file; `None` where nothing is taken off.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Base => Some("base"),
            Self::Clean => Some("clean"),
            Self::Stranger => Some("stranger"),
        }
    }

    /// Whether a file need not say it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whom it asks in a second round.
    pub(crate) fn second_round(self) -> Vec<Whom> {
        self.name().map(|name| Whom::Named(name.into())).into_iter().collect()
    }

    /// The second round: what the suspect was asked, put to the model that is taken off.
    pub(crate) fn follow_up(self, question: Option<Question>) -> Vec<FollowUp> {
        self.second_round().into_iter().zip(question).map(|(whom, question)| FollowUp { whom, question }).collect()
    }

    /// The suspect's log-probabilities `given`, nats, less those of the model that is taken off; `None` where none is.
    ///
    /// # Errors
    /// [`MarkError::Unmeasurable`] when its answers are missing, or are no finite numbers.
    pub(crate) fn taken_off(self, mark: &'static str, given: &[f64], case: &Case<'_>) -> Result<Option<Vec<f64>>, MarkError> {
        let Some(name) = self.name() else { return Ok(None) };
        let theirs = scores(mark, case.second, 0)?;
        if theirs.len() != given.len() || theirs.iter().any(|score| !score.is_finite()) {
            let reason = format!("calibrate = \"{name}\": its log-probabilities are missing or not finite");
            return Err(MarkError::unmeasurable(mark, reason));
        }
        Ok(Some(given.iter().zip(theirs).map(|(given, theirs)| given - theirs).collect()))
    }

    /// What is ranked, behind the words of a null.
    pub(crate) fn of_what(self) -> String {
        self.name().map_or(String::new(), |name| format!(", scores less those of {name}"))
    }

    /// The raw rank beside the one that counts: for the result's words, and as metrics.
    pub(crate) fn beside(self, raw: &ExposureTest) -> (String, Vec<Metric>) {
        let Some(name) = self.name() else { return (String::new(), Vec::new()) };
        let p = libm::pow(10f64, raw.log10_p);
        let words = format!("; less {name}, raw p {}", if p < 0.001 { format!("{p:.1e}") } else { format!("{p:.3}") });
        let effect = raw.mean_exposure - raw.null_mean_exposure;
        (words, vec![Metric::new("raw_effect", effect, "bits"), Metric::new("raw_log10_p", raw.log10_p, "log10 p")])
    }
}
