//! Texts as token ids.

use corpus::{Split, Texts};
use lm::Runtime;
use oracle::TokenId;
use rayon::prelude::*;

use crate::stages::Vocabulary;

/// Documents encoded at a time by all workers together.
const CHUNK: u64 = 2048;

/// Documents `0..n` of a split as token ids, `n` the least for which they hold `tokens` tokens; a few thousand are encoded at a
/// time, as they are asked for.
pub fn documents_with<'a>(
    texts: &'a dyn Texts,
    split: Split,
    tokens: u64,
    vocabulary: &'a Vocabulary,
    rt: &'a Runtime,
) -> impl Iterator<Item = Vec<TokenId>> + 'a {
    let encoded = move |chunk: u64| {
        let indices = chunk * CHUNK..(chunk + 1) * CHUNK;
        rt.pool.install(|| indices.into_par_iter().map(|i| vocabulary.document(&texts.document(split, i))).collect::<Vec<_>>())
    };
    let mut total = 0;
    (0..).flat_map(encoded).take_while(move |document| {
        let wanted = total < tokens;
        total += document.len() as u64;
        wanted
    })
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
