use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use corpus::Split;
use distill::{Served, ShownLaws, Transcript};
use oracle::{LogitsProcessor, Query, Sampling, Surface};
use serde_json::{Value, json};
use store::{Artifact, Hash, Key};

use crate::experiment::Channel;
use crate::stages::Context;
use crate::stages::context::Trained;

/// Raised when the same inputs would give another transcript.
pub(super) const REVISION: u32 = 2;
/// Queries between two reports of progress.
const CHUNK: usize = 512;
/// File of a transcript artifact.
const FILE: &str = "transcript.parquet";

/// A teacher as thieves meet it: its answers to the query stream, and what its surfaces show of its laws.
pub struct Asked {
    /// For progress.
    name: &'static str,
    teacher: Trained,
    processors: Vec<Arc<dyn LogitsProcessor>>,
    /// Names the processors: the watermark with its commitment, or null.
    bend: Value,
    transcripts: BTreeMap<bool, OnceCell<(Hash, Arc<Transcript>)>>,
    /// By channel, computed once and reused for every budget.
    laws: BTreeMap<String, OnceCell<ShownLaws>>,
}

impl Asked {
    /// `teacher`, bent by `processors`, which `bend` names.
    pub fn new(
        ctx: &Context<'_>,
        name: &'static str,
        teacher: &Trained,
        processors: Vec<Arc<dyn LogitsProcessor>>,
        bend: Value,
    ) -> Self {
        let transcripts = [false, true].map(|greedy| (greedy, OnceCell::new())).into();
        let laws = ctx.resolved.channels.iter().map(|channel| (label(channel), OnceCell::new())).collect();
        Self { name, teacher: teacher.clone(), processors, bend, transcripts, laws }
    }

    /// The model behind the surface.
    pub fn teacher(&self) -> &Trained {
        &self.teacher
    }

    /// What bends its law.
    pub fn processors(&self) -> &[Arc<dyn LogitsProcessor>] {
        &self.processors
    }

    /// The teacher behind a surface.
    pub fn served(&self, ctx: &Context<'_>, surface: &Surface) -> Arc<Served> {
        Arc::new(Served::new(self.teacher.model.clone(), self.processors.clone(), surface.clone(), ctx.rt.clone()))
    }

    /// Answers to the whole query stream, with the name of the artifact. Surfaces differ in what they show beside the
    /// answers, and only a greedy one answers differently, so all others share one transcript.
    ///
    /// # Errors
    /// When the model fails or the work is cancelled.
    pub fn transcript(&self, ctx: &Context<'_>, surface: &Surface) -> anyhow::Result<&(Hash, Arc<Transcript>)> {
        let greedy = *surface == Surface::GreedyText;
        let cell = &self.transcripts[&greedy];
        if cell.get().is_none() {
            let artifact = self.ask(ctx, surface, greedy)?;
            let transcript = Arc::new(Transcript::read(&artifact.file(FILE))?);
            let _ = cell.set((artifact.hash(), transcript));
        }
        cell.get().ok_or_else(|| anyhow::anyhow!("the transcript was just read"))
    }

    fn ask(&self, ctx: &Context<'_>, surface: &Surface, greedy: bool) -> anyhow::Result<Artifact> {
        let world = &ctx.resolved.world;
        let n = ctx.resolved.largest_budget();
        let key = Key::new(
            REVISION,
            &json!({
                "teacher": self.teacher.hash,
                "bend": self.bend,
                "greedy": greedy,
                "asking": world.queries,
                "corpus": ctx.sources.identity(),
                "vocabulary": ctx.vocabulary.hash,
                "seed": ctx.seed_for("queries"),
                "queries": n,
            }),
        )?;
        ctx.artifact("transcript", &key, |directory| {
            let started = Instant::now();
            let what = format!("asking {}", self.name);
            let queries = queries(ctx, n)?;
            let bar = ctx.progress.stage(&what, n, "queries");
            let served = self.served(ctx, surface);
            let mut before = 0;
            let transcript = distill::ask(&served, &queries, CHUNK, &mut |asked| {
                bar.inc(asked.queries - before);
                before = asked.queries;
            })?;
            let tokens = transcript.exchanges.iter().map(|exchange| exchange.answer.len() as u64).sum();
            ctx.timings.push(&what, ctx.seed, started, tokens);
            bar.finish(&format!("{tokens} answer tokens"));
            Ok(transcript.write(&directory.join(FILE), self.teacher.model.vocab_size())?)
        })
    }

    /// What the channel's surface shows of the laws behind the transcript.
    ///
    /// # Errors
    /// When the surface shows less than the loss needs, the model fails, or the work is cancelled.
    pub fn laws(&self, ctx: &Context<'_>, channel: &Channel) -> anyhow::Result<ShownLaws> {
        let cell = &self.laws[&label(channel)];
        if cell.get().is_none() {
            let (_, transcript) = self.transcript(ctx, &channel.surface)?;
            let bar = ctx.progress.stage(format!("laws of {}", self.name), transcript.exchanges.len() as u64, "exchanges");
            let loss = channel.loss.build();
            let served = self.served(ctx, &channel.surface);
            let mut before = 0;
            let laws = ShownLaws::prepare(&*loss, &served, &transcript.exchanges, &mut |done| {
                bar.inc((done - before) as u64);
                before = done;
            })?;
            let _ = cell.set(laws);
        }
        cell.get().cloned().ok_or_else(|| anyhow::anyhow!("the laws were just computed"))
    }
}

fn label(channel: &Channel) -> String {
    format!("{} {}", channel.surface, channel.loss.build().name())
}

/// The first `n` queries of the stream: openings of corpus texts, each with a random stream of its own.
///
/// # Errors
/// When the grammar is not valid.
pub fn queries(ctx: &Context<'_>, n: u64) -> anyhow::Result<Vec<Query>> {
    let asking = &ctx.resolved.world.queries;
    prompts(ctx, "queries", Split::Prompts, n, asking.prompt_tokens, asking.max_new_tokens, asking.sampling)
}

/// `n` queries whose prompts open the texts of `split` under the seed of `purpose`.
///
/// # Errors
/// When the grammar is not valid.
pub fn prompts(
    ctx: &Context<'_>,
    purpose: &str,
    split: Split,
    n: u64,
    prompt_tokens: usize,
    max_new_tokens: usize,
    sampling: Sampling,
) -> anyhow::Result<Vec<Query>> {
    use rayon::prelude::*;
    let texts = ctx.sources.of(ctx.seed_for(purpose))?;
    let streams = ctx.seed_for(&format!("{purpose} sampling"));
    Ok(ctx.rt.pool.install(|| {
        (0..n)
            .into_par_iter()
            .map(|index| Query {
                index,
                prompt: ctx.vocabulary.prompt(&texts.document(split, index), prompt_tokens),
                max_new_tokens,
                sampling,
                // a bijection of the index for a given purpose: no two queries share a stream
                seed: streams ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            })
            .collect()
    }))
}
