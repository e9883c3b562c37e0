//! The keyed function of SBW (served watermarks, 6.1): a seed from products of hashed ids, and a plain Philox word of each candidate under
//! it. Written from its formulas.

use oracle::TokenId;
use serde::{Deserialize, Serialize};

use super::philox::{self, Wanted};

/// How the tokens before a candidate choose its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seeding {
    /// The least product of the key, the candidate's hash and one of its own and those of the tokens before it.
    SelfHash,
    /// The product of the key and the sum of the ids before it.
    LeftHash,
}

/// Largest draw and one: a draw has 31 bits.
const DRAWS: u32 = 1 << 31;

/// Draws below this number are green: gamma (2^31 - 1), rounded down.
pub(crate) fn green_below(gamma: f64) -> u32 {
    (gamma * f64::from(DRAWS - 1)) as u32
}

/// The exact share of draws that are green.
pub(crate) fn rate(green_below: u32) -> f64 {
    f64::from(green_below) / f64::from(DRAWS)
}

/// The hash of an id, signed; of an id that is not there, -1, it is 0.
pub(crate) fn hash(id: TokenId) -> i32 {
    let mut i = id.wrapping_add(1) as i32;
    i = i.wrapping_sub(i << 6);
    i ^= i >> 17;
    i = i.wrapping_sub(i << 9);
    i ^= i << 4;
    i = i.wrapping_sub(i << 3);
    i ^= i << 10;
    i ^ (i >> 15)
}

/// The keyed function under one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeds {
    pub key: i64,
    pub seeding: Seeding,
}

impl Seeds {
    /// The seed of `candidate` after `context`: of self hash all but the oldest id of the published window, of left hash the window.
    #[inline(always)]
    pub fn seed(&self, context: &[TokenId], candidate: TokenId) -> i64 {
        match self.seeding {
            Seeding::SelfHash => {
                let own = i64::from(hash(candidate));
                let product = |other: i64| self.key.wrapping_mul(other).wrapping_mul(own);
                context.iter().map(|id| product(i64::from(hash(*id)))).fold(product(own), i64::min)
            }
            // an id that is not there counts as -1
            Seeding::LeftHash => self.key.wrapping_mul(context.iter().map(|id| i64::from(*id as i32)).sum()),
        }
    }

    /// The draws of the candidates 0, 1, ... after `context`.
    pub fn all_draws(&self, context: &[TokenId], draws: &mut [u32]) {
        match self.seeding {
            Seeding::SelfHash => philox::words(|at| wanted(self.seed(context, at as TokenId), at as TokenId), draws),
            Seeding::LeftHash => philox::all_words([0; 3], halves(self.seed(context, 0)), draws),
        }
        draws.iter_mut().for_each(|draw| *draw %= DRAWS);
    }

    /// The draws of units (`draws.len()`, `width`), each a context and then its candidate.
    pub fn draws(&self, windows: &[TokenId], width: usize, draws: &mut [u32]) {
        assert_eq!(windows.len(), draws.len() * width, "windows of {width} ids");
        let unit = |at: usize| windows[at * width..][..width].split_last().expect("a unit has a candidate");
        philox::words(|at| wanted(self.seed(unit(at).1, *unit(at).0), *unit(at).0), draws);
        draws.iter_mut().for_each(|draw| *draw %= DRAWS);
    }

    /// The draw of one candidate.
    pub fn draw(&self, context: &[TokenId], candidate: TokenId) -> u32 {
        let Wanted { counter, key, word } = wanted(self.seed(context, candidate), candidate);
        philox::philox(counter, key)[word as usize] % DRAWS
    }
}

#[inline(always)]
fn wanted(seed: i64, candidate: TokenId) -> Wanted {
    Wanted { counter: [candidate / 4, 0, 0, 0], key: halves(seed), word: candidate % 4 }
}

/// Low and high half.
#[inline(always)]
fn halves(seed: i64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}
