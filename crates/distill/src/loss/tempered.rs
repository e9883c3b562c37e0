//! The divergence between two softened laws.

use kernels::{rowloss::kl_to_teacher, vecmath};

/// `weight KL(q_tau || p_tau)`, with the gradient in `logits`; a law without any mass says nothing.
pub(super) fn tempered_kl(logits: &mut [f32], log_probs: &[f32], tau: f32, weight: f32) -> f64 {
    if tau == 1.0 {
        return kl_to_teacher(logits, log_probs, 1.0, weight);
    }
    let mut softened: Vec<f32> = log_probs.iter().map(|l| l / tau).collect();
    if vecmath::log_softmax_in_place(&mut softened) == f32::NEG_INFINITY {
        logits.fill(0.0);
        return 0.0;
    }
    kl_to_teacher(logits, &softened, tau, weight)
}
