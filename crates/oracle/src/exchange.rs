use serde::{Deserialize, Serialize};

use crate::TokenId;
use crate::order::Order;

/// How the next token is drawn from a law: processors of stage `BeforeTemperature`, temperature and truncation in their `order`,
/// processors of stage `AfterTruncation`, one draw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 means the most probable token (ties: the lowest id).
    pub temperature: f32,
    /// Keep only this many most probable tokens; 0 keeps all.
    #[serde(default)]
    pub top_k: usize,
    /// Keep the smallest set of most probable tokens with at least this mass; 1 keeps all.
    #[serde(default = "one")]
    pub top_p: f32,
    /// Keep the tokens that have at least this share of the most probable one's probability; 0 keeps all (min-p: Nguyen and others,
    /// ICLR 2025, arXiv 2407.01082).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_p: f32,
    /// In which order temperature and truncation act: a server's own, each once. Of no effect where only one of them does anything.
    #[serde(default, skip_serializing_if = "Order::is_default")]
    pub order: Order,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &f32) -> bool {
    *number == 0.0
}

fn one() -> f32 {
    1.0
}

impl Query {
    /// A question of the owner's own: greedy, of account 0, without a random stream.
    pub fn greedy(index: u64, prompt: Vec<TokenId>, max_new_tokens: usize) -> Self {
        Self { index, account: 0, prompt, max_new_tokens, sampling: Sampling::GREEDY, seed: 0 }
    }
}

impl Sampling {
    /// Always the most probable token.
    pub const GREEDY: Self = Self { temperature: 0.0, ..Self::PLAIN };

    /// The law itself: temperature 1, nothing cut off.
    pub const PLAIN: Self = Self { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, order: Order::DEFAULT };

    /// Whether truncation leaves tokens out of a vocabulary of `vocab`.
    pub fn cuts(&self, vocab: usize) -> bool {
        (1..vocab).contains(&self.top_k) || self.top_p < 1.0 || self.min_p > 0.0
    }
}

/// One question to an oracle.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Position in the query stream; a smaller budget is an exact prefix of a larger one.
    pub index: u64,
    /// Who asks: number of the customer's account, from 0.
    pub account: u32,
    /// All tokens the model sees before its answer, the beginning-of-text token included.
    pub prompt: Vec<TokenId>,
    /// The answer ends after this many tokens at the latest.
    pub max_new_tokens: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Seeds this query's own random stream: its answer depends on nothing else that is drawn.
    pub seed: u64,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model produced its end token, which is the last token of the answer.
    EndToken,
    /// `max_new_tokens` were produced, or the model's context was full.
    Length,
}

/// A query and its answer: everything needed to re-score it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// What was asked.
    pub query: Query,
    /// The tokens that came back, the end token included if there was one.
    pub answer: Vec<TokenId>,
    /// Why the answer ended.
    pub stop: Stop,
}

/// A given continuation whose probability is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreItem {
    /// Tokens before the continuation; at least one.
    pub prompt: Vec<TokenId>,
    /// The tokens to be scored.
    pub continuation: Vec<TokenId>,
}
