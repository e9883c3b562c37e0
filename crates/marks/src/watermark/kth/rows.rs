//! Rows of a key, and how they draw tokens.

use oracle::{LogitsProcessor, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};

use crate::Key;
use crate::key::Purpose;
use crate::keyed::alignment::Table;
use crate::keyed::race::leave;
use crate::keyed::rows::RowCache;
use crate::keyed::siphash::{self, SipState};
use crate::watermark::gumbel::{scores_of, uniform, winner};

/// How a row draws a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KthDraw {
    /// By a keyed race among tokens.
    Exp,
    /// By inverse transform, in a keyed order of the vocabulary.
    Its,
}

/// What every key of these parameters draws.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// How a row draws.
    pub draw: KthDraw,
    /// How many there are.
    pub rows: u32,
    /// How many of them an answer may begin with.
    pub shifts: u32,
    /// Token ids.
    pub vocab: usize,
}

/// The same under one key.
pub(super) struct KeyedRows {
    /// Draws rows.
    state: SipState,
    /// Draws shifts.
    shifts: SipState,
    /// Of ITS: ranks of tokens in the keyed order, and the order.
    ranks: Vec<u32>,
    order: Vec<TokenId>,
}

impl Rows {
    /// Under `key`.
    pub fn under(&self, key: &Key) -> KeyedRows {
        let state = SipState::new(&key.sip_key(Purpose::Kind("kth")));
        let shifts = SipState::new(&key.sip_key(Purpose::Kind("kth shifts")));
        let (mut ranks, mut order) = (Vec::new(), Vec::new());
        if self.draw == KthDraw::Its {
            let mut draws = vec![0; self.vocab];
            siphash::all_tokens(SipState::new(&key.sip_key(Purpose::Kind("kth order"))), &[], &mut draws);
            order = (0..self.vocab as TokenId).collect();
            order.sort_unstable_by_key(|&token| (draws[token as usize], token));
            ranks = vec![0; self.vocab];
            for (rank, token) in (0..).zip(&order) {
                ranks[*token as usize] = rank;
            }
        }
        KeyedRows { state, shifts, ranks, order }
    }

    /// The row at which shift number `shift` begins.
    pub fn start(&self, shift: u32) -> u32 {
        shift * (self.rows / self.shifts)
    }

    /// The row that draws the next token of an answer.
    fn row(&self, keyed: &KeyedRows, step: &Step<'_>) -> u32 {
        let (seed, mut draw) = (step.query.seed, [0]);
        siphash::windows(keyed.shifts, &[seed as u32, (seed >> 32) as u32], 2, &mut draw);
        let shift = (u64::from(draw[0]) * u64::from(self.shifts)) >> 32;
        ((u64::from(self.start(shift as u32)) + step.answer().len() as u64) % u64::from(self.rows)) as u32
    }

    /// Scores of `tokens` at every row.
    pub fn table(&self, keyed: &KeyedRows, tokens: &[TokenId]) -> Table {
        let rows = self.rows as usize;
        let mut scores = Vec::with_capacity(rows * tokens.len());
        match self.draw {
            KthDraw::Exp => {
                let (mut windows, mut draws, mut each) = (vec![0; 2 * rows], vec![0; rows], vec![0.0; rows]);
                for token in tokens {
                    windows.chunks_exact_mut(2).zip(0..).for_each(|(window, row)| window.copy_from_slice(&[row, *token]));
                    siphash::windows(keyed.state, &windows, 2, &mut draws);
                    scores_of(&draws, &mut each);
                    scores.extend(each.iter().map(|score| *score as f32));
                }
            }
            KthDraw::Its => {
                let numbers: Vec<f64> = (0..self.rows).map(|row| keyed.number(row)).collect();
                for token in tokens {
                    let rank = keyed.ranks.get(*token as usize).copied().unwrap_or(0);
                    let share = f64::from(rank) / self.vocab.max(1) as f64;
                    scores.extend(numbers.iter().map(|u| -(share - u).abs() as f32));
                }
            }
        }
        Table::new(scores, rows)
    }
}

impl KeyedRows {
    /// The one number of an ITS row.
    fn number(&self, row: u32) -> f64 {
        let mut draw = [0];
        siphash::windows(self.state, &[row], 1, &mut draw);
        uniform(draw[0])
    }
}

/// Leaves one token in the law that is left after truncation: the one that the row draws. Special tokens are drawn like others, so that
/// an answer ends with the probability it would have had without the mark, averaged over keys. At temperature 0, where nothing is drawn, the
/// law is left as it is.
pub(super) struct Sampler {
    name: String,
    rows: Rows,
    keyed: KeyedRows,
    /// What rows of EXP draw for all tokens.
    drawn: RowCache<u32>,
}

impl Sampler {
    /// Of `key`, under the name `name`.
    pub fn new(name: String, rows: Rows, key: &Key) -> Self {
        Self { name, rows, keyed: rows.under(key), drawn: RowCache::new(rows.vocab) }
    }

    fn drawn_by(&self, row: u32, logits: &[f32]) -> Option<usize> {
        match self.rows.draw {
            KthDraw::Exp => {
                let draw = || {
                    let mut draws = vec![0; logits.len()];
                    siphash::all_tokens(self.keyed.state, &[row], &mut draws);
                    draws.into_boxed_slice()
                };
                // a padded table of another model has more tokens
                self.drawn.with(&[row, logits.len() as u32], draw, |draws| winner(logits, draws))
            }
            KthDraw::Its => {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                if !largest.is_finite() {
                    return None;
                }
                let weight = |token: usize| logits.get(token).map_or(0.0, |logit| libm::exp(f64::from(logit - largest)));
                let total: f64 = self.keyed.order.iter().map(|token| weight(*token as usize)).sum();
                let (mut left, mut last) = (self.keyed.number(row) * total, None);
                for token in self.keyed.order.iter().map(|token| *token as usize).filter(|token| weight(*token) > 0.0) {
                    last = Some(token);
                    left -= weight(token);
                    if left <= 0.0 {
                        break;
                    }
                }
                last
            }
        }
    }
}

impl LogitsProcessor for Sampler {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        if let Some(chosen) = self.chosen(step, row.logits) {
            leave(row.logits, chosen as usize);
        }
    }

    fn chosen(&self, step: &Step<'_>, logits: &[f32]) -> Option<TokenId> {
        if step.query.sampling.temperature == 0.0 {
            return None;
        }
        self.drawn_by(self.rows.row(&self.keyed, step), logits).map(|place| place as TokenId)
    }
}
