//! Both laws over the same outcomes, and what a divergence that is a sum over outcomes makes of them.
//!
//! Where whole laws are shown, an outcome is a token. Where k tokens are reported, outcomes are these, and one further that holds all
//! the rest where a [`Tail`] is compared. Sums are taken in f64, one outcome at a time: tens of nanoseconds for each, where the kernels of
//! `full_kl` take one.

use kernels::vecmath;
use oracle::TokenId;

use super::Shown;
use super::tail::Tail;

/// Least probability of all tokens together that were not reported. One minus a sum of probabilities in f32 says nothing of less: without
/// it, the sum of all labels' probabilities would decide by its rounding what a student pays for other tokens.
const LEAST_TAIL: f64 = 1e-6;

/// Least natural-log probability of an outcome of the teacher: that of the least normal f32, below which the kernels' exponentials are
/// 0. Where a law is truncated, divergences of the student from it are infinite; so they are large.
const LEAST_LOG_Q: f64 = -87.336_544_750_553_1;

/// Least natural-log probability of an outcome of the student: its quotients with the teacher's stay finite.
const LEAST_LOG_P: f64 = -700.0;

/// One outcome.
pub(super) struct Outcome {
    /// Its probability in the teacher's law.
    pub(super) q: f64,
    /// The logarithm of `q`.
    pub(super) log_q: f64,
    /// Its probability in the student's law.
    pub(super) p: f64,
    /// The logarithm of `p`.
    pub(super) log_p: f64,
}

/// The sum over all outcomes of `term`, which says of one its value and `p` times the derivative of that value with respect to `p`.
/// Replaces `logits` by the gradient: `p_j (g_j - sum_i p_i g_i)`, with `g` the derivatives; tokens of the tail share its gradient as
/// they share its probability.
///
/// Shown laws that do not sum to 1 are renormalised; with [`Tail::Bucket`] what is missing to 1 is the tail, and only an excess is divided
/// out. A law without any mass says nothing, and value and gradient are 0 (with [`Tail::Bucket`] it says that no reported token can be).
///
/// # Panics
/// If nothing is shown.
pub(super) fn divergence(shown: Shown<'_>, tail: Tail, logits: &mut [f32], term: impl Fn(&Outcome) -> (f64, f64)) -> f64 {
    match shown {
        Shown::Nothing => panic!("divergences are trained on log-probabilities only"),
        Shown::Whole(log_probs) => {
            assert_eq!(logits.len(), log_probs.len(), "lengths of logits and teacher row");
            let mut row: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
            let loss = over(wide(log_probs), &mut row, term);
            for (logit, gradient) in logits.iter_mut().zip(row) {
                *logit = gradient as f32;
            }
            loss
        }
        Shown::Top { ids, log_probs } => {
            let mut row: Vec<f64> = ids.iter().map(|&id| f64::from(logits[id as usize])).collect();
            let has_tail = tail != Tail::Renormalised && ids.len() < logits.len();
            let loss = if has_tail {
                over_reported_and_rest(ids, with_tail(wide(log_probs), tail), &mut row, logits, term)
            } else {
                logits.fill(0.0);
                over(wide(log_probs), &mut row, term)
            };
            for (&id, gradient) in ids.iter().zip(row) {
                logits[id as usize] = gradient as f32;
            }
            loss
        }
    }
}

fn wide(log_probs: &[f32]) -> Vec<f64> {
    log_probs.iter().map(|&log_q| f64::from(log_q)).collect()
}

/// The reported log-probabilities and, as the last, that of the tail: what is missing to 1.
fn with_tail(mut log_q: Vec<f64>, tail: Tail) -> Vec<f64> {
    let log_mass = log_sum_exp(&log_q);
    if tail == Tail::Bucket {
        log_q.push(libm::log((1.0 - libm::exp(log_mass)).max(LEAST_TAIL)));
    } else if log_mass > f64::NEG_INFINITY {
        log_q.iter_mut().for_each(|log_q| *log_q -= log_mass);
        log_q.push(libm::log(LEAST_TAIL));
    } else {
        log_q.push(f64::NEG_INFINITY);
    }
    log_q
}

/// As [`over`], with a last outcome that holds all tokens but `ids`: `row` is left without it, and its gradient in `logits`.
fn over_reported_and_rest(
    ids: &[TokenId],
    log_q: Vec<f64>,
    row: &mut Vec<f64>,
    logits: &mut [f32],
    term: impl Fn(&Outcome) -> (f64, f64),
) -> f64 {
    for &id in ids {
        logits[id as usize] = f32::NEG_INFINITY;
    }
    // among themselves, so that a small tail keeps its digits
    row.push(f64::from(vecmath::softmax_in_place(logits)));
    let loss = over(log_q, row, term);
    vecmath::scale(logits, row.pop().unwrap_or(0.0) as f32);
    loss
}

/// The sum of `term` over outcomes with these log-probabilities in the teacher's law, which are renormalised, and these logits in the
/// student's, which are replaced by the gradient.
fn over(mut log_q: Vec<f64>, row: &mut [f64], term: impl Fn(&Outcome) -> (f64, f64)) -> f64 {
    let log_mass = log_sum_exp(&log_q);
    if log_mass == f64::NEG_INFINITY {
        row.fill(0.0);
        return 0.0;
    }
    let log_sum = log_sum_exp(row);
    let (mut loss, mut mean_slope) = (0.0, 0.0);
    for (log_q, logit) in log_q.iter_mut().zip(row.iter_mut()) {
        let log_p = (*logit - log_sum).max(LEAST_LOG_P);
        let log_of_q = (*log_q - log_mass).max(LEAST_LOG_Q);
        let outcome = Outcome { q: libm::exp(log_of_q), log_q: log_of_q, p: libm::exp(log_p), log_p };
        let (value, slope) = term(&outcome);
        loss += value;
        mean_slope += slope;
        (*log_q, *logit) = (outcome.p, slope);
    }
    for (slope, p) in row.iter_mut().zip(log_q) {
        *slope -= p * mean_slope;
    }
    loss
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return highest;
    }
    highest + libm::log(values.iter().map(|value| libm::exp(value - highest)).sum())
}
