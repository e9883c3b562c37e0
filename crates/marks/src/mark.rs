use std::fmt::Debug;
use std::sync::Arc;

use crate::{
    AuthorsScore, Case, ContextCounts, Decoys, Detector, Finding, FollowUp, Key, MarkError, MarkInfo, Owner, Planting, Question,
    Readable, Seen, TeacherView, Whom,
};
use oracle::{ConfigError, Query, TokenId};

/// A mark under one key: what is planted, what is asked, and how the answers are judged. It never asks, trains or serves.
pub trait Mark: Send + Sync {
    /// What is to be planted; empty for a fingerprint that every model has.
    fn planting(&self) -> Vec<Planting>;

    /// What every model is asked, the same of all. `stream` seeds what is drawn: answers that are compared with each other come
    /// from different streams.
    fn questions(&self, stream: u64) -> Vec<Question>;

    /// A second round that depends on the suspect's answers to the first: other models' laws on those answers, for example.
    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        let _ = first;
        Vec::new()
    }

    /// The contexts of the suspect's answers to the first round whose frequency in the clean twin's answers the mark wants to know
    /// ([`Case::contexts`]), none counted yet; `None` where it wants none. Never of the served answers: their own counts know the key.
    fn contexts(&self, first: &[Seen]) -> Option<ContextCounts> {
        let _ = first;
        None
    }

    /// Judges what came back: one finding, or one for each account where keys differ by account. A pure function; it may use
    /// the threads of the pool it is called in.
    ///
    /// # Errors
    /// [`MarkError::Unmeasurable`] when answers are missing, are not numbers, or there is nobody to compare with.
    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError>;

    /// What published detectors of this mark say of `texts` (token ids) under its key, for comparison; none where nobody published one.
    /// [`Authors::judge`](crate::Authors::judge) says what a text is.
    ///
    /// # Errors
    /// [`MarkError::Unmeasurable`] where a published detector is known to find nothing, or cannot be computed here.
    fn authors(&self, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let _ = texts;
        Ok(Vec::new())
    }

    /// The same mark for whoever holds many keys; `None` where what it asks makes each key a mark of its own.
    fn any_key(&self) -> Option<&dyn AnyKey> {
        None
    }

    /// The watermark that it is, or that it reads, for another mark; `None` where units have no score of their own.
    fn readable(&self) -> Option<Readable> {
        None
    }

    /// Which answers are served with the mark; `None` where all are.
    fn served_share(&self) -> Option<&dyn ServedShare> {
        None
    }

    /// The same mark for whoever has texts and no model; `None` where it does not show in texts alone.
    fn detector(&self) -> Option<&dyn Detector> {
        None
    }
}

/// Which answers are served with a mark that is not in all of them.
pub trait ServedShare {
    /// Whether the answer to `query` is one of them. No answer enters.
    fn is_marked(&self, query: &Query) -> bool;
}

/// A mark that asks the same under every key, so that one set of answers is judged under many.
pub trait AnyKey {
    /// What each of `keys` finds, one key after the other: one finding each, or one for each account. Decoys are tried once; the first
    /// finding lists them.
    ///
    /// # Errors
    /// As [`Mark::judge`].
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError>;
}

/// When a mark is planted, which is also when it is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// In the training data, before any model is there.
    Data,
    /// In the weights of the trained teacher.
    Weights,
    /// In the answers of the finished teacher.
    Service,
    /// Nothing is planted.
    #[default]
    Nothing,
}

/// What a configured mark needs before and while it is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// When it is planted.
    pub phase: Phase,
    /// Whether it changes the law that answers are drawn from. Two marks that do must say that they stack.
    pub changes_drawn_law: bool,
    /// Whether it lives in how tokens are drawn, so that answers without a draw (greedy ones) hold nothing of it.
    pub lives_in_the_draw: bool,
    /// Whether its law is distilled into the teacher's weights.
    pub distilled_law: bool,
    /// Whether prompts of its own are put among the queries of whoever asks the teacher.
    pub waits_for_prompts: bool,
    /// Distinct neutral prompts that it asks: openings of texts that no query opens with.
    pub neutral_prompts: u64,
    /// Tokens of the longest row, prompt and answer, that it asks a model to hold, as far as its parameters tell.
    pub longest_row: usize,
    /// Copies of texts that it puts into the training data.
    pub planted_copies: u64,
    /// Whether it is built from the teacher's laws, and so only once the teacher is trained.
    pub teacher: bool,
    /// The named model that writes its texts, if one does.
    pub author: Option<String>,
    /// Name of the mark of the same experiment that it reads, where it plants nothing itself. That one changes the drawn law under one key.
    pub reads: Option<String>,
    /// Whether it wants the answers of the served teacher that were paid for.
    pub bought: bool,
    /// Whether it must know the teacher's training texts in their order.
    pub training_order: bool,
    /// Whom its second round asks, the suspect left out.
    pub second_round: Vec<Whom>,
    /// Whether it asks how often contexts occur in the clean twin's answers to the queries that were paid for.
    pub contexts: bool,
    /// How the teacher is asked that its suspects are compared with, where they are.
    pub compared_with: TeacherView,
    /// Accounts that have keys of their own; 0 when all share one.
    pub accounts: u32,
    /// Whether its key is one that a server already has, whatever the owner's secret says.
    pub served_key: bool,
    /// What decoy keys are for in its test.
    pub decoys: Decoys,
    /// Words that may be paths of files; the content of those that are decides what the mark does.
    pub files: Vec<String>,
}

/// A mark's configuration, which builds it.
pub trait MarkConfig: Debug + Send + Sync {
    /// What the mark is.
    fn info(&self) -> MarkInfo;

    /// What it needs.
    fn needs(&self) -> Needs;

    /// Refuses values that cannot be; keys are relative to the mark's own table.
    ///
    /// # Errors
    /// A [`ConfigError`] naming key, value and what to write.
    fn validate(&self) -> Result<(), ConfigError>;

    /// The mark in `owner`'s hands.
    ///
    /// # Errors
    /// [`MarkError::Config`] when it does not fit the vocabulary or the prompts (keys relative to the mark's own table),
    /// [`MarkError::Oracle`] when a model that it asks does not answer.
    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError>;

    /// Configurations that work on toy models, one for each way in which the mark can behave.
    fn examples() -> Vec<Self>
    where
        Self: Sized;

    /// (key, value as JSON) that [`validate`](Self::validate) must refuse in the first example.
    fn refused() -> Vec<(&'static str, &'static str)>
    where
        Self: Sized;

    /// The same mark with little to plant and as much to measure.
    #[must_use]
    fn small(&self) -> Self
    where
        Self: Sized;

    /// The same mark with everything at its default that only says how it is judged: what names the models and answers it is in, so that
    /// they are found again whatever the test.
    #[must_use]
    fn planted(&self) -> Self
    where
        Self: Sized + Clone,
    {
        self.clone()
    }

    /// Configurations whose cost is worth knowing, each with a few words that tell it from the others: what benchmarks time.
    fn timed() -> Vec<(String, Self)>
    where
        Self: Sized,
    {
        Self::examples().into_iter().take(1).map(|example| (String::new(), example)).collect()
    }

    /// So many most probable tokens its authors draw from, 0 being all: what benchmarks time it beside.
    fn published_top_k(&self) -> usize {
        0
    }

    /// The toy models on which the tests over the registry try it.
    fn bed(&self) -> Bed {
        Bed::default()
    }
}

/// Toy models and audit for the tests over the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Bed {
    /// Token ids of the toy codec; at least 359 where the mark writes text.
    pub vocab: usize,
    /// Tokens that the next one depends on.
    pub order: usize,
    /// Logits of the toy law are uniform in 0..sharpness.
    pub sharpness: f32,
    /// Logit of the end token; minus infinity never ends an answer.
    pub end_logit: f32,
    /// Audit prompts.
    pub prompts: u64,
    /// Longest audit answer, tokens.
    pub max_new_tokens: usize,
    /// How much louder a taught sequence is than the rest, logits.
    pub taught: f32,
    /// Least evidence, -log10 p, that the marked toy model must show.
    pub evidence: f64,
}

impl Default for Bed {
    fn default() -> Self {
        let end_logit = f32::NEG_INFINITY;
        Self { vocab: 512, order: 2, sharpness: 3.0, end_logit, prompts: 100, max_new_tokens: 24, taught: 12.0, evidence: 5.0 }
    }
}
