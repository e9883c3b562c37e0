//! Answers that are one of some labels: what servers call guided choice.
//!
//! All labels begin with different tokens, so the law of the first answer token, restricted to these, is the law of the label. The rest
//! of a label and the end token follow from its first token.

use oracle::{Codec, ConfigError, LogitsProcessor, Row, Stage, Step, Surface, TokenId};

/// The labels of a surface in tokens; as a processor, the restriction of laws to them.
///
/// It acts before temperature and has to be the first processor. So whatever else changes the law, at whichever stage, sees the labels
/// alone; what only adds to logits could as well come before it.
#[derive(Debug)]
pub struct Choice {
    /// By label: the whole answer, the end token included if there is one.
    answers: Vec<Vec<TokenId>>,
    /// Whether answers end with an end token.
    ends: bool,
}

impl Choice {
    /// The labels of `surface` in the tokens of `codec`; `None` for a surface without labels.
    ///
    /// # Errors
    /// Key (within the surface), value and what to write: as [`Surface::validate`]; a label that is no token, one that holds a special
    /// token, two that begin with the same token.
    pub fn of(surface: &Surface, codec: &dyn Codec) -> Result<Option<Self>, ConfigError> {
        let Surface::Label { labels, .. } = surface else { return Ok(None) };
        surface.validate()?;
        let mut answers: Vec<Vec<TokenId>> = Vec::with_capacity(labels.len());
        for (index, label) in labels.iter().enumerate() {
            let refuse = |remedy: String| Err(ConfigError::new(format!("label.labels[{index}]"), format!("{label:?}"), remedy));
            let mut answer = codec.encode(label);
            let Some(&first) = answer.first() else {
                return refuse("the tokenizer makes no token of it; write other text".into());
            };
            if answer.iter().any(|token| codec.special_ids().contains(token)) {
                return refuse("it holds a special token of the tokenizer; write plain text".into());
            }
            if let Some(other) = answers.iter().position(|answer| answer[0] == first) {
                let begin = codec.decode(&[first]);
                return refuse(format!(
                    "it begins with the same token as {:?}, {begin:?}; write labels that begin with different ones",
                    labels[other]
                ));
            }
            answer.extend(codec.eos());
            answers.push(answer);
        }
        Ok(Some(Self { answers, ends: codec.eos().is_some() }))
    }

    /// Tokens of the longest answer, the end token included.
    pub fn longest(&self) -> usize {
        self.answers.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether answers end with an end token.
    pub fn ends(&self) -> bool {
        self.ends
    }

    /// The whole answer of each label.
    pub fn answers(&self) -> &[Vec<TokenId>] {
        &self.answers
    }

    /// The answer that begins with `first`.
    pub fn beginning_with(&self, first: TokenId) -> Option<&[TokenId]> {
        self.answers.iter().map(Vec::as_slice).find(|answer| answer.first() == Some(&first))
    }

    /// Whether some answer is `tokens`, or begins with them.
    pub fn allows(&self, tokens: &[TokenId]) -> bool {
        self.answers.iter().any(|answer| answer.starts_with(tokens))
    }
}

impl LogitsProcessor for Choice {
    fn name(&self) -> String {
        format!("one of the answers {:?}", self.answers)
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    /// Leaves the tokens that continue a label. One that is the only one is certain, whatever the model says.
    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let next = |answer: &Vec<TokenId>| answer.strip_prefix(step.answer()).and_then(<[TokenId]>::first).copied();
        let next: Vec<TokenId> = self.answers.iter().filter_map(next).collect();
        let kept: Vec<f32> = match next[..] {
            [_] => vec![0.0],
            _ => next.iter().map(|&token| row.logits[token as usize]).collect(),
        };
        row.logits.fill(f32::NEG_INFINITY);
        for (token, logit) in next.into_iter().zip(kept) {
            row.logits[token as usize] = logit;
        }
    }
}

#[cfg(test)]
mod tests;
