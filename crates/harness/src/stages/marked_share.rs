//! How much of what was answered really carries a mark that is served in some answers only.

use ::marks::ServedShare;
use distill::ExchangeStream;
use results::{Arm, Record};

use crate::stages::marks::Marks;
use crate::stages::metric::metric;
use crate::stages::suspect::Suspect;
use crate::stages::{Asked, Audit, Context};

/// Name of the metric.
const MARKED_SHARE: &str = "marked_share";

/// Of each mark that is not in every answer, the share of answers that it is in: of a student, of those that were paid for; of the teacher,
/// of the audit's. Metrics without identity; nothing of models that learned from no marked teacher, and of answers from outside, of which
/// nobody here knows.
///
/// # Errors
/// When a transcript cannot be read, or the work is cancelled.
pub(super) fn marked_share(
    ctx: &Context<'_>,
    suspect: &Suspect,
    marks: &Marks,
    audit: &Audit,
    asked: &Asked,
) -> anyhow::Result<Vec<Record>> {
    let run = &suspect.run;
    let mut counted: Vec<(&str, &dyn ServedShare, u64)> = Vec::new();
    for built in marks.all().iter().filter(|built| run.lacks.as_ref() != Some(&built.name)) {
        counted.extend(built.mark.served_share().map(|share| (built.name.as_str(), share, 0)));
    }
    if counted.is_empty() || asked.imported().is_some() {
        return Ok(Vec::new());
    }
    let count = |query: &oracle::Query, counted: &mut Vec<(&str, &dyn ServedShare, u64)>| {
        counted.iter_mut().for_each(|(_, share, marked)| *marked += u64::from(share.is_marked(query)));
    };
    let answers = match (run.arm, &run.channel, run.budget) {
        (Arm::Teacher, ..) => {
            audit.queries.iter().for_each(|query| count(query, &mut counted));
            audit.queries.len() as u64
        }
        (Arm::Student | Arm::Apart, Some(channel), Some(budget)) => {
            let files = asked.transcript(ctx, &channel.surface)?.files.prefix(budget);
            for (shard, range) in (0..).zip(distill::shards(files.len(), files.shard_len())) {
                ctx.rt.check_cancelled()?;
                let paid = usize::try_from(range.end - range.start)?;
                let exchanges = files.shard(shard)?;
                exchanges.iter().take(paid).for_each(|exchange| count(&exchange.query, &mut counted));
            }
            files.len()
        }
        _ => return Ok(Vec::new()),
    };
    let share = |(mark, _, marked): (&str, _, u64)| Record {
        metric_of: Some(mark.to_string()),
        ..metric(MARKED_SHARE, marked as f64 / answers.max(1) as f64, "1")
    };
    Ok(counted.into_iter().map(share).collect())
}
