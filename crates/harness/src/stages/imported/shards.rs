//! Imported rows as the shards of a transcript.

use std::path::{Path, PathBuf};

use distill::{Counts, TranscriptHeader, write_parquet};
use oracle::{Codec, Exchange, Query, Stop, TokenId};
use store::Hash;

use crate::stages::Vocabulary;

/// A row in tokens.
pub(super) struct Put {
    /// The prompt alone.
    pub(super) asked: Vec<TokenId>,
    pub(super) exchange: Exchange,
}

/// Writes shards as they fill.
pub(super) struct Shards<'a> {
    directory: PathBuf,
    /// Rows of a full one.
    rows: u64,
    vocabulary: &'a Vocabulary,
    /// Names who answered.
    server: &'a Hash,
    waiting: Vec<Put>,
    counts: Vec<Counts>,
}

impl<'a> Shards<'a> {
    /// Shards of `rows` rows each in `directory`.
    pub(super) fn new(directory: &Path, rows: u64, vocabulary: &'a Vocabulary, server: &'a Hash) -> Self {
        Self { directory: directory.to_path_buf(), rows, vocabulary, server, waiting: Vec::new(), counts: Vec::new() }
    }

    /// Takes rows, and writes every shard that they fill.
    pub(super) fn take(&mut self, put: Vec<Put>) -> anyhow::Result<()> {
        let full = usize::try_from(self.rows)?;
        self.waiting.extend(put);
        while self.waiting.len() >= full {
            let rest = self.waiting.split_off(full);
            let shard = std::mem::replace(&mut self.waiting, rest);
            self.write(shard)?;
        }
        Ok(())
    }

    /// Writes what is left; what every shard holds.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<Counts>> {
        let rest = std::mem::take(&mut self.waiting);
        if !rest.is_empty() {
            self.write(rest)?;
        }
        Ok(self.counts)
    }

    fn write(&mut self, shard: Vec<Put>) -> anyhow::Result<()> {
        let Vocabulary { tokenizer, hash, .. } = self.vocabulary;
        let (name, server) = (hash.hex(), self.server.hex());
        let header = TranscriptHeader {
            vocab_size: tokenizer.vocab_size(),
            tokenizer: &name,
            teacher: &server,
            codec: Some(&**tokenizer),
        };
        let number = self.counts.len();
        let asked = |put: &Put| Exchange {
            query: Query { prompt: put.asked.clone(), ..put.exchange.query.clone() },
            answer: Vec::new(),
            stop: Stop::Length,
        };
        let prompts: Vec<Exchange> = shard.iter().map(asked).collect();
        write_parquet(&self.directory.join(asked_name(number)), &prompts, &TranscriptHeader { codec: None, ..header })?;
        let exchanges: Vec<Exchange> = shard.into_iter().map(|put| put.exchange).collect();
        write_parquet(&self.directory.join(exchanges_name(number)), &exchanges, &header)?;
        self.counts.push(Counts::of(&exchanges));
        Ok(())
    }
}

/// File of a shard's exchanges.
pub(super) fn exchanges_name(shard: usize) -> String {
    format!("{shard:06}.parquet")
}

/// File of a shard's prompts as they were asked.
pub(super) fn asked_name(shard: usize) -> String {
    format!("prompts-{shard:06}.parquet")
}
