use std::collections::HashSet;
use std::sync::Arc;

use oracle::{Codec, ConfigError, Oracle, TokenId};

use crate::{Key, Launcher, Readable};

/// What a mark is built from. What is not there yet in the phase at hand is `None`.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    /// The key of this mark.
    pub key: &'a Key,
    /// Text to token ids of the teacher.
    pub codec: &'a Arc<dyn Codec>,
    /// Distinct openings of texts, token ids with the beginning-of-text token, that no query opens with: at least as many as the
    /// mark needs, where there are so many.
    pub neutral: &'a [Vec<TokenId>],
    /// The model that writes texts for the mark, where it names one.
    pub author: Option<&'a dyn Oracle>,
    /// The trained teacher before any weights phase, unmarked by anything served; its surface shows whole laws.
    pub teacher: Option<&'a dyn Oracle>,
    /// The teacher's training texts, in their order, where the mark asks for them.
    pub training_order: Option<&'a [Vec<TokenId>]>,
    /// The mark of the same experiment that this one reads, where it names one.
    pub reads: Option<&'a Readable>,
    /// What starts outside programs for marks that are defined by one.
    pub launcher: Option<&'a dyn Launcher>,
}

impl<'a> Owner<'a> {
    /// An owner with a key and a codec, and nothing else.
    pub fn new(key: &'a Key, codec: &'a Arc<dyn Codec>) -> Self {
        Self { key, codec, neutral: &[], author: None, teacher: None, training_order: None, reads: None, launcher: None }
    }

    /// The first `count` distinct neutral prompts: one asked twice is one observation (methods 0.1).
    ///
    /// # Errors
    /// When there are fewer; `key` is where `count` was configured.
    pub(crate) fn distinct_neutral(&self, key: &str, count: usize) -> Result<Vec<Vec<TokenId>>, ConfigError> {
        let mut seen = HashSet::new();
        let distinct: Vec<_> = self.neutral.iter().filter(|prompt| seen.insert(*prompt)).take(count).cloned().collect();
        if distinct.len() < count {
            let remedy = format!("use at most {}, the distinct neutral prompts there are, or supply more", distinct.len());
            return Err(ConfigError::new(key, count, remedy));
        }
        Ok(distinct)
    }
}
