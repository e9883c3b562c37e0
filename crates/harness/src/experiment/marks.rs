use std::collections::BTreeMap;

use distill::{ImplantConfig, LawDistillationConfig};
use marks::MarkEntry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the owner plants, and what is looked for without planting: `[marks.NAME.KIND]`. The name goes into records; several marks of
/// one kind have several names.
pub type MarksConfig = BTreeMap<String, MarkEntry>;

/// How marks get into training data and weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlantingConfig {
    /// Tokens of the teacher's training (or continued training) before the first planted text: up to there teacher and
    /// clean twin are one model. Needed with a mark that plants texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canaries_after_tokens: Option<u64>,
    /// How laws are distilled into the weights of the trained teacher, before items are implanted. Needed with a mark whose law the
    /// weights learn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<LawDistillationConfig>,
    /// How items are put into the weights of the finished teacher. Needed with a mark that implants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implant: Option<ImplantConfig>,
}

impl PlantingConfig {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
