//! Radioactivity: a watermark of the answers, looked for in a student. Sander, Fernandez, Durmus, Douze and Furon, *Watermarking Makes
//! Language Models Radioactive*, NeurIPS 2024 (arXiv 2402.14904), methods f1, f2; green mass after *antidistillation fingerprinting* (ADFP, 2602.03812), f5.
//!
//! It plants nothing: it reads another mark of the experiment, which is planted in the law of the served teacher. Four ways to look, by
//! what the owner sees of the student and what he knows of its training:
//!
//! | | supervised: the answers that were bought | unsupervised: new prompts |
//! | --- | --- | --- |
//! | open | predictions along the owner's own answers | predictions along fresh texts of the served teacher |
//! | closed | answers to the prompts that were bought | answers to the audit |
//!
//! A closed student is judged by what it says (0.1 to 0.6), beside decoy keys. An open one reads marked texts: there decoys prove nothing, as
//! copying within a text helps the true key alone (0.6). What it predicts is scored only where a context comes for the first time in its input
//! ([`Rules::fresh_places`](crate::Rules)). The list of such a context is independent of all that the student has read, so that each
//! prediction hits at the null's rate given those before it; the more surely so where a context counts once in all texts.
//!
//! An open student of another tokenizer is weighed by the tokens that it shares with the teacher's (f5). It reads the text before each place
//! alone: were places chosen by where its tokens end in the whole text, the token that stands there would have a say in which are scored,
//! and that token is marked.

use std::sync::Arc;

use oracle::{Access, ConfigError, Exchange, Query, TokenId};
use serde::{Deserialize, Serialize};
use stats::{EvidenceError, NullKind};

use crate::case::exchanges;
use crate::keyed::count::Count;
use crate::keyed::{Candidates, Dedup, NO_TOKEN, Rules, Units};
use crate::{
    Bed, Case, Claim, ContextCounts, Decoys, Family, Finding, FollowUp, Mark, MarkConfig, MarkError, MarkInfo, Marked, Metric,
    Needs, Owner, Phase, Planting, Question, Readable, Reduced, Seen, Whom,
};

mod mass;

use mass::Masses;

const KIND: &str = "radioactivity";

/// Most bought answers that a file can ask for.
const MOST_TEXTS: u64 = 1_000_000;

/// Parameters of a test for radioactivity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RadioactivityConfig {
    /// Name of the watermark in `[marks]` that is read: one of the drawn law with one key.
    pub of: String,
    /// What the owner sees of the student.
    pub student: Student,
    /// Whether the owner knows which of his answers the student learned from.
    pub supervised: bool,
    /// At most this many of the answers that were bought are taken, the first ones; with `supervised = true` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<u64>,
    /// Keeps contexts only that the clean twin said in answer to the queries that were paid for; with `supervised = false` only. The
    /// twin knows no key, so neither does the filter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub filter: bool,
    /// Which scored units count once in all texts.
    #[serde(default = "Dedup::contexts")]
    pub dedup: Dedup,
}

/// What the owner sees of a student.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Student {
    /// Its laws along given texts.
    Open(Predict),
    /// What it says.
    Closed,
}

/// What is taken of an open student at each place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Predict {
    /// Its most probable token.
    Argmax,
    /// The share of its probability that is on green tokens: as one observation for each context, less noisy than a token.
    Mass,
}

impl RadioactivityConfig {
    fn open(&self) -> Option<Predict> {
        if let Student::Open(predict) = self.student { Some(predict) } else { None }
    }

    fn refused(&self, why: &str) -> MarkError {
        MarkError::Config(ConfigError::new("of", &self.of, why))
    }
}

impl MarkConfig for RadioactivityConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Probe,
            needs: if self.open().is_some() { Access::Logprobs } else { Access::Text },
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "radioactivity",
            source: "Sander et al., Watermarking Makes Language Models Radioactive, NeurIPS 2024, arXiv 2402.14904",
            summary: "another mark of the answers, in what a student says or predicts along marked texts",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.of.trim().is_empty() {
            return Err(ConfigError::new("of", "an empty name", "name a watermark of `[marks]`, for example \"kgw\""));
        }
        match (self.supervised, self.texts) {
            (true, None) => return Err(ConfigError::new("texts", "not there", "say how many answers at most, for example 1000")),
            (false, Some(texts)) => {
                let instead = "leave it out: new prompts are those of the audit, as many as `audit.prompts` says";
                return Err(ConfigError::new("texts", texts, instead));
            }
            (true, Some(texts)) if !(1..=MOST_TEXTS).contains(&texts) => {
                return Err(ConfigError::new("texts", texts, format!("use 1 to {MOST_TEXTS}, for example 1000")));
            }
            _ => {}
        }
        if self.supervised && self.filter {
            return Err(ConfigError::new("filter", true, "leave it out: with supervised = true the texts are the student's own"));
        }
        if self.student == Student::Open(Predict::Mass) && self.dedup == Dedup::Pairs {
            return Err(ConfigError::new("dedup", "pairs", "use \"contexts\": mass is measured once for each context"));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs {
            phase: Phase::Nothing,
            reads: Some(self.of.clone()),
            bought: self.supervised,
            contexts: self.filter,
            decoys: if self.open().is_some() { Decoys::SelfTest } else { Decoys::Rank },
            ..Needs::default()
        }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let missing = || self.refused("name a watermark of the same file whose units have a score each, for example a kgw");
        let read = owner.reads.cloned().ok_or_else(missing)?;
        let (scheme, rules) = (&read.scheme, Rules { dedup: self.dedup, ..read.scheme.rules().clone() });
        if scheme.place_weights().is_some() {
            return Err(self.refused("use a mark whose places all count alike, for example a kgw: this one asks for entropies"));
        }
        if let Some(predict) = self.open() {
            let kind = scheme.null().law(1).kind;
            if rules.context_width == 0 || scheme.draws(&read.key).is_some() || kind == NullKind::Decoys {
                let instead =
                    "use student = \"closed\", or a mark in which every context of at least 1 token has a draw of its own";
                return Err(self.refused(instead));
            }
            if predict == Predict::Mass && kind != NullKind::Binomial {
                return Err(self.refused("use { open = \"argmax\" }, or a mark of green lists: others have no green mass"));
            }
        }
        Ok(Arc::new(Radioactivity { config: self.clone(), read, rules }))
    }

    fn examples() -> Vec<Self> {
        let of = |student, supervised, dedup| Self {
            of: "watermark".into(),
            student,
            supervised,
            texts: supervised.then_some(40),
            filter: false,
            dedup,
        };
        let (argmax, mass) = (Student::Open(Predict::Argmax), Student::Open(Predict::Mass));
        vec![
            of(argmax, true, Dedup::Contexts),
            of(argmax, false, Dedup::Pairs),
            of(mass, true, Dedup::Contexts),
            Self { filter: true, ..of(mass, false, Dedup::Contexts) },
            of(Student::Closed, true, Dedup::Contexts),
            Self { filter: true, ..of(Student::Closed, false, Dedup::Pairs) },
        ]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("of", "\" \""), ("texts", "0"), ("texts", "1000001"), ("texts", "null"), ("filter", "true")]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn bed(&self) -> Bed {
        Bed { vocab: 128, prompts: 40, ..Bed::default() }
    }
}

struct Radioactivity {
    config: RadioactivityConfig,
    read: Readable,
    /// Those of the mark that is read, but for what counts once.
    rules: Rules,
}

impl Radioactivity {
    fn unmeasurable(&self, error: &EvidenceError) -> MarkError {
        MarkError::unmeasurable(KIND, error.to_string())
    }

    /// Whether `context` is kept, as far as there is a filter.
    fn knows(&self, case: &Case<'_>, context: &[TokenId]) -> bool {
        case.contexts.filter(|_| self.config.filter).is_none_or(|counts| counts.met(context) > 0)
    }

    /// What the student says, or most probably would say along texts.
    fn counted(&self, case: &Case<'_>, units: &Units) -> Result<Finding, MarkError> {
        let kept = units.with_context(|context| self.knows(case, context));
        let share = kept.len() as f64 / units.len().max(1) as f64;
        let count = Count::of_units(&*self.read.scheme, kept);
        let found = count.finding(&self.read.key).map_err(|error| self.unmeasurable(&error))?;
        self.beside(case, found, count.decoys(case.chance), share)
    }

    /// Where the student's probability is along texts.
    fn weighed(&self, case: &Case<'_>, texts: &[Exchange], laws: &[Reduced]) -> Result<Finding, MarkError> {
        let masses = Masses::of(&self.rules, texts, laws, &|context| self.knows(case, context));
        let found = masses.finding(&*self.read.scheme, &self.read.key).map_err(|error| self.unmeasurable(&error))?;
        self.beside(case, found, masses.decoys(&*self.read.scheme, case.chance), masses.kept())
    }

    /// `found` beside (statistic, log10 p) of decoy keys, and with the share of units that the filter kept.
    fn beside(&self, case: &Case<'_>, found: Finding, decoys: Vec<(f64, f64)>, kept: f64) -> Result<Finding, MarkError> {
        let (statistics, log10_p): (Vec<f64>, Vec<f64>) = decoys.into_iter().unzip();
        let evidence = match self.config.student {
            Student::Open(_) => found.evidence.with_self_test(&statistics),
            Student::Closed => found.evidence.with_decoys(&statistics),
        };
        let evidence = evidence.map_err(|error| self.unmeasurable(&error))?;
        let mut found = Finding { evidence, decoy_statistics: statistics, decoy_log10_p: log10_p, ..found };
        if case.contexts.is_some() && self.config.filter {
            found.metrics.push(Metric::new("filter_kept", kept, "1"));
        }
        Ok(found)
    }

    /// What is asked along the owner's texts.
    fn asked_along(&self, texts: &Arc<Vec<Exchange>>) -> Option<Question> {
        match (self.config.student, self.config.supervised) {
            (Student::Open(_), _) => {
                Some(Question::Laws { given: texts.clone(), reduce: Arc::new(Candidates::of_shared_tokens(&self.rules)) })
            }
            (Student::Closed, true) => Some(Question::Answers(texts.iter().map(|text| drawn_anew(&text.query)).collect())),
            (Student::Closed, false) => None,
        }
    }
}

/// The same question with draws of its own: with the teacher's a student's tokens could be the teacher's by the draw alone.
fn drawn_anew(query: &Query) -> Query {
    Query { seed: query.seed ^ 0x9e37_79b9_7f4a_7c15, ..query.clone() }
}

impl Mark for Radioactivity {
    /// Nothing: the mark that is read plants itself.
    fn planting(&self) -> Vec<Planting> {
        Vec::new()
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![match (self.config.student, self.config.texts) {
            (_, Some(most)) => Question::Marked(Marked::Bought { most }),
            (Student::Open(_), None) => Question::Marked(Marked::Fresh),
            (Student::Closed, None) => Question::Audit,
        }]
    }

    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        let Some(Seen::Exchanges(texts)) = first.first() else { return Vec::new() };
        self.asked_along(texts).map(|question| FollowUp { whom: Whom::Suspect, question }).into_iter().collect()
    }

    fn contexts(&self, first: &[Seen]) -> Option<ContextCounts> {
        let Some(Seen::Exchanges(texts)) = first.first().filter(|_| self.config.filter) else { return None };
        let padding = self.rules.padded.then_some(NO_TOKEN);
        Some(ContextCounts::filled_up(texts, self.rules.context_width, padding, self.rules.end))
    }

    fn readable(&self) -> Option<Readable> {
        Some(self.read.clone())
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let texts = exchanges(KIND, case.suspect, 0)?;
        let predict = match (self.config.student, self.config.supervised) {
            (Student::Open(predict), _) => predict,
            (Student::Closed, true) => {
                let answers = exchanges(KIND, case.second, 0)?;
                return Ok(vec![self.counted(case, &Units::walk(answers, &self.rules))?]);
            }
            (Student::Closed, false) => return Ok(vec![self.counted(case, &Units::walk(texts, &self.rules))?]),
        };
        let laws = case.second.first().and_then(Seen::laws).filter(|laws| laws.len() == texts.len());
        let laws = laws.ok_or_else(|| MarkError::unmeasurable(KIND, "the suspect's laws along the texts are missing"))?;
        if laws.iter().flat_map(Reduced::values).any(|kept| !kept.is_finite()) {
            return Err(MarkError::unmeasurable(KIND, "a probability of the suspect is not a number"));
        }
        Ok(vec![match predict {
            Predict::Mass => self.weighed(case, texts, laws)?,
            Predict::Argmax => {
                // of equal ones the lowest id, as greedy answers have it
                let likelier = |a: (TokenId, f64), b: (TokenId, f64)| if b.1 > a.1 { b } else { a };
                let likeliest = |text: usize, at: usize| Candidates::at(&laws[text], at).reduce(likelier);
                let units = Units::predicted(texts, &self.rules, |text, place| likeliest(text, place.at()).map(|(id, _)| id));
                self.counted(case, &units)?
            }
        }])
    }
}

#[cfg(test)]
mod tests;
