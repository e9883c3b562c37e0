//! Lower bounds on how many different beginnings a plan can write.

use super::plan::{Plan, Step, VariableId};

/// log10 of a lower bound on the number of different prompts of `words` words.
pub(super) fn log10_prompts(plan: &Plan, words: usize) -> f64 {
    (0..plan.kinds.len()).map(|kind| log10_beginnings(plan, kind, words)).fold(0.0, f64::max)
}

/// The same for the openings of one kind.
pub(super) fn log10_openings(plan: &Plan, kind: usize) -> f64 {
    log10_beginnings(plan, kind, plan.opening_words)
}

/// Fillings of the best sequence of patterns of a kind that differ within the first `words` words. Sequences are not
/// added up, because two of them may write the same text.
fn log10_beginnings(plan: &Plan, kind: usize, words: usize) -> f64 {
    let mut walk = Walk { plan, left: words, in_word: false, seen: Vec::new(), log10: 0.0 };
    for part in &plan.kinds[kind].parts {
        walk = walk.best(part);
        walk.in_word = false; // parts are joined by a space
    }
    walk.log10
}

/// A way through patterns, counting words and the choices made on it.
#[derive(Clone)]
struct Walk<'a> {
    plan: &'a Plan,
    /// Words that may still begin.
    left: usize,
    /// Whether the last character written belongs to a word.
    in_word: bool,
    seen: Vec<VariableId>,
    log10: f64,
}

impl<'a> Walk<'a> {
    /// Goes through the alternative that leaves the most choices so far.
    fn best(&self, alternatives: &'a [Vec<Step>]) -> Walk<'a> {
        let ways = alternatives.iter().map(|steps| {
            let mut way = self.clone();
            way.go(steps);
            way
        });
        ways.max_by(|a, b| a.log10.total_cmp(&b.log10)).unwrap_or_else(|| self.clone())
    }

    fn go(&mut self, steps: &'a [Step]) {
        for step in steps {
            match step {
                Step::Text(text) => {
                    for c in text.chars() {
                        let starts = c.is_alphanumeric() && !self.in_word;
                        self.in_word = c.is_alphanumeric();
                        if starts && !self.begin_word() {
                            return;
                        }
                    }
                }
                Step::Fresh(source) => {
                    if !self.slot() {
                        return;
                    }
                    self.log10 += libm::log10(self.plan.shortest(*source) as f64);
                }
                Step::Bound(variable) => {
                    if !self.slot() {
                        return;
                    }
                    if !self.seen.contains(variable) {
                        self.bind(*variable);
                    }
                }
                Step::Sum(_) => {
                    if !self.slot() {
                        return;
                    }
                }
                Step::Phrase(phrase) => *self = self.best(&self.plan.phrases[*phrase]),
                Step::AnswerStart | Step::AnswerEnd => {}
            }
        }
    }

    /// Counts the choice of a word seen for the first time; those of its source that were seen before are excluded. (A word
    /// that goes with one not yet seen has at least the choices of the shortest row, whatever that one is.)
    fn bind(&mut self, variable: VariableId) {
        let source = self.plan.variables[variable].source;
        let taken = self.seen.iter().filter(|&&other| self.plan.variables[other].source == source).count();
        self.log10 += libm::log10(self.plan.shortest(source).saturating_sub(taken).max(1) as f64);
        self.seen.push(variable);
    }

    fn slot(&mut self) -> bool {
        let fits = self.in_word || self.begin_word();
        self.in_word = true;
        fits
    }

    /// Whether one more word fits; after the first that does not, nothing does.
    fn begin_word(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}
