//! Which stages the points of a grid have in common, from their resolved experiments alone: nothing is run.
//!
//! A stage is named here by the parts of the experiment that reach it. Running them finds shared work by the hashes of artifacts;
//! this only predicts it, for the bill. A test compares both.

use std::collections::{BTreeMap, BTreeSet};

use marks::Phase;
use oracle::Drawing;
use results::Arm;
use serde::Serialize;
use serde_json::{Value, json};
use store::{Hash, StoreError};

use crate::estimate::Stages;
use crate::resolve::{BaseSource, Grid, ModelSource, Resolved, Run, TeacherSource};

/// What a stage makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A tokenizer.
    Tokenizer,
    /// A marked teacher, a clean twin, or a teacher that lacks one mark.
    Teacher,
    /// An independent teacher.
    Stranger,
    /// A student before distillation.
    Base,
    /// The answers of one teacher.
    Transcript,
    /// A student, control or rival.
    Student,
    /// All measurements of one suspect.
    Measurement,
}

impl Made {
    /// Everything, in the order of the flow.
    pub const ALL: [Self; 7] =
        [Self::Tokenizer, Self::Teacher, Self::Stranger, Self::Base, Self::Transcript, Self::Student, Self::Measurement];

    /// In the plural.
    pub fn words(self) -> &'static str {
        match self {
            Self::Tokenizer => "tokenizers",
            Self::Teacher => "teachers and clean twins",
            Self::Stranger => "strangers",
            Self::Base => "bases",
            Self::Transcript => "transcripts",
            Self::Student => "students",
            Self::Measurement => "measured suspects",
        }
    }
}

/// One stage of one point.
#[derive(Debug, Clone, PartialEq)]
pub struct StageInput {
    /// What it makes.
    pub made: Made,
    /// Names everything that reaches it; of a transcript, however long.
    pub id: Hash,
    /// How much of its kind it is: tokens, queries or steps.
    pub size: f64,
}

/// Every stage of `resolved`, all repetitions.
///
/// # Errors
/// When a parameter has no canonical JSON (a number that is not finite).
pub fn stages(resolved: &Resolved) -> Result<Vec<StageInput>, StoreError> {
    let mut all = Vec::new();
    for &seed in &resolved.seeds {
        Repetition::of(resolved, seed)?.list(&mut all)?;
    }
    Ok(all)
}

/// The marks of `resolved` that are planted in one of `phases`, the one called `lacks` left out, with what decides their keys; null without any.
fn planted_in(resolved: &Resolved, phases: &[Phase], lacks: Option<&str>) -> Value {
    let world = &resolved.world;
    let is_in = |entry: &marks::MarkEntry| entry.config().is_ok_and(|config| phases.contains(&config.needs().phase));
    let there = world.marks.iter().filter(|(name, entry)| Some(name.as_str()) != lacks && is_in(entry));
    let planted: BTreeMap<_, _> = there.map(|(name, entry)| (name, entry.planted())).collect();
    if planted.is_empty() { Value::Null } else { json!({ "marks": planted, "commitment": world.commitment }) }
}

/// What marks change in the weights and the training data of the teacher, or nothing.
fn planted(resolved: &Resolved, lacks: Option<&str>) -> Value {
    let is_text = |name: &str| resolved.world.needs().any(|(known, needs)| known == name && needs.phase == Phase::Data);
    match planted_in(resolved, &[Phase::Data, Phase::Weights], lacks) {
        Value::Null => Value::Null,
        // texts stand where they would stand beside those that lack
        planted if lacks.is_some_and(is_text) && !planted_in(resolved, &[Phase::Data], lacks).is_null() => {
            json!([planted, resolved.world.planting, planted_in(resolved, &[Phase::Data], None)])
        }
        planted => json!([planted, resolved.world.planting]),
    }
}

/// What marks change in the answers of the served teacher, or nothing.
fn served(resolved: &Resolved, lacks: Option<&str>) -> Value {
    planted_in(resolved, &[Phase::Service], lacks)
}

/// The names of one repetition's models.
struct Repetition<'a> {
    resolved: &'a Resolved,
    seed: u64,
    tokenizer: Hash,
    teacher: Hash,
    clean: Hash,
    /// Teachers that lack one mark each, by its name.
    apart: BTreeMap<&'a str, Hash>,
    stranger: Hash,
    base: Hash,
}

impl<'a> Repetition<'a> {
    fn of(resolved: &'a Resolved, seed: u64) -> Result<Self, StoreError> {
        let world = &resolved.world;
        let tokenizer = store::hash_json(&match &world.teacher {
            TeacherSource::Open { model, .. } => json!({ "of": model }),
            TeacherSource::Train(_) => json!({ "corpus": world.corpus, "tokenizer": world.tokenizer }),
        })?;
        let shared = json!({
            "corpus": world.corpus, "tokenizer": tokenizer, "optimizer": world.optimizer, "seed": seed, "device": world.device,
        });
        let name = |role: &str, source: Value| store::hash_json(&json!({ "shared": shared, "role": role, "source": source }));
        let source = json!({ "teacher": world.teacher, "trunk": world.planted_after() });
        Ok(Self {
            resolved,
            seed,
            tokenizer,
            teacher: name("teacher", json!([source, planted(resolved, None)]))?,
            clean: name("teacher", json!([source, Value::Null]))?,
            apart: resolved
                .marks_apart
                .iter()
                .map(|mark| Ok((mark.as_str(), name("teacher", json!([source, planted(resolved, Some(mark))]))?)))
                .collect::<Result<_, StoreError>>()?,
            stranger: name("stranger", json!(world.stranger))?,
            base: name("base", json!([world.base, world.student.tokenizer]))?,
        })
    }

    fn list(&self, all: &mut Vec<StageInput>) -> Result<(), StoreError> {
        let world = &self.resolved.world;
        let trained = |tokens: u64| tokens.max(1) as f64;
        let (teacher, stranger, base) = (
            match &world.teacher {
                TeacherSource::Train(plan) => plan.tokens,
                TeacherSource::Open { continued, .. } => continued.as_ref().map_or(0, |plan| plan.tokens),
            },
            if let ModelSource::Train(plan) = &world.stranger { plan.tokens } else { 0 },
            if let BaseSource::Train(plan) = &world.base { plan.tokens } else { 0 },
        );
        let mut add = |made: Made, id: Hash, size: f64| all.push(StageInput { made, id, size });
        add(Made::Tokenizer, self.tokenizer, 1.0);
        add(Made::Teacher, self.teacher, trained(teacher));
        if self.clean != self.teacher {
            add(Made::Teacher, self.clean, trained(teacher));
        }
        let known = [self.teacher, self.clean];
        for id in self.apart.values().filter(|id| !known.contains(id)).collect::<BTreeSet<_>>() {
            add(Made::Teacher, *id, trained(teacher));
        }
        add(Made::Stranger, self.stranger, trained(stranger));
        add(Made::Base, self.base, trained(base));
        let queries = self.resolved.largest_budget() as f64;
        // imported answers are asked of nobody
        let imported = world.transcript.is_some();
        let asked = [(Arm::Student, None), (Arm::Control, None), (Arm::Rival, None)].into_iter();
        let asked = asked.chain(self.apart.keys().map(|mark| (Arm::Apart, Some(*mark))));
        for (arm, lacks) in asked.filter(|(arm, _)| !imported || *arm == Arm::Rival) {
            let ways: BTreeSet<Drawing> = self.resolved.channels.iter().map(|channel| channel.surface.drawing()).collect();
            for drawing in &ways {
                add(Made::Transcript, self.transcript(arm, lacks, drawing)?, queries);
            }
        }
        for run in self.resolved.runs().into_iter().filter(|run| run.seed == self.seed) {
            let suspect = self.suspect(&run)?;
            if run.channel.is_some() {
                let steps: u64 = world.student.steps_of_recipes(run.budget.unwrap_or(0), world.queries.row_tokens()).iter().sum();
                add(Made::Student, suspect, steps.max(1) as f64);
            }
            add(Made::Measurement, self.measurement(&run, suspect)?, 1.0);
        }
        Ok(())
    }

    /// The model that the students of `arm`, whose teacher may lack a mark, come from, and what marks change in its answers.
    fn asked(&self, arm: Arm, lacks: Option<&str>) -> (Hash, Value) {
        match arm {
            Arm::Apart => {
                let teacher = lacks.and_then(|mark| self.apart.get(mark)).copied().unwrap_or(self.teacher);
                (teacher, served(self.resolved, lacks))
            }
            Arm::Control => (self.clean, Value::Null),
            Arm::Rival => (self.stranger, Value::Null),
            _ => (self.teacher, served(self.resolved, None)),
        }
    }

    fn transcript(&self, arm: Arm, lacks: Option<&str>, drawing: &Drawing) -> Result<Hash, StoreError> {
        let asking = &self.resolved.world.queries;
        let (teacher, served) = self.asked(arm, lacks);
        let imported = self.resolved.world.transcript.as_ref().map(|source| match arm {
            Arm::Control => json!(source.control),
            // a rival is asked the imported prompts
            _ => json!(source.import),
        });
        // who answered an imported transcript is none of the models here
        let (teacher, served) = match imported.is_some() && arm != Arm::Rival {
            true => (Value::Null, Value::Null),
            false => (json!(teacher), served),
        };
        let world = &self.resolved.world;
        let defences = (arm != Arm::Rival).then_some(&world.defences);
        let models = defences.map(|_| world.model_hashes(&world.models_of_defences())).transpose()?;
        let mut inputs = json!({
            "teacher": teacher, "served": served, "defences": defences, "models": models, "asking": asking, "seed": self.seed,
            "imported": imported,
            "greedy": *drawing == Drawing::Greedy,
            // prompts that marks wait for stand among everybody's queries
            "asked": marks_that_wait(self.resolved),
        });
        if let Drawing::Label(labels) = drawing {
            inputs["labels"] = json!(labels);
        }
        store::hash_json(&inputs)
    }

    fn suspect(&self, run: &Run) -> Result<Hash, StoreError> {
        let Some(channel) = &run.channel else {
            return Ok(match run.arm {
                Arm::Stranger => self.stranger,
                Arm::Base => self.base,
                Arm::CleanTeacher => self.clean,
                _ => self.teacher,
            });
        };
        let world = &self.resolved.world;
        let transcript = self.transcript(run.arm, run.lacks.as_deref(), &channel.surface.drawing())?;
        store::hash_json(&json!({
            "transcript": transcript, "budget": run.budget, "base": self.base, "channel": channel, "student": world.student,
            "optimizer": world.optimizer, "seed": self.seed, "attacks": world.attacks,
            "models": world.model_hashes(&world.models_of_attacks())?,
        }))
    }

    /// All marks in one suspect: those of them that compare suspects look at the rivals too.
    fn measurement(&self, run: &Run, suspect: Hash) -> Result<Hash, StoreError> {
        let world = &self.resolved.world;
        let compares = world.marks.values().any(|entry| entry.config().is_ok_and(|config| config.info().compares));
        let largest = self.resolved.largest_budget();
        let rivals =
            compares.then(|| json!([self.stranger, self.base, self.teacher, world.student, self.resolved.channels, largest]));
        let marks: BTreeMap<_, _> = world.marks.iter().map(|(name, entry)| (name, entry.alone())).collect();
        let weighs = world.has_control() && world.marks.values().any(|entry| entry.config().is_ok_and(|c| c.needs().contexts));
        let channel = run.channel.as_ref().filter(|_| weighs);
        let contexts = channel.map(|channel| self.transcript(Arm::Control, None, &channel.surface.drawing())).transpose()?;
        let needs = |wanted: fn(&marks::Needs) -> bool| world.needs().any(|(_, needs)| wanted(&needs));
        let drawing = run.channel.as_ref().or(self.resolved.channels.first()).map(|channel| channel.surface.drawing());
        let bought = match drawing.filter(|_| needs(|needs| needs.bought)) {
            Some(drawing) => Some(json!([self.transcript(Arm::Student, None, &drawing)?, run.budget])),
            None => None,
        };
        let read = needs(|needs| needs.reads.is_some()).then(|| json!([self.teacher, served(self.resolved, None)]));
        store::hash_json(&json!({
            "contexts": contexts, "budget": contexts.map(|_| run.budget), "bought": bought, "read": read,
            "rivals": rivals, "suspect": suspect, "arm": run.who(), "marks": marks, "queries": world.queries, "largest": largest,
            "audit": world.audit, "measure": world.measure, "alpha": self.resolved.alpha,
        }))
    }
}

/// Marks with prompts among the queries, or null.
fn marks_that_wait(resolved: &Resolved) -> Value {
    let waits = |entry: &marks::MarkEntry| entry.config().is_ok_and(|config| config.needs().waits_for_prompts);
    let waiting = resolved.world.marks.iter().filter(|(_, entry)| waits(entry));
    let waiting = waiting.map(|(name, entry)| (name, entry.alone().planted()));
    let waiting: BTreeMap<_, _> = waiting.collect();
    if waiting.is_empty() { Value::Null } else { json!({ "marks": waiting, "commitment": resolved.world.commitment }) }
}

/// How many stages there are of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// If every point ran alone.
    pub alone: u64,
    /// Those that differ.
    pub distinct: u64,
}

/// What the points of a grid have in common.
#[derive(Debug, Clone)]
pub struct Sharing {
    /// By what is made.
    pub counts: BTreeMap<Made, Counts>,
    /// For each point, which part of each kind of its work no earlier point does.
    pub new: Vec<Stages>,
}

/// Compares the stages of the `chosen` points, in this order.
///
/// # Errors
/// When a parameter has no canonical JSON (a number that is not finite).
pub fn sharing(grid: &Grid, chosen: &[usize]) -> Result<Sharing, StoreError> {
    let mut done: BTreeMap<(Made, Hash), f64> = BTreeMap::new();
    let mut counts: BTreeMap<Made, Counts> = BTreeMap::new();
    let mut new = Vec::new();
    for &number in chosen {
        let mut sizes: BTreeMap<Made, (f64, f64)> = BTreeMap::new();
        for stage in stages(&grid.points[number].resolved)? {
            let count = counts.entry(stage.made).or_default();
            count.alone += 1;
            let before = done.insert((stage.made, stage.id), stage.size).unwrap_or_else(|| {
                count.distinct += 1;
                0.0
            });
            // the same transcript may have been asked up to a smaller budget
            let (fresh, all) = sizes.entry(stage.made).or_default();
            *fresh += (stage.size - before).max(0.0);
            *all += stage.size;
            if before > stage.size {
                done.insert((stage.made, stage.id), before);
            }
        }
        let share = |kinds: &[Made]| {
            let of = |which: fn(&(f64, f64)) -> f64| kinds.iter().filter_map(|made| sizes.get(made)).map(which).sum::<f64>();
            if of(|size| size.1) > 0.0 { of(|size| size.0) / of(|size| size.1) } else { 1.0 }
        };
        new.push(Stages {
            models: share(&[Made::Teacher, Made::Stranger, Made::Base]),
            asking: share(&[Made::Transcript]),
            students: share(&[Made::Student]),
            measuring: share(&[Made::Measurement]),
            other: 1.0,
        });
    }
    Ok(Sharing { counts, new })
}
