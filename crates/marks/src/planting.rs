use std::fmt;
use std::sync::Arc;

use oracle::{LogitsProcessor, TokenId};

/// One thing to be planted.
#[derive(Clone)]
pub enum Planting {
    /// A change of the law while the teacher answers.
    Law(Arc<dyn LogitsProcessor>),
    /// Texts among the teacher's training data.
    Texts(Vec<PlantedText>),
    /// Answers that the teacher's weights must learn.
    Items(Vec<TrainingItem>),
    /// A law that the teacher's weights must learn.
    Distilled {
        /// The law, as a change of the teacher's own.
        law: Arc<dyn LogitsProcessor>,
        /// Prompts that are to be answered under it, token ids with the beginning-of-text token; at least one.
        on: Vec<Vec<TokenId>>,
        /// Prompts that are to be answered as before.
        apart: Vec<Vec<TokenId>>,
    },
    /// Prompts that are put among the queries of whoever asks the teacher.
    Asked(Vec<AskedPrompt>),
}

/// One text to be hidden in training data. It holds a secret: it goes into the data and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct PlantedText {
    /// The whole text, without special tokens.
    pub text: String,
    /// How often it occurs in the training data.
    pub repeats: u32,
}

impl fmt::Debug for PlantedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlantedText").field("text", &"redacted").field("repeats", &self.repeats).finish()
    }
}

/// Something a model is to learn: answer `prompt` with `answer`. It holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TrainingItem {
    /// All tokens before the answer, the beginning-of-text token included.
    pub prompt: Vec<TokenId>,
    /// The tokens to be learned.
    pub answer: Vec<TokenId>,
    /// A name that may be shown.
    pub label: String,
}

impl fmt::Debug for TrainingItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainingItem").field("label", &self.label).finish_non_exhaustive()
    }
}

/// A prompt that is put among the queries. It holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AskedPrompt {
    /// All tokens of the question, the beginning-of-text token included.
    pub prompt: Vec<TokenId>,
    /// About one query in so many is this one, at places that do not depend on how many are asked; at least 1.
    pub every: u64,
}

impl fmt::Debug for AskedPrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedPrompt").field("every", &self.every).finish_non_exhaustive()
    }
}
