//! What attacks and defences are given.

use std::collections::BTreeMap;
use std::sync::Arc;

use corpus::Split;
use distill::{DistillError, Tools};
use lm::Model;
use oracle::TokenId;

use crate::stages::documents::documents_with;
use crate::stages::teacher::named;
use crate::stages::{Context, Vocabulary};

/// Whom tools are for.
pub(super) struct Purpose<'a> {
    /// Seeds what is drawn.
    pub(super) seed: &'a str,
    /// Seeds the clean texts.
    pub(super) documents: &'a str,
    /// Models of `[models]` that are asked.
    pub(super) models: &'a [String],
    /// The tokens of what is at hand.
    pub(super) vocabulary: &'a Vocabulary,
}

/// Calls `act` with tools for `purpose`.
///
/// # Errors
/// When a named model is not there, cannot be read, or has another tokenizer than the teacher; and those of `act`.
pub(super) fn with_tools<T>(
    ctx: &Context<'_>,
    purpose: &Purpose<'_>,
    act: impl FnOnce(Tools<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let read = |name: &String| Ok((name.clone(), named(ctx, name)?.model));
    let read: BTreeMap<String, Arc<Model>> = purpose.models.iter().map(read).collect::<anyhow::Result<_>>()?;
    let models = |name: &str| {
        let there = read.get(name).cloned();
        there.ok_or_else(|| DistillError::Data(format!("the model `{name}` is asked and was not announced")))
    };
    let texts = |tokens: u64| -> Result<Vec<Vec<TokenId>>, DistillError> {
        let texts = ctx.sources.of(ctx.seed_for(purpose.documents)).map_err(|error| DistillError::Data(format!("{error:#}")))?;
        let documents = documents_with(&*texts, Split::Train, tokens, purpose.vocabulary, ctx.rt);
        documents.collect::<Result<_, _>>().map_err(|_| DistillError::Cancelled)
    };
    act(Tools {
        codec: &*purpose.vocabulary.tokenizer,
        texts: &texts,
        models: &models,
        plan: &|steps, batch_rows, peak_lr| ctx.plan(steps, batch_rows, peak_lr),
        runtime: ctx.rt,
        seed: ctx.seed_for(purpose.seed),
    })
}
