//! From raw logits to a token, in the fixed order of [`Sampling`].

use kernels::sample::{self, Quantiles};
use oracle::{Operation, Raised, Sampling, Step, TokenId};
use rand_chacha::rand_core::Rng;

use crate::processing::{Chain, Link};
use crate::unit_interval::unit_interval;

/// Turns raw logits (vocab) into the logits that are drawn from, in place: processors before temperature, temperature
/// and truncation in the order of `sampling`, processors after truncation. Tokens that are cut off become minus infinity; at temperature 0 these are all
/// but the most probable, after the processors after truncation that change greedy answers too. Equal logits are kept in the order of their ids. `companions`: raw logits of [`Chain::companions`]
/// after the same tokens. `sampling` may be another than the query's: laws are shown of greedy queries too.
pub fn served_law(logits: &mut [f32], sampling: &Sampling, chain: &Chain<'_>, step: &Step<'_>, companions: &[&[f32]]) {
    truncated(logits, sampling, chain, step, companions);
    let greedy = sampling.temperature == 0.0;
    for link in chain.after.iter().filter(|link| !(greedy && link.changes_greedy())) {
        link.process(step, logits, companions);
    }
    chain.hide(logits);
}

/// The same before the processors after truncation, of a greedy answer those that change no greedy answer.
fn truncated(logits: &mut [f32], sampling: &Sampling, chain: &Chain<'_>, step: &Step<'_>, companions: &[&[f32]]) {
    chain.hide(logits);
    for link in &chain.before {
        link.process(step, logits, companions);
    }
    chain.hide(logits);
    if sampling.temperature == 0.0 {
        for link in chain.after.iter().filter(|link| link.changes_greedy()) {
            link.process(step, logits, companions);
        }
        chain.hide(logits);
        keep(logits, 1, 1.0);
    } else {
        for operation in sampling.order.operations() {
            match operation {
                Operation::Temperature if sampling.temperature != 1.0 => {
                    for logit in logits.iter_mut() {
                        *logit /= sampling.temperature;
                    }
                }
                Operation::TopK if (1..logits.len()).contains(&sampling.top_k) => keep(logits, sampling.top_k, 1.0),
                Operation::TopP if sampling.top_p < 1.0 => keep(logits, logits.len(), f64::from(sampling.top_p)),
                Operation::MinP if sampling.min_p > 0.0 => keep_beside_the_largest(logits, f64::from(sampling.min_p)),
                _ => {}
            }
        }
    }
}

/// Cuts off all but the `count` largest, and of these all beyond the first whose mass together reaches `mass`.
fn keep(logits: &mut [f32], count: usize, mass: f64) {
    if count == 1 {
        let mut best = 0;
        for (id, logit) in logits.iter().enumerate() {
            if *logit > logits[best] {
                best = id;
            }
        }
        let kept = logits[best];
        logits.fill(f32::NEG_INFINITY);
        logits[best] = kept;
        return;
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let by_rank = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    if count < order.len() {
        order.select_nth_unstable_by(count, by_rank);
        for id in order.drain(count..).collect::<Vec<_>>() {
            logits[id] = f32::NEG_INFINITY;
        }
    }
    if mass < 1.0 {
        let by_rank = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
        order.sort_unstable_by(by_rank);
        let max = f64::from(logits[order[0]]);
        let weights: Vec<f64> = order.iter().map(|id| libm::exp(f64::from(logits[*id]) - max)).collect();
        let wanted = mass * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let kept = weights.iter().position(|weight| {
            sum += weight;
            sum >= wanted
        });
        for id in &order[kept.map_or(order.len(), |last| last + 1)..] {
            logits[*id] = f32::NEG_INFINITY;
        }
    }
}

/// Cuts off all with less than `share` of the largest probability.
fn keep_beside_the_largest(logits: &mut [f32], share: f64) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let least = f64::from(largest) + libm::log(share);
    for logit in logits.iter_mut().filter(|logit| f64::from(**logit) < least) {
        *logit = f32::NEG_INFINITY;
    }
}

/// Rejected proposals after which a changed law is computed whole: beyond about one in so many tokens of the vocabulary, whole
/// rows are cheaper.
const VOCAB_PER_PROPOSAL: usize = 32;

/// The same for small vocabularies.
const MIN_PROPOSALS: usize = 16;

/// Weight left, that of the most probable token being 1, below which a changed law is computed whole: what was too small to
/// be counted (below 1e-38) might matter.
const LEAST_WEIGHT: f64 = 1e-20;

/// Draws tokens, one row after the other, with buffers of its own.
#[derive(Default)]
pub(crate) struct Drawer {
    quantiles: Quantiles,
    /// Tokens found not to be raised in the row at hand, with the logits they had.
    lowered: Vec<(usize, f32)>,
}

impl Drawer {
    /// Draws from the law that [`served_law`] makes of raw `logits` (vocab), which are used up, as the step's query says. `None`
    /// when no logit is finite, or one is NaN or plus infinity. `companions` as there.
    ///
    /// Which way leads to the token, and so how much randomness it takes, depends on the query, the chain and the tokens
    /// before, on nothing else.
    pub fn next(
        &mut self,
        logits: &mut [f32],
        chain: &Chain<'_>,
        step: &Step<'_>,
        companions: &[&[f32]],
        rng: &mut impl Rng,
    ) -> Option<TokenId> {
        let sampling = &step.query.sampling;
        let cut = sampling.cuts(logits.len());
        let greedy = sampling.temperature == 0.0;
        chain.hide(logits);
        if !chain.after.is_empty() || (cut && !greedy) {
            // Cutting down to the most probable tokens would hide a NaN.
            if !sample::max_or_nan(logits).is_finite() {
                return None;
            }
            let only = match &chain.after[..] {
                [only] if !greedy => only,
                _ => {
                    served_law(logits, sampling, chain, step, companions);
                    return self.at_random(logits, 1.0, rng);
                }
            };
            truncated(logits, sampling, chain, step, companions);
            if let Some(token) = only.chosen(step, logits) {
                // as much randomness as a law of this token alone takes
                unit_interval(rng);
                return Some(token);
            }
            return self.changed_by(only, logits, 1.0, (chain, step, companions), rng);
        }
        if let [only] = &chain.before[..]
            && !greedy
        {
            return self.changed_by(only, logits, sampling.temperature, (chain, step, companions), rng);
        }
        for link in &chain.before {
            link.process(step, logits, companions);
        }
        chain.hide(logits);
        if greedy { sample::first_max(logits).map(|id| id as TokenId) } else { self.at_random(logits, sampling.temperature, rng) }
    }

    /// Draws from the law whose logits are divided by `temperature` after `last` has changed them.
    fn changed_by(
        &mut self,
        last: &Link<'_>,
        logits: &mut [f32],
        temperature: f32,
        (chain, step, companions): (&Chain<'_>, &Step<'_>, &[&[f32]]),
        rng: &mut impl Rng,
    ) -> Option<TokenId> {
        if let Some(raised) = last.raised(step) {
            match self.by_proposals(logits, temperature, &raised, rng) {
                Proposed::Accepted(token) => return Some(token),
                Proposed::NoLaw => return None,
                Proposed::GivenUp => {}
            }
        }
        last.process(step, logits, companions);
        chain.hide(logits);
        self.at_random(logits, temperature, rng)
    }

    fn at_random(&mut self, logits: &[f32], temperature: f32, rng: &mut impl Rng) -> Option<TokenId> {
        self.quantiles.prepare(logits, temperature).then(|| self.quantiles.token_at(logits, unit_interval(rng)) as TokenId)
    }

    /// Draws exactly from the law whose logits are `raised`, asking about the proposed tokens alone.
    ///
    /// Up to a constant the law is that of the plain logits with all tokens that are not raised lowered by the bias. A token
    /// proposed from the plain law is accepted if raised, else with probability `exp(-bias / temperature)`; if rejected, it is
    /// lowered for good, and taken at once when proposed again. Whatever was lowered before, the chance that a proposal is
    /// this token and accepted is in proportion to the wanted law (von Neumann's rejection, with an envelope that adapts), so
    /// giving up after a number of proposals and drawing afresh does not change the law either.
    fn by_proposals(&mut self, logits: &mut [f32], temperature: f32, raised: &Raised<'_>, rng: &mut impl Rng) -> Proposed {
        if !self.quantiles.prepare(logits, temperature) {
            return Proposed::NoLaw;
        }
        let unraised = libm::exp(-f64::from(raised.bias) / f64::from(temperature));
        self.lowered.clear();
        for _ in 0..MIN_PROPOSALS.max(logits.len() / VOCAB_PER_PROPOSAL) {
            let token = self.quantiles.token_at(logits, unit_interval(rng));
            let known = self.lowered.iter().any(|(lowered, _)| *lowered == token);
            // The key is asked only where the answer matters.
            if known || unit_interval(rng) < unraised || raised.contains(token as TokenId) {
                return Proposed::Accepted(token as TokenId);
            }
            self.lowered.push((token, logits[token]));
            logits[token] -= raised.bias;
            self.quantiles.lowered(logits, token);
            if self.quantiles.total() < LEAST_WEIGHT {
                break;
            }
        }
        for (token, logit) in self.lowered.drain(..) {
            logits[token] = logit;
        }
        Proposed::GivenUp
    }
}

/// What came of proposing tokens.
enum Proposed {
    Accepted(TokenId),
    /// Too many were rejected, or too much; the logits are as they were.
    GivenUp,
    /// Nothing can be drawn from the logits.
    NoLaw,
}

#[cfg(test)]
mod tests;
