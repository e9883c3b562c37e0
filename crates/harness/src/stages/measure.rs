use std::sync::Arc;
use std::time::Instant;

use ::marks::{Case, Chance, Finding, FollowUp, MarkError, Phase, Question, Reference, Seen, Whom};
use oracle::{Access, OracleError};
use results::{Arm, Claim, Family, Kind, Record, View};
use serde_json::{Value, json};
use store::Key;

use crate::resolve::Run;
use crate::stages::audit::{Audit, Negative};
use crate::stages::audited::keep;
use crate::stages::context::{load_json, save_json};
use crate::stages::marks::{Built, Marks};
use crate::stages::metric::further;
use crate::stages::metrics::metrics;
use crate::stages::outside::cannot_be_asked;
use crate::stages::suspect::Suspect;
use crate::stages::worth::nobody_as_good;
use crate::stages::{Asked, Context, Imported, MarkedTexts, Unmarked};

/// Raised when the same inputs would give another measurement.
pub(super) const REVISION: u32 = 14;
/// File of a measurement artifact.
const FILE: &str = "records.json";

/// A model that a second round may ask, by name.
pub type Named<'a> = dyn Fn(&str) -> anyhow::Result<crate::stages::Peer> + 'a;

/// What a measurement may ask for beside suspect and audit.
pub struct Beside<'a> {
    /// A model that a second round asks.
    pub named: &'a Named<'a>,
    /// The clean twin's answers to the queries that a run paid for; `None` where it paid for none, or nobody asked the twin.
    pub unmarked: &'a dyn Fn(&Run) -> anyhow::Result<Option<Unmarked>>,
    /// The marked teacher as it is asked.
    pub marked: &'a Asked,
}

/// Every mark and every metric of one suspect, found or measured. Identity (experiment, run, arm ...) is not filled in:
/// the same measurement may serve several experiments, so nothing that does not touch it is part of its name.
///
/// # Errors
/// When the suspect fails, or the work is cancelled. A mark that cannot be tested is a record that says so.
pub fn measure(
    ctx: &Context<'_>,
    suspect: &Suspect,
    marks: &Marks,
    audit: &Audit,
    beside: &Beside<'_>,
) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    let wanted = marks.all().iter().any(|built| built.needs.contexts);
    let unmarked = if wanted { (beside.unmarked)(&suspect.run)? } else { None };
    let marked = MarkedTexts { teacher: beside.marked, audit };
    let measurement =
        |built| Measurement { ctx, suspect, audit, named: beside.named, unmarked: unmarked.as_ref(), marked, built };
    let asked = marks.all().iter().any(|built| measurement(built).asks_audit());
    let can_be_asked = cannot_be_asked(ctx, suspect, &[Question::Audit], &audit.queries).is_none();
    if can_be_asked && (asked || suspect.own_vocabulary(ctx).is_some()) {
        keep(ctx, suspect, audit)?;
    }
    for built in marks.all() {
        let measurement = measurement(built);
        let key = Key::new(REVISION, &measurement.inputs()?)?;
        let artifact = ctx.artifact("measurement", &key, |directory| {
            let started = Instant::now();
            let what = format!("measuring {}, {}", suspect.name(), built.name);
            let found = measurement.records()?;
            ctx.timings.push(&what, ctx.seed, started, 0);
            save_json(&directory.join(FILE), &found)
        })?;
        // the name is this experiment's, the measurement is not
        let named = load_json::<Vec<Record>>(&artifact.file(FILE))?.into_iter().map(|record| match record.kind {
            Kind::Mark => Record { mark: Some(built.name.clone()), ..record },
            Kind::Metric => Record { metric_of: Some(built.name.clone()), ..record },
        });
        records.extend(named);
    }
    records.extend(metrics(ctx, suspect, audit)?);
    Ok(records)
}

/// One mark in one suspect.
struct Measurement<'a> {
    ctx: &'a Context<'a>,
    suspect: &'a Suspect,
    audit: &'a Audit,
    named: &'a Named<'a>,
    unmarked: Option<&'a Unmarked>,
    marked: MarkedTexts<'a>,
    built: &'a Built,
}

impl Measurement<'_> {
    fn references(&self) -> Vec<&Negative> {
        if !self.built.info.compares {
            return Vec::new();
        }
        let (run, channels) = (&self.suspect.run, &self.ctx.resolved.channels);
        let channel = run.channel.as_ref().and_then(|c| channels.iter().position(|known| known == c));
        self.audit.references(self.suspect, channel).collect()
    }

    /// Everything that decides the measurement, and nothing else.
    fn inputs(&self) -> anyhow::Result<Value> {
        let (ctx, suspect, built) = (self.ctx, self.suspect, self.built);
        let (world, audit) = (&ctx.resolved.world, &self.audit);
        let mut inputs = json!({
            "suspect": suspect.trained.hash,
            "laws": suspect.serving.names(),
            "mark": built.identity,
            "neutral": built.neutral,
            "chance": [json!(built.needs.decoys.worth(world.measure.decoys)), json!(world.measure.permutations)],
            "decoys": decoy_seed(ctx),
            "alpha": ctx.resolved.alpha,
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed,
            "accounts": world.queries.accounts,
        });
        if built.mark.questions(0).iter().any(|question| matches!(question, Question::Audit)) {
            inputs["audit"] = json!([audit.queries_hash, world.audit.max_new_tokens, world.audit.sampling]);
        }
        // every record holds the budget of the audit
        inputs["audit_budget"] = json!([world.audit.prompts, world.audit.max_new_tokens]);
        let texts = self.marked.identity(ctx, &suspect.run, &built.mark.questions(0))?;
        if !texts.is_null() {
            inputs["marked_texts"] = texts;
        }
        if let Some((imported, answers)) = self.imported() {
            inputs["imported"] = json!([imported.hash(), answers]);
        }
        if built.info.compares {
            inputs["teacher"] = audit.teacher_as(built.needs.compared_with).identity();
        }
        if built.needs.second_round.contains(&Whom::Teacher) {
            inputs["raw_teacher"] = json!(audit.teacher.trained.hash);
        }
        if let Some(unmarked) = self.unmarked.filter(|_| built.needs.contexts) {
            inputs["contexts"] = unmarked.identity().clone();
        }
        for whom in &built.needs.second_round {
            if let Whom::Named(name) = whom {
                inputs["named"][name] = json!((self.named)(name)?.trained.hash);
            }
        }
        if built.info.compares {
            let references = self.references();
            inputs["references"] = json!(references.iter().map(|r| (r.peer.name(), r.peer.trained.hash)).collect::<Vec<_>>());
            // a suspect that is better than all of them is compared with nobody
            inputs["held_out"] = json!(store::hash_json(&audit.held_out)?);
        }
        if suspect.outside.is_some() {
            // it may hold less than what is asked, which of the experiment's own models is no question
            inputs["outside"] = json!(true);
        }
        if let Some(own) = suspect.own_vocabulary(ctx) {
            inputs["student_vocabulary"] = json!(own.hash);
        }
        Ok(inputs)
    }

    fn records(&self) -> anyhow::Result<Vec<Record>> {
        let built = self.built;
        let about = self.about();
        if let Some(reason) = self.nobody_as_good()? {
            return Ok(vec![Record { reason: Some(reason), ..about }]);
        }
        let questions = built.mark.questions(self.ctx.seed_for("questions"));
        if let Some(reason) = cannot_be_asked(self.ctx, self.suspect, &questions, &self.audit.queries) {
            return Ok(vec![Record { reason: Some(reason), ..about }]);
        }
        let (findings, heard) = match self.marked.check(built.info.name, &questions).and_then(|()| self.judged(&questions)) {
            Ok(judged) => judged,
            Err(error) => return Ok(vec![Record { reason: Some(not_measurable(error)?), ..about }]),
        };
        let about = Record {
            audit_prompts: self.imported().map(|(_, answers)| answers).or(about.audit_prompts),
            audit_queries: Some(heard.queries),
            audit_tokens: Some(heard.tokens),
            ..about
        };
        let mut records = Vec::new();
        for finding in findings {
            records.extend(finding.metrics.iter().map(further));
            records.push(self.record(finding, &about));
        }
        Ok(records)
    }

    /// Why a mark that compares has nobody to compare the suspect with; the owner's own models are no suspects.
    fn nobody_as_good(&self) -> anyhow::Result<Option<String>> {
        let (ctx, audit, run) = (self.ctx, self.audit, &self.suspect.run);
        if !self.built.info.compares || matches!(run.arm, Arm::Teacher | Arm::CleanTeacher) {
            return Ok(None);
        }
        let ours =
            self.suspect.worth.held_out(ctx, &self.suspect.trained.model, audit.held_out_of(self.suspect.own_vocabulary(ctx)))?;
        let references = self.references();
        let theirs = references.iter().map(|reference| {
            let peer = &reference.peer;
            Ok((peer.name(), peer.worth.held_out(ctx, &peer.trained.model, audit.held_out_of(peer.own_vocabulary(ctx)))?))
        });
        let theirs = theirs.collect::<anyhow::Result<Vec<_>>>()?;
        let tokens: Vec<f64> = audit.held_out.iter().map(|document| document.len().saturating_sub(1) as f64).collect();
        Ok(nobody_as_good(ours, &theirs, &tokens))
    }

    fn record(&self, finding: Finding, about: &Record) -> Record {
        let alpha = self.ctx.resolved.alpha;
        let decoys = &finding.decoy_log10_p;
        let at_alpha = decoys.iter().filter(|&&p| p <= libm::log10(alpha)).count() as u64;
        let bought = |account: u32| account < self.ctx.resolved.world.queries.accounts;
        Record {
            decoys_at_alpha: (!decoys.is_empty()).then_some(at_alpha),
            audit_queries_to_detect: finding.audit_queries_to_detect(alpha),
            effect_unit: Some(finding.effect_unit),
            detail: Some(match self.imported() {
                Some(_) => format!("{}; in the imported answers", finding.detail),
                None => finding.detail,
            }),
            account: finding.account,
            innocent: finding.account.filter(|&account| !bought(account)).map(|_| true),
            ..about.clone().with_evidence(&finding.evidence).with_decoy_z(&finding.decoy_statistics)
        }
    }

    /// Asks the suspect, and whoever else the mark compares it with or asks in a second round, and judges.
    fn judged(&self, questions: &[Question]) -> Result<(Vec<Finding>, Heard), MarkError> {
        let (ctx, built, audit) = (self.ctx, self.built, self.audit);
        let seen = self.seen(questions)?;
        let (mut teacher, mut references) = (None, Vec::new());
        if built.info.compares {
            teacher = Some(audit.teacher_as(built.needs.compared_with).seen(ctx, built, &audit.queries)?);
            for reference in self.references() {
                references.push((reference.peer.name(), reference.peer.seen(ctx, built, &audit.queries)?));
            }
        }
        let references: Vec<Reference<'_>> = references.iter().map(|(name, seen)| Reference { name, seen }).collect();
        let mut second = Vec::new();
        for follow_up in built.mark.follow_up(&seen) {
            second.extend(self.follow_up(&follow_up)?);
        }
        let mut contexts = self.unmarked.and_then(|_| built.mark.contexts(&seen));
        if let (Some(unmarked), Some(counts)) = (self.unmarked, &mut contexts) {
            unmarked.count(ctx, counts).map_err(|error| OracleError::Model(format!("{error:#}")))?;
        }
        let measure = &ctx.resolved.world.measure;
        let chance = Chance {
            decoys: built.needs.decoys.worth(measure.decoys),
            decoy_seed: decoy_seed(ctx),
            draws: measure.permutations,
            draw_seed: ctx.seed_for("permutations"),
        };
        let teacher = teacher.as_deref().map(Vec::as_slice);
        let case =
            Case { suspect: &seen, teacher, references: &references, second: &second, contexts: contexts.as_ref(), chance };
        let findings = ctx.rt.pool.install(|| built.mark.judge(&case))?;
        Ok((findings, self.heard(questions, &seen, &second)))
    }

    /// How much the suspect was asked: what it answered, or was shown of the owner's texts and judged along.
    fn heard(&self, questions: &[Question], seen: &[Seen], second: &[Seen]) -> Heard {
        let audited = self.imported().map_or(self.audit.queries.len() as u64, |(_, answers)| answers);
        let given = |(question, seen): (&Question, &Seen)| match question {
            Question::Audit => audited,
            Question::Marked(_) => seen.exchanges().map_or(0, <[_]>::len) as u64,
            question => question.queries(),
        };
        // answers to a second round are the suspect's, and were asked along texts that are not
        let answered = if second.iter().any(|seen| seen.exchanges().is_some()) { second } else { seen };
        let tokens = answered.iter().filter_map(Seen::exchanges).flatten().map(|exchange| exchange.answer.len() as u64).sum();
        Heard { queries: questions.iter().zip(seen).map(given).sum(), tokens }
    }

    /// Where the teacher's answers to this mark are those that were imported, and how many of them: those of a mark that the server
    /// outside put into its answers, and that asks no more than the audit.
    fn imported(&self) -> Option<(&Imported, u64)> {
        let imported = &self.ctx.imports?.marked;
        let asks_audit = || self.built.mark.questions(0).iter().all(|question| matches!(question, Question::Audit));
        let said = self.suspect.run.arm == Arm::Teacher && self.built.needs.phase == Phase::Service && asks_audit();
        said.then(|| (&**imported, self.ctx.resolved.world.audit.prompts.min(imported.holds.counts.queries)))
    }

    /// Whether the suspect itself answers the audit for this mark.
    fn asks_audit(&self) -> bool {
        self.imported().is_none() && self.built.mark.questions(0).iter().any(|question| matches!(question, Question::Audit))
    }

    /// What the suspect says to the mark's own questions.
    fn seen(&self, questions: &[Question]) -> Result<Vec<Seen>, MarkError> {
        let Some((imported, answers)) = self.imported() else {
            return Ok(self.ask_suspect(questions)?);
        };
        let answers = imported.first(answers).map_err(|error| OracleError::Model(format!("{error:#}")))?;
        let answers = Arc::new(answers);
        Ok(questions.iter().map(|_| Seen::Exchanges(answers.clone())).collect())
    }

    fn ask_suspect(&self, questions: &[Question]) -> Result<Vec<Seen>, OracleError> {
        let (ctx, suspect) = (self.ctx, self.suspect);
        suspect.ask(ctx, &self.built.name, questions, &self.audit.queries, &|which| self.marked.read(ctx, &suspect.run, which))
    }

    fn follow_up(&self, follow_up: &FollowUp) -> Result<Vec<Seen>, MarkError> {
        let (ctx, audit, question) = (self.ctx, self.audit, std::slice::from_ref(&follow_up.question));
        Ok(match &follow_up.whom {
            Whom::Suspect if self.imported().is_some() => {
                let why = "imported answers show no laws: judge them by the answers";
                return Err(MarkError::unmeasurable(self.built.info.name, why));
            }
            Whom::Suspect => self.ask_suspect(question)?,
            Whom::Teacher => audit.teacher.ask(ctx, question, &audit.queries)?,
            Whom::Named(name) => {
                let model = (self.named)(name).map_err(|error| OracleError::Model(format!("{error:#}")))?;
                model.ask(ctx, question, &audit.queries)?
            }
        })
    }

    /// What all records of a mark have in common.
    fn about(&self) -> Record {
        let (world, info) = (&self.ctx.resolved.world, &self.built.info);
        let asks_laws = self.built.mark.questions(0).iter().any(|q| matches!(q, Question::Scores(_) | Question::Laws { .. }));
        let served = match (info.needs <= Access::Logprobs, asks_laws) {
            (true, true) => self.suspect.reads_served_law(&self.built.name),
            (true, false) => !self.suspect.serving.laws.is_empty() || self.imported().is_some(),
            (false, _) => false,
        };
        Record {
            kind: Kind::Mark,
            family: Some(match info.family {
                ::marks::Family::Watermark => Family::Watermark,
                ::marks::Family::Canary => Family::Canary,
                ::marks::Family::Probe => Family::Probe,
            }),
            scheme: Some(info.name.to_string()),
            claim: Some(match info.claim {
                ::marks::Claim::Lineage => Claim::Lineage,
                ::marks::Claim::Distillation => Claim::Distillation,
            }),
            view: Some(if served { View::Served } else { View::Raw }),
            access: Some(info.needs.name().to_string()),
            planted: Some(info.planted),
            commitment: Some(world.commitment.clone()),
            audit_prompts: Some(world.audit.prompts),
            audit_max_new_tokens: Some(world.audit.max_new_tokens as u64),
            ..Record::default()
        }
    }
}

/// How much a suspect was asked for one mark.
struct Heard {
    queries: u64,
    tokens: u64,
}

/// Why a mark could not be tested; a model that failed is an error.
fn not_measurable(error: MarkError) -> anyhow::Result<String> {
    match error {
        MarkError::Unmeasurable { .. } | MarkError::Oracle(OracleError::NotShown { .. }) => Ok(error.to_string()),
        MarkError::Oracle(error) => Err(error.into()),
        MarkError::Config(_) | MarkError::Program(_) => Err(error.into()),
    }
}

/// Every suspect of a repetition is tried with the same decoy keys, as all are with one true key: only so do their scores show how far
/// models go together under one key.
fn decoy_seed(ctx: &Context<'_>) -> u64 {
    ctx.seed_for("decoys")
}
