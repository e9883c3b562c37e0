//! A training on packed documents.

use std::path::Path;

use corpus::Split;
use distill::{PackedDocuments, PretrainSource, TrainPlan, TrainState};
use lm::{Model, ModelConfig};
use oracle::Codec;
use serde_json::{Value, json};
use store::{Key, Making};

use crate::experiment::Pretraining;
use crate::stages::card::card;
use crate::stages::context::Trained;
use crate::stages::documents::{documents_with, taken};
use crate::stages::{Context, Training, Vocabulary};

/// Raised when the same inputs would give other weights.
pub(super) const REVISION: u32 = 3;
/// Kind of the artifacts of models trained on the corpus.
pub(super) const PRETRAINED: &str = "pretrained";

/// Steps and batches of a training on packed documents.
pub(super) struct Rows {
    pub(super) steps: u64,
    /// Tokens of a row.
    pub(super) tokens: usize,
    /// Rows of a batch.
    pub(super) batch: usize,
}

/// A training on packed documents: what `teacher`, `stranger` and `base` have in common.
pub(super) struct Course<'a> {
    /// For progress and titles.
    name: &'static str,
    vocabulary: &'a Vocabulary,
    pub(super) start: Model,
    pub(super) plan: TrainPlan,
    pub(super) row_tokens: usize,
    /// Kinds of text that it never sees.
    left_out: Vec<String>,
    /// Everything that decides the result, marks left out.
    pub(super) inputs: Value,
}

impl<'a> Course<'a> {
    pub(super) fn from_scratch(
        ctx: &Context<'_>,
        name: &'static str,
        train: &Pretraining,
        vocabulary: &'a Vocabulary,
    ) -> anyhow::Result<Self> {
        let tokenizer = &vocabulary.tokenizer;
        let config =
            ModelConfig::from_architecture(&train.architecture, tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos())?
                .for_tokens(tokenizer);
        let seed = ctx.seed_for(&format!("{name} initialisation"));
        let start = Model::init(&config, seed);
        let from = json!({ "architecture": train.architecture, "seed": seed });
        let rows = Rows { steps: train.steps(), tokens: train.row_tokens, batch: train.batch_rows };
        let mut course = Self::new(ctx, name, vocabulary, (start, from), &rows, train.peak_lr)?;
        if !train.leave_out.is_empty() {
            course.left_out.clone_from(&train.leave_out);
            course.inputs["left_out"] = json!(train.leave_out);
        }
        Ok(course)
    }

    /// A training of `start`, a model with what names it.
    pub(super) fn new(
        ctx: &Context<'_>,
        name: &'static str,
        vocabulary: &'a Vocabulary,
        start: (Model, Value),
        rows: &Rows,
        peak_lr: f64,
    ) -> anyhow::Result<Self> {
        let ((start, from), row_tokens) = (start, rows.tokens);
        if row_tokens > start.context_length() {
            let context = start.context_length();
            let problem = format!("{name}: rows of {row_tokens} tokens do not fit its context of {context}; lower row_tokens");
            return Err(crate::exit::UsageError(problem).into());
        }
        let plan = ctx.plan(rows.steps, rows.batch, peak_lr);
        let inputs = json!({
            "start": from,
            "corpus": ctx.sources.identity(),
            "vocabulary": vocabulary.hash,
            "documents": ctx.seed_for(&format!("{name} documents")),
            "plan": plan,
            "row_tokens": row_tokens,
        });
        Ok(Self { name, vocabulary, start, plan, row_tokens, left_out: Vec::new(), inputs })
    }

    pub(super) fn documents(&self, ctx: &Context<'_>) -> anyhow::Result<PackedDocuments> {
        let rows = self.plan.total_rows();
        let texts = ctx.sources.of_without(ctx.seed_for(&format!("{} documents", self.name)), &self.left_out)?;
        let documents = documents_with(&*texts, Split::Train, rows * self.row_tokens as u64 + 1, self.vocabulary, ctx.rt);
        let bos = self.vocabulary.tokenizer.bos();
        Ok(taken(documents, |documents| PackedDocuments::new(documents, self.row_tokens, rows, bos))??)
    }

    /// Trains on `documents` up to `until` steps, as the artifact that `making` makes: from a checkpoint of it, or from `start`.
    pub(super) fn train(
        &self,
        ctx: &Context<'_>,
        making: &Making,
        what: &str,
        documents: &PackedDocuments,
        start: impl FnOnce() -> anyhow::Result<TrainState>,
        until: u64,
    ) -> anyhow::Result<TrainState> {
        let source = PretrainSource::new(documents, &self.plan)?;
        let (scratch, identity) = (making.scratch()?, making.hash().hex());
        let training =
            Training { what, trained: &self.start, plan: &self.plan, source: &source, scratch: &scratch, identity: &identity };
        training.run(ctx, start, until)
    }

    /// The whole training in one go.
    pub(super) fn finish(&self, ctx: &Context<'_>) -> anyhow::Result<Trained> {
        let key = Key::new(REVISION, &self.inputs)?;
        let artifact = ctx.resumable(PRETRAINED, &key, |making| {
            let start = || Ok(TrainState::new(&self.start));
            let state = self.train(ctx, making, self.name, &self.documents(ctx)?, start, self.plan.steps)?;
            self.save(ctx, making.path(), &state, "trained on the experiment's corpus, without any mark")
        })?;
        ctx.load_model(&artifact)
    }

    pub(super) fn save(&self, ctx: &Context<'_>, directory: &Path, state: &TrainState, body: &str) -> anyhow::Result<()> {
        let card = card(ctx, self.name, body);
        ctx.save_model(directory, &state.model(&self.start), self.vocabulary, &state.curve, &card)
    }
}
