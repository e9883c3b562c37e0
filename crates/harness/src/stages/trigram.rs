use corpus::Split;
use lm::Trigram;
use oracle::{Codec, TokenId};
use serde_json::json;
use store::Key;

use crate::resolve::TeacherSource;
use crate::stages::Context;
use crate::stages::context::{load_json, save_json};
use crate::stages::documents::{documents_with, taken};

/// Raised when the same inputs would give another number.
pub(super) const REVISION: u32 = 2;
/// File of a trigram artifact.
const FILE: &str = "trigram.json";

/// Loss on `held_out`, nats/token, of an interpolated trigram model counted on the teacher's own training tokens: what the
/// teacher must beat to have learned more than pairs and triples of words. `None` when the teacher came trained.
///
/// Counting takes more memory than any other stage, so it is asked for before the first query: then the peak is the same
/// whatever the budget.
///
/// # Errors
/// When the corpus cannot be read or the work is cancelled.
pub fn trigram_loss(ctx: &Context<'_>, held_out: &[Vec<TokenId>]) -> anyhow::Result<Option<f64>> {
    let TeacherSource::Train(train) = &ctx.resolved.world.teacher else { return Ok(None) };
    let read = train.steps() * (train.batch_rows * train.row_tokens) as u64;
    let documents = ctx.seed_for("teacher documents");
    let key = Key::new(
        REVISION,
        &json!({
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "documents": documents,
            "tokens": read,
            "held_out": store::hash_json(&held_out)?,
        }),
    )?;
    let artifact = ctx.artifact("trigram", &key, |directory| {
        let bar = ctx.progress.stage("trigram baseline", 0, "tokens");
        let texts = ctx.sources.of(documents)?;
        let counted = documents_with(&*texts, Split::Train, read, ctx.vocabulary, ctx.rt);
        let vocab_size = ctx.vocabulary.tokenizer.vocab_size();
        let trigram = taken(counted, |documents| Trigram::count(documents, read as usize, vocab_size))?;
        let loss = trigram.nats_per_token(held_out);
        bar.finish(&format!("{loss:.3} nats/token on held-out text"));
        save_json(&directory.join(FILE), &loss)
    })?;
    Ok(Some(load_json(&artifact.file(FILE))?))
}
