use std::sync::Arc;

use anyhow::Context as _;
use corpus::{Opening, Split, Texts};
use lm::{ChatMessage, Runtime, Tokenizer};
use oracle::{Access, Codec, TokenId};
use serde_json::json;
use store::{Hash, Key, Making, Store};

use crate::chat;
use crate::exit::UsageError;
use crate::experiment::{TokenizerConfig, TrainedBpe};
use crate::progress::Progress;
use crate::resolve::{BaseSource, ModelDirectory, Resolved, TeacherSource, World};
use crate::stages::Sources;

/// Raised when the same corpus and parameters would give another tokenizer.
pub(super) const REVISION: u32 = 1;

/// Text to token ids, and how a document is put.
pub struct Vocabulary {
    /// The tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Names it.
    pub hash: Hash,
    /// Whether documents end with the end token. A model that came trained decides for itself how its texts end; it
    /// would be wrong to charge it for tokens it never saw.
    ends: bool,
    /// The day that a chat template shows, as the experiment states it.
    pub date: Option<String>,
}

impl Vocabulary {
    /// Trains the experiment's tokenizer on its corpus, or finds it; or takes the teacher's.
    ///
    /// # Errors
    /// When the corpus holds too little text for it, or the model's tokenizer cannot be read.
    pub fn open(world: &World, sources: &Sources, store: &Store, rt: &Runtime, progress: &Progress) -> anyhow::Result<Self> {
        match &world.tokenizer {
            TokenizerConfig::OfTeacher => match &world.teacher {
                TeacherSource::Open { model, .. } => {
                    Self::of_model(model, world.queries.chat, world.queries.chat_date.as_deref(), world.shared_rows()?)
                }
                TeacherSource::Train(_) => anyhow::bail!(
                    "tokenizer = \"of_teacher\": this teacher is trained here and has none; use tokenizer.bpe, or name teacher.model"
                ),
            },
            TokenizerConfig::Bpe(bpe) => Self::trained(bpe, sources, store, rt, progress),
        }
    }

    /// The student's own, if it is not the teacher's (`teachers`): trained here, or that of the model it starts from.
    ///
    /// # Errors
    /// As [`open`](Self::open); when the experiment asks for what needs one tokenizer for both.
    pub fn of_student(
        experiment: &Resolved,
        teachers: &Self,
        sources: &Sources,
        store: &Store,
        rt: &Runtime,
        progress: &Progress,
    ) -> anyhow::Result<Option<Self>> {
        let world = &experiment.world;
        let (key, own) = match (&world.base, &world.student.tokenizer) {
            (BaseSource::Open(model), _) => {
                ("base.model", Self::of_model(model, false, None, usize::MAX).context("`base.model`")?)
            }
            (_, Some(TokenizerConfig::Bpe(bpe))) => ("student.tokenizer", Self::trained(bpe, sources, store, rt, progress)?),
            (_, None | Some(TokenizerConfig::OfTeacher)) => return Ok(None),
        };
        if teachers.means_the_same(&own.tokenizer, sources)? {
            return Ok(None);
        }
        let sizes = format!("{} ids, the teacher's {}", own.tokenizer.vocab_size(), teachers.tokenizer.vocab_size());
        let refuse = |what: String, remedy: &str| {
            Err(UsageError(format!("{key}: another tokenizer than the teacher's ({sizes}), and {what}; {remedy}")).into())
        };
        let losses = experiment.channels.iter().map(|channel| channel.loss.build());
        if let Some(loss) = losses.into_iter().find(|loss| loss.needs() > Access::Text) {
            return refuse(format!("the loss `{}` compares laws token by token", loss.name()), "use sequence_kd");
        }
        if world.queries.chat {
            return refuse("queries.chat writes tokens that are no text".into(), "drop queries.chat");
        }
        Ok(Some(own))
    }

    /// Whether `tokenizer` has the same ids and the same tokens for the same texts. How far the tables of two models are padded beyond
    /// their tokens does not matter.
    pub fn means_the_same(&self, tokenizer: &Tokenizer, sources: &Sources) -> anyhow::Result<bool> {
        let sample = sources.of(crate::seeds::seed_for(0, "vocabulary check"))?;
        let narrow = (tokenizer.size() > self.tokenizer.size()).then(|| tokenizer.clone().within(self.tokenizer.size()));
        let tokenizer = narrow.as_ref().unwrap_or(tokenizer);
        let same = |text: &str| tokenizer.encode(text) == self.tokenizer.encode(text);
        let texts = (0..SAMPLE).map(|i| sample.opening(Split::HeldOut, i, SAMPLE_BYTES).text);
        let ids = |tokenizer: &Tokenizer| (tokenizer.vocab_size(), tokenizer.absent().to_vec());
        Ok(ids(tokenizer) == ids(&self.tokenizer) && texts.into_iter().all(|text| same(&text)))
    }

    fn trained(bpe: &TrainedBpe, sources: &Sources, store: &Store, rt: &Runtime, progress: &Progress) -> anyhow::Result<Self> {
        rt.check_cancelled()?;
        let key = Key::new(REVISION, &(sources.identity(), bpe))?;
        let train = |making: &Making| {
            let bar = progress.stage("tokenizer", bpe.documents, "documents");
            let texts = sources.of(crate::seeds::seed_for(0, "tokenizer"))?;
            let texts = (0..bpe.documents).map(|i| {
                bar.inc(1);
                texts.document(Split::Train, i)
            });
            let tokenizer = Tokenizer::train_bpe(texts.take_while(|_| rt.check_cancelled().is_ok()), bpe.vocab_size);
            rt.check_cancelled()?;
            tokenizer?.save(making.path())?;
            bar.finish("");
            Ok(())
        };
        let artifact = store.get_or_build("tokenizer", &key, train, &mut |text| progress.warn(text))?;
        let tokenizer = Arc::new(Tokenizer::load(artifact.path())?);
        Ok(Self { tokenizer, hash: artifact.hash(), ends: true, date: None })
    }

    /// The tokenizer of `model`, with the tokens that tables of `shared` rows have rows for; with `chat` it must put a message, under this date.
    ///
    /// # Errors
    /// When it cannot be read, or has no chat template that works.
    pub(super) fn of_model(model: &ModelDirectory, chat: bool, date: Option<&str>, shared: usize) -> anyhow::Result<Self> {
        let (own, root, found) = (model.with_tokenizer(), model.root(), model.found());
        let (rows, tokenizer) = (found.config()?.vocab_size(), Arc::new(found.needed_tokenizer()?.within(shared)));
        let mut files: Vec<_> = own.files.iter().filter(|file| !file.name.ends_with(".safetensors")).collect();
        // an adapter's own tokenizer begins and ends texts as its base says
        let says = |name: &str| ["config.json", "generation_config.json"].contains(&name) || name.ends_with(".gguf");
        if own.path != root.path {
            files.extend(root.files.iter().filter(|file| says(&file.name)));
        }
        // files that were once read otherwise, or not at all, have another name
        let as_ever = rows == tokenizer.size() && tokenizer.absent().is_empty() && tokenizer.notes().is_empty();
        let hash = if as_ever {
            store::hash_json(&files)?
        } else {
            let (ids, absent, begin) = (tokenizer.size(), tokenizer.absent(), tokenizer.bos());
            store::hash_json(&json!({ "files": files, "ids": ids, "absent": absent, "begin": begin }))?
        };
        // what is asked under another date is another question
        let hash = date.map_or(Ok(hash), |date| store::hash_json(&(hash, date)))?;
        let vocabulary = Self { tokenizer, hash, ends: false, date: date.map(str::to_string) };
        // said before any work, not at the first query
        if chat {
            vocabulary.message("Hello")?;
        }
        Ok(vocabulary)
    }

    /// A vocabulary of this tokenizer, documents with their end tokens.
    #[cfg(test)]
    pub(crate) fn of_tokenizer(tokenizer: Tokenizer) -> Self {
        Self { tokenizer: Arc::new(tokenizer), hash: store::hash_bytes(b""), ends: true, date: None }
    }

    /// Bytes of `text` that a loss over all tokens but the first of [`encode_document`](Tokenizer::encode_document) is a loss on.
    pub fn scored_bytes(&self, text: &str) -> u64 {
        let begun = if self.tokenizer.bos().is_some() {
            0
        } else {
            // the first token alone is asked for
            let opening = Opening::of(text, FIRST_BYTES).text;
            self.tokenizer.encode_with_offsets(&opening).first().map_or(0, |(_, bytes)| bytes.end)
        };
        (text.len() - begun) as u64
    }

    /// A whole document: the beginning token, the text, and the end token if documents here have one.
    pub fn document(&self, text: &str) -> Vec<TokenId> {
        let mut ids = self.tokenizer.encode_document(text);
        ids.extend(self.tokenizer.eos().filter(|_| self.ends));
        ids
    }

    /// `text` as a user's message, up to where the model answers. A template that shows the date shows the one that the experiment
    /// states, else the one it falls back on: a transcript depends on no clock.
    ///
    /// # Errors
    /// When the tokenizer brought no chat template, or the template refuses the message.
    pub fn message(&self, text: &str) -> anyhow::Result<Vec<TokenId>> {
        let ids = self.tokenizer.encode_chat(&[ChatMessage::user(text)], &chat::options(self.date.as_deref()));
        ids.map_err(|error| UsageError(format!("queries.chat: teacher.model: {error}; {}", chat::remedy(&error))).into())
    }

    /// The opening of a document: at most `tokens` ids, the beginning token included, and never the whole text.
    ///
    /// Only as many words are read and encoded as it takes: encoding millions of documents would cost more than answering them, and
    /// a document may be a book.
    pub fn prompt(&self, texts: &dyn Texts, split: Split, index: u64, tokens: usize) -> Vec<TokenId> {
        let (mut ids, whole) = self.begun(texts, split, index, tokens);
        let most = if whole { ids.len().saturating_sub(1) } else { ids.len() };
        ids.truncate(tokens.clamp(1, most.max(1)));
        ids
    }

    /// As [`document`](Self::document), cut to `most` ids: no more of it is read and encoded than that takes.
    pub fn document_cut(&self, texts: &dyn Texts, split: Split, index: u64, most: usize) -> Vec<TokenId> {
        let (mut ids, whole) = self.begun(texts, split, index, most);
        ids.extend(self.tokenizer.eos().filter(|_| self.ends && whole));
        ids.truncate(most);
        ids
    }

    /// More than `tokens` ids that begin a document, or all of it and true.
    fn begun(&self, texts: &dyn Texts, split: Split, index: u64, tokens: usize) -> (Vec<TokenId>, bool) {
        let mut bytes = tokens.saturating_mul(BYTES_PER_TOKEN);
        loop {
            let opening = texts.opening(split, index, bytes);
            let ids = self.tokenizer.encode_document(&opening.text);
            if opening.is_whole || ids.len() > tokens {
                return (ids, opening.is_whole);
            }
            bytes = bytes.saturating_mul(2);
        }
    }
}

/// Bytes of text that hold its first token.
const FIRST_BYTES: usize = 1 << 10;

/// Texts on which two tokenizers must agree to be one.
const SAMPLE: u64 = 32;

/// Bytes of each of them.
const SAMPLE_BYTES: usize = 1 << 16;

/// Bytes of text first encoded for each token of a prompt.
const BYTES_PER_TOKEN: usize = 6;

#[cfg(test)]
mod tests {
    use corpus::{Task, TaskKind};

    use super::*;

    /// The same text always.
    struct One(String);

    impl Texts for One {
        fn document(&self, _: Split, _: u64) -> String {
            self.0.clone()
        }

        fn len(&self, _: Split) -> Option<u64> {
            Some(1)
        }

        fn task(&self, _: TaskKind, _: Split, _: u64) -> Option<Task> {
            None
        }

        fn describe(&self) -> String {
            "one text".into()
        }
    }

    #[test]
    fn an_opening_is_that_of_the_whole_text() {
        let words = ["the", "old", "miller", "of", "Wrenfield", "counted", "7", "sacks,", "unbelievably", "heavy;", "so"];
        let text = |n: usize, shift: usize| {
            let picked = (0..n).map(|i| words[(i * i + shift) % words.len()]);
            picked.collect::<Vec<_>>().join(if shift.is_multiple_of(3) { " " } else { "\n " })
        };
        let tokenizer = Tokenizer::train_bpe((0..200).map(|i| text(30, i)), 330).unwrap();
        let vocabulary = Vocabulary::of_tokenizer(tokenizer);
        for shift in 0..40 {
            for n in [1, 2, 5, 60] {
                let text = text(n, shift);
                let whole = vocabulary.tokenizer.encode_document(&text);
                for tokens in [1, 2, 3, 8, 24, 500] {
                    let one = One(text.clone());
                    let expected = &whole[..tokens.clamp(1, (whole.len() - 1).max(1))];
                    assert_eq!(vocabulary.prompt(&one, Split::Train, 0, tokens), expected, "{tokens} of {text:?}");
                    let mut expected = vocabulary.document(&text);
                    expected.truncate(tokens);
                    assert_eq!(vocabulary.document_cut(&one, Split::Train, 0, tokens), expected, "{tokens} of {text:?}");
                }
            }
        }
    }
}
