//! What suspects answer to the audit, kept as Parquet: the sentences behind a verdict, for whoever wants to read them.

use std::time::Instant;

use distill::{TranscriptHeader, write_parquet};
use oracle::Codec;
use serde_json::json;
use store::Key;

use crate::stages::Context;
use crate::stages::audit::Audit;
use crate::stages::place::place_of;
use crate::stages::suspect::{Kept, Suspect};

/// Raised when the same suspect would give other answers to the same audit.
pub(super) const REVISION: u32 = 1;
/// Kind of the artifacts: one holds the answers of one suspect.
const KIND: &str = "audit";
/// File of an artifact: prompts and answers, ids and text.
const FILE: &str = "answers.parquet";

/// Has the answers of `suspect` to the audit asked and kept, unless they are there. Marks and budgets are no part of their name: every
/// mark judges the same answers, and a longer experiment finds those of a smaller one.
///
/// # Errors
/// When the suspect fails, the work is cancelled, or a file cannot be written.
pub(super) fn keep(ctx: &Context<'_>, suspect: &Suspect, audit: &Audit) -> anyhow::Result<()> {
    let world = &ctx.resolved.world;
    let mut inputs = json!({
        "suspect": suspect.trained.hash,
        "laws": suspect.serving.names(),
        "audit": [json!(audit.queries_hash), json!(world.audit.max_new_tokens), json!(world.audit.sampling)],
        "accounts": world.queries.accounts,
        "vocabulary": ctx.vocabulary.hash,
    });
    let own = suspect.own_vocabulary(ctx);
    if let Some(own) = own {
        inputs["student_vocabulary"] = json!(own.hash);
    }
    let artifact = ctx.artifact(KIND, &Key::new(REVISION, &inputs)?, |directory| {
        let started = Instant::now();
        let answers = suspect.audited(ctx, &audit.queries)?;
        let tokens = answers.iter().map(|exchange| exchange.answer.len() as u64).sum();
        // a model may have more ids than its tokenizer; a student of another tokenizer is heard in the teacher's tokens
        let models = [Some(&audit.teacher.trained), Some(&suspect.trained).filter(|_| own.is_none())];
        let ids = models.into_iter().flatten().map(|trained| trained.model.vocab_size());
        let header = TranscriptHeader {
            vocab_size: ids.chain([ctx.vocabulary.tokenizer.vocab_size()]).max().unwrap_or(0),
            tokenizer: &ctx.vocabulary.hash.hex(),
            teacher: &suspect.trained.hash.hex(),
            codec: Some(&*ctx.vocabulary.tokenizer),
        };
        write_parquet(&directory.join(FILE), &answers, &header)?;
        ctx.timings.push(&format!("auditing {}", suspect.name()), ctx.seed, started, tokens);
        Ok(())
    })?;
    suspect.kept.get_or_init(|| Kept { place: place_of(&artifact), file: artifact.file(FILE) });
    Ok(())
}
