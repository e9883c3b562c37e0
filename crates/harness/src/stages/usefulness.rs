use corpus::TaskKind;
use oracle::{Codec, Exchange, Query};
use results::Record;
use stats::interval::wilson;

use crate::stages::Context;
use crate::stages::audit::Audit;
use crate::stages::metric::metric;
use crate::stages::suspect::Suspect;

/// How useful a suspect is on the corpus' checkable tasks, answered greedily as it is served: exact match by kind and
/// over all kinds with one right answer, and how often it refuses what it should and what it should not.
///
/// # Errors
/// When the suspect fails or the work is cancelled.
pub fn tasks(ctx: &Context<'_>, suspect: &Suspect, audit: &Audit) -> anyhow::Result<Vec<Record>> {
    if audit.tasks.is_empty() {
        return Ok(Vec::new());
    }
    let queries: Vec<_> = audit.tasks.iter().map(|(query, _)| query.clone()).collect();
    let answers = suspect.served(ctx).answer(&queries)?;
    let tokenizer = &ctx.vocabulary.tokenizer;
    let said = |query: &Query, exchange: &Exchange| -> String {
        if suspect.own_vocabulary(ctx).is_some() {
            // re-tokenised, the answer may begin within the prompt's last token
            let whole = tokenizer.decode(&[&exchange.query.prompt[..], &exchange.answer].concat());
            if let Some(said) = whole.strip_prefix(&tokenizer.decode(&query.prompt)) {
                return said.into();
            }
        }
        tokenizer.decode(&exchange.answer)
    };
    let met: Vec<(TaskKind, bool)> = audit
        .tasks
        .iter()
        .zip(&answers)
        .map(|((query, task), exchange)| (task.kind, task.is_met_by(&said(query, exchange))))
        .collect();
    let share = |name: &str, of: &[TaskKind], turned: bool| {
        let asked: Vec<bool> = met.iter().filter(|(kind, _)| of.contains(kind)).map(|(_, met)| *met != turned).collect();
        let (hits, n) = (asked.iter().filter(|met| **met).count() as u64, asked.len() as u64);
        let interval = wilson(hits, n, 0.95);
        let share =
            Record { low: Some(interval.low), high: Some(interval.high), ..metric(name, hits as f64 / n.max(1) as f64, "1") };
        (n > 0).then_some(share)
    };
    let rates = [
        share("exact_match", &[TaskKind::Arithmetic, TaskKind::Facts], false),
        share("exact_match_arithmetic", &[TaskKind::Arithmetic], false),
        share("exact_match_facts", &[TaskKind::Facts], false),
        share("refusal_rate", &[TaskKind::Refusal], false),
        share("wrong_refusal_rate", &[TaskKind::Instruction], true),
    ];
    Ok(rates.into_iter().flatten().collect())
}
