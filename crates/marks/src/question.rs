use std::sync::Arc;

use oracle::{Exchange, Law, Matrix, Query, Role, ScoreItem, TokenId};

/// Something that a model is asked.
#[derive(Clone)]
pub enum Question {
    /// The audit's prompts, answered once for all marks. Seen as exchanges.
    Audit,
    /// Answers to the mark's own queries. Seen as exchanges.
    Answers(Vec<Query>),
    /// Natural-log probabilities of given continuations. Seen as scores.
    Scores(Vec<ScoreItem>),
    /// Laws of the next token along given answers, reduced position by position as they stream. Seen as reduced laws.
    Laws {
        /// The answers along which laws are asked.
        given: Arc<Vec<Exchange>>,
        /// What is kept of each law.
        reduce: Arc<dyn Reduce>,
    },
    /// States of every token of given texts. Seen as one matrix.
    Hidden {
        /// The texts.
        texts: Vec<Vec<TokenId>>,
        /// Where in the model: 0 is what goes into the first layer, 1 what comes out of the last.
        depth: f64,
    },
    /// Weights. Seen as matrices; a weight that the model does not have is missing.
    Weights(Vec<(Role, usize)>),
    /// Texts that the owner's model wrote as it is served, whoever the suspect is: nobody is asked. Seen as exchanges.
    Marked(Marked),
}

/// Which texts of the owner's model as it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Marked {
    /// Its answers to the queries that were paid for, which the owner kept: the first `most` of those that the suspect learned from, or of all where the suspect paid for none.
    Bought {
        /// At most this many.
        most: u64,
    },
    /// Its answers to the audit's prompts, written for the test.
    Fresh,
}

impl Question {
    /// Tokens of the longest row, prompt and answer, that a model has to hold; 0 where no row is asked, or rows are whose length is not known here.
    pub fn longest_row(&self) -> usize {
        let longest = match self {
            Self::Audit | Self::Weights(_) | Self::Marked(_) => None,
            Self::Answers(queries) => queries.iter().map(|query| query.prompt.len() + query.max_new_tokens).max(),
            Self::Scores(items) => items.iter().map(|item| item.prompt.len() + item.continuation.len()).max(),
            Self::Laws { given, .. } => given.iter().map(|given| given.query.prompt.len() + given.answer.len()).max(),
            Self::Hidden { texts, .. } => texts.iter().map(Vec::len).max(),
        };
        longest.unwrap_or(0)
    }

    /// Queries put and texts scored, beside the audit's and texts of the owner's model.
    pub fn queries(&self) -> u64 {
        let queries = match self {
            Self::Audit | Self::Weights(_) | Self::Marked(_) => 0,
            Self::Answers(queries) => queries.len(),
            Self::Scores(items) => items.len(),
            Self::Laws { given, .. } => given.len(),
            Self::Hidden { texts, .. } => texts.len(),
        };
        queries as u64
    }
}

/// What is kept of a law.
pub trait Reduce: Send + Sync {
    /// Appends to `kept` what matters of the law at `position` of the answer of `given`.
    fn reduce(&self, given: &Exchange, position: usize, law: Law<'_>, kept: &mut Vec<f64>);

    /// Whether laws over the tokens that a model of another tokenizer shares with the owner's will do
    /// ([`laws_of_shared_tokens`](oracle::Oracle::laws_of_shared_tokens)); places may be missing then.
    fn of_shared_tokens(&self) -> bool {
        false
    }
}

/// The entropy of each law, nats: one value a position. A law that shows its top only counts its tail as one token more, which gives
/// a lower bound.
#[derive(Debug, Clone, Copy)]
pub struct Entropy;

impl Reduce for Entropy {
    fn reduce(&self, _given: &Exchange, _position: usize, law: Law<'_>, kept: &mut Vec<f64>) {
        let (log_probs, whole) = match law {
            Law::Whole(log_probs) => (log_probs, true),
            Law::Top { log_probs, .. } => (log_probs, false),
        };
        let term = |p: f64| if p > 0.0 { -p * libm::log(p) } else { 0.0 };
        let shown = log_probs.iter().map(|&log_prob| libm::exp(f64::from(log_prob)));
        let (mut entropy, mut mass) = (0.0, 0.0);
        for p in shown {
            entropy += term(p);
            mass += p;
        }
        kept.push(if whole { entropy } else { entropy + term((1.0 - mass).max(0.0)) });
    }
}

/// What was kept of the laws along one answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reduced {
    values: Vec<f64>,
    ends: Vec<usize>,
}

impl Reduced {
    /// From what was kept at each position, in order.
    pub fn new(positions: impl IntoIterator<Item = Vec<f64>>) -> Self {
        let mut reduced = Self::default();
        for kept in positions {
            reduced.values.extend(kept);
            reduced.ends.push(reduced.values.len());
        }
        reduced
    }

    /// What was kept at `position`; nothing beyond the last.
    pub fn at(&self, position: usize) -> &[f64] {
        let Some(&end) = self.ends.get(position) else { return &[] };
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.values[start..end]
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Everything that was kept, position after position.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

/// What came back for one [`Question`].
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Answers, in the order of the queries.
    Exchanges(Arc<Vec<Exchange>>),
    /// Log-probabilities, in the order of the items.
    Scores(Vec<f64>),
    /// Reduced laws, one for each given answer.
    Laws(Vec<Reduced>),
    /// Matrices; weights that the model does not have are `None`.
    Matrices(Vec<Option<Matrix>>),
}

impl Seen {
    /// The answers.
    pub fn exchanges(&self) -> Option<&[Exchange]> {
        if let Self::Exchanges(exchanges) = self { Some(exchanges) } else { None }
    }

    /// The scores.
    pub fn scores(&self) -> Option<&[f64]> {
        if let Self::Scores(scores) = self { Some(scores) } else { None }
    }

    /// The reduced laws.
    pub fn laws(&self) -> Option<&[Reduced]> {
        if let Self::Laws(laws) = self { Some(laws) } else { None }
    }

    /// The matrices.
    pub fn matrices(&self) -> Option<&[Option<Matrix>]> {
        if let Self::Matrices(matrices) = self { Some(matrices) } else { None }
    }
}

/// How the owner's own model is asked, where suspects are compared with it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TeacherView {
    /// As its API serves it, marks and defences included: what whoever asked it could have learned.
    #[default]
    Served,
    /// Its own law, unmarked by anything served: what is inside.
    Raw,
}

impl TeacherView {
    /// Lower-case name, as experiment files and details write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Raw => "raw",
        }
    }
}

/// Who is asked in a second round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// The suspect again.
    Suspect,
    /// The owner's own model, unmarked by anything served.
    Teacher,
    /// A model that the experiment names: `clean`, `base`, `stranger`, or an entry of `[models]`.
    Named(String),
}

impl Whom {
    /// The model that a file calls `name`: `teacher` is the owner's own, unmarked.
    pub(crate) fn called(name: &str) -> Self {
        if name == "teacher" { Self::Teacher } else { Self::Named(name.into()) }
    }
}

/// A question of a second round.
#[derive(Clone)]
pub struct FollowUp {
    /// Who is asked.
    pub whom: Whom,
    /// What.
    pub question: Question,
}
