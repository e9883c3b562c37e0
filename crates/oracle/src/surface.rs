use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ConfigError;

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
    /// One of given labels, the most probable, and nothing else: what servers call guided choice.
    Label {
        /// What may be answered, two or more. Each is put into tokens as it stands, apart from the prompt (many tokenizers want
        /// `" yes"` behind a word), and all begin with different tokens.
        labels: Vec<String>,
        /// Whether the probability of every label is shown beside it, as it is served.
        posterior: bool,
    },
}

/// How the answers of a surface are made: surfaces that draw alike give the same answers and differ in what they show beside them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Drawing {
    /// As the query says.
    Sampled,
    /// The most probable token at each step.
    Greedy,
    /// The most probable of these labels.
    Label(Vec<String>),
}

impl Surface {
    /// Short name, as experiment files and records write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GreedyText => "greedy_text",
            Self::Text => "text",
            Self::TopLogprobs { .. } => "top_logprobs",
            Self::Logits { .. } => "logits",
            Self::Label { .. } => "label",
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
            Self::Label { labels, posterior } => {
                let labels: Vec<String> = labels.iter().map(|label| escaped(label)).collect();
                format!("label({}{})", labels.join("|"), if *posterior { ",posterior" } else { "" })
            }
        }
    }

    /// The access that this surface grants to whoever queries it.
    pub fn access(&self) -> Access {
        match self {
            Self::GreedyText | Self::Text | Self::Label { posterior: false, .. } => Access::Text,
            Self::TopLogprobs { .. } | Self::Label { posterior: true, .. } => Access::Logprobs,
            Self::Logits { .. } => Access::Logits,
        }
    }

    /// How its answers are made.
    pub fn drawing(&self) -> Drawing {
        match self {
            Self::Text | Self::TopLogprobs { .. } | Self::Logits { .. } => Drawing::Sampled,
            Self::GreedyText => Drawing::Greedy,
            Self::Label { labels, .. } => Drawing::Label(labels.clone()),
        }
    }

    /// Which law it shows; `None` where it shows answers only.
    pub fn shown_law(&self) -> Option<ServedLaw> {
        match self {
            Self::GreedyText | Self::Text | Self::Label { posterior: false, .. } => None,
            Self::TopLogprobs { law, .. } | Self::Logits { law } => Some(*law),
            Self::Label { posterior: true, .. } => Some(ServedLaw::PostWatermark),
        }
    }

    /// Number of tokens that it reports of each law; `None` where it shows whole laws, or none.
    pub fn reported_tokens(&self) -> Option<usize> {
        match self {
            Self::TopLogprobs { k, .. } => Some(*k),
            Self::Label { labels, posterior: true } => Some(labels.len()),
            Self::GreedyText | Self::Text | Self::Logits { .. } | Self::Label { posterior: false, .. } => None,
        }
    }

    /// Checks the labels, as far as no tokenizer is needed for it.
    ///
    /// # Errors
    /// The key, its value and what to write: fewer than two labels, an empty one, one that is given twice.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self::Label { labels, .. } = self else { return Ok(()) };
        if labels.len() < 2 {
            return Err(ConfigError::new("label.labels", format!("{labels:?}"), "give two labels or more"));
        }
        for (index, label) in labels.iter().enumerate() {
            let refuse = |remedy: String| Err(ConfigError::new(format!("label.labels[{index}]"), format!("{label:?}"), remedy));
            if label.is_empty() {
                return refuse("write some text".into());
            }
            if let Some(before) = labels[..index].iter().position(|other| other == label) {
                return refuse(format!("labels[{before}] is the same; drop one of them"));
            }
        }
        Ok(())
    }
}

/// A label within the name of a surface, which stays one line and has `|` and `,` for itself.
fn escaped(label: &str) -> String {
    let mut text = String::new();
    for c in label.chars() {
        match c {
            '\\' | '|' | ',' => text.extend(['\\', c]),
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text
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

    fn of(labels: &[&str], posterior: bool) -> Surface {
        Surface::Label { labels: labels.iter().map(ToString::to_string).collect(), posterior }
    }

    #[test]
    fn labels_show_their_posterior_or_nothing_but_themselves() {
        let (plain, posterior) = (of(&["yes", "no"], false), of(&["yes", "no"], true));
        assert_eq!((plain.access(), posterior.access()), (Access::Text, Access::Logprobs));
        assert_eq!((plain.shown_law(), posterior.shown_law()), (None, Some(ServedLaw::PostWatermark)));
        assert_eq!((plain.reported_tokens(), posterior.reported_tokens()), (None, Some(2)));
        assert_eq!((plain.name(), plain.label()), ("label", "label(yes|no)".into()));
        assert_eq!(posterior.label(), "label(yes|no,posterior)");
        let draws = Drawing::Label(vec!["yes".into(), "no".into()]);
        assert_eq!((plain.drawing(), posterior.drawing()), (draws.clone(), draws));
        let law = ServedLaw::PreWatermark;
        for surface in [Surface::Text, Surface::TopLogprobs { k: 3, law }, Surface::Logits { law }] {
            assert_eq!(surface.drawing(), Drawing::Sampled);
        }
        assert_eq!(Surface::GreedyText.drawing(), Drawing::Greedy);
    }

    #[test]
    fn other_labels_have_another_name() {
        let lists: [&[&str]; 8] = [
            &["a|b", "c"],
            &["a", "b|c"],
            &["a", "b", "c"],
            &["a", "c,posterior"],
            &["a", "c"],
            &["a\\", "c"],
            &["a\\|c", "d"],
            &["a\n", "c"],
        ];
        let names: Vec<String> = lists.iter().flat_map(|list| [false, true].map(|p| of(list, p).label())).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name) && !name.contains('\n'), "{name}");
        }
    }

    #[test]
    fn labels_that_cannot_be_are_named() {
        let refused = |labels: &[&str]| of(labels, true).validate().unwrap_err().to_string();
        assert_eq!(refused(&["yes"]), "`label.labels` is [\"yes\"]: give two labels or more");
        assert_eq!(refused(&["yes", ""]), "`label.labels[1]` is \"\": write some text");
        assert_eq!(refused(&["a", "b", "a"]), "`label.labels[2]` is \"a\": labels[0] is the same; drop one of them");
        assert_eq!(of(&["yes", "no"], false).validate(), Ok(()));
        assert_eq!(Surface::Text.validate(), Ok(()));
    }
}
