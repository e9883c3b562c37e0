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
    Case, Claim, Family, Finding, Key, Mark, MarkConfig, MarkEntry, MarkError, MarkInfo, Needs, Owner, Phase, Planting, Question,
    identity,
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
        Needs { phase: Phase::Service, changes_drawn_law: true, files: self.command.clone(), ..Needs::default() }
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
mod tests {
    use oracle::Oracle;

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, Launcher, Program};

    fn lab(plays: &str) -> Lab {
        let config = ProcessConfig { command: vec![plays.into()], ..ProcessConfig::examples().remove(0) };
        Lab::new(&MarkEntry { process: Some(Box::new(config)), ..MarkEntry::default() })
    }

    const CHANCE: Chance = Chance { decoys: 199, decoy_seed: 5, draws: 9, draw_seed: 9 };

    /// The toy that plays KGW is KGW: the same law and the same count under the same key.
    #[test]
    fn a_program_that_plays_kgw_is_kgw() {
        let kgw = super::super::kgw::KgwConfig::examples().remove(0);
        let built_in = Lab::new(&MarkEntry { kgw: Some(Box::new(kgw)), ..MarkEntry::default() });
        let (outside, key) = (lab("green"), Key::decoy(1, 1));
        let [a, b] = [&built_in, &outside].map(|lab| lab.build(&key).unwrap());
        let [served, also] = [built_in.marked(&*a), outside.marked(&*b)];
        let audit = built_in.audit();
        assert_eq!(served.answer(&audit).unwrap(), also.answer(&audit).unwrap());
        for suspect in [&served, &built_in.model(4)] {
            let [a, b] =
                [(&built_in, &a), (&outside, &b)].map(|(lab, mark)| lab.measure(&**mark, suspect, CHANCE).unwrap().remove(0));
            for (number, is) in
                [("count_units", b.evidence.n as f64), ("count_effect", b.evidence.effect), ("count_log10_p", b.evidence.log10_p)]
            {
                assert_eq!(a.metric(number), Some(is), "{number}");
            }
            assert_eq!((a.max_log10_e_by_query, a.evidence.log10_e), (b.max_log10_e_by_query, b.evidence.log10_e));
        }
    }

    #[test]
    fn without_a_known_null_decoy_keys_decide() {
        for plays in ["ranked", "text"] {
            let lab = lab(plays);
            let mark = lab.build(&Key::decoy(1, 1)).unwrap();
            let found = |model: &ToyModel| lab.measure(&*mark, model, CHANCE).unwrap().remove(0);
            let marked = found(&lab.marked(&*mark));
            assert!((marked.evidence.log10_p + 200f64.log10()).abs() < 1e-9, "{plays}: {marked:?}");
            assert_eq!((marked.evidence.null.kind, marked.decoy_log10_p.len()), (stats::NullKind::Decoys, 199));
            // 20 models that know nothing of it: below 0.01 none but with probability 0.2, below 0.005 fewer
            let p: Vec<f64> = (0..20).map(|seed| found(&lab.model(seed)).evidence.log10_p).collect();
            assert!(p.iter().filter(|p| **p < -1.5).count() <= 3, "{plays}: {p:?}");
            assert!(p.iter().any(|p| *p > -0.5), "{plays}: {p:?}");
            let nothing = lab.judge(&*mark, &lab.model(1), Vec::new(), CHANCE).unwrap().remove(0).evidence;
            assert_eq!((nothing.n, nothing.log10_p, nothing.effect), (0, 0.0, 0.0));
        }
    }

    /// Answers what `hello` needs, and then what it was given.
    struct Liar {
        describe: serde_json::Value,
        then: serde_json::Value,
        asked: std::sync::atomic::AtomicU64,
    }

    impl Program for Liar {
        fn identity(&self) -> String {
            String::new()
        }

        fn ask(&self, request: &serde_json::Value) -> Result<serde_json::Value, MarkError> {
            self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut answer = if request["ask"] == "hello" { self.describe.clone() } else { self.then.clone() };
            if answer.get("id").is_none() {
                answer["id"] = request["id"].clone();
            }
            Ok(answer)
        }

        fn refusal(&self, what: &str, instead: &str) -> MarkError {
            MarkError::Program(format!("{what}; {instead}"))
        }
    }

    struct Starts(Arc<Liar>);

    impl Launcher for Starts {
        fn launch(&self, _command: &[String], _timeout: Duration) -> Result<Arc<dyn Program>, MarkError> {
            Ok(self.0.clone())
        }
    }

    fn liar(describe: serde_json::Value, then: serde_json::Value) -> (Arc<Liar>, Result<Arc<dyn Mark>, MarkError>) {
        let liar = Arc::new(Liar { describe, then, asked: Default::default() });
        let (lab, key) = (lab("green"), Key::decoy(1, 1));
        let launcher = Starts(liar.clone());
        let mark = lab.entry.build(&Owner { launcher: Some(&launcher), ..Owner::new(&key, &lab.codec) });
        (liar, mark)
    }

    fn set() -> serde_json::Value {
        json!({"version": 1, "name": "x", "kind": "keyed_set", "delta": 1.0, "context_width": 1, "null": "decoys", "unit": "pairs"})
    }

    #[test]
    fn descriptions_that_cannot_be_are_refused() {
        let changed = |field: &str, value: serde_json::Value| {
            let mut describe = set();
            describe[field] = value;
            describe
        };
        for (field, value, word) in [
            ("version", json!(2), "version"),
            ("kind", json!("sets"), "PROTOCOL.md"),
            ("kind", json!("bias"), "delta"),
            ("delta", json!(0.0), "delta"),
            ("delta", json!(1e300), "delta"),
            ("context_width", json!(5), "context_width"),
            ("name", json!("two\nlines"), "name"),
            ("null", json!({"law": "binomial", "rate": 1.0}), "rate"),
            ("null", json!({"law": "normal"}), "PROTOCOL.md"),
            ("id", json!(7), "id"),
            ("error", json!("no GPU"), "no GPU"),
        ] {
            let error = liar(changed(field, value), json!({})).1.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(word) && !error.contains('\n'), "{field}: {error}");
        }
        let mut text = set();
        text["unit"] = json!("text");
        text["null"] = json!({"law": "exponential"});
        assert!(liar(text, json!({})).1.err().unwrap().to_string().contains("decoys"));
        assert!(liar(set(), json!({})).1.is_ok());
    }

    /// The first wrong law ends it: nothing is changed or asked after it, and whoever serves it is told.
    #[test]
    fn laws_that_cannot_be_are_refused() {
        let bias = json!({"version": 1, "name": "x", "kind": "bias", "context_width": 1, "null": "decoys", "unit": "pairs"});
        for (describe, law) in [
            (set(), json!([[3, 512]])),
            (set(), json!([[-1]])),
            (set(), json!(["00"])),
            (set(), json!(["é".repeat(64)])),
            (set(), json!([])),
            (set(), json!([[3], [4]])),
            (set(), json!({"3": 1})),
            (bias.clone(), json!([[3, 4]])),
            (bias.clone(), json!([[[3, 1e300]]])),
            (bias, json!([[[3, null]]])),
        ] {
            let (liar, mark) = liar(describe, json!({ "laws": law }));
            let Planting::Law(planted) = mark.unwrap().planting().remove(0) else { panic!("no law") };
            let mut logits = vec![0.0; 512];
            for _ in 0..3 {
                let query = oracle::Query::greedy(0, vec![1, 5], 1);
                planted.process(&oracle::Step { query: &query, tokens: &query.prompt }, oracle::Row::alone(&mut logits));
            }
            assert_eq!(logits, [0.0; 512]);
            let failure = planted.failure().unwrap();
            assert!(failure.contains("laws"), "{failure}");
            assert_eq!(liar.asked.load(std::sync::atomic::Ordering::Relaxed), 2);
        }
    }

    #[test]
    fn a_bitmap_is_a_list_and_special_tokens_stay_out() {
        let row = |law: serde_json::Value| {
            let (liar, mark) = liar(set(), json!({ "laws": [law] }));
            let Planting::Law(planted) = mark.unwrap().planting().remove(0) else { panic!("no law") };
            let mut logits = vec![0.0; 512];
            for _ in 0..3 {
                let query = oracle::Query::greedy(0, vec![1, 5], 1);
                planted.process(&oracle::Step { query: &query, tokens: &query.prompt }, oracle::Row::alone(&mut logits));
            }
            assert_eq!(planted.failure(), None);
            assert_eq!(liar.asked.load(std::sync::atomic::Ordering::Relaxed), 2, "one context is asked once");
            logits
        };
        let bitmap = format!("0a01{}80", "00".repeat(61));
        let raised = row(json!(bitmap));
        assert_eq!(raised, row(json!([1, 3, 8, 511])));
        assert_eq!((raised[1], raised[3], raised[8], raised[511], raised.iter().sum::<f32>()), (0.0, 3.0, 3.0, 3.0, 9.0));
    }

    #[test]
    fn scores_that_cannot_be_are_refused() {
        for (null, scores) in [
            (json!({"law": "binomial", "rate": 0.5}), json!([0.5])),
            (json!({"law": "exponential"}), json!([-1.0])),
            (json!("decoys"), json!(["1"])),
            (json!("decoys"), json!([1, 2, 3])),
            (json!("decoys"), json!(7)),
        ] {
            let mut describe = set();
            describe["null"] = null;
            let lab = lab("green");
            let mark = liar(describe, json!({ "scores": scores })).1.unwrap();
            let answers = lab.model(4).answer(&lab.audit()[..2]).unwrap();
            let error = lab.judge(&*mark, &lab.model(4), answers, CHANCE).unwrap_err();
            assert!(matches!(error, MarkError::Program(_)) && error.to_string().contains("scores"), "{error}");
        }
    }
}
