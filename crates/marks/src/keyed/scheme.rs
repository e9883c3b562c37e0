use std::sync::Arc;

use oracle::{LogitsProcessor, TokenId};
use siphasher::sip128::SipHasher24;
use stats::Evidence;
use stats::null::Null;
use stats::tail::ln_binomial_pmf;

use super::authors::Authors;
use super::place_weights::PlaceWeights;
use super::rules::{NO_TOKEN, Rules};
use super::walk::Skipped;
use crate::{Key, Metric};

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

    /// What says how much a place counts; `None` where all count alike. The score of a unit is multiplied by the weight of its first place.
    fn place_weights(&self) -> Option<PlaceWeights> {
        None
    }

    /// Law of the scores of units with these weights. Weights that are all 1 leave the law as it is.
    fn null_of(&self, weights: &[f64]) -> Box<dyn Null> {
        debug_assert!(weights.iter().all(|weight| *weight == 1.0), "weighted units need a law of their own");
        self.null()
    }

    /// How `key` scores units.
    fn scorer(&self, key: &Key) -> Scorer;

    /// Which draw each unit has under `key`, where several may share one: whatever the key (SynthID's table), or because a key decides
    /// (self hash: the minimum over products with it). Units are then counted once for each draw, the first that was met, under each key
    /// on its own. `None` where distinct units have distinct draws under every key.
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

    /// Further numbers under `key` from the units of the test that decides, end to end as for a [`Scorer`], and what each counts there; no
    /// weights where all count 1.
    fn further(&self, key: &Key, windows: &[TokenId], weights: &[f64]) -> Vec<Metric> {
        let _ = (key, windows, weights);
        Vec::new()
    }

    /// Further numbers under `key` from the distinct units of the count, end to end as for a [`Scorer`].
    fn of_counted(&self, key: &Key, windows: &[TokenId]) -> Vec<Metric> {
        let _ = (key, windows);
        Vec::new()
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
    /// The PRF input behind a pair: pairs that the PRF cannot tell apart have equal inputs. Here it tells every pair from every other.
    fn input(&self, context: &[TokenId], candidate: TokenId) -> u128 {
        pair_input(context, candidate)
    }

    /// Whether a key decides which pairs the PRF cannot tell apart (a minimum over keyed hashes): inputs are then the names of
    /// [`Scheme::draws`], which differ where candidates do, `input` is not asked, and given these names values are those of a random key.
    fn inputs_by_key(&self) -> bool {
        false
    }

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

    /// Where the tokens with value 1 after a context are a list of fixed size, every such list equally likely; `None` where a token's value
    /// says nothing of another's, or `fixed_list` says it all.
    fn lists(&self) -> Option<FixedLists> {
        None
    }

    /// What an effect of the keyed score test is, for the axis of a figure.
    fn effect_unit(&self) -> &'static str {
        "keyed value per token above the unmarked teacher's"
    }
}

/// Lists of fixed size over the whole vocabulary, one for each number that an input holds above its lowest 32 bits, which are the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedLists {
    /// Tokens of a list.
    pub ones: u64,
    /// Tokens there are.
    pub tokens: u64,
}

impl FixedLists {
    /// The list that an input is about.
    pub(crate) fn of(input: u128) -> u128 {
        input >> 32
    }

    /// The input of `token` in a list.
    pub(crate) fn input(list: u128, token: TokenId) -> u128 {
        list << 32 | u128::from(token)
    }

    /// ln of the largest ratio by which any pattern of ones and zeros among `asked` tokens of one list is likelier than among as many
    /// independent values of the same rate: a bound for these holds times this. With k of V tokens in a list, a pattern of j ones is
    /// Bin(k - j; V - asked) / Bin(k; V) times as likely, which is largest at the mode of the first.
    pub(crate) fn ln_excess(self, asked: u64) -> f64 {
        let rate = self.ones as f64 / self.tokens as f64;
        let others = self.tokens.saturating_sub(asked);
        let mode = (((others + 1) as f64 * rate) as u64).clamp(self.ones.saturating_sub(asked), self.ones.min(others));
        let beside = [mode.saturating_sub(1), mode, mode + 1].into_iter().filter(|ones| *ones <= others);
        let most = beside.map(|ones| ln_binomial_pmf(ones, others, rate)).fold(f64::NEG_INFINITY, f64::max);
        (most - ln_binomial_pmf(self.ones, self.tokens, rate)).max(0.0)
    }
}

/// The unit of each candidate after `context`, for a [`Scorer`].
pub(crate) fn units_of(context: &[TokenId], candidates: &[TokenId]) -> Vec<TokenId> {
    candidates.iter().flat_map(|candidate| context.iter().chain([candidate])).copied().collect()
}

/// Tokens of a context that fit one number with the candidate.
const PACKED: usize = 4;

/// Context and candidate as one number, for schemes whose PRF tells all of them apart: 25 bits each for at most four tokens of context,
/// whose place where there is none holds 0; a hash of 128 bits for more.
pub(crate) fn pair_input(context: &[TokenId], candidate: TokenId) -> u128 {
    if context.len() > PACKED {
        let bytes: Vec<u8> = context.iter().chain([&candidate]).flat_map(|id| id.to_le_bytes()).collect();
        return SipHasher24::new_with_keys(0, 0).hash(&bytes).as_u128();
    }
    let wide = |id: TokenId| if id == NO_TOKEN { 0 } else { u128::from(id) + 1 };
    context.iter().chain([&candidate]).fold(0, |input, &id| input << 25 | wide(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against all lists of 3 of 8 tokens.
    #[test]
    fn no_pattern_within_a_list_is_likelier_than_the_bound_says() {
        let lists = FixedLists { ones: 3, tokens: 8 };
        let all: Vec<u32> = (0..1 << 8).filter(|list: &u32| list.count_ones() == 3).collect();
        for asked in 0..=8_u32 {
            let mut largest = 0.0_f64;
            for pattern in 0..1 << asked {
                let share = all.iter().filter(|list| *list & ((1 << asked) - 1) == pattern).count() as f64 / all.len() as f64;
                let ones = pattern.count_ones() as i32;
                largest = largest.max(share / (0.375_f64.powi(ones) * 0.625_f64.powi(asked as i32 - ones)));
            }
            let excess = libm::exp(lists.ln_excess(u64::from(asked)));
            assert!((excess / largest - 1.0).abs() < 1e-9, "{asked} asked: {excess} for {largest}");
        }
        // few of many are nearly independent
        assert!(FixedLists { ones: 8_000, tokens: 32_000 }.ln_excess(20) < 4e-4);
    }

    #[test]
    fn inputs_tell_all_contexts_of_a_width_apart() {
        let most = (1 << 20) - 1;
        for width in 0..=6 {
            let windows: Vec<Vec<TokenId>> =
                (0..=width).map(|at| (0..=width).map(|i| if i == at { most } else { 0 }).collect()).collect();
            let inputs: std::collections::HashSet<u128> =
                windows.iter().map(|window| pair_input(&window[..width], window[width])).collect();
            assert_eq!(inputs.len(), width + 1);
        }
    }
}
