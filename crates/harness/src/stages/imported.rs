//! Exchanges that a server outside answered, put into the teacher's tokens and kept as a transcript of our own.

mod shards;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corpus::{ExchangeError, ExchangeRow, Exchanges, Place, Said, Turn, exchanges};
use distill::{Counts, ExchangeStream, TranscriptFiles, cut_text};
use lm::{ChatError, ChatMessage, Runtime};
use oracle::{Codec, Exchange, Query, Stop, TokenId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Hash, Key, Making, Store};

use crate::chat;
use crate::exit::UsageError;
use crate::progress::Progress;
use crate::resolve::{Asking, Resolved, TranscriptFile};
use crate::stages::Vocabulary;
use crate::stages::answers::Transcript;
use crate::stages::json::{load_json, save_json};
use crate::stages::place::place_of;
use shards::{Put, Shards, asked_name, exchanges_name};

/// Raised when the same file would give another transcript.
pub(super) const REVISION: u32 = 1;
/// Kind of the artifacts: one holds a file.
const KIND: &str = "imported";
/// File of an artifact: what the file holds, and what each shard does.
const HOLDS: &str = "holds.json";
/// Rows put into tokens at a time.
const CHUNK: usize = 4096;

/// The imported transcripts of an experiment.
pub struct Imports {
    /// What the marked server answered.
    pub marked: Arc<Imported>,
    /// What it answered without marks.
    pub control: Option<Arc<Imported>>,
}

/// One imported file.
pub struct Imported {
    /// Its exchanges.
    pub transcript: Transcript,
    /// Its prompts as they were asked: where they are text, a token that straddles prompt and answer is another one here.
    pub asked: TranscriptFiles,
    /// What it holds.
    pub holds: Holds,
}

/// What an imported file holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Holds {
    /// How its rows are put: `text`, `token ids` or `messages`.
    pub form: String,
    /// Rows and their tokens.
    pub counts: Counts,
    /// Accounts that asked.
    pub accounts: u64,
    /// Rows by label of a key; empty where the file has none.
    pub keys: BTreeMap<String, u64>,
    /// Tokens of the longest prompt.
    pub longest_prompt: usize,
    /// Columns that were not read.
    pub unread: Vec<String>,
}

impl Holds {
    /// In words, one line.
    pub fn words(&self) -> String {
        let Counts { queries, prompt_tokens, answer_tokens } = self.counts;
        let mut said = vec![
            format!("{queries} rows of {} from {} account(s)", self.form, self.accounts),
            format!("{prompt_tokens} prompt and {answer_tokens} answer tokens"),
        ];
        if !self.keys.is_empty() {
            let keys: Vec<String> = self.keys.iter().map(|(key, rows)| format!("{key} {rows}")).collect();
            said.push(format!("rows by key: {}", keys.join(", ")));
        }
        if !self.unread.is_empty() {
            said.push(format!("columns not read: {}", self.unread.join(", ")));
        }
        said.join("; ")
    }
}

impl Imports {
    /// Imports what `resolved` names, or finds it; `None` where it names nothing.
    ///
    /// # Errors
    /// When a file is not what it should be, with the row and what to do.
    pub fn open(
        resolved: &Resolved,
        vocabularies: (&Vocabulary, Option<&Vocabulary>),
        store: &Store,
        rt: &Runtime,
        progress: &Progress,
    ) -> anyhow::Result<Option<Self>> {
        let Some(source) = &resolved.world.transcript else { return Ok(None) };
        let (vocabulary, students) = vocabularies;
        let import = |key: &'static str, file: &TranscriptFile, with: Option<&TranscriptFile>| {
            let reading = Reading { key, file, with, vocabulary, asking: &resolved.world.queries, rt, progress };
            let imported = reading.artifact(store)?;
            let rows = imported.holds.counts.queries;
            let largest = resolved.largest_budget();
            if rows < largest {
                let problem = format!("{key}: {} has {rows} rows, the largest budget takes {largest}", file.path.display());
                return Err(UsageError(format!("{problem}; lower queries.budgets, or bring more rows")).into());
            }
            if imported.holds.form == MESSAGES && students.is_some() {
                let problem =
                    format!("{key}: a chat template writes tokens that are no text, and the student has its own tokenizer");
                return Err(
                    UsageError(format!("{problem}; give `prompt` and `answer`, or take a student of the teacher's")).into()
                );
            }
            anyhow::Ok(Arc::new(imported))
        };
        let marked = import("transcript.import", &source.import, None)?;
        let control = source.control.as_ref().map(|file| import("transcript.control", file, Some(&source.import))).transpose()?;
        Ok(Some(Self { marked, control }))
    }
}

/// Name of the form that goes through a chat template.
const MESSAGES: &str = "messages";

/// A file that is to be imported.
struct Reading<'a> {
    /// The key that names it.
    key: &'static str,
    file: &'a TranscriptFile,
    /// Of a control: the file whose prompts it must have.
    with: Option<&'a TranscriptFile>,
    vocabulary: &'a Vocabulary,
    asking: &'a Asking,
    rt: &'a Runtime,
    progress: &'a Progress,
}

impl Reading<'_> {
    fn artifact(&self, store: &Store) -> anyhow::Result<Imported> {
        self.rt.check_cancelled()?;
        let inputs = json!({
            "sha256": self.file.sha256,
            "prompts_of": self.with.map(|file| file.sha256),
            "vocabulary": self.vocabulary.hash,
            "asking": self.asking,
        });
        let key = Key::new(REVISION, &inputs)?;
        let artifact = store.get_or_build(KIND, &key, |making| self.write(making), &mut |text| self.progress.warn(text))?;
        let (holds, counts): (Holds, Vec<Counts>) = load_json(&artifact.file(HOLDS))?;
        let shard_len = self.asking.shard_queries;
        let files = |name: fn(usize) -> String| {
            let paths = (0..counts.len()).map(|shard| artifact.file(&name(shard))).collect();
            TranscriptFiles::new(paths, shard_len, holds.counts.queries)
        };
        let (exchanges, asked) = (files(exchanges_name), files(asked_name));
        let transcript = Transcript::new(artifact.hash(), self.file.sha256, exchanges, vec![place_of(&artifact)], counts);
        Ok(Imported { transcript, asked, holds })
    }

    fn write(&self, making: &Making) -> anyhow::Result<()> {
        let bar = self.progress.stage(format!("reading {}", self.key), 0, "rows");
        let mut rows = exchanges(&self.file.path)?;
        let mut with = self.with.map(|file| exchanges(&file.path)).transpose()?;
        let mut writer = Shards::new(making.path(), self.asking.shard_queries, self.vocabulary, &self.file.sha256);
        let mut holds = Holds::default();
        let mut accounts = BTreeSet::new();
        let mut read = 0;
        loop {
            self.rt.check_cancelled()?;
            let mut chunk = rows.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() {
                break;
            }
            for (place, row) in &chunk {
                holds.form = row.prompt.form().to_string();
                accounts.insert(row.account.unwrap_or(0));
                *row.key.as_ref().map_or(&mut 0, |key| holds.keys.entry(key.clone()).or_default()) += 1;
                self.check_prompt(&mut with, *place, row)?;
            }
            bar.inc(chunk.len() as u64);
            let put = |(at, (place, row)): (usize, (Place, ExchangeRow))| {
                self.put(read + at as u64, row).map_err(|(what, remedy)| ExchangeError::row(&self.file.path, place, what, remedy))
            };
            let number = chunk.len() as u64;
            let put: Vec<Put> = self.rt.pool.install(|| {
                std::mem::take(&mut chunk)
                    .into_par_iter()
                    .enumerate()
                    .map(put)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .collect::<Result<_, _>>()
            })?;
            holds.longest_prompt = put.iter().map(|put| put.asked.len()).fold(holds.longest_prompt, usize::max);
            read += number;
            writer.take(put)?;
        }
        let counts = writer.finish()?;
        counts.iter().for_each(|counts| holds.counts += *counts);
        holds.accounts = accounts.len() as u64;
        holds.unread = rows.unread().to_vec();
        bar.finish(&holds.words());
        save_json(&making.path().join(HOLDS), &(holds, counts))
    }

    /// Refuses a control whose row has another prompt than the import's; rows beyond the shorter file's last are left alone.
    fn check_prompt(&self, with: &mut Option<Exchanges>, place: Place, row: &ExchangeRow) -> Result<(), ExchangeError> {
        let Some((its_place, its)) = with.as_mut().and_then(Iterator::next).transpose()? else { return Ok(()) };
        if its.prompt == row.prompt {
            return Ok(());
        }
        let file = self.with.map(|file| file.path.display().to_string()).unwrap_or_default();
        let what = match its.prompt.form() == row.prompt.form() {
            true => format!("another prompt than {its_place} of {file}"),
            false => format!("its prompt is {}, that of {its_place} of {file} {}", row.prompt.form(), its.prompt.form()),
        };
        Err(ExchangeError::row(&self.file.path, place, what, "ask the unmarked server the same prompts, in the same order"))
    }

    /// Row `index` in the teacher's tokens.
    fn put(&self, index: u64, row: ExchangeRow) -> Result<Put, (String, String)> {
        let refuse = |what: String, remedy: &str| Err((what, remedy.to_string()));
        let account = row.account.unwrap_or(0);
        if account >= self.asking.accounts {
            let most = self.asking.accounts - 1;
            return refuse(format!("account {account}, the last of queries.accounts is {most}"), "raise queries.accounts");
        }
        let tokenizer = &self.vocabulary.tokenizer;
        let end = tokenizer.eos().filter(|_| row.ended == Some(true));
        let after = |answer: &str| -> Vec<TokenId> { tokenizer.encode(answer).into_iter().chain(end).collect() };
        let (asked, prompt, answer) = match (row.prompt, row.answer) {
            (Said::Ids(prompt), Said::Ids(answer)) => {
                let size = tokenizer.vocab_size();
                let unknown = |id: &&TokenId| **id as usize >= size || tokenizer.absent().binary_search(id).is_ok();
                if let Some(id) = prompt.iter().chain(&answer).find(unknown) {
                    let what = format!("token id {id}, the teacher's vocabulary has {size}");
                    return refuse(what, "import ids of the teacher's tokenizer, or text");
                }
                (prompt.clone(), prompt, answer)
            }
            (Said::Text(prompt), Said::Text(answer)) if self.asking.chat => {
                let asked = self.chat(&[Turn { role: "user".into(), content: prompt }])?;
                (asked.clone(), asked, after(&answer))
            }
            (Said::Text(prompt), Said::Text(answer)) => {
                let (cut, mut ids) = cut_text(tokenizer, &format!("{prompt}{answer}"), prompt.len());
                ids.extend(end);
                (tokenizer.encode_document(&prompt), cut, ids)
            }
            (Said::Turns(turns), Said::Text(answer)) => {
                let asked = self.chat(&turns)?;
                (asked.clone(), asked, after(&answer))
            }
            (prompt, answer) => {
                return refuse(
                    format!("the prompt is {} and the answer {}", prompt.form(), answer.form()),
                    "write both the same way",
                );
            }
        };
        if asked.is_empty() || prompt.is_empty() {
            return refuse("the prompt is empty".into(), "leave the row out");
        }
        let (tokens, most) = (prompt.len().max(asked.len()) + answer.len(), self.asking.row_tokens());
        if tokens > most {
            let Asking { prompt_tokens, max_new_tokens, .. } = self.asking;
            let what = format!(
                "prompt and answer take {} and {} tokens, queries allows {prompt_tokens} and {max_new_tokens}, {most} in all",
                prompt.len(),
                answer.len()
            );
            return refuse(what, "raise queries.prompt_tokens or queries.max_new_tokens, or leave the row out");
        }
        let ended = tokenizer.eos().is_some_and(|end| answer.last() == Some(&end));
        let stop = if ended { Stop::EndToken } else { Stop::Length };
        let Asking { max_new_tokens, sampling, .. } = *self.asking;
        let query = Query { index, account, prompt, max_new_tokens, sampling, seed: 0 };
        Ok(Put { asked, exchange: Exchange { query, answer, stop } })
    }

    fn chat(&self, turns: &[Turn]) -> Result<Vec<TokenId>, (String, String)> {
        let turn = |turn: &Turn| ChatMessage { role: turn.role.clone(), content: turn.content.clone() };
        let options = chat::options(self.vocabulary.date.as_deref());
        let ids = self.vocabulary.tokenizer.encode_chat(&turns.iter().map(turn).collect::<Vec<_>>(), &options);
        ids.map_err(|error| {
            let remedy = match &error {
                ChatError::NeedsDate => chat::remedy(&error),
                _ => "give `prompt` and `answer` as text",
            };
            (format!("a conversation, and the teacher's tokenizer: {error}"), remedy.to_string())
        })
    }
}

impl Imported {
    /// The first `n` exchanges, or all where there are fewer.
    ///
    /// # Errors
    /// When a shard cannot be read.
    pub fn first(&self, n: u64) -> anyhow::Result<Vec<Exchange>> {
        self.transcript.first(n)
    }

    /// The prompts in `range`, with their accounts, as far as there are so many.
    ///
    /// # Errors
    /// When a shard cannot be read.
    pub fn prompts(&self, range: std::ops::Range<u64>) -> anyhow::Result<Vec<Query>> {
        let shard_len = self.asked.shard_len();
        let range = range.start..range.end.min(self.asked.len());
        let mut queries = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let shard = self.asked.shard(at / shard_len)?;
            let end = ((at / shard_len + 1) * shard_len).min(range.end);
            let place = |index: u64| usize::try_from(index % shard_len);
            queries.extend(shard[place(at)?..place(end - 1)? + 1].iter().map(|exchange| exchange.query.clone()));
            at = end;
        }
        Ok(queries)
    }

    /// Names the prompts.
    pub fn hash(&self) -> Hash {
        self.transcript.hash
    }
}
