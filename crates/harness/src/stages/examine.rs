use results::{Arm, Kind, Record};

use crate::resolve::Run;
use crate::stages::outside::Brought;
use crate::stages::repetition::Models;
use crate::stages::{Beside, Context, Identity, Marks, Suspect, measure};

/// The experiment's own models that an audit looks at: the positive control, and what never met a mark.
const OWN: [Arm; 4] = [Arm::Teacher, Arm::CleanTeacher, Arm::Stranger, Arm::Base];

/// Asks models from outside, and the experiment's own beside them, for every mark of one repetition; no student is made. `found` gets
/// each model's records as they come.
///
/// # Errors
/// When a model cannot be read, a stage fails or the work is cancelled; finished stages stay.
pub fn examine(
    ctx: &Context<'_>,
    identity: &Identity,
    brought: &[Brought],
    found: &mut dyn FnMut(&[Record]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Record>> {
    // refused before any training
    let outside: Vec<Suspect> = brought.iter().map(|brought| brought.open(ctx)).collect::<anyhow::Result<_>>()?;
    let mut marks = Marks::build(ctx)?;
    let models = Models::make(ctx, &mut marks)?;
    let mut audit = models.audit(ctx, &marks, &outside)?;
    let run = |arm: Arm| Run { seed: ctx.seed, arm, lacks: None, channel: None, budget: None, steps: None };
    let own: Vec<Suspect> = OWN.into_iter().map(|arm| models.suspect(ctx, run(arm))).collect::<anyhow::Result<_>>()?;
    audit.compare_with(ctx, &own);
    audit.compare_with(ctx, &outside);
    // nobody knows what a model from outside paid for
    let beside = Beside { named: &|name| models.named(ctx, name), unmarked: &|_| Ok(None), marked: &models.marked };
    let mut records = Vec::new();
    for suspect in own.iter().chain(&outside) {
        let mut measured = measure(ctx, suspect, &marks, &audit, &beside)?;
        // the twin has what nobody planted, so that it is no negative there and no question either
        let twin = suspect.run.arm == Arm::CleanTeacher;
        measured.retain(|record| !twin || record.kind == Kind::Metric || record.planted == Some(true));
        let named = identity.fill(ctx.resolved, suspect, measured)?;
        found(&named)?;
        records.extend(named);
    }
    Ok(records)
}
