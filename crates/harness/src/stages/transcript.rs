use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use distill::{Counts, Served, ShownLaws, TranscriptFiles, TranscriptHeader, write_parquet};
use oracle::{ConfigError, Drawing, Exchange, Surface};
use serde_json::{Value, json};
use store::{Artifact, Claim, Key, Making};

use crate::experiment::Channel;
use crate::progress::{Bar, count};
use crate::stages::answers::Transcript;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::place::place_of;
use crate::stages::queries::QueryStream;
use crate::stages::suspect::Serving;
use crate::stages::{Context, Imported};

/// Raised when the same inputs would give another transcript.
pub(super) const REVISION: u32 = 5;
/// Kind of the artifacts: one holds a shard.
const KIND: &str = "transcript";
/// File of a shard: the exchanges.
const FILE: &str = "transcript.parquet";
/// File of a shard: how many tokens it holds.
const COUNTS: &str = "counts.json";

/// A teacher as thieves meet it: its answers to the query stream, and what its surfaces show of its laws.
pub struct Asked {
    /// For progress.
    name: String,
    teacher: Trained,
    serving: Serving,
    stream: Arc<QueryStream>,
    /// Answers, by how they are drawn.
    transcripts: BTreeMap<Drawing, OnceCell<Transcript>>,
    /// Answers from outside, in place of its own.
    imported: Option<Arc<Imported>>,
    /// By channel; laws once shown are shared by the students of every budget.
    laws: BTreeMap<String, OnceCell<ShownLaws>>,
}

impl Asked {
    /// `teacher`, served as `serving` says, asked the queries of `stream`.
    pub fn new(ctx: &Context<'_>, name: &str, teacher: &Trained, serving: Serving, stream: &Arc<QueryStream>) -> Self {
        let channels = &ctx.resolved.channels;
        let laws = channels.iter().map(|channel| (label(channel), OnceCell::new())).collect();
        let transcripts = channels.iter().map(|channel| (channel.surface.drawing(), OnceCell::new())).collect();
        Self {
            name: name.to_string(),
            teacher: teacher.clone(),
            serving,
            stream: stream.clone(),
            transcripts,
            imported: None,
            laws,
        }
    }

    /// The same with answers from outside, where there are any, in place of the teacher's own.
    #[must_use]
    pub fn answered_by(self, imported: Option<Arc<Imported>>) -> Self {
        Self { imported, ..self }
    }

    /// Answers from outside.
    pub fn imported(&self) -> Option<&Imported> {
        self.imported.as_deref()
    }

    /// The model behind the surface.
    pub fn teacher(&self) -> &Trained {
        &self.teacher
    }

    /// What changes its law.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// The teacher behind a surface.
    ///
    /// # Errors
    /// When the tokenizer does not tell the labels of the surface apart.
    pub fn served(&self, ctx: &Context<'_>, surface: &Surface) -> Result<Arc<Served>, ConfigError> {
        let served = Served::new(self.teacher.model.clone(), self.serving.processors(), surface.clone(), ctx.rt.clone());
        Ok(Arc::new(served.with_companions(self.serving.companions.clone()).with_labels(&*ctx.vocabulary.tokenizer)?))
    }

    /// Answers to the whole query stream. Surfaces that draw alike differ in what they show beside the answers, and share one
    /// transcript.
    ///
    /// # Errors
    /// When the model fails or the work is cancelled; when no channel of the experiment draws as `surface` does.
    pub fn transcript(&self, ctx: &Context<'_>, surface: &Surface) -> anyhow::Result<&Transcript> {
        if let Some(imported) = &self.imported {
            return Ok(&imported.transcript);
        }
        let cell = self.transcripts.get(&surface.drawing()).ok_or_else(|| anyhow::anyhow!("no channel shows `{surface}`"))?;
        if cell.get().is_none() {
            let _ = cell.set(self.ask(ctx, surface)?);
        }
        cell.get().ok_or_else(|| anyhow::anyhow!("the transcript was just asked"))
    }

    fn ask(&self, ctx: &Context<'_>, surface: &Surface) -> anyhow::Result<Transcript> {
        let asking = &ctx.resolved.world.queries;
        let drawing = surface.drawing();
        let mut stream = json!({
            "teacher": self.teacher.hash,
            "laws": self.serving.drawn(),
            "greedy": drawing == Drawing::Greedy,
            "prompt_tokens": asking.prompt_tokens,
            "max_new_tokens": asking.max_new_tokens,
            "sampling": asking.sampling,
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed_for("queries"),
        });
        if let Drawing::Label(labels) = &drawing {
            stream["labels"] = json!(labels);
        }
        if asking.chat {
            stream["chat"] = json!(true);
        }
        self.stream.name_in(&mut stream);
        if let Some(sent) = self.stream.sent_label() {
            stream["sent"] = json!(sent);
        }
        let n = ctx.resolved.largest_budget();
        let shards = self.shards(ctx, surface, &stream, n)?;
        let counts = shards.iter().map(|shard| load_json(&shard.file(COUNTS))).collect::<anyhow::Result<_>>()?;
        let files = TranscriptFiles::new(shards.iter().map(|shard| shard.file(FILE)).collect(), asking.shard_queries, n);
        let hash = store::hash_json(&json!({ "revision": REVISION, "stream": stream, "shard_queries": asking.shard_queries }))?;
        Ok(Transcript::new(hash, self.teacher.hash, files, shards.iter().map(place_of).collect(), counts))
    }

    /// All shards: found, or asked one after the other, each written while the next is being answered.
    fn shards(&self, ctx: &Context<'_>, surface: &Surface, stream: &Value, n: u64) -> anyhow::Result<Vec<Artifact>> {
        let what = format!("asking {}", self.name);
        let served = self.served(ctx, surface)?;
        let (tokenizer, teacher) = (ctx.vocabulary.hash.hex(), self.teacher.hash.hex());
        let header = TranscriptHeader {
            vocab_size: self.teacher.model.vocab_size(),
            tokenizer: &tokenizer,
            teacher: &teacher,
            codec: Some(&*ctx.vocabulary.tokenizer),
        };
        let mut asking: Option<(Instant, Bar)> = None;
        let mut tokens = 0;
        let mut shards = BTreeMap::new();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let (to_disk, answered) = sync_channel::<(u64, Making, Vec<Exchange>)>(1);
            let writer = scope.spawn(move || -> anyhow::Result<Vec<(u64, Artifact)>> {
                answered.into_iter().map(|(first, making, shard)| Ok((first, write(making, &shard, &header)?))).collect()
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
                let shard = served.answer_with(&self.stream.queries(ctx, range)?, &|made| bar.inc(made))?;
                let shard = self.stream.sent(shard);
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
            let _ = cell.set(ShownLaws::prepare(&*channel.loss.build(), &self.served(ctx, &channel.surface)?)?);
        }
        cell.get().cloned().ok_or_else(|| anyhow::anyhow!("the laws were just prepared"))
    }
}

fn write(making: Making, shard: &[Exchange], header: &TranscriptHeader<'_>) -> anyhow::Result<Artifact> {
    let place = |name: &str| Path::join(making.path(), name);
    write_parquet(&place(FILE), shard, header)?;
    save_json(&place(COUNTS), &Counts::of(shard))?;
    Ok(making.finish()?)
}

fn label(channel: &Channel) -> String {
    format!("{} {}", channel.surface, channel.loss.build().name())
}
