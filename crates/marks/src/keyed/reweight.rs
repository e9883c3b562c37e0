//! Reweighting of a law along a keyed order of its tokens. Hu, Chen, Wu, Wu, Zhang and Huang, *Unbiased Watermark for Large Language
//! Models*, ICLR 2024 (arXiv 2310.10669); Wu, Hu, Guo, Zhang and Huang, *A Resilient and Accessible Distribution-Preserving Watermark for
//! Large Language Models*, ICML 2024 (arXiv 2310.07710). Methods a6.
//!
//! With F the mass up to and including a token in the order, its new probability is A(F) - A(F - q), where A(F) = max(F - a, 0) +
//! max(F - (1 - a), 0): the first share a of the mass is lost, the last is doubled. An order and its reverse give q on average, so that
//! the law is kept on average over keys. The order is that of the tokens' keyed draws, not a permutation drawn as a whole: a draw is
//! known without the others.

use oracle::{LogitsProcessor, Row, Stage, Step};

use super::left_law::change_weights;
use super::masking::marked_context;
use super::siphash::{self, SipState};

/// A(F) - A(F - q) for the token after `before` of the mass.
pub(crate) fn share(before: f64, q: f64, alpha: f64) -> f64 {
    let beyond = |from: f64| (before + q - from).clamp(0.0, q);
    beyond(alpha) + beyond(1.0 - alpha)
}

/// Draws are sorted into so many buckets by their first bits; only those in which the lost or the doubled mass begins are put in order.
const BUCKETS: usize = 256;

/// Changes `logits`, whose tokens weigh `q` and add up to any sum, to those of the law that is reweighted in the order of `draws`; equal
/// draws stand in the order of their places.
pub(crate) fn reweigh(logits: &mut [f32], q: &[f64], draws: &[u32], alpha: f64) {
    let bucket = |draw: u32| draw as usize >> 24;
    let mut mass = [0.0; BUCKETS];
    for (q, &draw) in q.iter().zip(draws) {
        mass[bucket(draw)] += q;
    }
    let total: f64 = mass.iter().sum();
    // what is added to all logits of a bucket; not a number where that is no one number
    let (mut whole, mut starts, mut before) = ([f32::NAN; BUCKETS], [0.0; BUCKETS], 0.0);
    for bucket in 0..BUCKETS {
        let end = before + mass[bucket] / total;
        starts[bucket] = before;
        let (lost, doubled) = (alpha, 1.0 - alpha);
        if end <= lost {
            whole[bucket] = f32::NEG_INFINITY;
        } else if before >= lost && end <= doubled {
            whole[bucket] = 0.0;
        } else if before >= doubled {
            whole[bucket] = std::f32::consts::LN_2;
        }
        before = end;
    }
    let mut divided: Vec<(u32, usize)> = Vec::new();
    for (place, (logit, &draw)) in logits.iter_mut().zip(draws).enumerate() {
        let added = whole[bucket(draw)];
        if added.is_nan() {
            divided.push((draw, place));
        } else {
            *logit += added;
        }
    }
    divided.sort_unstable();
    let mut at = BUCKETS;
    for (draw, place) in divided {
        if bucket(draw) != at {
            at = bucket(draw);
            before = starts[at];
        }
        let own = q[place] / total;
        let factor = if own > 0.0 { share(before, own, alpha) / own } else { 1.0 };
        logits[place] += libm::log(factor) as f32;
        before += own;
    }
}

/// Reweighs the law that is left after truncation. Special tokens take part like others, so that an answer ends with the probability it
/// would have had without the mark, averaged over keys.
///
/// The law is left as it is where the context is longer than the text, at temperature 0, whose answers are not drawn, and at repeated
/// contexts if these are masked. The first tokens of an answer have contexts in the prompt; detection never scores them.
pub(crate) struct Reweighting {
    /// Of the mark.
    pub name: String,
    /// Draws the order.
    pub state: SipState,
    /// The share of mass that is lost, and doubled; above 0, at most 1/2.
    pub alpha: f64,
    /// Tokens that choose an order.
    pub context_width: usize,
    /// Whether repeated contexts of an answer are left alone.
    pub mask_repeats: bool,
}

impl LogitsProcessor for Reweighting {
    fn name(&self) -> String {
        format!("{}, factors", self.name)
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(context) = marked_context(step, self.context_width, self.mask_repeats) else { return };
        let vocab = row.logits.len();
        change_weights(row.logits, |left, logits, q| {
            let draws = siphash::some_tokens(self.state, context, left, vocab);
            reweigh(logits, &q, &draws, self.alpha);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's cumulative form, token by token in order.
    fn by_definition(q: &[f64], draws: &[u32], alpha: f64) -> Vec<f64> {
        let kept = |f: f64| (f - alpha).max(0.0) + (f - (1.0 - alpha)).max(0.0);
        let mut order: Vec<usize> = (0..q.len()).collect();
        order.sort_by_key(|&place| (draws[place], place));
        let (mut f, mut new) = (0.0, vec![0.0; q.len()]);
        for place in order {
            new[place] = kept(f + q[place]) - kept(f);
            f += q[place];
        }
        new
    }

    /// `q`, given up to a factor, after reweighing; single precision has seven digits.
    fn reweighed(q: &[f64], draws: &[u32], alpha: f64) -> Vec<f64> {
        let scaled: Vec<f64> = q.iter().map(|q| 3.0 * q).collect();
        let mut added = vec![0.0; q.len()];
        reweigh(&mut added, &scaled, draws, alpha);
        q.iter().zip(added).map(|(q, added)| q * libm::exp(f64::from(added))).collect()
    }

    #[test]
    fn buckets_give_the_papers_law() {
        for (size, alpha) in [(1, 0.5), (3, 0.25), (7, 0.45), (300, 0.5), (3_000, 0.1), (3_000, 0.45)] {
            for seed in 0..4_u32 {
                let draws: Vec<u32> = (0..size).map(|i: u32| (i ^ seed).wrapping_mul(2_654_435_761).rotate_left(9)).collect();
                let raw: Vec<f64> = draws.iter().map(|draw| 1.0 + f64::from(draw % 97)).collect();
                let total: f64 = raw.iter().sum();
                let q: Vec<f64> = raw.iter().map(|raw| raw / total).collect();
                let new = reweighed(&q, &draws, alpha);
                for (new, (exact, q)) in new.iter().zip(by_definition(&q, &draws, alpha).iter().zip(&q)) {
                    assert!((new - exact).abs() < 2e-7 * q + 1e-14, "{size} tokens, alpha {alpha}");
                }
                assert!((new.iter().sum::<f64>() - 1.0).abs() < 2e-7);
                // the reverse order makes up for this one
                let reverse = reweighed(&q, &draws.iter().map(|draw| !draw).collect::<Vec<u32>>(), alpha);
                for ((new, reverse), q) in new.iter().zip(reverse).zip(&q) {
                    assert!((0.5 * (new + reverse) - q).abs() < 2e-7 * q + 1e-14, "{size} tokens, alpha {alpha}");
                }
            }
        }
    }

    /// Golden values by hand: gamma-reweight of (.5, .3, .2) in this order, and DiP with alpha .4.
    #[test]
    fn known_laws_are_reweighed_as_the_papers_say() {
        for (alpha, expected) in [(0.5, [0.0, 0.6, 0.4]), (0.4, [0.1, 0.5, 0.4]), (0.1, [0.4, 0.3, 0.3])] {
            let q = reweighed(&[0.5, 0.3, 0.2], &[10, 20, 30], alpha);
            for (q, expected) in q.iter().zip(expected) {
                assert!((q - expected).abs() < 2e-7, "alpha {alpha}: {q} for {expected}");
            }
        }
    }
}
