//! From raw logits to a token, in the fixed order of [`Sampling`].

use std::sync::Arc;

use kernels::vecmath;
use oracle::{LogitsProcessor, ProcessorStage, Sampling, TokenId};
use rand_chacha::rand_core::Rng;

/// Turns raw logits (vocab) into the logits that are drawn from, in place: processors before temperature, temperature,
/// top-k, top-p, processors after truncation. Tokens that are cut off become minus infinity; at temperature 0 these are all
/// but the most probable. Equal logits are kept in the order of their ids. `before` holds all tokens so far, the answer
/// begins at `before[answer_start..]`.
pub fn served_law(
    logits: &mut [f32],
    sampling: &Sampling,
    processors: &[Arc<dyn LogitsProcessor>],
    before: &[TokenId],
    answer_start: usize,
) {
    let process = |stage: ProcessorStage, logits: &mut [f32]| {
        for processor in processors.iter().filter(|processor| processor.stage() == stage) {
            processor.process(before, answer_start, logits);
        }
    };
    process(ProcessorStage::BeforeTemperature, logits);
    if sampling.temperature == 0.0 {
        keep(logits, 1, 1.0);
    } else {
        if sampling.temperature != 1.0 {
            for logit in logits.iter_mut() {
                *logit /= sampling.temperature;
            }
        }
        if (1..logits.len()).contains(&sampling.top_k) {
            keep(logits, sampling.top_k, 1.0);
        }
        if sampling.top_p < 1.0 {
            keep(logits, logits.len(), f64::from(sampling.top_p));
        }
    }
    process(ProcessorStage::AfterTruncation, logits);
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
        let weights: Vec<f64> = order.iter().map(|id| (f64::from(logits[*id]) - max).exp()).collect();
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

/// The token at quantile `uniform` in [0, 1) of softmax(`logits`): ids in order, summed in `f64`. Leaves unnormalised
/// probabilities in `logits`. None when no logit is finite, or one is NaN or plus infinity.
pub fn draw_token(logits: &mut [f32], uniform: f64) -> Option<TokenId> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !max.is_finite() {
        return None;
    }
    for logit in logits.iter_mut() {
        *logit -= max;
    }
    vecmath::exp_in_place(logits);
    let total: f64 = logits.iter().map(|weight| f64::from(*weight)).sum();
    if !total.is_finite() {
        return None;
    }
    let wanted = uniform * total;
    let mut sum = 0.0;
    let drawn = logits.iter().position(|weight| {
        sum += f64::from(*weight);
        sum > wanted
    });
    // Rounding can leave the last sum at `wanted`; the last possible token is meant then.
    drawn.or_else(|| logits.iter().rposition(|weight| *weight > 0.0)).map(|id| id as TokenId)
}

/// A number in [0, 1) with 53 random bits.
pub(crate) fn unit_interval(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(sampling: Sampling) -> Vec<f32> {
        let mut logits = vec![1.0, 3.0, 2.0, 3.0, f32::NEG_INFINITY];
        served_law(&mut logits, &sampling, &[], &[], 0);
        logits
    }

    const CUT: f32 = f32::NEG_INFINITY;

    #[test]
    fn the_order_of_cuts_is_fixed() {
        let plain = Sampling::PLAIN;
        assert_eq!(law(Sampling::GREEDY), [CUT, 3.0, CUT, CUT, CUT]);
        assert_eq!(law(plain), [1.0, 3.0, 2.0, 3.0, CUT]);
        assert_eq!(law(Sampling { temperature: 2.0, ..plain }), [0.5, 1.5, 1.0, 1.5, CUT]);
        assert_eq!(law(Sampling { top_k: 1, ..plain }), [CUT, 3.0, CUT, CUT, CUT]);
        assert_eq!(law(Sampling { top_k: 3, ..plain }), [CUT, 3.0, 2.0, 3.0, CUT]);
        // The two largest hold 2 e^3 / (2 e^3 + e^2 + e) = 0.799 of the mass.
        assert_eq!(law(Sampling { top_p: 0.79, ..plain }), [CUT, 3.0, CUT, 3.0, CUT]);
        assert_eq!(law(Sampling { top_p: 0.81, ..plain }), [CUT, 3.0, 2.0, 3.0, CUT]);
        assert_eq!(law(Sampling { top_p: 0.01, ..plain }), [CUT, 3.0, CUT, CUT, CUT]);
        // Mass is that of what top-k left: 0.84 for the two largest of three.
        assert_eq!(law(Sampling { top_k: 3, top_p: 0.83, ..plain }), [CUT, 3.0, CUT, 3.0, CUT]);
    }

    #[test]
    fn processors_act_at_their_stage() {
        struct Add(ProcessorStage, TokenId, f32);
        impl LogitsProcessor for Add {
            fn stage(&self) -> ProcessorStage {
                self.0
            }
            fn process(&self, before: &[TokenId], answer_start: usize, logits: &mut [f32]) {
                assert_eq!((before, answer_start), (&[7, 8][..], 1));
                logits[self.1 as usize] += self.2;
            }
        }
        let processors: Vec<Arc<dyn LogitsProcessor>> = vec![
            Arc::new(Add(ProcessorStage::AfterTruncation, 2, 10.0)),
            Arc::new(Add(ProcessorStage::BeforeTemperature, 0, 6.0)),
        ];
        let mut logits = vec![1.0, 3.0, 2.0];
        let sampling = Sampling { temperature: 2.0, top_k: 2, top_p: 1.0 };
        served_law(&mut logits, &sampling, &processors, &[7, 8], 1);
        // 1 + 6 and 3 survive the cut; the late 10 meets a token already cut off.
        assert_eq!(logits, [3.5, 1.5, CUT]);
    }

    #[test]
    fn draws_invert_the_distribution_function() {
        // Probabilities 1/6, 1/2, 0, 1/3.
        let logits = [1.0_f32.ln(), 3.0_f32.ln(), CUT, 2.0_f32.ln()];
        for (uniform, token) in [(0.0, 0), (0.166, 0), (0.167, 1), (0.666, 1), (0.667, 3), (1.0 - 1e-16, 3)] {
            assert_eq!(draw_token(&mut logits.to_vec(), uniform), Some(token), "{uniform}");
        }
    }

    #[test]
    fn nothing_is_drawn_from_a_broken_law() {
        assert_eq!(draw_token(&mut [CUT, CUT], 0.5), None);
        assert_eq!(draw_token(&mut [f32::NAN, 1.0], 0.5), None);
        assert_eq!(draw_token(&mut [f32::INFINITY, 1.0], 0.5), None);
    }
}
