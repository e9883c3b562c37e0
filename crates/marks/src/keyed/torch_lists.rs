//! Green lists as the KGW authors and transformers draw them: the beginning of PyTorch's permutation of the vocabulary, whose seed is a
//! function of the key and some ids (methods a1; served-watermarks 7).
//!
//! Every list has one size. A list costs a draw for each of its tokens, so rows are kept by seed; what a single token is in is found
//! without the list ([`randperm_heads_have`]).

use oracle::TokenId;

use super::rows::{Row, RowCache, add_to_green, has, words_of_bits};
use super::scheme::FixedLists;
use super::soft_list::Lists;
use super::torch::{Table, TorchRng, low_bits, randperm_heads_have};

/// How ids become the seed of a list, times the key.
#[derive(Clone)]
pub(crate) enum SeedRule {
    /// The sum of all.
    Sum,
    /// The last one.
    Last,
    /// The hash of the first.
    First(Table),
    /// The smallest of the hashes of all.
    Least(Table),
    /// The smallest of the products of each one's hash with the last one's, mod 2^64 with a sign.
    Anchored(Table),
}

/// Seeds under one key.
#[derive(Clone)]
pub(crate) struct Seeds {
    rule: SeedRule,
    key: u64,
}

impl Seeds {
    /// Of `rule` under `key`.
    pub fn new(rule: SeedRule, key: u64) -> Self {
        Self { rule, key }
    }

    /// The seed of the list that `ids` choose, as far as the generator looks at it; at least one id.
    pub fn of(&self, ids: &[TokenId]) -> u32 {
        // sums are Python's numbers, products of ids with the key are 64 bits of a tensor
        let wide = |number: i128| low_bits(number * i128::from(self.key));
        let product = |number: i64| number.wrapping_mul(self.key as i64);
        let last = ids.last().copied().unwrap_or_default();
        match &self.rule {
            SeedRule::Sum => wide(ids.iter().map(|id| i128::from(*id)).sum()),
            SeedRule::Last => wide(i128::from(last)),
            SeedRule::First(table) => low_bits(table.of(product(i64::from(ids[0]))).into()),
            SeedRule::Least(table) => {
                let least = ids.iter().map(|id| table.of(product(i64::from(*id)))).min();
                low_bits(least.unwrap_or_default().into())
            }
            SeedRule::Anchored(table) => {
                let anchor = table.of_id(last);
                let least = ids.iter().map(|id| product(table.of_id(*id)).wrapping_mul(anchor)).min();
                low_bits(least.unwrap_or_default().into())
            }
        }
    }
}

/// How large lists are, and of how many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListSize {
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Tokens of a list.
    pub green: u32,
}

impl ListSize {
    /// The size that both codes compute: `int(vocab * gamma)`.
    pub fn new(vocab: usize, gamma: f64) -> Self {
        Self { vocab: vocab as u32, green: (vocab as f64 * gamma) as u32 }
    }

    /// The share of the vocabulary that a list is.
    pub fn rate(self) -> f64 {
        f64::from(self.green) / f64::from(self.vocab)
    }

    /// Whether there is something in lists and something beside them.
    pub fn splits(self) -> bool {
        self.green > 0 && self.green < self.vocab
    }

    /// Lists of this size.
    pub fn lists(self) -> FixedLists {
        FixedLists { ones: self.green.into(), tokens: self.vocab.into() }
    }

    /// Whether `token` is in the list of `seed`.
    #[cfg(test)]
    pub fn has(self, seed: u32, token: TokenId) -> bool {
        randperm_heads_have(self.vocab, self.green as usize, &[(seed, token)])[0]
    }

    fn row(self, seed: u32) -> Row {
        let mut row = vec![0; (self.vocab as usize).div_ceil(64)];
        for token in TorchRng::new(seed).randperm_head(self.vocab, self.green as usize) {
            row[token as usize / 64] |= 1 << (token % 64);
        }
        row.into()
    }
}

/// Lists under one key. Where the token is salted with itself, it is one of the ids that choose its own list.
#[derive(Clone)]
pub(crate) struct TorchLists {
    /// How lists are chosen.
    pub seeds: Seeds,
    /// How large they are.
    pub size: ListSize,
    /// Whether a token is the last of the ids that choose its list.
    pub self_salted: bool,
}

impl TorchLists {
    /// The seed of the list that decides about the last id of `window` after those before it.
    pub fn seed(&self, window: &[TokenId]) -> u32 {
        self.seeds.of(if self.self_salted { window } else { &window[..window.len() - 1] })
    }

    /// Whether the last id of `window` is green after those before it.
    #[cfg(test)]
    pub fn is_green(&self, window: &[TokenId]) -> bool {
        self.size.has(self.seed(window), window[window.len() - 1])
    }
}

impl Lists for TorchLists {
    /// Where several windows are about one list it is drawn once.
    fn score(&self, windows: &[TokenId], width: usize, scores: &mut [f64]) {
        let mut asked: Vec<(u32, TokenId, usize)> =
            windows.chunks_exact(width).enumerate().map(|(at, window)| (self.seed(window), window[width - 1], at)).collect();
        asked.sort_unstable();
        let (mut singles, mut places) = (Vec::new(), Vec::new());
        for of_list in asked.chunk_by(|a, b| a.0 == b.0) {
            if of_list.len() > FEW {
                let row = self.size.row(of_list[0].0);
                of_list.iter().for_each(|&(_, token, at)| scores[at] = f64::from(u8::from(has(&row, token))));
            } else {
                singles.extend(of_list.iter().map(|&(seed, token, _)| (seed, token)));
                places.extend(of_list.iter().map(|&(.., at)| at));
            }
        }
        let green = randperm_heads_have(self.size.vocab, self.size.green as usize, &singles);
        places.into_iter().zip(green).for_each(|(at, green)| scores[at] = f64::from(u8::from(green)));
    }

    fn input(&self, window: &[TokenId]) -> u128 {
        FixedLists::input(self.seed(window).into(), window[window.len() - 1])
    }
}

/// So many tokens of one list are looked for one by one; following a token costs about half of a list.
const FEW: usize = 2;

/// Lists with their rows by seed.
pub(crate) struct TorchRows {
    lists: TorchLists,
    cache: RowCache,
}

impl TorchRows {
    /// Of `lists`.
    pub fn new(lists: TorchLists) -> Self {
        let cache = RowCache::new(words_of_bits(lists.size.vocab as usize));
        Self { lists, cache }
    }

    fn with<T>(&self, seed: u32, then: impl FnOnce(&[u64]) -> T) -> T {
        self.cache.with(&[seed], || self.lists.size.row(seed), then)
    }

    /// Adds `bias` to the logits of the list that `context` chooses.
    pub fn add(&self, context: &[TokenId], bias: f32, logits: &mut [f32]) {
        self.with(self.lists.seeds.of(context), |row| add_to_green(row, bias, logits));
    }

    /// Whether the last id of `window` is green after those before it.
    pub fn is_green(&self, window: &[TokenId]) -> bool {
        self.with(self.lists.seed(window), |row| has(row, window[window.len() - 1]))
    }
}
