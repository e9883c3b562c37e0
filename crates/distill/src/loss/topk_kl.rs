use kernels::{rowloss::kl_to_teacher, vecmath};
use oracle::{Access, TokenId};
use serde::{Deserialize, Serialize};

use super::tail::Tail;
use super::{Loss, Shown};

/// KL divergence from the teacher's k reported probabilities.
///
/// On a surface that shows whole laws, k is the vocabulary and all three readings of the tail are the full divergence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopkKl {
    /// What is done with the probability that was not reported.
    pub tail: Tail,
}

impl Loss for TopkKl {
    fn name(&self) -> &'static str {
        "topk_kl"
    }

    fn needs(&self) -> Access {
        Access::Logprobs
    }

    fn source(&self) -> &'static str {
        "TRL loss_add_tail and DistillKit sparse_kl_div (bucket), MaxText PR 4056 (renormalised), DistillKit ZERO (zero)"
    }

    fn row(&self, _token: TokenId, shown: Shown<'_>, logits: &mut [f32]) -> f64 {
        match shown {
            Shown::Nothing => panic!("topk_kl is trained on log-probabilities only"),
            Shown::Whole(log_probs) => kl_to_teacher(logits, log_probs, 1.0, 1.0),
            Shown::Top { ids, log_probs } => match self.tail {
                Tail::Bucket => bucket(ids, log_probs, logits),
                Tail::Renormalised => renormalised(ids, log_probs, logits),
                Tail::Zero => zero_tail(ids, log_probs, logits),
            },
        }
    }

    fn examples() -> Vec<Self> {
        [Tail::Bucket, Tail::Renormalised, Tail::Zero].into_iter().map(|tail| Self { tail }).collect()
    }
}

/// `q ln(q / p)`, with `0 ln 0 = 0`: a reported probability may be 0 when the served law is truncated.
fn term(q: f64, log_q: f64, log_p: f64) -> f64 {
    if q > 0.0 { q * (log_q - log_p) } else { 0.0 }
}

fn logits_of(ids: &[TokenId], logits: &[f32]) -> Vec<f32> {
    ids.iter().map(|&id| logits[id as usize]).collect()
}

/// Reported mass beyond which it is no rounding of 1, but a law that the teacher changed as it showed it (rounded, noisy).
const MOST_MASS: f64 = 1.0 + 1e-3;

/// (k + 1)-way KL. With S the reported tokens, gradient `p_j - q_j` in S and `p_j (1 - q_tail / p_tail)` elsewhere.
///
/// Reported probabilities that sum to more than 1 are divided by their sum, and the tail is empty: that keeps what they say of each
/// other, and stays a divergence between two laws, bounded below by 0.
fn bucket(ids: &[TokenId], log_probs: &[f32], logits: &mut [f32]) -> f64 {
    let reported = logits_of(ids, logits);
    let log_sum = f64::from(vecmath::softmax_in_place(logits));
    let reported_mass: f64 = log_probs.iter().map(|&log_q| libm::exp(f64::from(log_q))).sum();
    let excess = if reported_mass > MOST_MASS { libm::log(reported_mass) } else { 0.0 };
    let mut loss = 0.0;
    let mut q_reported = 0.0;
    let mut in_support = Vec::with_capacity(ids.len());
    for ((&id, &log_q), &logit) in ids.iter().zip(log_probs).zip(&reported) {
        let log_q = f64::from(log_q) - excess;
        let q = libm::exp(log_q);
        loss += term(q, log_q, f64::from(logit) - log_sum);
        q_reported += q;
        in_support.push(f64::from(logits[id as usize]) - q);
        // the tail is summed without the reported ones: 1 - (their sum) would keep no digits of a small tail
        logits[id as usize] = 0.0;
    }
    let q_tail = (1.0 - q_reported).max(0.0);
    let p_tail = logits.iter().map(|&p| f64::from(p)).sum::<f64>().max(f64::from(f32::MIN_POSITIVE));
    if ids.len() < logits.len() {
        loss += term(q_tail, libm::log(q_tail), libm::log(p_tail));
        vecmath::scale(logits, (1.0 - q_tail / p_tail) as f32);
    }
    for (&id, gradient) in ids.iter().zip(in_support) {
        logits[id as usize] = gradient as f32;
    }
    loss
}

/// Log-probabilities renormalised; `None` when they hold no mass, which says nothing that could be learned.
fn law_of(log_probs: &[f32]) -> Option<Vec<f32>> {
    let mut law = log_probs.to_vec();
    let log_sum = vecmath::log_softmax_in_place(&mut law);
    (log_sum > f32::NEG_INFINITY).then_some(law)
}

/// KL between both laws renormalised on the reported tokens; gradient `p_j - q_j` there and 0 elsewhere.
fn renormalised(ids: &[TokenId], log_probs: &[f32], logits: &mut [f32]) -> f64 {
    let mut log_p = logits_of(ids, logits);
    vecmath::log_softmax_in_place(&mut log_p);
    logits.fill(0.0);
    let Some(log_q) = law_of(log_probs) else { return 0.0 };
    let mut loss = 0.0;
    for ((&id, &log_p), &log_q) in ids.iter().zip(&log_p).zip(&log_q) {
        let (log_p, log_q) = (f64::from(log_p), f64::from(log_q));
        loss += term(libm::exp(log_q), log_q, log_p);
        logits[id as usize] = (libm::exp(log_p) - libm::exp(log_q)) as f32;
    }
    loss
}

/// KL from the renormalised teacher to the student's full law; gradient `p_j - q_j`, with `q_j = 0` outside the reported tokens.
fn zero_tail(ids: &[TokenId], log_probs: &[f32], logits: &mut [f32]) -> f64 {
    let Some(log_q) = law_of(log_probs) else {
        logits.fill(0.0);
        return 0.0;
    };
    let reported = logits_of(ids, logits);
    let log_sum = f64::from(vecmath::softmax_in_place(logits));
    let mut loss = 0.0;
    for ((&id, &logit), &log_q) in ids.iter().zip(&reported).zip(&log_q) {
        let log_q = f64::from(log_q);
        loss += term(libm::exp(log_q), log_q, f64::from(logit) - log_sum);
        logits[id as usize] -= libm::exp(log_q) as f32;
    }
    loss
}
