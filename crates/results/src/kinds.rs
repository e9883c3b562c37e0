use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who a suspect is in the experiment (DESIGN 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The marked model itself: the positive control.
    Teacher,
    /// Distilled from the marked teacher: the question.
    #[default]
    Student,
    /// Distilled from the clean teacher with the same prompts, seed and steps.
    Control,
    /// Distilled from a teacher that has every mark but one ([`Record::lacks`](crate::Record::lacks)), with the same prompts, seed and steps.
    Apart,
    /// Distilled from an independently trained teacher with the same prompts.
    Rival,
    /// The student before distillation.
    Base,
    /// The independently trained teacher.
    Stranger,
    /// The teacher's twin without any mark.
    CleanTeacher,
    /// A model from outside that is audited: nobody knows how it was made.
    Suspect,
    /// A model from outside of which its owner says that it never met the teacher.
    Negative,
}

impl Arm {
    /// Whether it learned from a teacher's answers.
    pub fn is_distilled(self) -> bool {
        matches!(self, Self::Student | Self::Control | Self::Apart | Self::Rival)
    }

    /// Whether it is a suspect of which something is to be proven; the others are there to be compared with.
    pub fn is_on_trial(self) -> bool {
        self.has_control() || self == Self::Suspect
    }

    /// Whether a student of the clean teacher stands beside it. Of a model from outside nobody knows how to make one.
    pub fn has_control(self) -> bool {
        matches!(self, Self::Student | Self::Apart)
    }

    /// Whether it is a model that was brought to an audit, so that no experiment has it.
    pub fn is_from_outside(self) -> bool {
        matches!(self, Self::Suspect | Self::Negative)
    }

    /// Name as records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Student => "student",
            Self::Control => "control",
            Self::Apart => "apart",
            Self::Rival => "rival",
            Self::Base => "base",
            Self::Stranger => "stranger",
            Self::CleanTeacher => "clean_teacher",
            Self::Suspect => "suspect",
            Self::Negative => "negative",
        }
    }

    /// Whether a test with the true key must fail on this arm. For a planted mark everything that never met the marked
    /// teacher is a negative; an intrinsic fingerprint follows lineage, so only independently trained models are. The mark that the teacher
    /// of [`Apart`](Self::Apart) lacked is another one's negative, which only a record can tell.
    pub fn is_negative(self, planted: bool) -> bool {
        match self {
            Self::Teacher | Self::Student | Self::Apart | Self::Suspect => false,
            Self::Rival | Self::Base | Self::Stranger | Self::Negative => true,
            Self::Control | Self::CleanTeacher => planted,
        }
    }
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Evidence for one mark in one suspect.
    #[default]
    Mark,
    /// One number about a suspect: fidelity, usefulness or cost.
    Metric,
}

/// What sort of mark it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// In the served answers.
    Watermark,
    /// In the training data.
    Canary,
    /// In the weights, implanted or intrinsic.
    Probe,
}

/// What a mark that is proven would show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The suspect comes from the owner's weights.
    Lineage,
    /// The suspect learned from the owner's answers.
    Distillation,
}

/// Through what a suspect was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// As it answers its users, processors included.
    Served,
    /// On its own weights.
    Raw,
}

/// Where a number comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// It was measured at this very point.
    #[default]
    Measured,
    /// It was computed from measurements at other points.
    Extrapolated,
}

/// What [`judge`](crate::judge) says of one mark in one suspect. The first five are DESIGN 6's; two are what can be said of an arm that
/// must not carry the mark, and the last is said of a model from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// Holm p and decoy p at most alpha, and no negative arm at most alpha.
    #[serde(rename = "proven")]
    Proven,
    /// Holm p at most 0.05, but not proven.
    #[serde(rename = "suggested")]
    Suggested,
    /// Nothing was shown; the record says what effect would have been.
    #[serde(rename = "not shown")]
    NotShown,
    /// The teacher itself does not show the mark, so nothing can be said about its survival.
    #[serde(rename = "not planted")]
    NotPlanted,
    /// The suspect's access does not allow the test; the record's `reason` says what it needs.
    #[serde(rename = "not measurable")]
    NotMeasurable,
    /// A negative whose key does not fire, as it must not.
    #[serde(rename = "clean")]
    Clean,
    /// A negative whose key fires: the mark proves nothing here.
    #[serde(rename = "false positive")]
    FalsePositive,
    /// A model from outside beside which no named negative stays at chance: whatever p is, it proves nothing.
    #[serde(rename = "inconclusive")]
    Inconclusive,
}

impl Verdict {
    /// The words, as records write them.
    pub fn words(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Suggested => "suggested",
            Self::NotShown => "not shown",
            Self::NotPlanted => "not planted",
            Self::NotMeasurable => "not measurable",
            Self::Clean => "clean",
            Self::FalsePositive => "false positive",
            Self::Inconclusive => "inconclusive",
        }
    }
}
