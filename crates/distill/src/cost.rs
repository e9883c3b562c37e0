use lm::Model;
use oracle::Exchange;
use serde::{Deserialize, Serialize};

use crate::shown::ShownLaws;
use crate::train::Curve;

/// What a student cost the thief.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Queries paid for.
    pub queries: u64,
    /// Tokens sent.
    pub prompt_tokens: u64,
    /// Tokens received.
    pub answer_tokens: u64,
    /// Steps trained.
    pub training_steps: u64,
    /// Tokens fed in training, padding left out.
    pub training_tokens: u64,
    /// Floating-point operations of the training: 6 N per token (Kaplan et al. 2020, section 2.1; N as `lm` counts it).
    pub training_flop: f64,
    /// Floating-point operations spent in this simulation to show laws again that a real API would have sent with the answers:
    /// 2 N of the teacher per token. Not the thief's.
    pub rescoring_flop: f64,
}

impl Cost {
    /// Cost of a student trained on `exchanges` along `curve`, with `laws` of `teacher`.
    pub fn of(exchanges: &[Exchange], student: &Model, curve: &Curve, teacher: &Model, laws: &ShownLaws) -> Self {
        let prompt_tokens = exchanges.iter().map(|e| e.query.prompt.len() as u64).sum::<u64>();
        let answer_tokens = exchanges.iter().map(|e| e.answer.len() as u64).sum::<u64>();
        let (training_steps, training_tokens) = curve.last().map_or((0, 0), |p| (p.step, p.tokens));
        let rescored_tokens = match laws {
            ShownLaws::Tokens => 0,
            ShownLaws::Top(_) => prompt_tokens + answer_tokens,
            ShownLaws::Live(_) => training_tokens,
        };
        Self {
            queries: exchanges.len() as u64,
            prompt_tokens,
            answer_tokens,
            training_steps,
            training_tokens,
            training_flop: student.flops_per_token_train() * training_tokens as f64,
            rescoring_flop: teacher.flops_per_token_forward() * rescored_tokens as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oracle::{ServedLaw, Surface};

    use super::*;
    use crate::served::Served;
    use crate::testing::{exchange, model, runtime};
    use crate::train::CurvePoint;

    #[test]
    fn costs_count_what_was_paid_for() {
        let (teacher, student) = (model(1), model(2));
        let exchanges = [exchange(&[1, 5], &[6, 7, 8]), exchange(&[1], &[4])];
        let point = CurvePoint { step: 9, tokens: 100, loss: 1.0, learning_rate: 0.1, gradient_norm: 1.0 };
        let curve = Curve { points: vec![point] };
        let cost = Cost::of(&exchanges, &student, &curve, &teacher, &ShownLaws::Tokens);
        assert_eq!((cost.queries, cost.prompt_tokens, cost.answer_tokens), (2, 3, 4));
        assert_eq!((cost.training_steps, cost.training_tokens, cost.rescoring_flop), (9, 100, 0.0));
        // the tied embedding is the output product too, so every parameter is multiplied
        assert_eq!(cost.training_flop, 600.0 * student.n_params() as f64);
        let surface = Surface::Logits { law: ServedLaw::PreWatermark };
        let live = ShownLaws::Live(Arc::new(Served::new(Arc::new(teacher.clone()), Vec::new(), surface, runtime(1))));
        let cost = Cost::of(&exchanges, &student, &curve, &teacher, &live);
        assert_eq!(cost.rescoring_flop, 200.0 * teacher.n_params() as f64);
    }
}
