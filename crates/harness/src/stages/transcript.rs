use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use corpus::Split;
use distill::{Counts, ExchangeStream, Served, ShownLaws, TranscriptFiles, write_parquet};
use oracle::{Codec, Exchange, LogitsProcessor, Query, Sampling, Surface, TokenId};
use serde_json::{Value, json};
use store::{Artifact, Claim, Hash, Key, Making};

use crate::experiment::Channel;
use crate::progress::{Bar, count};
use crate::stages::Context;
use crate::stages::context::{Trained, load_json, save_json};

/// Raised when the same inputs would give another transcript.
pub(super) const REVISION: u32 = 3;
/// Kind of the artifacts: one holds a shard.
const KIND: &str = "transcript";
/// File of a shard: the exchanges.
const FILE: &str = "transcript.parquet";
/// File of a shard: how many tokens it holds.
const COUNTS: &str = "counts.json";

/// A teacher as thieves meet it: its answers to the query stream, and what its surfaces show of its laws.
pub struct Asked {
    /// For progress.
    name: &'static str,
    teacher: Trained,
    processors: Vec<Arc<dyn LogitsProcessor>>,
    /// Names the processors: the watermark with its commitment, or null.
    bend: Value,
    transcripts: BTreeMap<bool, OnceCell<Transcript>>,
    /// By channel; laws once shown are shared by the students of every budget.
    laws: BTreeMap<String, OnceCell<ShownLaws>>,
}

/// The answers of one teacher to the whole query stream, up to the largest budget.
pub struct Transcript {
    /// Names the stream, however long: a budget of it is the same in every longer one.
    pub hash: Hash,
    /// The shards, on disk.
    pub files: TranscriptFiles,
    counts: Vec<Counts>,
}

impl Transcript {
    /// What the first `budget` exchanges hold.
    ///
    /// # Errors
    /// When a shard cannot be read.
    pub fn counts(&self, budget: u64) -> anyhow::Result<Counts> {
        let mut sum = Counts::default();
        for (i, (range, counts)) in distill::shards(self.files.len(), self.files.shard_len()).zip(&self.counts).enumerate() {
            if range.end <= budget {
                sum += *counts;
            } else if range.start < budget {
                let shard = self.files.shard(i as u64)?;
                sum += Counts::of(shard.iter().take(usize::try_from(budget - range.start)?));
            }
        }
        Ok(sum)
    }
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

    /// Answers to the whole query stream. Surfaces differ in what they show beside the answers, and only a greedy one answers
    /// differently, so all others share one transcript.
    ///
    /// # Errors
    /// When the model fails or the work is cancelled.
    pub fn transcript(&self, ctx: &Context<'_>, surface: &Surface) -> anyhow::Result<&Transcript> {
        let cell = &self.transcripts[&(*surface == Surface::GreedyText)];
        if cell.get().is_none() {
            let _ = cell.set(self.ask(ctx, surface)?);
        }
        cell.get().ok_or_else(|| anyhow::anyhow!("the transcript was just asked"))
    }

    fn ask(&self, ctx: &Context<'_>, surface: &Surface) -> anyhow::Result<Transcript> {
        let asking = &ctx.resolved.world.queries;
        let mut stream = json!({
            "teacher": self.teacher.hash,
            "bend": self.bend,
            "greedy": *surface == Surface::GreedyText,
            "prompt_tokens": asking.prompt_tokens,
            "max_new_tokens": asking.max_new_tokens,
            "sampling": asking.sampling,
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed_for("queries"),
        });
        if asking.chat {
            stream["chat"] = json!(true);
        }
        let n = ctx.resolved.largest_budget();
        let shards = self.shards(ctx, surface, &stream, n)?;
        let counts = shards.iter().map(|shard| load_json(&shard.file(COUNTS))).collect::<anyhow::Result<_>>()?;
        let files = TranscriptFiles::new(shards.iter().map(|shard| shard.file(FILE)).collect(), asking.shard_queries, n);
        let hash = store::hash_json(&json!({ "revision": REVISION, "stream": stream, "shard_queries": asking.shard_queries }))?;
        Ok(Transcript { hash, files, counts })
    }

    /// All shards: found, or asked one after the other, each written while the next is being answered.
    fn shards(&self, ctx: &Context<'_>, surface: &Surface, stream: &Value, n: u64) -> anyhow::Result<Vec<Artifact>> {
        let what = format!("asking {}", self.name);
        let served = self.served(ctx, surface);
        let vocab_size = self.teacher.model.vocab_size();
        let mut asking: Option<(Instant, Bar)> = None;
        let mut tokens = 0;
        let mut shards = BTreeMap::new();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let (to_disk, answered) = sync_channel::<(u64, Making, Vec<Exchange>)>(1);
            let writer = scope.spawn(move || -> anyhow::Result<Vec<(u64, Artifact)>> {
                answered.into_iter().map(|(first, making, shard)| Ok((first, write(making, &shard, vocab_size)?))).collect()
            });
            for range in distill::shards(n, ctx.resolved.world.queries.shard_queries) {
                let queries = json!({ "stream": stream, "first": range.start, "queries": range.end - range.start });
                let making = match ctx.claim(KIND, &Key::new(REVISION, &queries)?)? {
                    Claim::Ready(artifact) => {
                        shards.insert(range.start, artifact);
                        continue;
                    }
                    Claim::Mine(making) => making,
                };
                let most = (n - range.start) * ctx.resolved.world.queries.max_new_tokens as u64;
                let (_, bar) = asking.get_or_insert_with(|| (Instant::now(), ctx.progress.stage(&what, most, "answer tokens")));
                let first = range.start;
                let shard = served.answer_with(&queries_in(ctx, range)?, &|made| bar.inc(made))?;
                tokens += shard.iter().map(|exchange| exchange.answer.len() as u64).sum::<u64>();
                if to_disk.send((first, making, shard)).is_err() {
                    // the writer has stopped, and says why below
                    break;
                }
            }
            drop(to_disk);
            shards.extend(writer.join().map_err(|_| anyhow::anyhow!("writing a transcript panicked"))??);
            Ok(())
        })?;
        if let Some((started, bar)) = asking {
            ctx.timings.push(&what, ctx.seed, started, tokens);
            bar.finish(&format!("{} queries", count(n as f64)));
        }
        Ok(shards.into_values().collect())
    }

    /// What the channel's surface shows of the laws behind the transcript.
    ///
    /// # Errors
    /// When the surface shows less than the loss needs.
    pub fn laws(&self, ctx: &Context<'_>, channel: &Channel) -> anyhow::Result<ShownLaws> {
        let cell = &self.laws[&label(channel)];
        if cell.get().is_none() {
            let _ = cell.set(ShownLaws::prepare(&*channel.loss.build(), &self.served(ctx, &channel.surface))?);
        }
        cell.get().cloned().ok_or_else(|| anyhow::anyhow!("the laws were just prepared"))
    }
}

fn write(making: Making, shard: &[Exchange], vocab_size: usize) -> anyhow::Result<Artifact> {
    let place = |name: &str| Path::join(making.path(), name);
    write_parquet(&place(FILE), shard, vocab_size)?;
    save_json(&place(COUNTS), &Counts::of(shard))?;
    Ok(making.finish()?)
}

fn label(channel: &Channel) -> String {
    format!("{} {}", channel.surface, channel.loss.build().name())
}

/// Queries of the stream: openings of corpus texts, each with a random stream of its own.
pub(super) fn queries_in(ctx: &Context<'_>, range: Range<u64>) -> anyhow::Result<Vec<Query>> {
    let asking = &ctx.resolved.world.queries;
    prompts(ctx, "queries", Split::Prompts, range, asking.prompt_tokens, asking.max_new_tokens, asking.sampling)
}

/// Openings of the texts of `split` in `range` under the seed of `purpose`, token ids, before they are put as questions.
///
/// # Errors
/// When the grammar is not valid.
pub fn openings(
    ctx: &Context<'_>,
    purpose: &str,
    split: Split,
    range: Range<u64>,
    tokens: usize,
) -> anyhow::Result<Vec<Vec<TokenId>>> {
    use rayon::prelude::*;
    let texts = ctx.sources.of(ctx.seed_for(purpose))?;
    let opening = |index| ctx.vocabulary.prompt(&texts.document(split, index), tokens);
    Ok(ctx.rt.pool.install(|| range.into_par_iter().map(opening).collect()))
}

/// The queries in `range` whose prompts open the texts of `split` under the seed of `purpose`, put in the chat template where the
/// experiment asks that way.
///
/// # Errors
/// When the grammar is not valid, or the template refuses an opening.
pub fn prompts(
    ctx: &Context<'_>,
    purpose: &str,
    split: Split,
    range: Range<u64>,
    prompt_tokens: usize,
    max_new_tokens: usize,
    sampling: Sampling,
) -> anyhow::Result<Vec<Query>> {
    use rayon::prelude::*;
    let openings = openings(ctx, purpose, split, range.clone(), prompt_tokens)?;
    let streams = ctx.seed_for(&format!("{purpose} sampling"));
    let chat = ctx.resolved.world.queries.chat;
    let query = |(index, opening): (u64, Vec<TokenId>)| {
        Ok(Query {
            index,
            prompt: if chat { ctx.vocabulary.message(&ctx.vocabulary.tokenizer.decode(&opening))? } else { opening },
            max_new_tokens,
            sampling,
            // a bijection of the index for a given purpose: no two queries share a stream
            seed: streams ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        })
    };
    let indexed: Vec<(u64, Vec<TokenId>)> = range.zip(openings).collect();
    ctx.rt.pool.install(|| indexed.into_par_iter().map(query).collect())
}
