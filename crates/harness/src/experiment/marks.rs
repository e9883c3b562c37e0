use distill::ImplantConfig;
use marks::canary::CanaryConfig;
use marks::probe::ProbeConfig;
use marks::watermark::WatermarkConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the owner plants, and what is looked for without planting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarksConfig {
    /// Put into the teacher's answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<WatermarkConfig>,
    /// Put into the teacher's training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryConfig>,
    /// Tokens of the teacher's training (or continued training) before the first canary: up to there teacher and
    /// clean twin are one model. Needed with `canary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canaries_after_tokens: Option<u64>,
    /// Keys put into the teacher's weights, and fingerprints that need no planting.
    #[serde(default)]
    pub probes: Vec<ProbeConfig>,
    /// How probes' items are put into the weights of the finished teacher. Needed when a probe is planted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implant: Option<ImplantConfig>,
}
