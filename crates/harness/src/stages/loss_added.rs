//! What one mark adds to the loss of the thief's student.

use results::{LOSS_ADDED, Record};
use serde_json::json;
use store::Key;

use crate::stages::context::{load_json, save_json};
use crate::stages::measure::REVISION;
use crate::stages::metric::pooled_metric;
use crate::stages::suspect::Suspect;
use crate::stages::{Audit, Context};

/// File of an artifact.
const FILE: &str = "records.json";

/// Held-out loss of `student` less that of `without`, whose teacher lacked `mark` and nothing else: nats per token of the same documents,
/// with the interval of the paired difference. A metric without identity.
///
/// # Errors
/// When a model fails or the work is cancelled.
pub(super) fn loss_added(
    ctx: &Context<'_>,
    audit: &Audit,
    student: &Suspect,
    without: &Suspect,
    mark: &str,
) -> anyhow::Result<Record> {
    let rows = audit.held_out_of(student.own_vocabulary(ctx));
    let inputs = json!({ LOSS_ADDED: [student.trained.hash, without.trained.hash], "held_out": store::hash_json(&rows)? });
    let artifact = ctx.artifact("metrics", &Key::new(REVISION, &inputs)?, |directory| {
        let with = student.worth.held_out(ctx, &student.trained.model, rows)?;
        let less = without.worth.held_out(ctx, &without.trained.model, rows)?;
        let differences = with.rows.iter().zip(&less.rows).map(|(with, less)| (with.nats - less.nats, with.tokens as f64));
        save_json(&directory.join(FILE), &pooled_metric(LOSS_ADDED, "nats/token", differences))
    })?;
    Ok(Record { metric_of: Some(mark.to_string()), ..load_json(&artifact.file(FILE))? })
}
