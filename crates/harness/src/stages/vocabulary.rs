use std::sync::Arc;

use corpus::Split;
use lm::{Runtime, Tokenizer};
use oracle::{Codec, TokenId};
use store::{Hash, Key, Making, Store};

use crate::experiment::TokenizerConfig;
use crate::progress::Progress;
use crate::resolve::{ModelDirectory, TeacherSource, World};
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
}

impl Vocabulary {
    /// Trains the experiment's tokenizer on its corpus, or finds it; or takes the teacher's.
    ///
    /// # Errors
    /// When the corpus holds too little text for it, or the model's tokenizer cannot be read.
    pub fn open(world: &World, sources: &Sources, store: &Store, rt: &Runtime, progress: &Progress) -> anyhow::Result<Self> {
        match &world.tokenizer {
            TokenizerConfig::OfTeacher => match &world.teacher {
                TeacherSource::Open { model, .. } => Self::of_model(model),
                TeacherSource::Train(_) => anyhow::bail!(
                    "tokenizer = \"of_teacher\": this teacher is trained here and has none; use tokenizer.bpe, or name teacher.model"
                ),
            },
            TokenizerConfig::Bpe(bpe) => {
                rt.check_cancelled()?;
                let key = Key::new(REVISION, &(sources.identity(), bpe))?;
                let train = |making: &Making| {
                    let bar = progress.stage("tokenizer", bpe.documents, "documents");
                    let texts = sources.of(crate::seeds::seed_for(0, "tokenizer"))?;
                    let texts = (0..bpe.documents).map(|i| {
                        bar.inc(1);
                        texts.document(Split::Train, i)
                    });
                    Tokenizer::train_bpe(texts, bpe.vocab_size)?.save(making.path())?;
                    bar.finish("");
                    Ok(())
                };
                let artifact = store.get_or_build("tokenizer", &key, train, &mut |text| progress.note(text))?;
                let tokenizer = Arc::new(Tokenizer::load(artifact.path())?);
                Ok(Self { tokenizer, hash: artifact.hash(), ends: true })
            }
        }
    }

    fn of_model(model: &ModelDirectory) -> anyhow::Result<Self> {
        let tokenizer = Arc::new(Tokenizer::load(&model.path)?);
        let files: Vec<_> = model.files.iter().filter(|file| !file.name.ends_with(".safetensors")).collect();
        Ok(Self { tokenizer, hash: store::hash_json(&files)?, ends: false })
    }

    /// A whole document: the beginning token, the text, and the end token if documents here have one.
    pub fn document(&self, text: &str) -> Vec<TokenId> {
        let mut ids = self.tokenizer.encode_document(text);
        ids.extend(self.tokenizer.eos().filter(|_| self.ends));
        ids
    }

    /// The opening of a document: at most `tokens` ids, the beginning token included, and never the whole text.
    pub fn prompt(&self, text: &str, tokens: usize) -> Vec<TokenId> {
        let mut ids = self.tokenizer.encode_document(text);
        let most = ids.len().saturating_sub(1).max(1);
        ids.truncate(tokens.clamp(1, most));
        ids
    }
}
