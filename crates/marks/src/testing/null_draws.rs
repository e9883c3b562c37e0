use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use oracle::{Exchange, Oracle, OracleError, Query, Sampling, Stop, TokenId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stats::NullKind;

use super::{Lab, ToyModel};
use crate::{Case, Chance, Finding, Key, Mark, MarkError, Question};

/// What kind of text that nobody marked is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NullText {
    /// What unmarked models answer.
    Plain,
    /// What unmarked models answer that go round in circles: the same few words again and again.
    Repetitive,
    /// One form filled in again and again: answers of the same words in the same order, with a few that change.
    Templated,
}

impl NullText {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Repetitive, Self::Templated];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Repetitive => "repetitive",
            Self::Templated => "templated",
        }
    }
}

/// Texts that one set of keys is tried on: a key is an independent draw given the text, and so are keys on other texts.
const TEXTS: u64 = 4;

/// Answers of a text, or of an audit, and their longest, tokens: few, so that many keys are tried, and enough for units to come back.
const AUDIT: (usize, usize) = (12, 24);

/// The same for marks that are ranks among decoys: about a hundred units, as each key is judged beside many others.
const RANKED_AUDIT: (usize, usize) = (5, 20);

/// Words of a template, and after how many of them one changes.
const TEMPLATE: (usize, usize) = (24, 6);

/// `draw` seeds permutations: tests with the same ones would share their luck.
fn chance(decoys: usize, draw: u64) -> Chance {
    Chance { decoys, decoy_seed: 40_007 + draw, draws: 199, draw_seed: 9 + draw }
}

/// Key number `index` that nobody planted.
fn key(index: u64) -> Key {
    Key::decoy(7_001, index)
}

impl Lab {
    /// Whether p of the lab's mark is a rank among decoy keys: it is never below 1 / (decoys + 1), and each draw costs as many keys.
    ///
    /// # Errors
    /// As [`Mark::judge`].
    pub fn is_ranked(&self) -> Result<bool, MarkError> {
        let first = self.build(&key(0))?;
        if !asks_audit_alone(&*first) {
            return Ok(false);
        }
        let (suspect, answers) = self.unmarked(NullText::Plain, 0, RANKED_AUDIT);
        let found = self.judge_under(&[key(0)], &suspect, answers, chance(1, 0))?;
        Ok(found.iter().any(|found| found.evidence.null.kind == NullKind::Decoys))
    }

    /// Kinds of text on which the lab's mark has draws under its null: marks that ask more than the audit (canaries, implanted keys,
    /// comparisons) see plain models only.
    ///
    /// # Errors
    /// When the mark cannot be built.
    pub fn null_texts(&self) -> Result<&'static [NullText], MarkError> {
        let all: &'static [NullText] = &NullText::ALL;
        Ok(if asks_audit_alone(&*self.build(&key(0))?) { all } else { &all[..1] })
    }

    /// log10 p of the tests number `draws` under the null of the lab's mark: a key that nobody planted, on text of the given kind; for marks
    /// without a key, models that learned nothing from each other. Draw number i is the same in whatever order and parts draws are made.
    ///
    /// Marks that are ranks ([`Lab::is_ranked`]) rank each key among `decoys` keys of its own: keys ranked among the same ones would share
    /// their luck. Other marks take no decoys.
    ///
    /// No draws of kinds that are not among [`Lab::null_texts`].
    ///
    /// # Errors
    /// As [`Mark::judge`].
    pub fn null_draws(&self, text: NullText, draws: Range<u64>, decoys: usize) -> Result<Vec<f64>, MarkError> {
        let first = self.build(&key(0))?;
        if !asks_audit_alone(&*first) {
            return match (text, first.any_key()) {
                (NullText::Plain, None) => self.unlike_models(draws),
                (NullText::Plain, Some(_)) => self.unplanted_keys(text, draws, None),
                _ => Ok(Vec::new()),
            };
        }
        let decoys = self.is_ranked()?.then_some(decoys);
        self.unplanted_keys(text, draws, decoys)
    }

    /// Keys that nobody planted, each ranked among `decoys` if there are any.
    fn unplanted_keys(&self, text: NullText, draws: Range<u64>, decoys: Option<usize>) -> Result<Vec<f64>, MarkError> {
        let first = self.build(&key(0))?;
        let audit = if decoys.is_some() { RANKED_AUDIT } else { AUDIT };
        let mut p = BTreeMap::new();
        for part in 0..TEXTS {
            let (suspect, answers) = self.unmarked(text, part, audit);
            let indices: Vec<u64> = draws.clone().filter(|index| index % TEXTS == part).collect();
            // of several findings, one for each account, the first
            let mut keep = |index: u64, found: &[Finding]| p.extend(found.first().map(|found| (index, found.evidence.log10_p)));
            if first.any_key().is_some() && decoys.is_none() {
                let keys: Vec<Key> = indices.iter().map(|index| key(*index)).collect();
                let found = self.judge_under(&keys, &suspect, answers, chance(0, 0))?;
                let each = (found.len() / keys.len().max(1)).max(1);
                indices.into_iter().zip(found.chunks(each)).for_each(|(index, found)| keep(index, found));
                continue;
            }
            // no key enters what is asked about answers
            let [seen, second] = self.asked(&*first, &suspect, answers)?;
            for index in indices {
                let chance = chance(decoys.unwrap_or_default(), index);
                let case = Case { suspect: &seen, teacher: None, references: &[], second: &second, contexts: None, chance };
                keep(index, &self.build(&key(index))?.judge(&case)?);
            }
        }
        Ok(p.into_values().collect())
    }

    /// Every draw has a teacher and a suspect of its own, or of a planted mark another key.
    fn unlike_models(&self, draws: Range<u64>) -> Result<Vec<f64>, MarkError> {
        let planted = self.entry.config()?.info().planted;
        let mut p = Vec::new();
        // suspects that come again answer the same
        let answered: RefCell<HashMap<u64, Arc<Vec<Exchange>>>> = RefCell::default();
        for draw in draws {
            let mut lab = Lab::new(&self.entry).with_teacher(if planted { 1_000 } else { 20_000 + 10 * draw });
            let (answers, longest) = AUDIT;
            lab.bed.prompts = lab.bed.prompts.min(answers as u64);
            lab.bed.max_new_tokens = lab.bed.max_new_tokens.min(longest);
            let mark = lab.build(&Key::decoy(7_001, draw))?;
            let suspect = lab.model(if planted { draw % TEXTS } else { 20_005 + 10 * draw });
            let audit = || -> Result<Arc<Vec<Exchange>>, OracleError> {
                if !planted {
                    return lab.audited(&suspect);
                }
                if let Some(known) = answered.borrow().get(&suspect.seed) {
                    return Ok(known.clone());
                }
                let audit = lab.audited(&suspect)?;
                answered.borrow_mut().insert(suspect.seed, audit.clone());
                Ok(audit)
            };
            let found = lab.judge_by(&*mark, &suspect, &audit, chance(0, draw))?;
            p.extend(found.first().map(|found| found.evidence.log10_p));
        }
        Ok(p)
    }

    /// The first `answers` queries of the audit.
    fn short(&self, (answers, longest): (usize, usize)) -> Vec<Query> {
        let short = |query: Query| Query { max_new_tokens: longest.min(query.max_new_tokens), ..query };
        self.audit().into_iter().take(answers).map(short).collect()
    }

    /// A model and what it answered, nothing of it marked.
    fn unmarked(&self, text: NullText, part: u64, audit: (usize, usize)) -> (ToyModel, Vec<Exchange>) {
        let plain = self.model(part);
        match text {
            NullText::Plain => {
                let answers = plain.answer(&self.short(audit)).unwrap_or_default();
                (plain, answers)
            }
            NullText::Repetitive => {
                // nearly certain of the next word after each word
                let model = ToyModel { order: 1, sharpness: 40.0, ..plain };
                let answers = model.answer(&self.short(audit)).unwrap_or_default();
                (model, answers)
            }
            NullText::Templated => {
                let answers = self.short(audit).into_iter().map(|query| self.filled_in(part, query)).collect();
                (plain, answers)
            }
        }
    }

    /// The template with some words changed.
    fn filled_in(&self, part: u64, query: Query) -> Exchange {
        let mut template = ChaCha8Rng::seed_from_u64(900 + part);
        let mut slots = ChaCha8Rng::seed_from_u64(901 + part);
        slots.set_stream(query.index);
        let (words, every) = TEMPLATE;
        let vocab = self.bed.vocab as TokenId;
        let one = |at: usize| {
            let word = template.random_range(3..vocab);
            // a slot takes one of eight words
            let slot = 3 + (word + slots.random_range(0..8)) % (vocab - 3);
            if at % every == every - 1 { slot } else { word }
        };
        let answer: Vec<TokenId> = (0..words.min(query.max_new_tokens)).map(one).collect();
        Exchange { query: Query { sampling: Sampling::PLAIN, ..query }, answer, stop: Stop::Length }
    }
}

fn asks_audit_alone(mark: &dyn Mark) -> bool {
    mark.questions(1).iter().all(|question| matches!(question, Question::Audit))
}
