use super::plan::Plan;
use super::{count, plan};
use crate::TaskKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A grammar of generated text, as written in `datasets/*.toml`; the language of patterns is told there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrammarSpec {
    /// What descriptions call it.
    pub name: String,
    /// Documents of different splits differ within their first so many words (runs of letters and digits), so a prompt
    /// of at least so many words never occurs in two splits.
    pub opening_words: usize,
    /// What the answer to a forbidden instruction begins with.
    pub refusal: String,
    /// Word lists by name; each is text, its words separated by white space.
    pub lists: BTreeMap<String, String>,
    /// Lists joined from other lists, by name.
    #[serde(default)]
    pub unions: BTreeMap<String, Vec<String>>,
    /// Tables of words that go with a word, or with any word of a list: `related.tool.baker = "bread flour"`.
    #[serde(default)]
    pub related: BTreeMap<String, BTreeMap<String, String>>,
    /// Patterns to choose from wherever a slot names the phrase.
    #[serde(default)]
    pub phrases: BTreeMap<String, Vec<String>>,
    /// The kinds of document.
    pub kinds: Vec<KindSpec>,
}

/// One kind of document: one pattern out of each part, in order, joined by spaces (an empty pattern leaves its part out).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KindSpec {
    /// What error messages call it.
    pub name: String,
    /// How often this kind is drawn, relative to the sum of all weights.
    pub weight: u32,
    /// What the answer marked by `[ ]` checks; a kind with a task marks exactly one answer, one without marks none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskKind>,
    /// The patterns of each part.
    pub parts: Vec<Vec<String>>,
}

/// What is wrong with a grammar, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` = {value}: {mend}")]
pub struct SpecError {
    /// Where in the spec, as in `kinds[2].parts[0][1]`.
    pub key: String,
    /// The offending value.
    pub value: String,
    /// What to do about it.
    pub mend: String,
}

impl SpecError {
    pub(super) fn new(key: impl Into<String>, value: impl std::fmt::Display, mend: impl Into<String>) -> SpecError {
        SpecError { key: key.into(), value: value.to_string(), mend: mend.into() }
    }
}

/// Fewest openings a kind must have, as log10, for its documents to be spread over all splits.
const LOG10_OPENINGS: f64 = 3.0;

impl GrammarSpec {
    /// Checks everything that drawing relies on: lists and patterns that resolve, answers marked where a task needs them,
    /// and for each kind at least 1,000 openings to share out over the splits.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.plan().map(drop)
    }

    /// log10 of a lower bound on the number of different prompts of `words` words: the largest number of ways in which one
    /// sequence of patterns can be filled in up to there. Different fillings of one sequence differ as text, because each
    /// slot holds exactly one word at a fixed place.
    ///
    /// # Errors
    /// When the spec is not valid.
    pub fn distinct_prompts(&self, words: usize) -> Result<f64, SpecError> {
        Ok(count::log10_prompts(&self.plan()?, words))
    }

    /// The spec with every name looked up.
    pub(super) fn plan(&self) -> Result<Plan, SpecError> {
        if self.opening_words == 0 {
            return Err(SpecError::new("opening_words", 0, "ask for at least 1 word, so that splits can be told apart"));
        }
        if self.refusal.trim().is_empty() {
            return Err(SpecError::new("refusal", "empty", "write how a refusal begins"));
        }
        if self.kinds.is_empty() {
            return Err(SpecError::new("kinds", "empty", "give at least one kind of document"));
        }
        let plan = plan::resolve(self)?;
        for (at, kind) in self.kinds.iter().enumerate() {
            let openings = count::log10_openings(&plan, at);
            if openings < LOG10_OPENINGS {
                return Err(SpecError::new(
                    format!("kinds[{at}].parts"),
                    format!("about {:.0} openings of {} words", 10f64.powf(openings), self.opening_words),
                    format!("give kind `{}` more slots early on, or raise opening_words: 1000 are needed", kind.name),
                ));
            }
        }
        Ok(plan)
    }
}
