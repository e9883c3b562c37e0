use super::error::SpecError;
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

impl GrammarSpec {
    /// The same language without the kinds of document called `left_out`; the others keep their weights.
    ///
    /// # Errors
    /// When there is no such kind, one is named twice, or none is left. The key is the name's place in `left_out`.
    pub fn without(&self, left_out: &[String]) -> Result<Self, SpecError> {
        let names = || self.kinds.iter().map(|kind| kind.name.as_str()).collect::<Vec<_>>().join(", ");
        for (at, name) in left_out.iter().enumerate() {
            if !self.kinds.iter().any(|kind| kind.name == *name) {
                return Err(SpecError::new(
                    format!("[{at}]"),
                    name,
                    format!("no kind of text is called so; there are {}", names()),
                ));
            }
            if left_out[..at].contains(name) {
                return Err(SpecError::new(format!("[{at}]"), name, "named twice; drop one of them"));
            }
        }
        let kinds: Vec<KindSpec> = self.kinds.iter().filter(|kind| !left_out.contains(&kind.name)).cloned().collect();
        if kinds.is_empty() {
            return Err(SpecError::new("", "every kind of text", "keep at least one"));
        }
        Ok(Self { kinds, ..self.clone() })
    }
}
