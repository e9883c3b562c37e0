use std::collections::BTreeSet;

use distill::SavedAs;
use oracle::{Access, Drawing};
use results::Arm;

use super::{Estimate, Stages};
use crate::resolve::{BaseSource, ModelSource, Resolved, TeacherSource};
use crate::shapes::Shapes;

/// Queries, tokens and operations; `mean` is the mean length of an answer where it is known, else the longest is assumed.
pub(super) fn count(resolved: &Resolved, shapes: &Shapes, mean: Option<f64>) -> (Estimate, Operations) {
    let world = &resolved.world;
    let seeds = resolved.seeds.len() as u64;
    let (mut total, mut flop) = (Estimate::default(), Operations::default());
    let (teacher, student) = (&shapes.teacher, &shapes.student);

    for (tokens, config) in pretrainings(resolved, shapes) {
        total.pretraining_tokens += seeds * tokens;
        flop.train.models += (seeds * tokens) as f64 * config.flops_per_token_train();
    }

    // transcripts: marked teacher, clean twin, stranger and teachers without one mark answer the same prompts; of imported ones the stranger
    // alone
    let each_way = seeds * resolved.largest_budget() * resolved.teachers_asked();
    let prompt = world.queries.prompt_tokens as f64;
    let answer_to = |drawing: &Drawing| answer_tokens(resolved, drawing, mean);
    let ways = ways_to_draw(resolved);
    let answers = each_way as f64 * ways.iter().map(answer_to).sum::<f64>();
    total.queries = each_way * ways.len() as u64;
    total.prompt_tokens = total.queries * world.queries.prompt_tokens as u64;
    total.answer_tokens = answers.round() as u64;
    flop.forward.asking += (total.queries as f64 * prompt + answers) * teacher.flops_per_token_forward();

    for run in resolved.runs() {
        total.suspects += 1;
        let audited = if matches!(run.arm, Arm::Teacher | Arm::Stranger) { teacher } else { student };
        let audit = world.audit.prompts * (world.audit.prompt_tokens + world.audit.max_new_tokens) as u64;
        total.audit_tokens += world.audit.prompts * world.audit.max_new_tokens as u64;
        flop.forward.measuring += audit as f64 * audited.flops_per_token_forward();
        if let (Some(channel), Some(budget)) = (&run.channel, run.budget) {
            let rows = own_steps(resolved, run.arm, budget) * world.student.batch_rows as u64;
            let tokens = rows as f64 * (prompt + answer_to(&channel.surface.drawing()));
            total.distilled += 1;
            total.distillation_tokens += tokens as u64;
            flop.train.students += tokens * student.flops_per_token_train();
            if channel.loss.build().needs() > Access::Text {
                // laws are not stored: the trainer scores stored tokens through the teacher again
                flop.forward.students += tokens * teacher.flops_per_token_forward();
            }
        }
    }
    (total, flop)
}

/// Operations by the stage that they fall to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Operations {
    /// Of training.
    pub(super) train: Stages,
    /// Of asking, auditing and re-scoring.
    pub(super) forward: Stages,
}

/// Surfaces that draw alike share a transcript: the ways of those that do not.
pub(super) fn ways_to_draw(resolved: &Resolved) -> BTreeSet<Drawing> {
    resolved.channels.iter().map(|channel| channel.surface.drawing()).collect()
}

/// Tokens of an answer: of a text `mean` where that is known, else the longest; of a label at most, as no token is shorter than a byte.
pub(super) fn answer_tokens(resolved: &Resolved, drawing: &Drawing, mean: Option<f64>) -> f64 {
    let longest = resolved.world.queries.max_new_tokens;
    match drawing {
        Drawing::Sampled | Drawing::Greedy => mean.unwrap_or(longest as f64),
        // and the end token
        Drawing::Label(labels) => (labels.iter().map(String::len).max().unwrap_or(0) + 1).min(longest) as f64,
    }
}

/// Steps that a student of `budget` adds to those of the next smaller budget: all of them, unless budgets share a trunk. Where the thief
/// chooses, those of every trial; of the arms that take his choice, those of the longest.
pub(super) fn own_steps(resolved: &Resolved, arm: Arm, budget: u64) -> u64 {
    let student = &resolved.world.student;
    let row = resolved.world.queries.row_tokens();
    let all = student.steps_of_recipes(budget, row);
    let steps = if arm == Arm::Student { all.iter().sum() } else { all.iter().copied().max().unwrap_or(0) };
    let Some(branch) = student.compute.branch_step(steps) else { return steps };
    // a rival walks the whole trunk for its one snapshot, students and controls share it among budgets
    let smaller = resolved.budgets.iter().flat_map(|&budget| student.steps_of_recipes(budget, row));
    let smaller = smaller.filter(|&smaller| smaller < steps);
    let before = if arm == Arm::Rival { None } else { smaller.filter_map(|s| student.compute.branch_step(s)).max() };
    (branch - before.unwrap_or(0)) + (steps - branch)
}

/// Trainings of the teacher that branch off the marked one's: the clean twin's, where texts are planted, and those without one mark's texts.
fn branches(resolved: &Resolved) -> u64 {
    u64::from(resolved.world.planted_after().is_some()) + resolved.trained_again().texts
}

/// Of `tokens` of the teacher's training those after the trunk, which all branches share.
fn after_trunk(resolved: &Resolved, tokens: u64) -> u64 {
    tokens.saturating_sub(resolved.world.planted_after().unwrap_or(0))
}

/// Tokens that all trainings of a teacher of `tokens` take, in one repetition.
pub(super) fn teacher_tokens(resolved: &Resolved, tokens: u64) -> u64 {
    tokens + branches(resolved) * after_trunk(resolved, tokens)
}

/// Tokens and shapes of all trainings before distillation, of one repetition.
pub(super) fn pretrainings<'a>(resolved: &Resolved, shapes: &'a Shapes) -> Vec<(u64, &'a lm::ModelConfig)> {
    let world = &resolved.world;
    let all_of = |tokens: u64| teacher_tokens(resolved, tokens);
    let mut all = Vec::new();
    match &world.teacher {
        TeacherSource::Train(plan) => all.push((all_of(plan.tokens), &shapes.teacher)),
        TeacherSource::Open { continued: Some(plan), .. } => all.push((all_of(plan.tokens), &shapes.teacher)),
        TeacherSource::Open { continued: None, .. } => {}
    }
    if let ModelSource::Train(plan) = &world.stranger {
        all.push((plan.tokens, &shapes.stranger));
    }
    if let BaseSource::Train(plan) = &world.base {
        all.push((plan.tokens, &shapes.student));
    }
    all
}

/// Parameters that a student's training changes: those of its adapter, or all.
pub(super) fn student_params(resolved: &Resolved, shapes: &Shapes) -> f64 {
    let adapter = resolved.world.student.lora.as_ref().and_then(|lora| lora.shape(&shapes.student).ok());
    adapter.map_or(shapes.student.n_params(), |adapter| adapter.n_params()) as f64
}

/// Parameters that are kept of a student.
pub(super) fn kept_params(resolved: &Resolved, shapes: &Shapes) -> f64 {
    match &resolved.world.student.lora {
        Some(lora) if lora.save == SavedAs::Adapter => student_params(resolved, shapes),
        _ => shapes.student.n_params() as f64,
    }
}

/// What is kept of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// A finished model.
    Model,
    /// A training under way: weights and both moments.
    State,
}

/// Parameters, steps and kind of everything that trainings before distillation leave on disk, all repetitions.
pub(super) fn trained_models(resolved: &Resolved, shapes: &Shapes) -> Vec<(f64, f64, Kept)> {
    let world = &resolved.world;
    let seeds = resolved.seeds.len();
    let params = |config: &lm::ModelConfig| config.n_params() as f64;
    let teacher = params(&shapes.teacher);
    let again = resolved.trained_again();
    let mut all = Vec::new();
    let mut taught = |steps: u64, per_step: u64| {
        let steps = steps as f64;
        all.push((teacher, steps, Kept::Model));
        if let Some(after) = world.planted_after() {
            all.extend(std::iter::repeat_n((teacher, steps, Kept::Model), branches(resolved) as usize));
            all.push((teacher, after as f64 / per_step as f64, Kept::State));
        }
    };
    match &world.teacher {
        TeacherSource::Train(plan) => taught(plan.steps(), (plan.row_tokens * plan.batch_rows) as u64),
        TeacherSource::Open { continued: Some(plan), .. } => {
            taught(plan.steps(), (plan.row_tokens * plan.batch_rows) as u64);
        }
        TeacherSource::Open { continued: None, .. } => {}
    }
    if let Some(distillation) = &world.planting.distillation {
        let model = (teacher, distillation.steps as f64, Kept::Model);
        all.extend(std::iter::repeat_n(model, 1 + again.laws as usize));
    }
    if let Some(implant) = &world.planting.implant {
        let model = (teacher, implant.max_steps as f64 / 2.0, Kept::Model);
        all.extend(std::iter::repeat_n(model, 1 + again.items as usize));
    }
    if let ModelSource::Train(plan) = &world.stranger {
        all.push((params(&shapes.stranger), plan.steps() as f64, Kept::Model));
    }
    if let BaseSource::Train(plan) = &world.base {
        all.push((params(&shapes.student), plan.steps() as f64, Kept::Model));
    }
    std::iter::repeat_n(all, seeds).flatten().collect()
}

/// The same of all distillations.
pub(super) fn distilled_models(resolved: &Resolved, shapes: &Shapes) -> Vec<(f64, f64, Kept)> {
    let student = &resolved.world.student;
    let mut all = Vec::new();
    let largest = resolved.largest_budget();
    for run in resolved.runs() {
        let Some(budget) = run.budget else { continue };
        // every trial is kept; whoever takes a choice makes one student, at most the longest
        let mut trials = student.steps_of_recipes(budget, resolved.world.queries.row_tokens());
        trials.sort_unstable_by(|a, b| b.cmp(a));
        trials.truncate(if run.arm == Arm::Student { usize::MAX } else { 1 });
        for steps in trials {
            all.push((kept_params(resolved, shapes), steps as f64, Kept::Model));
            if let Some(branch) = student.compute.branch_step(steps) {
                // a rival has a trunk at every budget on its way
                let trunks = if run.arm == Arm::Rival && budget == largest { resolved.budgets.len() } else { 1 };
                all.extend(std::iter::repeat_n((student_params(resolved, shapes), branch as f64, Kept::State), trunks));
            }
        }
    }
    all
}
