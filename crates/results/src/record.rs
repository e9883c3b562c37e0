use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::monte_carlo::z_score;
use stats::{Evidence, NullKind};

use crate::{Arm, Claim, Family, Kind, Measured, Setting, Verdict, View};

/// Version of the record format: raised when a field changes its meaning, its name or its unit.
pub const RECORD_SCHEMA: u32 = 2;

/// Decoy keys whose scores a record keeps: some 600 bytes.
pub(crate) const MOST_DECOY_Z: usize = 99;

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
    /// Results directory that it was joined from, by its name in the joined report; absent in what a run writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Hash of the run that made the suspect.
    pub run_id: String,
    /// Root seed of the repetition: its keys, canaries, initialisations and prompts.
    pub seed: u64,
    /// Who the suspect is.
    pub arm: Arm,
    /// Name of the mark that its teacher lacked, having all others; absent for arms that are not [`Arm::Apart`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// What a model from outside is called: [`Arm::Suspect`] and [`Arm::Negative`]. Its `run_id` is the hash of its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Label of the surface the suspect was distilled through; "-" where none.
    pub surface: String,
    /// Name of the distillation loss; "-" where none.
    pub loss: String,
    /// Queries the suspect was distilled from; absent for arms that were not distilled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_queries: Option<u64>,
    /// Compute rule ("fixed_steps" ...); "-" where none.
    pub compute: String,
    /// What the teacher did to its answers besides its marks, as a short label; absent where nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defence: Option<String>,
    /// What the thief did besides training on what it bought, as a short label; absent where nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<String>,
    /// Its place on the experiment's grid: value by axis. Empty without a grid.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, String>,
    /// Optimiser steps of the distillation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Tokens trained on in the distillation, repeats counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_tokens: Option<u64>,
    /// Exchanges read in the distillation, repeats counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges_read: Option<u64>,
    /// Times that each exchange it could read was read, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<f64>,
    /// Different prompts among the exchanges read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct_prompts: Option<u64>,
    /// Highest learning rate of the distillation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_lr: Option<f64>,
    /// Artifact of the suspect, for what was distilled: its directory below the artifacts, `kind/hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student_id: Option<String>,
    /// Artifact of the model that it learned from, or of the teacher itself; of a model that was brought the hash of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_id: Option<String>,
    /// Names the answers that it learned from; `students.csv` says in which artifacts they lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript_id: Option<String>,
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
    /// What the mark, if proven, shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// Whose key was tested, for marks that give each account one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<u32>,
    /// Whether the account bought nothing of what the suspect learned from, so that its key must not fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub innocent: Option<bool>,
    /// Whether it is the experiment's primary mark, which is tested before the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
    /// Whether the experiment has no control by design, so that no verdict on a student can be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncontrolled: Option<bool>,
    /// Commitment to the owner's secret that the keys come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
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
    /// What sort of law it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_law: Option<NullKind>,
    /// Mean score of one unit under it; absent where units have no law of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_mean: Option<f64>,
    /// Standard deviation of one unit's score under it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_sd: Option<f64>,
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
    /// Statistic under the first decoy keys, at most 99 of them, in standard deviations from their mean, to two digits: all suspects of a
    /// seed are tried with the same keys in the same order. Absent where it does not vary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoy_z: Option<Vec<f64>>,
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
    /// log10 p adjusted over all marks asked of this suspect, behind the primary mark where there is one; filled by [`judge`](crate::judge).
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
    /// Name of the mark it belongs to; absent for what is said of the suspect as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_of: Option<String>,
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
    /// Surface, loss, compute, defence, attack and axes.
    pub setting: Setting,
    /// Root seed.
    pub seed: u64,
    /// Who it is.
    pub arm: Arm,
    /// Query budget.
    pub budget_queries: Option<u64>,
    /// The mark that its teacher lacked.
    pub lacks: Option<String>,
    /// What a model from outside is called.
    pub model: Option<String>,
}

impl Record {
    /// The setting of the suspect: everything but its budget, arm and seed.
    pub fn setting(&self) -> Setting {
        Setting {
            surface: self.surface.clone(),
            loss: self.loss.clone(),
            compute: self.compute.clone(),
            defence: self.defence.clone(),
            attack: self.attack.clone(),
            axes: self.axes.clone(),
        }
    }

    /// Whether the suspect has this setting.
    pub(crate) fn has(&self, setting: &Setting) -> bool {
        (&self.surface, &self.loss, &self.compute) == (&setting.surface, &setting.loss, &setting.compute)
            && (&self.defence, &self.attack, &self.axes) == (&setting.defence, &setting.attack, &setting.axes)
    }

    /// The suspect this record is about.
    pub fn suspect(&self) -> SuspectKey {
        SuspectKey {
            experiment_hash: self.experiment_hash.clone(),
            setting: self.setting(),
            seed: self.seed,
            arm: self.arm,
            budget_queries: self.budget_queries,
            lacks: self.lacks.clone(),
            model: self.model.clone(),
        }
    }

    /// Whether the key must not fire: on an arm that cannot carry the mark, or because the account is innocent.
    pub fn is_negative(&self) -> bool {
        self.innocent == Some(true) || self.cannot_carry()
    }

    /// Whether the suspect cannot carry the mark, whosever key is tested.
    pub(crate) fn cannot_carry(&self) -> bool {
        self.is_of_lacked() || self.arm.is_negative(self.planted == Some(true))
    }

    /// Whether it is of the very mark that the suspect's teacher lacked.
    pub(crate) fn is_of_lacked(&self) -> bool {
        self.lacks.is_some() && self.lacks == self.mark
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
            null_law: Some(evidence.null.kind),
            null_mean: evidence.null.mean,
            null_sd: evidence.null.sd,
            log10_p: Some(evidence.log10_p),
            log10_p_decoy: evidence.log10_p_decoy,
            decoys: Some(evidence.decoys).filter(|&n| n > 0),
            z_decoy: evidence.z_decoy,
            log10_e: evidence.log10_e,
            units_to_detect: evidence.units_to_detect,
            ..self
        }
    }

    /// Adds `decoy_z` of the statistics under all decoy keys; everything else stays.
    #[must_use]
    pub fn with_decoy_z(self, statistics: &[f64]) -> Self {
        let first = &statistics[..statistics.len().min(MOST_DECOY_Z)];
        let z: Option<Vec<f64>> = first.iter().map(|&statistic| z_score(statistic, first)).collect();
        let rounded = |z: Vec<f64>| z.iter().map(|z| (z * 100.0).round() / 100.0).collect();
        Self { decoy_z: z.filter(|z| !z.is_empty()).map(rounded), ..self }
    }

    /// A metric of the same suspect as this record's: only identity is taken over.
    #[must_use]
    pub fn metric(&self, name: &str, value: f64, unit: &str) -> Self {
        Self {
            schema: self.schema,
            experiment: self.experiment.clone(),
            experiment_hash: self.experiment_hash.clone(),
            source: self.source.clone(),
            run_id: self.run_id.clone(),
            seed: self.seed,
            arm: self.arm,
            lacks: self.lacks.clone(),
            model: self.model.clone(),
            surface: self.surface.clone(),
            loss: self.loss.clone(),
            budget_queries: self.budget_queries,
            compute: self.compute.clone(),
            defence: self.defence.clone(),
            attack: self.attack.clone(),
            axes: self.axes.clone(),
            steps: self.steps,
            train_tokens: self.train_tokens,
            exchanges_read: self.exchanges_read,
            passes: self.passes,
            distinct_prompts: self.distinct_prompts,
            peak_lr: self.peak_lr,
            student_id: self.student_id.clone(),
            teacher_id: self.teacher_id.clone(),
            transcript_id: self.transcript_id.clone(),
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
