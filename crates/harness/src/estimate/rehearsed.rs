use distill::{Compute, TopLaws};
use results::Arm;

use super::bill::{Estimate, Stages, law_size};
use super::counts::{answer_tokens, own_steps, teacher_tokens, ways_to_draw};
use crate::experiment::Channel;
use crate::rehearsal::Rehearsal;
use crate::resolve::{BaseSource, ModelSource, Resolved, TeacherSource};
use crate::stages::LAW_DISTILLATION;

/// Bytes of an exchange in memory beside its tokens.
const EXCHANGE_BYTES: f64 = 232.0;
/// Shards in memory at once: three being read; or one being answered with its queries, and one being written.
const SHARDS: f64 = 3.0;
/// Bytes of a token of a training's documents in memory, the packed and the planted copy included.
const DOCUMENT_TOKEN_BYTES: f64 = 16.0;
/// Most bytes of laws that each teacher keeps for each surface.
const LAWS_BYTES: f64 = TopLaws::KEPT_BYTES as f64;

/// Seconds by stage, from what each stage took in a rehearsal.
pub(super) fn stages(resolved: &Resolved, rehearsal: &Rehearsal) -> Stages {
    let seeds = resolved.seeds.len() as f64;
    let (world, took) = (&resolved.world, &rehearsal.took);
    let largest = resolved.largest_budget() as f64;
    let mut stages = Stages::default();
    let rate = |(seconds, n): (f64, u64)| seconds / n.max(1) as f64;

    let trained = |starts: &str, without: &str| {
        let of = |name: &str| name.starts_with(starts) && (without.is_empty() || !name.contains(without));
        let found = took.trainings.iter().filter(|(name, ..)| of(name));
        found.fold((0.0, 0), |(seconds, tokens), (_, s, t)| (seconds + s, tokens + t))
    };
    let all_of = |tokens: u64| teacher_tokens(resolved, tokens) as f64;
    let (teacher, implanting) = (rate(trained("teacher", "implanting")), trained("teacher, implanting", ""));
    let read = rate(took.reading);
    match &world.teacher {
        TeacherSource::Train(plan) => stages.models += all_of(plan.tokens) * teacher + plan.tokens as f64 * read,
        TeacherSource::Open { continued: Some(plan), .. } => {
            stages.models += all_of(plan.tokens) * teacher + plan.tokens as f64 * read;
        }
        TeacherSource::Open { continued: None, .. } => {}
    }
    if let ModelSource::Train(plan) = &world.stranger {
        stages.models += plan.tokens as f64 * (rate(trained("stranger", "")) + read);
    }
    if let BaseSource::Train(plan) = &world.base {
        stages.models += plan.tokens as f64 * (rate(trained("base", "")) + read);
    }
    if let (Some(full), Some(short)) = (&world.planting.implant, &rehearsal.scaled.world.planting.implant) {
        // when all items are answered is not known before; half of the steps allowed is a guess
        stages.models += implanting.0 * (0.5 * full.max_steps as f64 / short.max_steps.max(1) as f64).max(1.0);
    }
    if let (Some(full), Some(short)) = (&world.planting.distillation, &rehearsal.scaled.world.planting.distillation) {
        stages.models += trained(LAW_DISTILLATION, "").0 * (full.steps as f64 / short.steps.max(1) as f64);
    }

    let answer_to = |drawing: &oracle::Drawing| answer_tokens(resolved, drawing, Some(took.answer_tokens));
    let answers = resolved.teachers_asked() as f64 * largest * ways_to_draw(resolved).iter().map(answer_to).sum::<f64>();
    stages.asking = answers * rate(took.asking);
    // prompts are drawn again to keep audit and neutral questions apart from them
    stages.asking += 2.0 * largest * rate(took.prompts);

    let prompt = world.queries.prompt_tokens as f64;
    for (channel, [fresh, known]) in resolved.channels.iter().zip(&took.students) {
        let answer = answer_to(&channel.surface.drawing());
        // only where laws are shown, and exchanges are met again, do they cost more the first time
        let shown_once = matches!(world.student.compute, Compute::SinglePass { .. } | Compute::OnePass);
        let alike = law_size(&channel.surface).is_none() || shown_once;
        let both = rate((fresh.0 + known.0, fresh.1 + known.1));
        let (fresh, known) = if alike { (both, both) } else { (rate(*fresh), rate(*known)) };
        let mut shown = std::collections::BTreeMap::new();
        for run in resolved.runs().into_iter().filter(|run| run.seed == resolved.seeds[0]) {
            let (Some(its), Some(budget)) = (&run.channel, run.budget) else { continue };
            if its != channel {
                continue;
            }
            let rows = (own_steps(resolved, run.arm, budget) * world.student.batch_rows as u64) as f64;
            // only rows that this teacher's laws were not yet shown for, and that fit, are scored
            let already = shown.entry(run.who()).or_insert(0.0);
            let distinct = rows.min(budget as f64);
            let new = if distinct > kept_laws(channel, answer) { rows } else { (distinct - *already).max(0.0) };
            *already = distinct.max(*already);
            stages.students += (prompt + answer - 1.0) * (rows * known + new * (fresh - known).max(0.0));
        }
    }

    let suspects = resolved.runs().into_iter().filter(|run| run.seed == resolved.seeds[0]);
    stages.measuring =
        suspects.map(|run| took.measuring[usize::from(!matches!(run.arm, Arm::Teacher | Arm::Stranger))]).sum::<f64>();
    let read_again = if let TeacherSource::Train(plan) = &world.teacher { plan.tokens as f64 * read } else { 0.0 };
    stages.other = took.once_seconds + took.report_seconds + read_again;
    for part in [&mut stages.models, &mut stages.asking, &mut stages.students, &mut stages.measuring, &mut stages.other] {
        *part *= seeds;
    }
    stages
}

/// Exchanges whose laws a teacher keeps.
fn kept_laws(channel: &Channel, answer: f64) -> f64 {
    law_size(&channel.surface).map_or(f64::INFINITY, |k| LAWS_BYTES / (8.0 * k * answer.max(1.0)))
}

/// Largest memory: what the rehearsal needed, and what grows with the work until it is full.
pub(super) fn memory(resolved: &Resolved, total: &Estimate, rehearsal: &Rehearsal) -> Option<f64> {
    let world = &resolved.world;
    let exchange = EXCHANGE_BYTES + 4.0 * (total.prompt_tokens + total.answer_tokens) as f64 / total.queries.max(1) as f64;
    let shard = |resolved: &Resolved| resolved.world.queries.shard_queries.min(resolved.largest_budget()) as f64;
    let shards = SHARDS * exchange * (shard(resolved) - shard(&rehearsal.scaled));
    let pretraining = match &world.teacher {
        TeacherSource::Train(plan) => plan.tokens,
        TeacherSource::Open { continued, .. } => continued.as_ref().map_or(0, |plan| plan.tokens),
    };
    let documents = DOCUMENT_TOKEN_BYTES * pretraining as f64;
    // exchanges that some student reads: of each budget as many as its steps reach, those read at smaller budgets left out
    let mut read = 0.0;
    for &budget in &resolved.budgets {
        let steps = world.student.steps_of_recipes(budget, world.queries.row_tokens()).into_iter().max().unwrap_or(0);
        let rows = steps * world.student.batch_rows as u64;
        read += (rows.min(budget)) as f64 * (1.0 - read / budget as f64);
    }
    let laws: f64 = resolved
        .channels
        .iter()
        .filter_map(|channel| {
            let answer = answer_tokens(resolved, &channel.surface.drawing(), Some(rehearsal.took.answer_tokens));
            Some(law_size(&channel.surface)? * 8.0 * answer * read)
        })
        // of each teacher
        .map(|bytes| resolved.teachers_asked().max(3) as f64 * bytes.min(LAWS_BYTES))
        .sum();
    Some(rehearsal.peak_bytes? + shards + documents.max(laws))
}
