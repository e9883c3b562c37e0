//! A spec with every name looked up and every promise checked: what drawing walks over.

use super::pattern::Sign;
use crate::TaskKind;
use std::collections::HashMap;

/// Index into [`Plan::words`].
pub(super) type WordId = usize;
/// Index into [`Plan::variables`].
pub(super) type VariableId = usize;

/// Everything a document is drawn from.
#[derive(Debug)]
pub(super) struct Plan {
    pub opening_words: usize,
    pub refusal: String,
    /// Every word of the spec, once.
    pub words: Vec<String>,
    /// Word lists, unions included.
    pub lists: Vec<Vec<WordId>>,
    /// By table and word: the words that go with it.
    pub related: Vec<HashMap<WordId, Vec<WordId>>>,
    /// Words that a document remembers.
    pub variables: Vec<Variable>,
    pub phrases: Vec<Vec<Vec<Step>>>,
    pub kinds: Vec<KindPlan>,
}

/// One kind of document: parts of alternatives of steps.
#[derive(Debug)]
pub(super) struct KindPlan {
    pub weight: u64,
    pub task: Option<TaskKind>,
    pub parts: Vec<Vec<Vec<Step>>>,
}

/// Where a word comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    List(usize),
    Related { of: VariableId, table: usize },
}

/// A numbered word of a document: `{name#1}`. Those with one source are all different.
#[derive(Debug)]
pub(super) struct Variable {
    pub source: Source,
}

/// One thing to write.
#[derive(Debug)]
pub(super) enum Step {
    Text(String),
    Fresh(Source),
    Bound(VariableId),
    Phrase(usize),
    Sum(Vec<(Sign, VariableId)>),
    AnswerStart,
    AnswerEnd,
}

impl Plan {
    /// Whether any kind of document holds this kind of task.
    pub(super) fn has_task(&self, task: TaskKind) -> bool {
        self.kinds.iter().any(|kind| kind.task == Some(task))
    }

    /// Shortest list that `source` can stand for.
    pub(super) fn shortest(&self, source: Source) -> usize {
        match source {
            Source::List(list) => self.lists[list].len(),
            Source::Related { table, .. } => {
                let reachable = self.reachable(source);
                debug_assert!(!reachable.is_empty(), "table {table} was checked to cover its words");
                reachable.into_iter().map(<[WordId]>::len).min().unwrap_or(0)
            }
        }
    }

    /// Every list that `source` can stand for.
    fn reachable(&self, source: Source) -> Vec<&[WordId]> {
        match source {
            Source::List(list) => vec![&self.lists[list]],
            Source::Related { of, table } => {
                let origins = self.reachable(self.variables[of].source);
                origins.into_iter().flatten().filter_map(|word| self.related[table].get(word)).map(Vec::as_slice).collect()
            }
        }
    }
}
