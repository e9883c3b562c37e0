use std::fmt;

use serde::{Deserialize, Serialize};

/// Which law reported log-probabilities come from when a processor (a watermark) changes the law that is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServedLaw {
    /// The law that answers are drawn from, bias included.
    PostWatermark,
    /// The model's own law: the bias shows in the sampled tokens only.
    PreWatermark,
}

/// What an API shows of the model behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Surface {
    /// The most probable token at each step, as text.
    GreedyText,
    /// Sampled text.
    Text,
    /// Sampled text, with the log-probabilities of the `k` most probable tokens at each step.
    TopLogprobs {
        /// Number of tokens reported at each step.
        k: usize,
        /// Which law they come from.
        law: ServedLaw,
    },
    /// Sampled text, with the whole law at each step.
    Logits {
        /// Which law it is.
        law: ServedLaw,
    },
}

impl Surface {
    /// Short name, as experiment files and records write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GreedyText => "greedy_text",
            Self::Text => "text",
            Self::TopLogprobs { .. } => "top_logprobs",
            Self::Logits { .. } => "logits",
        }
    }

    /// Name with its parameters, distinct for distinct surfaces: the key of records and figures.
    pub fn label(&self) -> String {
        let law = |law: &ServedLaw| match law {
            ServedLaw::PostWatermark => "post",
            ServedLaw::PreWatermark => "pre",
        };
        match self {
            Self::GreedyText | Self::Text => self.name().to_string(),
            Self::TopLogprobs { k, law: l } => format!("top_logprobs(k={k},{})", law(l)),
            Self::Logits { law: l } => format!("logits({})", law(l)),
        }
    }

    /// The access that this surface grants to whoever queries it.
    pub fn access(&self) -> Access {
        match self {
            Self::GreedyText | Self::Text => Access::Text,
            Self::TopLogprobs { .. } => Access::Logprobs,
            Self::Logits { .. } => Access::Logits,
        }
    }
}

impl fmt::Display for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

/// What a test needs to see of a suspect, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Answers only.
    Text,
    /// Log-probabilities of chosen tokens.
    Logprobs,
    /// The whole law of the next token.
    Logits,
    /// The weights themselves.
    Weights,
}

impl Access {
    /// Lower-case name, as records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Logprobs => "logprobs",
            Self::Logits => "logits",
            Self::Weights => "weights",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_orders_by_exposure() {
        let surfaces = [
            Surface::Text,
            Surface::TopLogprobs { k: 20, law: ServedLaw::PostWatermark },
            Surface::Logits { law: ServedLaw::PostWatermark },
        ];
        for pair in surfaces.windows(2) {
            assert!(pair[0].access() < pair[1].access());
        }
    }

    #[test]
    fn labels_tell_surfaces_apart() {
        let post = Surface::TopLogprobs { k: 20, law: ServedLaw::PostWatermark };
        let pre = Surface::TopLogprobs { k: 20, law: ServedLaw::PreWatermark };
        assert_ne!(post.label(), pre.label());
    }
}
