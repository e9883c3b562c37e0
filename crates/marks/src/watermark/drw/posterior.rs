use oracle::{Codec, ConfigError, LogitsProcessor, Row, Stage, Step, TokenId};

use crate::sinusoid::{Draw, Phases, Place, released};

/// The first token of each of `labels`, each put into tokens as it stands, apart from the prompt.
///
/// # Errors
/// A [`ConfigError`] about the label (`labels[0]`): no token, a special token, or one that another label begins with.
pub(super) fn label_tokens(labels: &[String], codec: &dyn Codec) -> Result<Vec<TokenId>, ConfigError> {
    let mut tokens: Vec<TokenId> = Vec::with_capacity(labels.len());
    for (index, label) in labels.iter().enumerate() {
        let refuse = |remedy: String| Err(ConfigError::new(format!("labels[{index}]"), format!("{label:?}"), remedy));
        let Some(first) = codec.encode(label).first().copied() else {
            return refuse("the tokenizer makes no token of it; write other text".into());
        };
        if codec.special_ids().contains(&first) {
            return refuse("it begins with a special token of the tokenizer; write plain text".into());
        }
        if let Some(other) = tokens.iter().position(|token| *token == first) {
            return refuse(format!(
                "it begins with the same token as {:?}; write labels that begin with different ones",
                labels[other]
            ));
        }
        tokens.push(first);
    }
    Ok(tokens)
}

/// Probabilities of natural-log `scores`, among these alone; none where none is a probability.
pub(super) fn posterior(scores: &[f64]) -> Option<Vec<f64>> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut law: Vec<f64> = scores.iter().map(|score| libm::exp(score - largest)).collect();
    let total: f64 = law.iter().sum();
    law.iter_mut().for_each(|p| *p /= total);
    Some(law)
}

/// Number of the largest, the first of equal ones.
pub(super) fn most_probable(law: &[f64]) -> usize {
    (0..law.len()).reduce(|best, at| if law[at] > law[best] { at } else { best }).unwrap_or_default()
}

/// Moves the law of the first answer token among the labels, before temperature. What they have together stays, and so does every other
/// token, so that text surfaces are marked where an answer begins with a label.
pub(super) struct MovedPosterior {
    pub(super) name: String,
    /// The first token of each label.
    pub(super) tokens: Vec<TokenId>,
    /// Number of the target.
    pub(super) target: usize,
    pub(super) epsilon: f64,
    pub(super) frequency: f64,
    /// Share of the tokens that are marked.
    pub(super) share: f64,
    /// Whether only prompts whose most probable label is the target are marked.
    pub(super) of_target: bool,
    pub(super) place: Place,
    pub(super) phases: Phases,
}

impl LogitsProcessor for MovedPosterior {
    fn name(&self) -> String {
        self.name.clone()
    }

    /// Labels are sent by the law that is released, so it is no change of what is shown alone.
    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(token) = self.place.of(&step.query.prompt).filter(|_| step.answer().is_empty()) else { return };
        if self.share < 1.0 && self.phases.uniform(Draw::Selected, token) >= self.share {
            return;
        }
        let logit = |token: &TokenId| row.logits.get(*token as usize).copied().map_or(f64::NEG_INFINITY, f64::from);
        // a label that the surface does not have stays impossible
        let there: Vec<TokenId> = self.tokens.iter().copied().filter(|token| logit(token).is_finite()).collect();
        let Some(target) = there.iter().position(|token| *token == self.tokens[self.target]) else { return };
        let logits: Vec<f64> = there.iter().map(logit).collect();
        let Some(law) = posterior(&logits).filter(|_| there.len() > 1) else { return };
        if self.of_target && most_probable(&law) != target {
            return;
        }
        let all = logits[target] - libm::log(law[target]);
        if !all.is_finite() {
            return;
        }
        let (cosine, others) = (self.phases.cosine(self.frequency, token), 1.0 / (there.len() - 1) as f64);
        for (at, (token, p)) in there.into_iter().zip(law).enumerate() {
            let (cosine, share) = if at == target { (cosine, 1.0) } else { (-cosine, others) };
            row.logits[token as usize] = (all + libm::log(released(p, self.epsilon, cosine, share))) as f32;
        }
    }
}
