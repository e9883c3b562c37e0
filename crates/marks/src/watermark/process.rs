//! A mark that an outside program defines, over lines of JSON on its standard input and output: see `PROTOCOL.md` of this crate.
//!
//! The program says what is added to logits after a context and how units of text score under a key; everything else (which
//! units count, decoy keys, evidence) is as for every other keyed mark.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use oracle::{Access, ConfigError, LogitsProcessor, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stats::null::{Bernoulli, Exponential, Null};

use crate::case::exchanges;
use crate::keyed::{Candidates, Keyed, Rules, Scheme, Scorer, Units, ranked};
use crate::outside::{Absent, Law, Outside, Places, Unit};
use crate::{
    AnyKey, Bed, Case, Chance, Claim, Decoys, Family, Finding, FollowUp, Key, Mark, MarkConfig, MarkEntry, MarkError, MarkInfo,
    Metric, Needs, Owner, Phase, Planting, Question, Seen, Whom, identity,
};

const KIND: &str = "process";

/// Most seconds that a program may take for an answer.
const MAX_TIMEOUT: u64 = 3600;

/// A parameter that is handed on to the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Parameter {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// Any number.
    Number(f64),
    /// Text.
    Text(String),
}

/// Which test of an outside mark decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProcessTest {
    /// The count of distinct units under the law that the program gives, or its scores' rank among decoy keys where it gives none.
    #[default]
    Count,
    /// The likelihood ratio of the program's law under a key against the raw teacher's, ranked among decoy keys. The program gives its laws
    /// under any key.
    LikelihoodRatio {
        /// Share of tokens that were drawn without the mark, strictly between 0 and 1.
        unmarked: f64,
    },
}

impl ProcessTest {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A mark defined by an outside program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// The program and its arguments. It runs beside the `experiments` folder. Arguments that are files are part of what the mark
    /// is: a program of several files names them all.
    pub command: Vec<String>,
    /// Handed on to the program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
    /// The mark gets the key that a mark of this kind would have under its name, for programs that do the same as a built-in mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_of: Option<String>,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "ProcessTest::is_default")]
    pub test: ProcessTest,
    /// Seconds that the program has for each answer, 1 to 3600. No part of what the mark is.
    #[serde(default = "minute", skip_serializing)]
    pub timeout_seconds: u64,
}

const fn minute() -> u64 {
    60
}

impl MarkConfig for ProcessConfig {
    fn info(&self) -> MarkInfo {
        let other = |name: &String| MarkEntry::list().into_iter().find(|info| info.name == name);
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: Access::Text,
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: self.key_of.as_ref().and_then(other).map_or("watermark process", |info| info.key_label),
            source: "this project, 2026; what the program does has a source of its own",
            summary: "a mark that an outside program defines, over lines of JSON",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.command.first().is_none_or(String::is_empty) {
            let instead = "name a program and its arguments, for example [\"python3\", \"experiments/marks/my_mark.py\"]";
            return Err(ConfigError::new("command", "no program", instead));
        }
        if !(1..=MAX_TIMEOUT).contains(&self.timeout_seconds) {
            let instead = format!("use 1 to {MAX_TIMEOUT} seconds, for example 60");
            return Err(ConfigError::new("timeout_seconds", self.timeout_seconds, instead));
        }
        if let ProcessTest::LikelihoodRatio { unmarked } = self.test
            && !(unmarked > 0.0 && unmarked < 1.0)
        {
            let instead = "use a share strictly between 0 and 1, for example 0.5";
            return Err(ConfigError::new("test.likelihood_ratio.unmarked", unmarked, instead));
        }
        match &self.key_of {
            Some(kind) if kind == KIND || !MarkEntry::KINDS.contains(&kind.as_str()) => {
                Err(ConfigError::new("key_of", kind, "name a built-in kind of mark, for example kgw"))
            }
            _ => Ok(()),
        }
    }

    fn needs(&self) -> Needs {
        let (files, decoys) = (self.command.clone(), Decoys::Rank);
        let second_round = if self.test.is_default() { Vec::new() } else { vec![Whom::Teacher] };
        Needs { phase: Phase::Service, changes_drawn_law: true, files, decoys, second_round, ..Needs::default() }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let launcher = owner.launcher.ok_or_else(|| {
            ConfigError::new("command", self.command.join(" "), "build this mark where programs can be started")
        })?;
        let program = launcher.launch(&self.command, Duration::from_secs(self.timeout_seconds))?;
        let outside = Outside::open(program, owner, &identity(&self.planted(), owner.key), &json!(self.parameters))?;
        let outside = Arc::new(outside);
        let keyed = Keyed::new(OutsideScheme(outside.clone()), owner.key);
        Ok(Arc::new(Process { key: owner.key.clone(), outside, keyed, test: self.test }))
    }

    fn examples() -> Vec<Self> {
        let plays = |toy: &str, test| {
            let (command, parameters) = (vec![toy.into()], BTreeMap::new());
            Self { command, parameters, key_of: None, test, timeout_seconds: minute() }
        };
        let ratio = plays("ranked", ProcessTest::LikelihoodRatio { unmarked: 0.5 });
        vec![plays("green", ProcessTest::Count), plays("loud", ProcessTest::Count), ratio]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let timeouts = ["0", "3601"].map(|value| ("timeout_seconds", value));
        let ratio = [r#"{"likelihood_ratio": {"unmarked": 0.0}}"#, r#"{"likelihood_ratio": {"unmarked": 1.0}}"#];
        let ratio = ratio.map(|value| ("test", value));
        let others = [("command", "[]"), ("command", "[\"\"]"), ("key_of", "\"kgv\""), ("key_of", "\"process\"")];
        timeouts.into_iter().chain(ratio).chain(others).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: ProcessTest::Count, ..self.clone() }
    }

    /// A likelihood ratio asks for a law after each context under each key.
    fn bed(&self) -> Bed {
        match self.test {
            ProcessTest::Count => Bed::default(),
            ProcessTest::LikelihoodRatio { .. } => Bed { vocab: 64, prompts: 40, evidence: 2.9, ..Bed::default() },
        }
    }

    /// None: what an outside program costs is its own.
    fn timed() -> Vec<(String, Self)> {
        Vec::new()
    }
}

/// The same, for the judge of keyed schemes.
struct OutsideScheme(Arc<Outside>);

impl Scheme for OutsideScheme {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        self.0.rules()
    }

    fn null(&self) -> Box<dyn Null> {
        match self.0.says().null {
            Absent::Known(Law::Binomial { rate }) => Box::new(Bernoulli { rate }),
            _ => Box::new(Exponential),
        }
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (outside, key) = (self.0.clone(), key.clone());
        Box::new(move |windows, scores| outside.score(&key, windows, scores))
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.0.clone()
    }

    fn words(&self, evidence: &stats::Evidence, _skipped: &crate::Skipped) -> String {
        match self.0.says().null {
            Absent::Known(Law::Binomial { .. }) => format!("{:.0} of {} scored units hit", evidence.statistic, evidence.n),
            _ => format!("mean score {:.3} over {} units", evidence.statistic / evidence.n.max(1) as f64, evidence.n),
        }
    }
}

struct Process {
    key: Key,
    outside: Arc<Outside>,
    keyed: Keyed<OutsideScheme>,
    test: ProcessTest,
}

impl Process {
    /// `found`, unless the program failed on the way: scores that could not be had stand as 0 in it.
    fn unless_failed(&self, found: Result<Vec<Finding>, MarkError>) -> Result<Vec<Finding>, MarkError> {
        self.outside.take_failure().map_or(found, Err)
    }

    /// p by rank of the likelihood ratio among decoy keys; the count of distinct units, where it has a law, stands beside it.
    fn by_likelihood(&self, case: &Case<'_>, keys: &[Key], unmarked: f64) -> Result<Vec<Finding>, MarkError> {
        let (outside, answers) = (&*self.outside, exchanges(KIND, case.suspect, 0)?);
        let laws = case.second.first().and_then(Seen::laws).filter(|laws| laws.len() == answers.len());
        let missing = || MarkError::unmeasurable(KIND, "laws of the raw teacher along the answers are missing");
        let places = Places::of(outside, answers, laws.ok_or_else(missing)?);
        let tokens = places.tokens();
        let mut found = ranked(KIND, keys, tokens, case.chance, &|key| places.log_ratio(outside, key, unmarked))?;
        let same = |found: &Finding| found.decoy_statistics.iter().all(|decoy| *decoy == found.evidence.statistic);
        if tokens > 0 && found.first().is_some_and(same) {
            return Err(MarkError::unmeasurable(KIND, "the program's `laws` are the same under every `key`"));
        }
        for found in &mut found {
            found.detail = format!("log likelihood ratio {:.2} nats over {tokens} tokens", found.evidence.statistic);
            found.effect_unit = "nats per token above decoy keys".to_string();
        }
        if let Absent::Known(_) = outside.says().null {
            let chance = Chance { decoys: 0, ..case.chance };
            for (found, counted) in found.iter_mut().zip(self.keyed.judge_under(&Case { chance, ..*case }, keys)?) {
                let count = counted.evidence;
                found.metrics = vec![
                    Metric::new("count_units", count.n as f64, "units"),
                    Metric::new("count_effect", count.effect, "1"),
                    Metric::new("count_log10_p", count.log10_p, "log10 p"),
                ];
            }
        }
        Ok(found)
    }

    /// p by rank among decoy keys.
    fn ranked(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let (outside, answers) = (&self.outside, exchanges(KIND, case.suspect, 0)?);
        if outside.says().unit != Unit::Text {
            let units = Units::walk(answers, outside.rules());
            return ranked(KIND, slice::from_ref(&self.key), units.len() as u64, case.chance, &|key| {
                let mut scores = vec![0.0; units.len()];
                outside.score(key, units.flat(), &mut scores);
                scores.iter().sum()
            });
        }
        // the same answer again says nothing new
        let mut texts: BTreeMap<&[TokenId], &[TokenId]> = BTreeMap::new();
        for item in answers {
            let end = item.answer.iter().position(|token| Some(*token) == outside.rules().end).unwrap_or(item.answer.len());
            if end > 0 {
                texts.entry(&item.answer[..end]).or_insert(&item.query.prompt);
            }
        }
        let texts: Vec<_> = texts.into_iter().map(|(answer, prompt)| (prompt, answer)).collect();
        ranked(KIND, slice::from_ref(&self.key), texts.len() as u64, case.chance, &|key| outside.score_texts(key, &texts))
    }
}

impl Mark for Process {
    fn planting(&self) -> Vec<Planting> {
        self.keyed.planting()
    }

    fn questions(&self, stream: u64) -> Vec<Question> {
        self.keyed.questions(stream)
    }

    /// The raw teacher's laws along the suspect's answers, where the likelihood ratio decides.
    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        let (Some(Seen::Exchanges(answers)), false) = (first.first(), self.test.is_default()) else { return Vec::new() };
        let question = Question::Laws { given: answers.clone(), reduce: Arc::new(Candidates::new(self.outside.rules())) };
        vec![FollowUp { whom: Whom::Teacher, question }]
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let found = match (self.test, self.outside.says().null) {
            (ProcessTest::LikelihoodRatio { .. }, _) => return self.judge_under(case, slice::from_ref(&self.key)),
            (ProcessTest::Count, Absent::Known(_)) => self.keyed.judge(case),
            (ProcessTest::Count, Absent::Unknown(_)) => self.ranked(case),
        };
        self.unless_failed(found)
    }

    /// Where the likelihood ratio decides: laws are asked under any key.
    fn any_key(&self) -> Option<&dyn AnyKey> {
        (!self.test.is_default()).then_some(self)
    }
}

impl AnyKey for Process {
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let found = match self.test {
            ProcessTest::LikelihoodRatio { unmarked } => self.by_likelihood(case, keys, unmarked),
            ProcessTest::Count => self.keyed.judge_under(case, keys),
        };
        self.unless_failed(found)
    }
}

#[cfg(test)]
mod tests;
