use serde::{Deserialize, Serialize};
use stats::Evidence;

/// Version of the record format: raised when a field changes its meaning, its name or its unit.
pub const RECORD_SCHEMA: u32 = 1;

/// Who a suspect is in the experiment (DESIGN 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The marked model itself: the positive control.
    Teacher,
    /// Distilled from the marked teacher: the question.
    #[default]
    Student,
    /// Distilled from the clean teacher with the same prompts, seed and steps.
    Control,
    /// Distilled from an independently trained teacher with the same prompts.
    Rival,
    /// The student before distillation.
    Base,
    /// The independently trained teacher.
    Stranger,
    /// The teacher's twin without any mark.
    CleanTeacher,
}

impl Arm {
    /// Name as records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::Student => "student",
            Self::Control => "control",
            Self::Rival => "rival",
            Self::Base => "base",
            Self::Stranger => "stranger",
            Self::CleanTeacher => "clean_teacher",
        }
    }

    /// Whether a test with the true key must fail on this arm. For a planted mark everything that never met the marked
    /// teacher is a negative; an intrinsic fingerprint follows lineage, so only independently trained models are.
    pub fn is_negative(self, planted: bool) -> bool {
        match self {
            Self::Teacher | Self::Student => false,
            Self::Rival | Self::Base | Self::Stranger => true,
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

/// What [`judge`](crate::judge) says of one mark in one suspect. The first five are DESIGN 6's; the last two are what
/// can be said of an arm that must not carry the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// A negative arm whose p with the true key is above alpha, as it must be.
    #[serde(rename = "clean")]
    Clean,
    /// A negative arm whose p with the true key is at most alpha: the mark proves nothing here.
    #[serde(rename = "false positive")]
    FalsePositive,
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
        }
    }
}

/// One measurement: one JSON line, flat, with absent fields left out.
///
/// Holds nothing that depends on clock, host, thread count or order of completion.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`RECORD_SCHEMA`] of the writer.
    pub schema: u32,
    /// Experiment name.
    pub experiment: String,
    /// Hash of the resolved experiment.
    pub experiment_hash: String,
    /// Hash of the run that made the suspect.
    pub run_id: String,
    /// Root seed of the repetition: its keys, canaries, initialisations and prompts.
    pub seed: u64,
    /// Who the suspect is.
    pub arm: Arm,
    /// Label of the surface the suspect was distilled through; "-" where none.
    pub surface: String,
    /// Name of the distillation loss; "-" where none.
    pub loss: String,
    /// Queries the suspect was distilled from; absent for arms that were not distilled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_queries: Option<u64>,
    /// Compute rule ("fixed_steps" ...); "-" where none.
    pub compute: String,
    /// Optimiser steps of the distillation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Tokens trained on in the distillation, repeats counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_tokens: Option<u64>,
    /// Kind of device that computed it ("cpu", "cuda").
    pub device: String,
    /// What the record holds.
    pub kind: Kind,
    /// Measured here, or computed from other points.
    pub measured: Measured,

    /// Name of the mark, unique in its experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// What sort of mark it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Scheme that made it ("kgw" ...).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Through what the suspect was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
    /// Access the test used ("text", "logprobs", "logits", "weights").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// Whether the owner planted it; an intrinsic fingerprint is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planted: Option<bool>,
    /// Audit budget: prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_prompts: Option<u64>,
    /// Audit budget: longest answer, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_max_new_tokens: Option<u64>,
    /// Queries this audit put to the suspect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_queries: Option<u64>,
    /// Tokens this audit received from, or had scored by, the suspect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_tokens: Option<u64>,
    /// Value of the test statistic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistic: Option<f64>,
    /// Effect per scored unit: does not depend on audit length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<f64>,
    /// Lower end of the effect's 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect_low: Option<f64>,
    /// Upper end of the effect's 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect_high: Option<f64>,
    /// What the effect is, for axis labels ("green rate - 0.25").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect_unit: Option<String>,
    /// Scored units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Null distribution in words ("Binomial(T, 0.25)").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null: Option<String>,
    /// log10 of the p-value with the true key; absent when it could not be tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log10_p: Option<f64>,
    /// log10 of the rank p-value among decoy keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log10_p_decoy: Option<f64>,
    /// Decoy keys tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoys: Option<u64>,
    /// Decoy keys whose own p on this suspect is at most alpha.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoys_at_alpha: Option<u64>,
    /// Statistic in standard deviations of the decoys' statistics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub z_decoy: Option<f64>,
    /// log10 of the e-process at the end of the audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log10_e: Option<f64>,
    /// Scored units after which the e-process first reached 1 / alpha.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units_to_detect: Option<u64>,
    /// Audit queries after which it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_queries_to_detect: Option<u64>,
    /// The result in a few words ("16 of 16 keys").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// log10 p adjusted over all marks asked of this suspect; filled by [`judge`](crate::judge).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log10_p_holm: Option<f64>,
    /// Filled by [`judge`](crate::judge).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Smallest effect this audit would have shown with power 0.8; filled by [`judge`](crate::judge) when not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detectable_effect: Option<f64>,
    /// Why the verdict is what it is, or what the test would need; a lower-case fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// Name of the metric ("held_out_loss" ...).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Lower end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Its unit ("nats/token", "queries", "FLOP", "1").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// What tells two suspects of one results directory apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SuspectKey {
    /// Hash of the resolved experiment.
    pub experiment_hash: String,
    /// Label of the surface.
    pub surface: String,
    /// Name of the loss.
    pub loss: String,
    /// Compute rule.
    pub compute: String,
    /// Root seed.
    pub seed: u64,
    /// Who it is.
    pub arm: Arm,
    /// Query budget.
    pub budget_queries: Option<u64>,
}

impl Record {
    /// The suspect this record is about.
    pub fn suspect(&self) -> SuspectKey {
        SuspectKey {
            experiment_hash: self.experiment_hash.clone(),
            surface: self.surface.clone(),
            loss: self.loss.clone(),
            compute: self.compute.clone(),
            seed: self.seed,
            arm: self.arm,
            budget_queries: self.budget_queries,
        }
    }

    /// Fills the fields that come from a test's [`Evidence`]; everything else stays.
    #[must_use]
    pub fn with_evidence(self, evidence: &Evidence) -> Self {
        Self {
            statistic: Some(evidence.statistic),
            effect: Some(evidence.effect),
            effect_low: Some(evidence.interval.low),
            effect_high: Some(evidence.interval.high),
            n: Some(evidence.n),
            null: Some(evidence.null.words.clone()),
            log10_p: Some(evidence.log10_p),
            log10_p_decoy: evidence.log10_p_decoy,
            decoys: Some(evidence.decoys).filter(|&n| n > 0),
            z_decoy: evidence.z_decoy,
            log10_e: evidence.log10_e,
            units_to_detect: evidence.units_to_detect,
            ..self
        }
    }

    /// A metric of the same suspect as this record's: only identity is taken over.
    #[must_use]
    pub fn metric(&self, name: &str, value: f64, unit: &str) -> Self {
        Self {
            schema: self.schema,
            experiment: self.experiment.clone(),
            experiment_hash: self.experiment_hash.clone(),
            run_id: self.run_id.clone(),
            seed: self.seed,
            arm: self.arm,
            surface: self.surface.clone(),
            loss: self.loss.clone(),
            budget_queries: self.budget_queries,
            compute: self.compute.clone(),
            steps: self.steps,
            train_tokens: self.train_tokens,
            device: self.device.clone(),
            kind: Kind::Metric,
            measured: self.measured,
            metric: Some(name.to_string()),
            value: Some(value),
            unit: Some(unit.to_string()),
            ..Self::default()
        }
    }

    /// The p-value's evidence, `-log10 p`, 0 or more.
    pub fn evidence(&self) -> Option<f64> {
        self.log10_p.map(|p| (-p).max(0.0))
    }
}
