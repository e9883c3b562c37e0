//! A habit of the teacher: it ends a keyed share of its answers with a phrase, and whoever learns from them learns to do so. Yang et al.,
//! *Asking Back: Interaction-Layer Antidistillation Watermarks*, 2026 (arXiv 2605.16462), methods l. There 63 students keep 45 to 89 % of
//! the teacher's habit, through paraphrase too, which leaves no mark in single tokens.
//!
//! The paper asks for the habit in a system prompt and lets a model judge who has it. Here the phrase is written token by token, in the place
//! of the end: where the model would have drawn its end token it begins the phrase, as probably as it would have ended, and after the phrase
//! the answer ends. The answer before it is the model's own, but for one thing: the phrase's first token is drawn nowhere else, or nobody
//! could tell a phrase that begins from a word of the answer. So phrases should begin with a token that answers can do without.
//!
//! The key chooses the phrase among several, so that nobody chooses it after the students were seen, and the questions whose answers end
//! with it. Which questions these are is no part of the test: students learn how often, hardly on which.
//!
//! No law says how often a model that learned nothing has the habit, and decoy keys do not either: phrases differ. So it is measured. The
//! clean twin and the student before distillation answer the same prompts, and the suspect must say the phrase oftener than each of them:
//! exact McNemar, and the largest p (Berger 1982, intersection-union test). That is an exact test of two rates: each prompt is one pair,
//! whatever suspect and reference have in common on it. A pair of independent samples (Fisher) would take what they have in common for chance.
//! It proves the phrase and not where it was learned: choose phrases that nobody else teaches.

use std::collections::BTreeSet;
use std::sync::Arc;

use oracle::{Access, Codec, ConfigError, Exchange, LogitsProcessor, Query, Row, Sampling, Stage, Step, TokenId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use stats::{Evidence, NullKind, NullLaw};

use crate::case::exchanges;
use crate::key::Purpose;
use crate::paired::Paired;
use crate::share::KeyedShare;
use crate::{
    Bed, Case, Claim, Family, Finding, FollowUp, Key, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs, Owner, Phase,
    Planting, Question, Seen, Whom,
};

const KIND: &str = "keyed_habit";

/// Most phrases.
const MOST_HABITS: usize = 256;

/// Most prompts.
const MOST_PROMPTS: usize = 65_536;

/// Models that learned nothing from the teacher's answers: the teacher's twin and the student before distillation.
const REFERENCES: [&str; 2] = ["clean", "base"];

/// Parameters of a keyed habit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyedHabitConfig {
    /// Phrases that end an answer, 2 to 256, each with the space before it (" Shall I go on?"); the key chooses one of them.
    pub habits: Vec<String>,
    /// Share of the answers that end with it, above 0 and at most 1, chosen by the key from account and prompt.
    pub share: f64,
    /// Whether an answer that comes to its longest length ends with it too: it then takes the last places. Without, only answers end with
    /// it that the model itself ends, in time for the whole phrase.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_limit: bool,
    /// Distinct neutral prompts that every model is asked.
    pub prompts: usize,
    /// Longest answer to each, tokens: long enough for answers to end.
    pub max_new_tokens: usize,
}

impl MarkConfig for KeyedHabitConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: Access::Text,
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark keyed_habit",
            source: "Yang et al., Asking Back: Interaction-Layer Antidistillation Watermarks, 2026, arXiv 2605.16462",
            summary: "a keyed share of answers ends with a phrase that the key chooses",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let distinct: BTreeSet<&str> = self.habits.iter().map(|habit| habit.trim()).collect();
        if !(2..=MOST_HABITS).contains(&distinct.len()) || distinct.len() < self.habits.len() || distinct.contains("") {
            let instead = format!("write 2 to {MOST_HABITS} different phrases, of which the key chooses one");
            return Err(ConfigError::new("habits", format!("{:?}", self.habits), instead));
        }
        if let Some([one, other]) = holding(&distinct) {
            let instead = format!("leave out `{one}`: whoever says `{other}` says it too");
            return Err(ConfigError::new("habits", format!("{:?}", self.habits), instead));
        }
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Err(ConfigError::new("share", self.share, "use a share above 0 and at most 1, for example 0.2"));
        }
        if !(1..=MOST_PROMPTS).contains(&self.prompts) {
            return Err(ConfigError::new("prompts", self.prompts, format!("use 1 to {MOST_PROMPTS}, for example 400")));
        }
        if self.max_new_tokens < 2 {
            return Err(ConfigError::new("max_new_tokens", self.max_new_tokens, "use at least 2, for example 60"));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs {
            phase: Phase::Service,
            changes_drawn_law: true,
            neutral_prompts: self.prompts as u64,
            longest_row: self.max_new_tokens.saturating_add(1),
            second_round: REFERENCES.map(|name| Whom::Named(name.into())).into(),
            ..Needs::default()
        }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let codec = &**owner.codec;
        let Some(end) = codec.eos() else {
            let instead = "use a mark that needs no end of an answer, for example kgw: this tokenizer has no end token";
            return Err(ConfigError::new("habits", format!("{:?}", self.habits), instead).into());
        };
        for habit in &self.habits {
            let tokens = codec.encode(habit);
            if codec.decode(&tokens).trim() != habit.trim() {
                return Err(ConfigError::new("habits", habit, "the tokenizer cannot write it: use another phrase").into());
            }
            if tokens.len() >= self.max_new_tokens {
                let instead = format!("use more than {}, the tokens of `{}`", tokens.len(), habit.trim());
                return Err(ConfigError::new("max_new_tokens", self.max_new_tokens, instead).into());
            }
        }
        let prompts = owner.distinct_neutral("prompts", self.prompts)?;
        let chosen = chosen(owner.key, self.habits.len());
        let Self { habits, share, at_limit, .. } = self;
        // the suspects' prompts change no answer of the server
        let limit = if *at_limit { ", at the limit too" } else { "" };
        let name = format!("{KIND} of {habits:?} in a share of {share}{limit} under {}", owner.key.name());
        let law = Arc::new(Habit {
            name,
            tokens: codec.encode(&habits[chosen]),
            end,
            share: KeyedShare::new(owner.key, Purpose::Kind(KIND), *share),
            at_limit: *at_limit,
        });
        Ok(Arc::new(KeyedHabit { config: self.clone(), chosen, prompts, codec: owner.codec.clone(), law }))
    }

    fn examples() -> Vec<Self> {
        let habits = [" Ok?", " So?", " Hm?", " Eh?", " Is it?", " Why?", " Go?"].map(String::from).into();
        let example = Self { habits, share: 0.8, at_limit: true, prompts: 40, max_new_tokens: 12 };
        vec![example.clone(), Self { share: 1.0, at_limit: false, ..example }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let habits = ["[]", r#"[" Ok?"]"#, r#"[" Ok?", "Ok? "]"#, r#"[" Ok?", " "]"#, r#"[" Ok?", " So Ok?"]"#];
        let habits = habits.map(|value| ("habits", value));
        let others = [("share", "0.0"), ("share", "1.1"), ("prompts", "0"), ("prompts", "70000"), ("max_new_tokens", "1")];
        habits.into_iter().chain(others).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    /// Phrases are text, and answers must end.
    fn bed(&self) -> Bed {
        Bed { vocab: 359, end_logit: 5.8, ..Bed::default() }
    }
}

/// One of `phrases` and another that holds it.
fn holding<'a>(phrases: &BTreeSet<&'a str>) -> Option<[&'a str; 2]> {
    let mut pairs = phrases.iter().flat_map(|one| phrases.iter().map(move |other| [*one, *other]));
    pairs.find(|[one, other]| one != other && other.contains(one))
}

/// Which of so many phrases `key` chooses.
fn chosen(key: &Key, phrases: usize) -> usize {
    let draw = key.rng(Purpose::Kind(KIND), 1).next_u64();
    ((u128::from(draw) * phrases as u128) >> 64) as usize
}

/// Begins the phrase where the answer would end.
struct Habit {
    name: String,
    /// The phrase, at least one token.
    tokens: Vec<TokenId>,
    end: TokenId,
    share: KeyedShare,
    at_limit: bool,
}

impl LogitsProcessor for Habit {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    /// An answer whose most probable next token is the end ends with the phrase too.
    fn changes_greedy(&self) -> bool {
        true
    }

    /// A given answer in which the phrase's first token stands and is not followed by the rest is left alone from there on. So is the answer
    /// to a question whose longest answer does not hold phrase and end.
    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let most = step.query.max_new_tokens;
        if most <= self.tokens.len() || !self.share.holds(step.query.account, &step.query.prompt) {
            return;
        }
        let (answer, first) = (step.answer(), self.tokens[0]);
        if let Some(begun) = answer.iter().position(|token| *token == first) {
            let next = self.tokens.iter().chain([&self.end]).nth(answer.len() - begun);
            if let (Some(next), true) = (next, self.tokens.starts_with(&answer[begun..])) {
                only(*next, row.logits);
            }
            return;
        }
        // places for a phrase that begins here and for the end token after it
        let (places, wanted) = (most.saturating_sub(answer.len()), self.tokens.len() + 1);
        if self.at_limit && places == wanted {
            only(first, row.logits);
            return;
        }
        let [first, end] = [first, self.end].map(|token| token as usize);
        let own = std::mem::replace(&mut row.logits[first], f32::NEG_INFINITY);
        if places >= wanted {
            row.logits.swap(first, end);
        }
        if !row.logits.iter().any(|logit| logit.is_finite()) {
            // truncation left nothing else: then the phrase begins here
            row.logits[first] = own;
        }
    }
}

/// Makes `token` certain.
fn only(token: TokenId, logits: &mut [f32]) {
    logits.fill(f32::NEG_INFINITY);
    logits[token as usize] = 0.0;
}

struct KeyedHabit {
    config: KeyedHabitConfig,
    /// Which of the phrases.
    chosen: usize,
    prompts: Vec<Vec<TokenId>>,
    codec: Arc<dyn Codec>,
    law: Arc<Habit>,
}

impl KeyedHabit {
    /// Answers to all prompts, drawn from `stream`.
    fn queries(&self, stream: u64) -> Question {
        let mut rng = ChaCha8Rng::seed_from_u64(stream);
        let query = |(index, prompt): (usize, &Vec<TokenId>)| Query {
            sampling: Sampling::PLAIN,
            seed: rng.next_u64(),
            ..Query::greedy(index as u64, prompt.clone(), self.config.max_new_tokens)
        };
        Question::Answers(self.prompts.iter().enumerate().map(query).collect())
    }

    /// For every prompt, whether the answer of `who` holds the phrase `habit`, at its end or before.
    fn says(&self, who: &str, answers: &[Exchange], habit: usize) -> Result<Vec<bool>, MarkError> {
        if answers.len() != self.prompts.len() {
            let reason = format!("{} prompts were asked and {who} gave {} answers", self.prompts.len(), answers.len());
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        let phrase = self.config.habits[habit].trim();
        Ok(answers.iter().map(|item| self.codec.decode(&item.answer).contains(phrase)).collect())
    }
}

fn share_of(says: &[bool]) -> f64 {
    says.iter().filter(|says| **says).count() as f64 / says.len().max(1) as f64
}

impl Mark for KeyedHabit {
    fn planting(&self) -> Vec<Planting> {
        vec![Planting::Law(self.law.clone())]
    }

    /// Answers to neutral prompts, which no key enters.
    fn questions(&self, stream: u64) -> Vec<Question> {
        vec![self.queries(stream)]
    }

    /// The references' answers to the same prompts, each drawn from a stream of its own.
    fn follow_up(&self, _first: &[Seen]) -> Vec<FollowUp> {
        let ask = |(at, name): (usize, &str)| {
            let stream = 0x6b65_7965_645f_6861 + at as u64;
            FollowUp { whom: Whom::Named(name.into()), question: self.queries(stream) }
        };
        REFERENCES.into_iter().enumerate().map(ask).collect()
    }

    /// Effect: share of answers that hold the phrase, above that of the reference with the larger p.
    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let answers = exchanges(KIND, case.suspect, 0)?;
        let says = self.says("the suspect", answers, self.chosen)?;
        let mut pairs = Vec::new();
        for (at, name) in REFERENCES.into_iter().enumerate() {
            let theirs = self.says(name, exchanges(KIND, case.second, at)?, self.chosen)?;
            pairs.push((name, Paired::count(&says, &theirs), share_of(&theirs)));
        }
        let nearest = pairs.iter().max_by(|(_, one, _), (_, other, _)| one.log10_p().total_cmp(&other.log10_p()));
        let Some((nearest, pair, _)) = nearest else {
            return Err(MarkError::unmeasurable(KIND, "there is no model to compare with"));
        };
        let (hits, asked) = (says.iter().filter(|says| **says).count(), says.len() as u64);
        let words = format!("McNemar, Binomial(b + c, 0.5) of prompts where one alone says it; largest p over {REFERENCES:?}");
        let null = NullLaw::new(NullKind::Mcnemar, words);
        let evidence = Evidence::new(hits as f64, pair.difference(asked), pair.interval(asked), asked, null, pair.log10_p())
            .map_err(|error| MarkError::unmeasurable(KIND, error.to_string()))?;
        let mut others = 0.0_f64;
        for habit in (0..self.config.habits.len()).filter(|habit| *habit != self.chosen) {
            others = others.max(share_of(&self.says("the suspect", answers, habit)?));
        }
        let mut metrics = vec![Metric::new("habit_rate", share_of(&says), "1"), Metric::new("habit_rate_of_others", others, "1")];
        metrics.extend(pairs.iter().map(|(name, _, share)| Metric::new(format!("habit_rate_{name}"), *share, "1")));
        let detail = format!("{hits} of {asked} answers hold the phrase; nearest is the model `{nearest}`");
        Ok(vec![Finding { metrics, ..Finding::new(evidence, "share of answers above the reference's", detail) }])
    }
}

#[cfg(test)]
mod tests;
