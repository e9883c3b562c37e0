use corpus::{Split, Task, TaskKind};
use oracle::{Query, Sampling, TokenId};
use results::Arm;

use crate::stages::Context;
use crate::stages::context::Trained;
use crate::stages::marks::Marks;
use crate::stages::suspect::Peer;
use crate::stages::texts::documents;
use crate::stages::transcript::{openings, prompts};
use crate::stages::unasked::opened_by_queries;

/// What every suspect of a repetition is asked, and whom it is compared with. None of it occurs in a transcript.
pub struct Audit {
    /// The audit proper: openings of texts, answered as the audit's sampling says.
    pub queries: Vec<Query>,
    /// Held-out documents, token ids.
    pub held_out: Vec<Vec<TokenId>>,
    /// Checkable tasks, each with its query.
    pub tasks: Vec<(Query, Task)>,
    /// The owner's own model, raw.
    pub teacher: Peer,
    /// Models that learned nothing from it: the rivals by channel, base, stranger.
    pub negatives: Vec<Negative>,
}

/// A model that learned nothing from the teacher.
pub struct Negative {
    /// Who it is.
    pub arm: Arm,
    /// The channel of a rival.
    pub channel: Option<usize>,
    /// The model.
    pub peer: Peer,
}

impl Audit {
    /// Draws all questions.
    ///
    /// `context` is the shortest of all suspects': held-out documents are cut to it, since all must read the same.
    ///
    /// # Errors
    /// When the grammar is not valid, the corpus has no tasks of a kind asked for, or a task is longer than `context`.
    pub fn new(ctx: &Context<'_>, marks: &Marks, teacher: &Trained, context: usize) -> anyhow::Result<Self> {
        let world = &ctx.resolved.world;
        let queries = unasked(ctx)?;
        let texts = ctx.sources.of(ctx.seed_for("held out"))?;
        let held_out = documents(&*texts, Split::HeldOut, world.measure.held_out_documents, context, ctx.vocabulary, ctx.rt);
        let mut tasks = Vec::new();
        if let Some(config) = &world.measure.tasks {
            let texts = ctx.sources.of(ctx.seed_for("tasks"))?;
            for kind in TaskKind::ALL {
                for index in 0..config.per_kind {
                    let Some(task) = texts.task(kind, Split::Tasks, index) else { break };
                    let prompt = match world.queries.chat {
                        true => ctx.vocabulary.message(&task.prompt)?,
                        false => ctx.vocabulary.tokenizer.encode_document(&task.prompt),
                    };
                    if prompt.len() >= context {
                        let problem = format!("measure.tasks: a task takes {} tokens, a model holds {context}", prompt.len());
                        let mend = "leave measure.tasks out, or raise max_position_embeddings";
                        return Err(crate::exit::UsageError(format!("{problem}; {mend}")).into());
                    }
                    let query = Query {
                        index: tasks.len() as u64,
                        prompt,
                        max_new_tokens: config.max_new_tokens,
                        sampling: Sampling::GREEDY,
                        seed: 0,
                    };
                    tasks.push((query, task));
                }
            }
            if tasks.is_empty() {
                let problem = "measure.tasks: this corpus has no checkable tasks; leave measure.tasks out";
                return Err(crate::exit::UsageError(problem.into()).into());
            }
        }
        let teacher = Peer::new("teacher", teacher, marks.probes.len());
        Ok(Self { queries, held_out, tasks, teacher, negatives: Vec::new() })
    }

    /// The negatives that a suspect at this place is compared with: the rival of its channel (of the first channel for
    /// arms that have none), base and stranger, itself left out.
    pub fn references(&self, arm: Arm, channel: Option<usize>) -> impl Iterator<Item = &Negative> {
        let channel = channel.unwrap_or(0);
        self.negatives.iter().filter(move |n| n.arm != arm && n.channel.is_none_or(|its| its == channel))
    }
}

/// The audit's queries: openings of audit texts, those left out that the thief's query stream happens to open with as well
/// (real texts often begin alike).
fn unasked(ctx: &Context<'_>) -> anyhow::Result<Vec<Query>> {
    let audit = &ctx.resolved.world.audit;
    let texts = ctx.sources.of(ctx.seed_for("audit"))?.len(Split::Audit).unwrap_or(u64::MAX);
    let wanted = usize::try_from(audit.prompts)?;
    let mut tried = audit.prompts.saturating_mul(2);
    loop {
        let candidates = tried.min(texts);
        let all = prompts(ctx, "audit", Split::Audit, 0..candidates, audit.prompt_tokens, audit.max_new_tokens, audit.sampling)?;
        let openings = openings(ctx, "audit", Split::Audit, 0..candidates, audit.prompt_tokens)?;
        let taken = opened_by_queries(ctx, &openings.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let mut kept: Vec<Query> = all.into_iter().zip(taken).filter(|(_, taken)| !taken).map(|(query, _)| query).collect();
        if kept.len() >= wanted {
            kept.truncate(wanted);
            return Ok(kept);
        }
        if candidates == texts || tried > audit.prompts.saturating_mul(64) {
            let problem =
                format!("audit.prompts = {}: only {} openings of audit texts are no query's", audit.prompts, kept.len());
            let mend = "lower audit.prompts, raise audit.prompt_tokens, or bring more text";
            return Err(crate::exit::UsageError(format!("{problem}; {mend}")).into());
        }
        tried = tried.saturating_mul(4);
    }
}
