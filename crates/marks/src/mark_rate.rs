//! A mark in a share of the answers, and in none for whoever opted out.
//!
//! A server may mark some of its answers only: a mark costs quality, and customers may refuse it. Which answers are marked is decided
//! before a token is drawn, never by the answer: marking what came out well, or long, would be a mark of its own.
//!
//! The server chooses its share by its key ([`KeyedShare`]). A customer opts out without knowing the key, account by account or question
//! by question. An answer that is not marked is drawn as the plain model draws it. Whoever judges does not know which answers were
//! marked: questions, decoy keys and tests stay as they are, and the mark is only fainter.

use std::sync::Arc;

use oracle::{CompanionId, ConfigError, LogitsProcessor, Query, Raised, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::key::Purpose;
use crate::share::{KeyedShare, uniform};
use crate::{
    AnyKey, AuthorsScore, Case, ContextCounts, Detector, Finding, FollowUp, Key, Mark, MarkError, Planting, Question, Seen,
    ServedShare,
};

/// What the key chooses the marked answers for.
pub(crate) const MARKED: Purpose = Purpose::Kind("mark_rate");

/// Whose answers are served without the mark, whatever the key says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptOut {
    /// Numbers of accounts, from 0: all that they ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<u32>,
    /// Share of all questions, from 0 to below 1: those whose sender does not want the mark, drawn by the question's own number and seed,
    /// so that the same prompt asked again may be without it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub queries: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

impl OptOut {
    fn validate(&self) -> Result<(), ConfigError> {
        if !(self.queries >= 0.0 && self.queries < 1.0) {
            return Err(ConfigError::new("opt_out.queries", self.queries, "use a share from 0 to below 1, for example 0.1"));
        }
        if self.accounts.is_empty() && self.queries == 0.0 {
            let instead = "name accounts, or a share of queries above 0, or leave it out";
            return Err(ConfigError::new("opt_out", "nobody", instead));
        }
        Ok(())
    }

    /// Whether `query` is one of them. No key: the sender knows none.
    fn holds(&self, query: &Query) -> bool {
        let public = SipHasher24::new_with_keys(0, 0);
        self.accounts.contains(&query.account)
            || (self.queries > 0.0 && uniform(&public, &[query.index, query.seed], query.account, &query.prompt) < self.queries)
    }
}

/// How often a mark is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serving<'a> {
    /// Share of answers that are marked; all where nothing is said.
    pub mark_rate: Option<f64>,
    /// Whose are not.
    pub opt_out: Option<&'a OptOut>,
}

impl Serving<'_> {
    /// Refuses values that cannot be, and any for a mark called `name` that is not `served`.
    ///
    /// # Errors
    /// A [`ConfigError`] naming key, value and what to write.
    pub fn validate(self, name: &str, served: bool) -> Result<(), ConfigError> {
        if let Some(rate) = self.mark_rate
            && !(rate > 0.0 && rate <= 1.0)
        {
            return Err(ConfigError::new("mark_rate", rate, "use a share above 0 and at most 1, for example 0.2"));
        }
        if let Some(opt_out) = self.opt_out {
            opt_out.validate()?;
        }
        let said = self.mark_rate.map(|rate| ("mark_rate", rate.to_string()));
        match said.or(self.opt_out.map(|_| ("opt_out", "given".to_string()))) {
            Some((key, value)) if !served => {
                let instead = format!("leave it out: {name} changes no served answer, so none can do without it");
                Err(ConfigError::new(key, value, instead))
            }
            _ => Ok(()),
        }
    }

    /// `mark`, whose key is `key`, served so.
    pub fn of(self, mark: Arc<dyn Mark>, key: &Key) -> Arc<dyn Mark> {
        let rate = self.mark_rate.filter(|rate| *rate < 1.0);
        if rate.is_none() && self.opt_out.is_none() {
            return mark;
        }
        let chosen = Chosen {
            name: chosen_name(rate, key, self.opt_out),
            marked: rate.map(|rate| KeyedShare::new(key, MARKED, rate)),
            opt_out: self.opt_out.cloned(),
        };
        Arc::new(SomeAnswers { mark, chosen: Arc::new(chosen) })
    }
}

/// Names what is chosen.
fn chosen_name(rate: Option<f64>, key: &Key, opt_out: Option<&OptOut>) -> String {
    let rate = rate.map(|rate| format!("mark_rate {rate} under {}", key.name()));
    let opt_out = opt_out.map(|OptOut { accounts, queries }| {
        let sorted: std::collections::BTreeSet<_> = accounts.iter().collect();
        format!("opt_out accounts {sorted:?} queries {queries}")
    });
    let words: Vec<String> = rate.into_iter().chain(opt_out).collect();
    words.join(", ")
}

/// Which answers are marked.
struct Chosen {
    name: String,
    marked: Option<KeyedShare>,
    opt_out: Option<OptOut>,
}

impl ServedShare for Chosen {
    fn is_marked(&self, query: &Query) -> bool {
        !self.opt_out.as_ref().is_some_and(|opt_out| opt_out.holds(query))
            && self.marked.as_ref().is_none_or(|marked| marked.holds(query.account, &query.prompt))
    }
}

/// A mark that is served in some answers.
struct SomeAnswers {
    mark: Arc<dyn Mark>,
    chosen: Arc<Chosen>,
}

impl Mark for SomeAnswers {
    fn planting(&self) -> Vec<Planting> {
        let some = |planting| match planting {
            Planting::Law(law) => Planting::Law(Arc::new(SomeLaw {
                name: format!("{}: {}", self.chosen.name, law.name()),
                law,
                chosen: self.chosen.clone(),
            })),
            other => other,
        };
        self.mark.planting().into_iter().map(some).collect()
    }

    fn questions(&self, stream: u64) -> Vec<Question> {
        self.mark.questions(stream)
    }

    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        self.mark.follow_up(first)
    }

    fn contexts(&self, first: &[Seen]) -> Option<ContextCounts> {
        self.mark.contexts(first)
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        self.mark.judge(case)
    }

    fn authors(&self, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        self.mark.authors(texts)
    }

    fn any_key(&self) -> Option<&dyn AnyKey> {
        self.mark.any_key()
    }

    fn served_share(&self) -> Option<&dyn ServedShare> {
        Some(&*self.chosen)
    }

    fn detector(&self) -> Option<&dyn Detector> {
        self.mark.detector()
    }
}

/// A change of the law in some answers.
struct SomeLaw {
    name: String,
    law: Arc<dyn LogitsProcessor>,
    chosen: Arc<Chosen>,
}

impl LogitsProcessor for SomeLaw {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        self.law.stage()
    }

    fn companions(&self) -> &[CompanionId] {
        self.law.companions()
    }

    fn changes_greedy(&self) -> bool {
        self.law.changes_greedy()
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        if self.chosen.is_marked(step.query) {
            self.law.process(step, row);
        }
    }

    fn failure(&self) -> Option<String> {
        self.law.failure()
    }

    fn chosen(&self, step: &Step<'_>, logits: &[f32]) -> Option<TokenId> {
        if self.chosen.is_marked(step.query) { self.law.chosen(step, logits) } else { None }
    }

    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        if self.chosen.is_marked(step.query) { self.law.raised(step) } else { None }
    }
}

#[cfg(test)]
mod tests;
