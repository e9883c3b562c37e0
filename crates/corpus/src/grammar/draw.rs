//! One document from a plan and a random stream.

use super::pattern::Sign;
use super::plan::{KindPlan, Plan, Source, Step, VariableId, WordId};
use crate::Split;
use crate::TaskKind;
use crate::split::{below, class_of_opening, class_of_words};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// A document, where its marked answer stands (bytes), and how surprising its choices were (nats).
#[derive(Debug)]
pub(super) struct Drawn {
    pub text: String,
    pub answer: Option<Range<usize>>,
    pub choice_nats: f64,
}

impl Plan {
    /// A document of the kinds with `task` (of any kind when it is `None`; one with that task must exist), or `None` as soon
    /// as its opening turns out to belong to another split.
    pub(super) fn draw(&self, task: Option<TaskKind>, split: Split, rng: &mut ChaCha8Rng) -> Option<Drawn> {
        let (kind, choice_nats) = self.kind(task, rng);
        let drawn = Drawn { text: String::new(), answer: None, choice_nats };
        let mut writer = Writer { plan: self, rng, bound: vec![None; self.variables.len()], drawn };
        let mut undecided = true;
        for part in &kind.parts {
            let steps = writer.pick(part);
            if !steps.is_empty() && !writer.drawn.text.is_empty() {
                writer.drawn.text.push(' ');
            }
            writer.write(steps);
            if undecided && let Some(class) = class_of_opening(&writer.drawn.text, self.opening_words) {
                if !class.belongs_to(split) {
                    return None;
                }
                undecided = false;
            }
        }
        // a document may be shorter than an opening; then it is its own opening
        (!undecided || class_of_words(&writer.drawn.text).belongs_to(split)).then_some(writer.drawn)
    }

    /// A kind by weight, and minus the log of its probability.
    fn kind(&self, task: Option<TaskKind>, rng: &mut ChaCha8Rng) -> (&KindPlan, f64) {
        let wanted = |kind: &&KindPlan| task.is_none() || kind.task == task;
        let total: u64 = self.kinds.iter().filter(wanted).map(|kind| kind.weight).sum();
        let mut at = below(rng, total);
        for kind in self.kinds.iter().filter(wanted) {
            if at < kind.weight {
                return (kind, libm::log(total as f64 / kind.weight as f64));
            }
            at -= kind.weight;
        }
        unreachable!("a number below the sum of the weights falls on one of the kinds")
    }
}

/// A document being written.
struct Writer<'a> {
    plan: &'a Plan,
    rng: &'a mut ChaCha8Rng,
    bound: Vec<Option<WordId>>,
    drawn: Drawn,
}

impl<'a> Writer<'a> {
    fn pick<T>(&mut self, items: &'a [T]) -> &'a T {
        self.drawn.choice_nats += libm::log(items.len() as f64);
        &items[below(self.rng, items.len() as u64) as usize]
    }

    fn write(&mut self, steps: &'a [Step]) {
        for step in steps {
            match step {
                Step::Text(text) => self.drawn.text.push_str(text),
                Step::Fresh(source) => {
                    let words = self.words(*source);
                    let word = *self.pick(words);
                    self.drawn.text.push_str(&self.plan.words[word]);
                }
                Step::Bound(variable) => {
                    let word = self.word(*variable);
                    self.drawn.text.push_str(&self.plan.words[word]);
                }
                Step::Phrase(phrase) => {
                    let alternative = self.pick(&self.plan.phrases[*phrase]);
                    self.write(alternative);
                }
                Step::Sum(terms) => {
                    let value: i64 = terms.iter().map(|&(sign, variable)| self.signed_number(sign, variable)).sum();
                    self.drawn.text.push_str(&value.to_string());
                }
                Step::AnswerStart => self.drawn.answer = Some(self.drawn.text.len()..self.drawn.text.len()),
                Step::AnswerEnd => {
                    let end = self.drawn.text.len();
                    self.drawn.answer = self.drawn.answer.take().map(|answer| answer.start..end);
                }
            }
        }
    }

    /// The words that `source` stands for in this document.
    fn words(&mut self, source: Source) -> &'a [WordId] {
        match source {
            Source::List(list) => &self.plan.lists[list],
            Source::Related { of, table } => &self.plan.related[table][&self.word(of)],
        }
    }

    /// The word of `variable`, drawn at its first use, unlike those of the same source drawn before.
    fn word(&mut self, variable: VariableId) -> WordId {
        if let Some(word) = self.bound[variable] {
            return word;
        }
        let source = self.plan.variables[variable].source;
        let words = self.words(source);
        let of_source = self.plan.variables.iter().zip(&self.bound).filter(|(other, _)| other.source == source);
        let taken: Vec<WordId> = of_source.filter_map(|(_, word)| *word).collect();
        self.drawn.choice_nats += libm::log((words.len() - taken.len()) as f64);
        // ends because a source has at least as many words as numbers, which the spec was checked for
        let word = loop {
            let word = words[below(self.rng, words.len() as u64) as usize];
            if !taken.contains(&word) {
                break word;
            }
        };
        self.bound[variable] = Some(word);
        word
    }

    fn signed_number(&mut self, sign: Sign, variable: VariableId) -> i64 {
        let word = self.word(variable);
        let value: i64 = self.plan.words[word].parse().expect("lists under a sum were checked to be whole numbers");
        if sign == Sign::Minus { -value } else { value }
    }
}
