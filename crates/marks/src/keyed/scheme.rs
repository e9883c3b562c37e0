use std::sync::Arc;

use oracle::{LogitsProcessor, TokenId};
use siphasher::sip128::SipHasher24;
use stats::Evidence;
use stats::null::Null;

use super::authors::Authors;
use super::walk::{MAX_CONTEXT, NO_TOKEN, Rules, Skipped};
use crate::Key;

/// Fills in the scores of units (units, width), each its context and then its token, under one key.
pub type Scorer = Box<dyn Fn(&[TokenId], &mut [f64]) + Send + Sync>;

/// Names the draws of units (units, width) under one key: units of equal names have one draw.
pub type Draws = Box<dyn Fn(&[TokenId], &mut [u128]) + Send + Sync>;

/// What a keyed scheme has to say to be planted and detected.
pub trait Scheme: Send + Sync {
    /// Kind of the mark, for errors.
    fn kind(&self) -> &'static str;

    /// Which units are scored.
    fn rules(&self) -> &Rules;

    /// Law of the scores when the text has nothing to do with the key.
    fn null(&self) -> Box<dyn Null>;

    /// How `key` scores units.
    fn scorer(&self, key: &Key) -> Scorer;

    /// Which draw each unit has under `key`, where a key decides which units share one (self hash: the minimum over products with it).
    /// Units are then counted once for each draw, the first that was met, under each key on its own. `None` where distinct units have
    /// distinct draws under every key.
    fn draws(&self, key: &Key) -> Option<Draws> {
        let _ = key;
        None
    }

    /// What changes the law while the teacher answers.
    fn processor(&self) -> Arc<dyn LogitsProcessor>;

    /// What the effect is, for the axis of a figure.
    fn effect_unit(&self) -> &'static str {
        "score per unit above chance"
    }

    /// The result in a few words.
    fn words(&self, evidence: &Evidence, skipped: &Skipped) -> String {
        let _ = skipped;
        format!("mean score {:.3} over {} units", evidence.statistic / evidence.n.max(1) as f64, evidence.n)
    }

    /// Its value of every (context, candidate), where it has one (methods m); `None` where it has not (alignment to a key
    /// sequence).
    fn keyed(&self) -> Option<&dyn KeyedValues> {
        None
    }

    /// The published detector, where there is one.
    fn authors(&self) -> Option<&dyn Authors> {
        None
    }
}

/// What a scheme with one value per (context, candidate) knows, enough for the keyed score test (methods m1, m2). Its values are the
/// scores that the scheme's scorer gives to units of this context and candidate.
pub trait KeyedValues: Send + Sync {
    /// The PRF input behind a pair: pairs that the PRF cannot tell apart have equal inputs.
    fn input(&self, context: &[TokenId], candidate: TokenId) -> u128;

    /// The values of `candidates` after `context` under `key`, one each.
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]);

    /// log E exp(lambda weight xi) of one value xi under a random key, with its first and second derivative by lambda; infinite
    /// where the expectation is.
    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3];

    /// Where the inputs with value 1 are a list of fixed size, every such list equally likely: its size, and all the inputs that there
    /// are. Values are then 0 or 1, and `cumulant` is that of one input alone.
    fn fixed_list(&self) -> Option<(u64, u64)> {
        None
    }

    /// What an effect of the keyed score test is, for the axis of a figure.
    fn effect_unit(&self) -> &'static str {
        "keyed value per token above the unmarked teacher's"
    }
}

/// The unit of each candidate after `context`, for a [`Scorer`].
pub(crate) fn units_of(context: &[TokenId], candidates: &[TokenId]) -> Vec<TokenId> {
    candidates.iter().flat_map(|candidate| context.iter().chain([candidate])).copied().collect()
}

/// Context and candidate as one number, for schemes whose PRF tells all of them apart: 25 bits each for at most four tokens of context,
/// whose place where there is none holds 0; a hash of 128 bits for more.
pub(crate) fn pair_input(context: &[TokenId], candidate: TokenId) -> u128 {
    if context.len() > MAX_CONTEXT {
        let bytes: Vec<u8> = context.iter().chain([&candidate]).flat_map(|id| id.to_le_bytes()).collect();
        return SipHasher24::new_with_keys(0, 0).hash(&bytes).as_u128();
    }
    let wide = |id: TokenId| if id == NO_TOKEN { 0 } else { u128::from(id) + 1 };
    context.iter().chain([&candidate]).fold(0, |input, &id| input << 25 | wide(id))
}
