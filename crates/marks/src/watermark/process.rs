//! A mark that an outside program defines, over lines of JSON on its standard input and output: see `PROTOCOL.md` of this crate.
//!
//! The program says what is added to logits after a context and how units of text score under a key; everything else (which
//! units count, decoy keys, evidence) is as for every other keyed mark.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use oracle::{Access, ConfigError, LogitsProcessor, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stats::null::{Bernoulli, Exponential, Null};

use crate::case::exchanges;
use crate::keyed::{Keyed, Rules, Scheme, Scorer, Units, ranked};
use crate::outside::{Absent, Law, Outside, Unit};
use crate::{
    Case, Claim, Decoys, Family, Finding, Key, Mark, MarkConfig, MarkEntry, MarkError, MarkInfo, Needs, Owner, Phase, Planting,
    Question, identity,
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
        match &self.key_of {
            Some(kind) if kind == KIND || !MarkEntry::KINDS.contains(&kind.as_str()) => {
                Err(ConfigError::new("key_of", kind, "name a built-in kind of mark, for example kgw"))
            }
            _ => Ok(()),
        }
    }

    fn needs(&self) -> Needs {
        let (files, decoys) = (self.command.clone(), Decoys::Rank);
        Needs { phase: Phase::Service, changes_drawn_law: true, files, decoys, ..Needs::default() }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let launcher = owner.launcher.ok_or_else(|| {
            ConfigError::new("command", self.command.join(" "), "build this mark where programs can be started")
        })?;
        let program = launcher.launch(&self.command, Duration::from_secs(self.timeout_seconds))?;
        let outside = Outside::open(program, owner, &identity(self, owner.key), &json!(self.parameters))?;
        let outside = Arc::new(outside);
        let keyed = Keyed::new(OutsideScheme(outside.clone()), owner.key);
        Ok(Arc::new(Process { key: owner.key.clone(), outside, keyed }))
    }

    fn examples() -> Vec<Self> {
        let plays =
            |toy: &str| Self { command: vec![toy.into()], parameters: BTreeMap::new(), key_of: None, timeout_seconds: minute() };
        vec![plays("green"), plays("loud")]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let timeouts = ["0", "3601"].map(|value| ("timeout_seconds", value));
        let others = [("command", "[]"), ("command", "[\"\"]"), ("key_of", "\"kgv\""), ("key_of", "\"process\"")];
        timeouts.into_iter().chain(others).collect()
    }

    fn small(&self) -> Self {
        self.clone()
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
}

impl Process {
    /// p by rank among decoy keys.
    fn ranked(&self, case: &Case<'_>) -> Result<Finding, MarkError> {
        let (outside, answers) = (&self.outside, exchanges(KIND, case.suspect, 0)?);
        if outside.says().unit != Unit::Text {
            let units = Units::walk(answers, outside.rules());
            return ranked(KIND, &self.key, units.len() as u64, case.chance, &|key| {
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
        ranked(KIND, &self.key, texts.len() as u64, case.chance, &|key| outside.score_texts(key, &texts))
    }
}

impl Mark for Process {
    fn planting(&self) -> Vec<Planting> {
        self.keyed.planting()
    }

    fn questions(&self, stream: u64) -> Vec<Question> {
        self.keyed.questions(stream)
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let found = match self.outside.says().null {
            Absent::Known(_) => self.keyed.judge(case),
            Absent::Unknown(_) => self.ranked(case).map(|found| vec![found]),
        };
        // scores that could not be had stand as 0 in what was found
        match self.outside.take_failure() {
            Some(failed) => Err(failed),
            None => found,
        }
    }
}

#[cfg(test)]
mod tests;
