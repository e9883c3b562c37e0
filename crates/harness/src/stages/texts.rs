use std::sync::Arc;

use corpus::{FileTexts, Split, Texts, from_file, grammar};
use lm::Runtime;
use oracle::TokenId;
use rayon::prelude::*;
use store::Hash;

use crate::resolve::CorpusSource;
use crate::seeds::seed_for;
use crate::stages::Vocabulary;

/// Documents encoded at a time by all workers together.
const CHUNK: u64 = 2048;

/// Where texts come from. A grammar gives every purpose a stream of its own; the rows of a file are shared out over the
/// splits once, the same way for every purpose and repetition, because they must not meet.
pub struct Sources {
    source: CorpusSource,
    file: Option<Arc<FileTexts>>,
    identity: Hash,
}

impl Sources {
    /// Opens the corpus; a file is read whole.
    ///
    /// # Errors
    /// When the file is not what it should be.
    pub fn open(source: &CorpusSource) -> anyhow::Result<Self> {
        let file = match source {
            CorpusSource::Grammar(_) => None,
            CorpusSource::File { path, column, .. } => Some(Arc::new(from_file(path, column, seed_for(0, "rows"))?)),
        };
        let identity = store::hash_json(&(source, corpus::REVISION))?;
        Ok(Self { source: source.clone(), file, identity })
    }

    /// Names the corpus: what texts are made from it is decided by this and a seed.
    pub fn identity(&self) -> Hash {
        self.identity
    }

    /// One line in words.
    pub fn describe(&self) -> anyhow::Result<String> {
        Ok(self.of(0)?.describe())
    }

    /// The texts of the purpose whose seed this is.
    ///
    /// # Errors
    /// When the grammar is not valid.
    pub fn of(&self, seed: u64) -> anyhow::Result<Arc<dyn Texts>> {
        match (&self.source, &self.file) {
            (_, Some(file)) => Ok(file.clone()),
            (CorpusSource::Grammar(spec), _) => Ok(Arc::new(grammar(spec, seed)?)),
            (CorpusSource::File { path, .. }, None) => anyhow::bail!("{} was not opened", path.display()),
        }
    }
}

/// Documents `0..n` of a split as token ids, `n` the least for which they hold `tokens` tokens.
pub fn documents_with(texts: &dyn Texts, split: Split, tokens: u64, vocabulary: &Vocabulary, rt: &Runtime) -> Vec<Vec<TokenId>> {
    let mut documents: Vec<Vec<TokenId>> = Vec::new();
    let mut total = 0;
    while total < tokens {
        let first = documents.len() as u64;
        let chunk = rt.pool.install(|| {
            (first..first + CHUNK).into_par_iter().map(|i| vocabulary.document(&texts.document(split, i))).collect::<Vec<_>>()
        });
        for document in chunk {
            if total >= tokens {
                break;
            }
            total += document.len() as u64;
            documents.push(document);
        }
    }
    documents
}

/// The first `n` documents of a split as token ids, cut to `most` ids.
pub fn documents(
    texts: &dyn Texts,
    split: Split,
    n: u64,
    most: usize,
    vocabulary: &Vocabulary,
    rt: &Runtime,
) -> Vec<Vec<TokenId>> {
    rt.pool.install(|| {
        (0..n)
            .into_par_iter()
            .map(|i| {
                let mut ids = vocabulary.document(&texts.document(split, i));
                ids.truncate(most);
                ids
            })
            .collect()
    })
}
