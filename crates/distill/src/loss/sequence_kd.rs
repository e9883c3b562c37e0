use kernels::rowloss::cross_entropy;
use oracle::{Access, TokenId};
use serde::{Deserialize, Serialize};

use super::{Loss, Shown};

/// Sequence-level distillation: cross-entropy on the tokens the teacher sent (Kim and Rush 2016, section 3.2; TRL `seq_kd`).
///
/// On a `label` surface the answer is the most probable label and nothing else is shown, so this is label-only extraction (Tramer et al. 2016,
/// section 6): cross-entropy, over the whole vocabulary, with the label's tokens and the end token. The student is not told what the other
/// labels are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequenceKd {
    /// Learn the prompt's tokens too; otherwise the answer's only.
    #[serde(default)]
    pub learn_prompts: bool,
}

impl Loss for SequenceKd {
    fn name(&self) -> &'static str {
        "sequence_kd"
    }

    fn needs(&self) -> Access {
        Access::Text
    }

    fn source(&self) -> &'static str {
        "Kim and Rush 2016, Sequence-Level Knowledge Distillation, section 3.2"
    }

    fn learns_prompts(&self) -> bool {
        self.learn_prompts
    }

    fn row(&self, token: TokenId, _shown: Shown<'_>, logits: &mut [f32]) -> f64 {
        cross_entropy(logits, token, 1.0)
    }

    fn examples() -> Vec<Self> {
        vec![Self { learn_prompts: false }, Self { learn_prompts: true }]
    }
}
