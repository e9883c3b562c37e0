//! Keyed length: half of the answers are longer than the model would make them, the other half shorter. After ReasMark (ACL 2026, methods
//! l), which keys the length of the worked part of an answer; here it is the whole answer, as models without a marked worked part have one
//! too. Whoever paraphrases the tokens leaves it alone as long as long answers stay the longer ones.
//!
//! The key tosses a fair coin for every opening of an answer, its first few tokens. A student sees the opening that it wrote itself, and
//! learns to go on long after some and to end soon after others. The prompt's first tokens would do too where prompts differ in them: in a
//! chat template, or in stories that begin alike, all prompts open with the same ones.
//!
//! Long answers do not end before `least_tokens`: until then the end token is impossible. In short ones the end token is raised by `end_bias`.
//! An answer that is cut off counts as long as it came.
//!
//! Judged by ranks (Mann and Whitney 1947). Answers are ranked by length, equal ones by the mean of their places, and w is the sum of
//! rank - mean over the answers with one opening. Under a random key S = sum of w over the openings whose coin says long is a sum of
//! independent terms, whatever lengths openings have by nature and however answers depend on each other: Chernoff's bound of that sum is
//! exact for any text (methods m2). Lugannani and Rice's approximation stands beside it as `length_log10_p`. Decoy keys, which toss other
//! coins, are a self-test.

use std::collections::BTreeMap;
use std::sync::Arc;

use oracle::{Access, ConfigError, Exchange, LogitsProcessor, Row, Stage, Step, TokenId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;
use stats::{Evidence, Interval, NullKind, NullLaw, Saddlepoint};

use crate::case::exchanges;
use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::{
    AnyKey, Bed, Case, Claim, Decoys, Family, Finding, Key, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs, Owner, Phase,
    Planting, Question, identity,
};

const KIND: &str = "reasoning_length";

/// Most tokens of an opening.
const MOST_OPENING: usize = 4;

/// Standard deviations to either side of the effect's 95 % interval.
const HALF_WIDTH: f64 = 1.959_964;

/// Parameters of keyed lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasoningLengthConfig {
    /// First tokens of an answer, 1 to 4, after which the key says long or short. One is learned soonest.
    pub opening_tokens: usize,
    /// Tokens that a long answer has at least, the end token not counted; 0 leaves long answers alone.
    pub least_tokens: usize,
    /// Added to the logit of the end token in short answers before temperature, nats, at least 0; 0 leaves short answers alone.
    pub end_bias: f64,
}

impl MarkConfig for ReasoningLengthConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: Access::Text,
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark reasoning_length",
            source: "after ReasMark, ACL 2026; the rank test is this project's",
            summary: "answers are longer after a keyed half of openings and shorter after the others",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MOST_OPENING).contains(&self.opening_tokens) {
            return Err(ConfigError::new(
                "opening_tokens",
                self.opening_tokens,
                format!("use 1 to {MOST_OPENING}, for example 1"),
            ));
        }
        if self.least_tokens > 0 && self.least_tokens <= self.opening_tokens {
            let instead = format!("use 0, or more than the {} of the opening, for example 40", self.opening_tokens);
            return Err(ConfigError::new("least_tokens", self.least_tokens, instead));
        }
        if !(self.end_bias >= 0.0 && (self.end_bias as f32).is_finite()) {
            return Err(ConfigError::new("end_bias", self.end_bias, "use a finite bias, 0 or more, for example 2.0"));
        }
        if self.least_tokens == 0 && self.end_bias == 0.0 {
            let instead = "lengthen one half by least_tokens = 40, or shorten the other by a bias above 0";
            return Err(ConfigError::new("end_bias", self.end_bias, instead));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs { phase: Phase::Service, changes_drawn_law: true, decoys: Decoys::SelfTest, ..Needs::default() }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let Some(end) = owner.codec.eos() else {
            let instead =
                "use another mark, for example kgw: this tokenizer has no end token, so no answer has a length of its own";
            return Err(ConfigError::new("opening_tokens", self.opening_tokens, instead).into());
        };
        let law = Arc::new(Lengths { name: identity(self, owner.key), coins: Coins::of(owner.key), config: self.clone(), end });
        Ok(Arc::new(ReasoningLength { key: owner.key.clone(), law }))
    }

    fn examples() -> Vec<Self> {
        let example = Self { opening_tokens: 1, least_tokens: 12, end_bias: 1.5 };
        let long = Self { end_bias: 0.0, least_tokens: 20, ..example.clone() };
        vec![example, Self { opening_tokens: 2, least_tokens: 0, end_bias: 2.0 }, long]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let opening = [("opening_tokens", "0"), ("opening_tokens", "5")];
        opening.into_iter().chain([("least_tokens", "1"), ("end_bias", "-1.0"), ("end_bias", "1e300")]).collect()
    }

    /// Nothing: where no answer ends, as in a benchmark, it does nothing, and elsewhere it touches one logit.
    fn timed() -> Vec<(String, Self)> {
        Vec::new()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    /// Answers must end.
    fn bed(&self) -> Bed {
        Bed { vocab: 64, end_logit: 3.5, ..Bed::default() }
    }
}

/// A fair coin for every opening.
struct Coins(SipHasher24);

impl Coins {
    fn of(key: &Key) -> Self {
        Self(SipHasher24::new_with_key(&key.sip_key(Purpose::Kind(KIND))))
    }

    /// Whether answers that open so are long.
    fn long(&self, opening: &[TokenId]) -> bool {
        let bytes: Vec<u8> = opening.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.0.hash(&bytes) & 1 == 1
    }
}

/// Keeps long answers from ending early, and makes short ones end early.
struct Lengths {
    name: String,
    coins: Coins,
    config: ReasoningLengthConfig,
    end: TokenId,
}

impl LogitsProcessor for Lengths {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let answer = step.answer();
        let Some(opening) = answer.get(..self.config.opening_tokens) else { return };
        let end = &mut row.logits[self.end as usize];
        if !self.coins.long(opening) {
            *end += self.config.end_bias as f32;
        } else if answer.len() < self.config.least_tokens {
            *end = f32::NEG_INFINITY;
        }
    }
}

/// Answers by their openings.
struct Ranked<'a> {
    /// Each opening, and the sum of rank - mean rank over its answers.
    weights: BTreeMap<&'a [TokenId], f64>,
    /// Opening and length in tokens of each scored answer.
    lengths: Vec<(&'a [TokenId], usize)>,
}

impl<'a> Ranked<'a> {
    /// Of the answers that have an opening of `opening_tokens` before their end.
    fn of(answers: &'a [Exchange], opening_tokens: usize, end: TokenId) -> Self {
        let length = |answer: &[TokenId]| answer.iter().position(|token| *token == end).unwrap_or(answer.len());
        let lengths: Vec<_> = answers
            .iter()
            .map(|item| (&item.answer[..], length(&item.answer)))
            .filter(|(_, length)| *length >= opening_tokens)
            .map(|(answer, length)| (&answer[..opening_tokens], length))
            .collect();
        let mut of_length: BTreeMap<usize, usize> = BTreeMap::new();
        lengths.iter().for_each(|(_, length)| *of_length.entry(*length).or_default() += 1);
        // equal lengths share the mean of their ranks
        let (mut shorter, middle) = (0, (lengths.len() + 1) as f64 / 2.0);
        let mut centred: BTreeMap<usize, f64> = BTreeMap::new();
        for (length, count) in of_length {
            centred.insert(length, (shorter as f64 + (count + 1) as f64 / 2.0) - middle);
            shorter += count;
        }
        let mut weights: BTreeMap<&[TokenId], f64> = BTreeMap::new();
        for (opening, length) in &lengths {
            *weights.entry(*opening).or_default() += centred[length];
        }
        Self { weights, lengths }
    }

    /// The law of S under a random key.
    fn law(&self) -> Saddlepoint<impl Fn(f64) -> [f64; 3]> {
        let weights: Vec<f64> = self.weights.values().copied().filter(|weight| *weight != 0.0).collect();
        Saddlepoint::new(move |lambda| {
            weights.iter().fold([0.0; 3], |sum, weight| {
                let one = cumulant::bernoulli(0.5, lambda, *weight);
                [sum[0] + one[0], sum[1] + one[1], sum[2] + one[2]]
            })
        })
    }

    /// S under the key behind `coins`.
    fn sum(&self, coins: &Coins) -> f64 {
        self.weights.iter().filter(|(opening, _)| coins.long(opening)).map(|(_, weight)| weight).sum()
    }

    /// Lengths of the answers that are long and short under the key behind `coins`.
    fn halves(&self, coins: &Coins) -> [Vec<f64>; 2] {
        let (long, short): (Vec<_>, Vec<_>) = self.lengths.iter().copied().partition(|(opening, _)| coins.long(opening));
        [long, short].map(|half| half.into_iter().map(|(_, length)| length as f64).collect())
    }
}

struct ReasoningLength {
    key: Key,
    law: Arc<Lengths>,
}

impl Mark for ReasoningLength {
    fn planting(&self) -> Vec<Planting> {
        vec![Planting::Law(self.law.clone())]
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
}

impl AnyKey for ReasoningLength {
    /// Statistic: S in standard deviations. Effect: how much likelier than 1/2 it is that of a long and a short answer the long one is longer,
    /// ties halved; its interval takes the spread of S over keys.
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let answers = exchanges(KIND, case.suspect, 0)?;
        let ranked = Ranked::of(answers, self.law.config.opening_tokens, self.law.end);
        let law = ranked.law();
        let tried = |index| {
            let s = ranked.sum(&Coins::of(&Key::decoy(case.chance.decoy_seed, index)));
            (law.z(s), law.log10_bound(s))
        };
        let decoys: (Vec<f64>, Vec<f64>) = (0..case.chance.decoys as u64).into_par_iter().map(tried).unzip();
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let coins = Coins::of(key);
            let (s, halves) = (ranked.sum(&coins), ranked.halves(&coins));
            let pairs = halves.iter().map(|half| half.len() as f64).product::<f64>().max(1.0);
            let (effect, half) = ((s - law.mean()) / pairs, HALF_WIDTH * law.sd() / pairs);
            let interval = Interval { low: effect - half, high: effect + half };
            let words = format!("Chernoff's bound of a sum of {} openings' ranks by fair coins", ranked.weights.len());
            let null = NullLaw::new(NullKind::Chernoff, words);
            let n = ranked.lengths.len() as u64;
            let evidence = Evidence::new(law.z(s), effect, interval, n, null, law.log10_bound(s))
                .and_then(|evidence| evidence.with_self_test(&decoys.0))
                .map_err(|error| MarkError::unmeasurable(KIND, error.to_string()))?;
            let mean = |half: &[f64]| half.iter().sum::<f64>() / half.len().max(1) as f64;
            let [long, short] = [&halves[0], &halves[1]].map(|half| mean(half));
            let detail =
                format!("mean length {long:.1} tokens where the key says long, {short:.1} where short, over {n} answers");
            let metrics = vec![
                Metric::new("length_log10_p", law.log10_p(s), "log10 p"),
                Metric::new("length_openings", ranked.weights.len() as f64, "1"),
                Metric::new("length_long", long, "tokens"),
                Metric::new("length_short", short, "tokens"),
            ];
            found.push(Finding { metrics, ..Finding::new(evidence, "chance that long is longer, above 1/2", detail) });
        }
        if let Some(first) = found.first_mut() {
            (first.decoy_statistics, first.decoy_log10_p) = decoys;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
