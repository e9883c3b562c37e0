//! Distortion-free watermark from a fixed sequence of keys. Kuditipudi, Thickstun, Hashimoto and Liang, *Robust Distortion-free Watermarks
//! for Language Models*, TMLR 2024 (arXiv 2307.15593). Methods a4.
//!
//! The token at place t of an answer is drawn by row (shift + t) mod n of the key, whatever stands before it, so that tokens that are
//! changed spoil no others. Under EXP a row holds a uniform number u for every token, and the token with the largest ln q - ln(-ln u) is
//! drawn; under ITS it holds one number, and the token is drawn in whose part of the law, in a keyed order of the vocabulary, it lies.
//! Every query gets a shift of its own, one of a few.
//!
//! A suspect's answers are laid along the rows at the best start, with a few edits if so configured, by the scores -ln(1 - u) (EXP) or
//! -|rank / V - u| (ITS) of its tokens. The total over answers has no known law; keys are drawn alike, so its rank among one bank of decoy
//! keys, which all answers and all true keys share, is exact: (1 + reached) / (1 + drawn). Rows are drawn by counter, not as a table, so
//! that decoys cost what the answers hold. There is no value for a context, so no keyed score test.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use oracle::{Access, ConfigError, Exchange, TokenId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::case::exchanges;
use crate::keyed::alignment::Alignment;
use crate::keyed::{Dedup, Rules, ranked};
use crate::{
    AnyKey, Bed, Case, Chance, Claim, Decoys, Detected, Detection, Detector, Family, Finding, Judged, Key, Mark, MarkConfig,
    MarkError, MarkInfo, Metric, Needs, Owner, Phase, Planting, Question, identity,
};

mod rows;

pub use rows::KthDraw;
use rows::{Rows, Sampler};

const KIND: &str = "kth";

/// Most rows of a key.
const MOST_ROWS: u32 = 4096;

/// Most edits.
const MOST_EDITS: usize = 16;

/// Decoy keys that single answers are ranked among, beside the test.
const SINGLE: u64 = 99;

/// At which rows an answer may begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Starts {
    /// At any, as the authors search: right for parts of answers too.
    #[default]
    All,
    /// At those that queries get: fewer to search, for whole answers.
    Shifts,
}

impl Starts {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Parameters of the KTH watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KthConfig {
    /// How a row draws a token.
    pub draw: KthDraw,
    /// Rows of the key, 1 to 4096.
    pub rows: u32,
    /// Rows at which an answer may begin to be drawn, evenly apart, 1 to `rows`: a student learns few more easily.
    pub shifts: u32,
    /// Most tokens or rows that an alignment leaves out, one taken off the other, 0 to 16.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub edits: usize,
    /// What each of them costs.
    #[serde(default, skip_serializing_if = "is_free")]
    pub gap: f64,
    /// At which rows a suspect's answer may begin.
    #[serde(default, skip_serializing_if = "Starts::is_default")]
    pub starts: Starts,
}

fn is_zero(edits: &usize) -> bool {
    *edits == 0
}

fn is_free(gap: &f64) -> bool {
    *gap == 0.0
}

impl MarkConfig for KthConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: Access::Text,
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark kth",
            source: "Kuditipudi et al., Robust Distortion-free Watermarks for Language Models, TMLR 2024, arXiv 2307.15593",
            summary: "a fixed sequence of keys draws the tokens by their places; answers are aligned to it",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MOST_ROWS).contains(&self.rows) {
            return Err(ConfigError::new("rows", self.rows, format!("use 1 to {MOST_ROWS}, for example 256")));
        }
        if !(1..=self.rows).contains(&self.shifts) {
            return Err(ConfigError::new("shifts", self.shifts, format!("use 1 to {}, the rows, for example 1", self.rows)));
        }
        if self.edits > MOST_EDITS {
            return Err(ConfigError::new("edits", self.edits, format!("use 0 to {MOST_EDITS}, for example 2")));
        }
        if !(self.gap >= 0.0 && self.gap.is_finite()) {
            return Err(ConfigError::new("gap", self.gap, "use a finite cost from 0 on, for example 1.0"));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        let decoys = Decoys::Rank;
        Needs { phase: Phase::Service, changes_drawn_law: true, lives_in_the_draw: true, decoys, ..Needs::default() }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let rules = Rules::new(0, Dedup::Pairs, &**owner.codec);
        let rows = Rows { draw: self.draw, rows: self.rows, shifts: self.shifts, vocab: owner.codec.vocab_size() };
        let sampler = Sampler::new(identity(&self.planted(), owner.key), rows, owner.key);
        let starts = match self.starts {
            Starts::All => std::iter::once(0..self.rows as usize).collect(),
            Starts::Shifts => (0..self.shifts).map(|shift| rows.start(shift) as usize).map(|start| start..start + 1).collect(),
        };
        let alignment = Alignment { starts, edits: self.edits, gap: self.gap };
        Ok(Arc::new(Kth { key: owner.key.clone(), rules, rows, sampler: Arc::new(sampler), alignment }))
    }

    fn examples() -> Vec<Self> {
        let exp = Self { draw: KthDraw::Exp, rows: 32, shifts: 4, edits: 0, gap: 0.0, starts: Starts::All };
        vec![exp.clone(), Self { draw: KthDraw::Its, shifts: 1, edits: 1, gap: 0.5, starts: Starts::Shifts, ..exp }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("rows", "0"), ("rows", "4097"), ("shifts", "0"), ("shifts", "33"), ("edits", "17"), ("gap", "-1.0")]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { edits: 0, gap: 0.0, starts: Starts::default(), ..self.clone() }
    }

    /// Proven by rank: as far as the decoys go.
    fn bed(&self) -> Bed {
        Bed { evidence: 2.9, ..Bed::default() }
    }
}

/// Distinct answers, their scored tokens by number.
#[derive(Default)]
struct Texts {
    texts: Vec<Vec<Option<u32>>>,
    /// Distinct scored tokens.
    tokens: Vec<TokenId>,
    judged: Judged,
}

impl Texts {
    /// Of `answers`, each up to its end. The same answer again says nothing new. A token is not scored where it is special, or where it
    /// and the one before it stand so in the item's own prompt, from which they may be copied; the first, where it stands there alone.
    fn of(rules: &Rules, answers: &[Exchange]) -> Self {
        let (mut numbers, mut all) = (HashMap::new(), Self::default());
        let mut distinct: BTreeMap<&[TokenId], &[TokenId]> = BTreeMap::new();
        for item in answers {
            let end = item.answer.iter().position(|token| Some(*token) == rules.end).unwrap_or(item.answer.len());
            all.judged.texts += 1;
            all.judged.prompt_tokens += item.query.prompt.len() as u64;
            all.judged.tokens += item.answer.len() as u64;
            all.judged.ended += (item.answer.len() - end) as u64;
            match distinct.entry(&item.answer[..end]) {
                Entry::Vacant(vacant) => {
                    vacant.insert(&item.query.prompt);
                }
                Entry::Occupied(_) => all.judged.repeated += end as u64,
            }
        }
        for (answer, prompt) in distinct {
            let pairs: HashSet<&[TokenId]> = prompt.windows(2).collect();
            let copied = |at: usize| match at {
                0 => prompt.contains(&answer[0]),
                _ => pairs.contains(&answer[at - 1..=at]),
            };
            let mut text = Vec::with_capacity(answer.len());
            for (at, token) in answer.iter().enumerate() {
                let why_not = match (rules.is_text(*token), copied(at)) {
                    (true, false) => None,
                    (true, true) => Some(&mut all.judged.in_prompt),
                    (false, _) => Some(&mut all.judged.special),
                };
                if let Some(left_out) = why_not {
                    *left_out += 1;
                    text.push(None);
                    continue;
                }
                all.judged.units += 1;
                text.push(Some(*numbers.entry(*token).or_insert_with(|| {
                    all.tokens.push(*token);
                    all.tokens.len() as u32 - 1
                })));
            }
            if text.iter().any(Option::is_some) {
                all.texts.push(text);
            }
        }
        all
    }
}

struct Kth {
    key: Key,
    rules: Rules,
    rows: Rows,
    sampler: Arc<Sampler>,
    alignment: Alignment,
}

impl Kth {
    /// The best total of each text under `key`.
    fn totals(&self, key: &Key, texts: &Texts) -> Vec<f64> {
        if texts.texts.is_empty() {
            return Vec::new();
        }
        let table = self.rows.table(&self.rows.under(key), &texts.tokens);
        texts.texts.iter().map(|text| self.alignment.best(text, &table)).collect()
    }

    /// The rank of the total over `texts` under each of `keys`. Totals of each text under some keys are `known`.
    fn ranks(&self, texts: &Texts, keys: &[Key], chance: Chance, known: &[(Key, Vec<f64>)]) -> Result<Vec<Finding>, MarkError> {
        let sum = |totals: &[f64]| totals.iter().fold(0.0, |sum, total| sum + total);
        let total = |key: &Key| {
            let known = known.iter().find(|(known, _)| known == key);
            known.map_or_else(|| sum(&self.totals(key, texts)), |(_, totals)| sum(totals))
        };
        let mut found = ranked(KIND, keys, texts.judged.units, chance, &total)?;
        for found in &mut found {
            found.effect_unit = "alignment score per token above decoy keys".into();
            found.detail = format!("{} over {} answers", found.detail, texts.texts.len());
        }
        Ok(found)
    }

    /// What is found in `answers` alone.
    fn detected(&self, answers: &[Exchange], chance: Chance) -> Result<Detected, MarkError> {
        let texts = Texts::of(&self.rules, answers);
        let finding = self.ranks(&texts, std::slice::from_ref(&self.key), chance, &[])?.remove(0);
        Ok(Detected { finding, judged: texts.judged })
    }
}

impl Mark for Kth {
    fn planting(&self) -> Vec<Planting> {
        vec![Planting::Law(self.sampler.clone())]
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![Question::Audit]
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        self.judge_under(case, std::slice::from_ref(&self.key))
    }

    fn any_key(&self) -> Option<&dyn AnyKey> {
        Some(self)
    }

    fn detector(&self) -> Option<&dyn Detector> {
        Some(self)
    }
}

impl Detector for Kth {
    fn detect(&self, texts: &[Exchange], chance: Chance) -> Result<Vec<Detection>, MarkError> {
        let each =
            texts.par_iter().map(|text| self.detected(std::slice::from_ref(text), chance)).collect::<Result<Vec<_>, _>>()?;
        let pooled = self.detected(texts, chance)?;
        Ok(vec![Detection { account: None, texts: (0..texts.len()).collect(), each, pooled }])
    }
}

impl AnyKey for Kth {
    /// Rank of the total over all answers. Beside it the authors' p of a single answer, its rank among 99 of the decoys, at the median.
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let texts = Texts::of(&self.rules, exchanges(KIND, case.suspect, 0)?);
        let single = (0..SINGLE).into_par_iter().map(|index| {
            let key = Key::decoy(case.chance.decoy_seed, index);
            let totals = self.totals(&key, &texts);
            (key, totals)
        });
        let bank: Vec<(Key, Vec<f64>)> = single.collect();
        let mut found = self.ranks(&texts, keys, case.chance, &bank)?;
        for (found, key) in found.iter_mut().zip(keys) {
            let single = |(at, own): (usize, f64)| {
                let reached = bank.iter().filter(|(_, decoy)| decoy[at] >= own).count() as u64;
                stats::monte_carlo::log10_p(reached, SINGLE)
            };
            let mut p: Vec<f64> = self.totals(key, &texts).into_iter().enumerate().map(single).collect();
            p.sort_by(f64::total_cmp);
            let median = p.get(p.len() / 2).copied().unwrap_or(0.0);
            found.metrics.push(Metric::new("median_answer_log10_p", median, "log10 p"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
