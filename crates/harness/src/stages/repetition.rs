use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use distill::Curve;
use oracle::LogitsProcessor;
use results::{Arm, LossSeries, Record};

use crate::progress::Part;
use crate::resolve::Run;
use crate::stages::loss_added::loss_added;
use crate::stages::marked_share::marked_share;
use crate::stages::queries::QueryStream;
use crate::stages::suspect::Serving;
use crate::stages::teacher::named;
use crate::stages::tools::{Purpose, with_tools};
use crate::stages::worth::Worth;
use crate::stages::{
    Asked, Audit, Beside, Context, Identity, Lineage, Marks, Peer, Suspect, SuspectRow, Trained, Unmarked, Vocabulary, base,
    distil, measure, recipe_of, stranger, teacher_report, teachers, trigram_loss,
};

/// Points a loss curve is thinned to for the figure.
const CURVE_POINTS: usize = 200;
/// Name of the loss of models that learned from text.
const TEXT_LOSS: &str = "cross_entropy";

/// Everything one repetition (seed) of an experiment found.
pub struct Repetition {
    /// Named, not yet judged.
    pub records: Vec<Record>,
    /// Loss curves of the models that were trained.
    pub curves: Vec<LossSeries>,
    /// What the served teacher answers.
    pub samples: Vec<String>,
    /// Every suspect, and where it lies.
    pub suspects: Vec<SuspectRow>,
}

/// Runs all stages of one repetition: teachers, transcripts, students, measurements. `found` gets each suspect's records
/// as they come.
///
/// # Errors
/// When a stage fails or the work is cancelled; finished stages stay.
pub fn repeat(
    ctx: &Context<'_>,
    identity: &Identity,
    found: &mut dyn FnMut(&[Record]) -> anyhow::Result<()>,
) -> anyhow::Result<Repetition> {
    let resolved = ctx.resolved;
    let mut marks = Marks::build(ctx)?;
    let step = ctx.progress.step(Part::Models, ctx.predicted.models);
    let models = Models::make(ctx, &mut marks)?;
    drop(step);
    let mut audit = models.audit(ctx, &marks, &[])?;
    trigram_loss(ctx, &audit.held_out)?;
    let suspects = models.suspects(ctx)?;
    audit.compare_with(ctx, &suspects);

    let mut records = Vec::new();
    let mut samples = Vec::new();
    let mut rows = Vec::new();
    let beside =
        Beside { named: &|name| models.named(ctx, name), unmarked: &|run| models.unmarked(ctx, run), marked: &models.marked };
    for suspect in &suspects {
        let _step = ctx.progress.step(Part::Measuring, ctx.predicted.measuring / suspects.len() as f64);
        let mut measured = measure(ctx, suspect, &marks, &audit, &beside)?;
        measured.extend(marked_share(ctx, suspect, &marks, &audit, &models.marked)?);
        if suspect.run.arm == Arm::Teacher {
            let (metrics, texts) = teacher_report(ctx, &models.teachers, suspect, &audit)?;
            measured.extend(metrics);
            samples = texts;
        }
        let beside = |other: &&Suspect| {
            let place = |run: &Run| (run.channel.clone(), run.budget);
            other.run.arm == Arm::Student && place(&other.run) == place(&suspect.run)
        };
        if let (Some(mark), Some(student)) = (&suspect.run.lacks, suspects.iter().find(beside)) {
            measured.push(loss_added(ctx, &audit, student, suspect, mark)?);
        }
        let named = identity.fill(resolved, suspect, measured)?;
        found(&named)?;
        records.extend(named);
        let (run_id, model) = (resolved.run_id(&suspect.run)?.hex(), suspect.trained.id());
        let audit = suspect.kept.get().map(|kept| kept.place.as_str());
        rows.push(SuspectRow::new(&suspect.run, run_id, &identity.axes, model, &suspect.lineage, audit));
    }
    Ok(Repetition { records, curves: models.curves(&suspects), samples, suspects: rows })
}

/// What the suspect of `run` learned from: answers of `asked`. Who gave those that were imported is not known here.
fn learned_from(ctx: &Context<'_>, run: &Run, asked: &Asked) -> anyhow::Result<Lineage> {
    let (Some(channel), Some(budget)) = (&run.channel, run.budget) else { return Ok(Lineage::default()) };
    let transcript = asked.transcript(ctx, &channel.surface)?;
    let teacher = asked.imported().is_none().then(|| asked.teacher().id());
    Ok(Lineage { teacher, transcript: Some(transcript.hash.hex()), answers: transcript.places(budget).to_vec() })
}

/// `serving` of `teacher` behind the experiment's defences.
fn defended(ctx: &Context<'_>, serving: Serving, teacher: &Trained) -> anyhow::Result<Serving> {
    let mut serving = serving;
    for (index, config) in ctx.resolved.world.defences.iter().enumerate() {
        let defence = config.build();
        let models = defence.models();
        let seed = format!("defence {index}");
        let purpose = Purpose { seed: &seed, documents: "defence documents", models: &models, vocabulary: ctx.vocabulary };
        let known = serving.laws.clone();
        let (wrapped, companions) = with_tools(ctx, &purpose, |tools| {
            Ok((defence.wrap(serving.processors(), &tools), defence.companions(&teacher.model, &tools)?))
        })?;
        // a law that the defence left as it was is still its mark's
        let owner = |law: &Arc<dyn LogitsProcessor>| {
            known.iter().find(|(_, old)| Arc::ptr_eq(old, law)).and_then(|(owner, _)| owner.clone())
        };
        serving.laws = wrapped.into_iter().map(|law| (owner(&law), law)).collect();
        serving.companions.extend(companions);
        serving.models.extend(ctx.resolved.world.model_hashes(&models)?);
    }
    Ok(serving)
}

/// The models students come from.
pub(super) struct Models {
    pub(super) teachers: crate::stages::Teachers,
    stranger: Trained,
    pub(super) base: Trained,
    pub(super) marked: Asked,
    clean: Asked,
    /// Teachers that lack one mark each, by its name.
    apart: BTreeMap<String, Asked>,
    pub(super) rival: Asked,
}

impl Models {
    pub(super) fn make(ctx: &Context<'_>, marks: &mut Marks) -> anyhow::Result<Self> {
        let teachers = teachers(ctx, marks)?;
        let stranger = stranger(ctx)?;
        let base = base(ctx)?;
        let stream = Arc::new(QueryStream::new(ctx, marks.asked()));
        let served = |lacks: Option<&str>, teacher: &Trained| {
            defended(ctx, Serving { laws: marks.laws(lacks), ..Serving::default() }, teacher)
        };
        let marked = served(None, &teachers.marked)?;
        let clean = defended(ctx, Serving::default(), &teachers.clean)?;
        let (bought, unmarked) = ctx.imports.map(|imports| (imports.marked.clone(), imports.control.clone())).unzip();
        let marked = Asked::new(ctx, "the marked teacher", &teachers.marked, marked, &stream).answered_by(bought);
        let clean = Asked::new(ctx, "the clean teacher", &teachers.clean, clean, &stream).answered_by(unmarked.flatten());
        let without = |(mark, teacher): (&String, &Trained)| {
            let serving = served(Some(mark), teacher)?;
            Ok((mark.clone(), Asked::new(ctx, &format!("the teacher without {mark}"), teacher, serving, &stream)))
        };
        let apart = teachers.apart.iter().map(without).collect::<anyhow::Result<_>>()?;
        let rival = Asked::new(ctx, "the stranger", &stranger, Serving::default(), &stream);
        Ok(Self { teachers, stranger, base, marked, clean, apart, rival })
    }

    /// The model that a mark's second round calls `name`.
    pub(super) fn named(&self, ctx: &Context<'_>, name: &str) -> anyhow::Result<Peer> {
        let (arm, trained) = match name {
            "clean" => (Arm::CleanTeacher, self.teachers.clean.clone()),
            "base" => (Arm::Base, self.base.clone()),
            "stranger" => (Arm::Stranger, self.stranger.clone()),
            name => (Arm::Stranger, named(ctx, name)?),
        };
        Ok(Peer::new(arm, &trained))
    }

    /// The clean twin's answers to the queries that `run` paid for; `None` where it paid for none, or nobody asked the twin.
    pub(super) fn unmarked(&self, ctx: &Context<'_>, run: &Run) -> anyhow::Result<Option<Unmarked>> {
        let (Some(channel), Some(budget), true) = (&run.channel, run.budget, ctx.resolved.world.has_control()) else {
            return Ok(None);
        };
        Ok(Some(Unmarked::new(self.clean.transcript(ctx, &channel.surface)?, budget)))
    }

    /// Every suspect of the grid, distilled where it must be.
    fn suspects(&self, ctx: &Context<'_>) -> anyhow::Result<Vec<Suspect>> {
        let runs: Vec<Run> = ctx.resolved.runs().into_iter().filter(|run| run.seed == ctx.seed).collect();
        let weight = |run: &Run| run.steps.or(run.budget).unwrap_or(0) as f64;
        let all: f64 = runs.iter().map(weight).sum();
        let made = |run: Run| {
            let _step = ctx.progress.step(Part::Students, ctx.predicted.students * weight(&run) / all.max(1.0));
            self.suspect(ctx, run)
        };
        runs.into_iter().map(made).collect()
    }

    /// The suspect at this place of the grid.
    pub(super) fn suspect(&self, ctx: &Context<'_>, run: Run) -> anyhow::Result<Suspect> {
        let mut run = run;
        let mut taught = None;
        let mut lineage = Lineage::default();
        let (trained, cost) = match run.arm {
            Arm::Teacher => (self.teachers.marked.clone(), None),
            Arm::CleanTeacher => (self.teachers.clean.clone(), None),
            Arm::Stranger => (self.stranger.clone(), None),
            Arm::Base => (self.base.clone(), None),
            Arm::Suspect | Arm::Negative => anyhow::bail!("a model from outside is none of the experiment's"),
            Arm::Student | Arm::Control | Arm::Apart | Arm::Rival => {
                let asked = match run.arm {
                    Arm::Control => &self.clean,
                    Arm::Apart => self.without(&run)?,
                    Arm::Rival => &self.rival,
                    _ => &self.marked,
                };
                let how = recipe_of(ctx, &run, &self.marked, &self.base)?;
                let mut distilled = distil(ctx, &run, asked, &self.base, &how.recipe)?;
                if let Some(choice) = &how.choice {
                    choice.add_to(&mut distilled.cost);
                }
                run.steps = Some(distilled.steps);
                taught = Some(how);
                lineage = learned_from(ctx, &run, asked)?;
                (distilled.trained, Some(distilled.cost))
            }
        };
        if run.arm == Arm::Teacher {
            lineage.teacher = Some(trained.id());
        }
        let serving = match run.arm {
            Arm::Teacher => self.marked.serving().clone(),
            Arm::Student | Arm::Control | Arm::Apart | Arm::Rival => {
                let attacks = ctx.resolved.world.attacks.iter();
                let laws = attacks.filter_map(|attack| Some((None, attack.build().decoding()?))).collect();
                Serving { laws, ..Serving::default() }
            }
            Arm::CleanTeacher | Arm::Stranger | Arm::Base | Arm::Suspect | Arm::Negative => Serving::default(),
        };
        let (audit, kept) = (OnceCell::new(), OnceCell::new());
        Ok(Suspect { run, taught, trained, outside: None, serving, cost, lineage, audit, kept, worth: Worth::default() })
    }

    /// The teacher that lacks the mark of `run`.
    fn without(&self, run: &Run) -> anyhow::Result<&Asked> {
        let apart = run.lacks.as_ref().and_then(|mark| self.apart.get(mark));
        apart.ok_or_else(|| anyhow::anyhow!("no teacher lacks what the {} arm lacks", run.who()))
    }

    /// What every suspect is asked, models from `outside` too; a student holds as much context as its base. Nobody is compared with yet.
    pub(super) fn audit(&self, ctx: &Context<'_>, marks: &Marks, outside: &[Suspect]) -> anyhow::Result<Audit> {
        let models = [&self.teachers.marked, &self.stranger, &self.base];
        let context = models.into_iter().map(|trained| trained.model.context_length()).min().unwrap_or(0);
        let theirs = outside.iter().map(|suspect| suspect.trained.model.context_length()).min().unwrap_or(usize::MAX);
        let others: Vec<&Vocabulary> = outside.iter().filter_map(|suspect| suspect.own_vocabulary(ctx)).collect();
        Audit::new(ctx, marks, &self.marked, (context, context.min(theirs)), &others)
    }

    /// Loss curves: the teachers, the base, and everything distilled at the largest budget.
    fn curves(&self, suspects: &[Suspect]) -> Vec<LossSeries> {
        let largest = suspects.iter().filter_map(|s| s.run.budget).max();
        let seed = suspects.first().map_or(0, |s| s.run.seed);
        let series = |group: &str, name: &str, arm: Arm, loss: &str, curve: &Curve| LossSeries {
            group: format!("{group}, seed {seed}"),
            name: name.to_string(),
            arm,
            loss: Some(loss.to_string()),
            axes: Default::default(),
            points: curve.thinned(CURVE_POINTS).points.iter().map(|point| (point.step, point.loss)).collect(),
        };
        let mut curves = vec![
            series("models", "teacher", Arm::Teacher, TEXT_LOSS, &self.teachers.before_implant.curve),
            series("models", "clean twin", Arm::CleanTeacher, TEXT_LOSS, &self.teachers.clean.curve),
            series("models", "stranger", Arm::Stranger, TEXT_LOSS, &self.stranger.curve),
            series("models", "base", Arm::Base, TEXT_LOSS, &self.base.curve),
        ];
        for suspect in suspects.iter().filter(|s| s.run.budget == largest) {
            if let Some(channel) = &suspect.run.channel {
                let group = format!("largest budget, {}", channel.surface);
                let loss = channel.loss.build();
                let name =
                    suspect.run.lacks.as_ref().map_or(suspect.run.arm.name().to_string(), |mark| format!("without {mark}"));
                curves.push(series(&group, &name, suspect.run.arm, loss.name(), &suspect.trained.curve));
            }
        }
        curves.retain(|curve| !curve.points.is_empty());
        curves
    }
}
