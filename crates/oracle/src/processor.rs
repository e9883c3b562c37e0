use crate::{Query, TokenId};

/// When a processor sees the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// On the raw logits, before temperature and truncation (KGW's bias: a temperature above 1 weakens it).
    BeforeTemperature,
    /// After temperature, top-k and top-p, on what will be drawn from (keyed samplers).
    AfterTruncation,
    /// On the natural-log probabilities that the surface is about to report: changes what is shown, never what is drawn.
    Shown,
}

/// Everything a processor may look at: the query (account, index, seed, prompt) and all tokens so far.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What was asked.
    pub query: &'a Query,
    /// Prompt and answer so far; the answer begins at `query.prompt.len()`.
    pub tokens: &'a [TokenId],
}

impl<'a> Step<'a> {
    /// The answer so far.
    pub fn answer(&self) -> &'a [TokenId] {
        &self.tokens[self.query.prompt.len()..]
    }

    /// The last `width` tokens, prompt included; `None` when there are fewer.
    pub fn context(&self, width: usize) -> Option<&'a [TokenId]> {
        Some(&self.tokens[self.tokens.len().checked_sub(width)?..])
    }
}

/// What a processor changes, and what it may read beside it.
#[derive(Debug)]
pub struct Row<'a> {
    /// One value per token of the vocabulary: logits, or log-probabilities at [`Stage::Shown`].
    pub logits: &'a mut [f32],
    /// Raw logits of the processor's companions after the same tokens, in the order of
    /// [`LogitsProcessor::companions`]; each as long as its own vocabulary, which is the same.
    pub companions: &'a [&'a [f32]],
}

impl<'a> Row<'a> {
    /// A row without companions.
    pub fn alone(logits: &'a mut [f32]) -> Self {
        Self { logits, companions: &[] }
    }
}

/// Names a proxy model that reads the same tokens as the served one, in lockstep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompanionId(pub u32);

/// Changes the law of the next token while the teacher answers (a watermark, a defence), or what is reported of it.
///
/// Must be a pure function of its arguments, so that a served answer can be re-scored from its tokens.
pub trait LogitsProcessor: Send + Sync {
    /// Names everything that decides what this processor does: its kind, its parameters, and the public name of its key.
    /// Processors of equal names do the same; artifacts are named by it, so it holds no secret.
    fn name(&self) -> String;

    /// When it is applied.
    fn stage(&self) -> Stage;

    /// The proxy models whose logits it reads.
    fn companions(&self) -> &[CompanionId] {
        &[]
    }

    /// Changes `row.logits` in place.
    fn process(&self, step: &Step<'_>, row: Row<'_>);

    /// Whether it changes greedy answers too, of a processor at [`Stage::AfterTruncation`]: it is then given the whole law at temperature
    /// 1, and the most probable token is taken after it. Others are given that token alone.
    fn changes_greedy(&self) -> bool {
        false
    }

    /// Why it could no longer do its work, where it could not: from then on it changes nothing, and whoever served answers or laws
    /// with it must throw them away.
    fn failure(&self) -> Option<String> {
        None
    }

    /// The token that it leaves in the law of `logits` (vocab), of a processor that draws tokens itself: whoever draws a single token then
    /// takes this one. `None` asks for `process`.
    fn chosen(&self, step: &Step<'_>, logits: &[f32]) -> Option<TokenId> {
        let _ = (step, logits);
        None
    }

    /// The same change said token by token, for a processor that does nothing but add one constant to some logits: whoever
    /// draws a single token then asks about a few tokens instead of the whole vocabulary. `None` asks for `process`.
    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        let _ = step;
        None
    }
}

/// The tokens whose logits a processor raises after given tokens, and by how much.
#[derive(Clone, Copy)]
pub struct Raised<'a> {
    /// What is added to their logits, at least 0.
    pub bias: f32,
    /// Which tokens these are after `context`.
    pub set: &'a dyn KeyedSet,
    /// The tokens that choose the set.
    pub context: &'a [TokenId],
}

impl Raised<'_> {
    /// Whether the logit of `token` is raised.
    pub fn contains(&self, token: TokenId) -> bool {
        self.set.contains(self.context, token)
    }
}

/// A set of tokens for every context.
pub trait KeyedSet: Sync {
    /// Whether `token` belongs to the set of `context`.
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool;
}
