use std::collections::BTreeMap;

use distill::{AttackConfig, DefenceConfig};
use results::Expectation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::data::{CorpusConfig, TokenizerConfig};
use super::grid::GridConfig;
use super::imported::TranscriptConfig;
use super::marks::{MarksConfig, PlantingConfig};
use super::models::{BaseConfig, Optimizer, StrangerConfig, TeacherConfig};
use super::study::{AuditConfig, Channel, MeasureConfig, QueriesConfig, StudentConfig};

/// One question, asked of models: the whole content of an experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Short name (letters, digits, `-`, `_`): the folder of its results.
    pub name: String,
    /// What is asked, in one sentence.
    pub question: String,
    /// What is expected, written before the first run.
    pub hypothesis: String,
    /// Each seed draws its own keys, canaries, initialisations and prompts.
    pub seeds: Vec<u64>,
    /// Significance level of the verdict `proven`.
    pub alpha: f64,
    /// Name of the mark that is tested first, at alpha alone; the others are tested by Holm only where it is proven. Named before the
    /// run, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Marks to set apart: for each there is one more student of every curve and budget, of a teacher that has every mark but this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks_apart: Vec<String>,
    /// Who plants the marks.
    pub owner: OwnerConfig,
    /// Where texts and prompts come from.
    pub corpus: CorpusConfig,
    /// Text to token ids.
    pub tokenizer: TokenizerConfig,
    /// AdamW and its schedule, shared by every training of this experiment. Keys that are left out have stated values.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// The model that is served.
    pub teacher: TeacherConfig,
    /// An independent teacher of the same vocabulary, never marked: the stranger arm, and the rival students' teacher.
    pub stranger: StrangerConfig,
    /// The student before distillation.
    pub base: BaseConfig,
    /// Further open models that marks, defences and attacks may name: a local Hugging Face directory, or `org/name[@revision]` on the hub, each with the
    /// teacher's tokenizer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, String>,
    /// What the owner plants, and what is looked for without planting, by name.
    pub marks: MarksConfig,
    /// How marks get into training data and weights.
    #[serde(default, skip_serializing_if = "PlantingConfig::is_empty")]
    pub planting: PlantingConfig,
    /// What the owner does at the API against thieves, in this order. The clean twin is served with it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defences: Vec<DefenceConfig>,
    /// What the thief does against marks, in this order; control and rival go through the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<AttackConfig>,
    /// Answers from outside, in place of asking the teacher here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<TranscriptConfig>,
    /// What the thief asks.
    pub queries: QueriesConfig,
    /// One survival curve each: what the thief sees, and how he learns from it.
    pub distill: Vec<Channel>,
    /// How a student is trained on what was bought.
    pub student: StudentConfig,
    /// What the owner asks a suspect.
    pub audit: AuditConfig,
    /// How much is measured, and how exactly.
    pub measure: MeasureConfig,
    /// Conditions on what comes out, by a name of their own. They are checked after the run and by `report`, whose exit code is 100 where one
    /// is broken; no result depends on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<String, Expectation>,
    /// Keys that take several values: one point each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<GridConfig>,
}

/// The owner's secret, from which every key derives. It is never written anywhere; results carry a commitment to it.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerConfig {
    /// The secret itself: for demonstrations, since whoever reads the file knows it.
    #[serde(default, skip_serializing)]
    pub secret: Option<String>,
    /// A file holding the secret, readable by its owner only (mode 600).
    #[serde(default, skip_serializing)]
    pub secret_file: Option<String>,
    /// Public text hashed before the secret in the commitment, so that equal secrets need not show as equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

impl std::fmt::Debug for OwnerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnerConfig").field("salt", &self.salt).finish_non_exhaustive()
    }
}
