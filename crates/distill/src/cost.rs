use lm::Model;
use serde::{Deserialize, Serialize};

use crate::shown::ShownLaws;
use crate::train::Curve;
use crate::transcript::Counts;

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
    /// What it read.
    pub read: Read,
    /// Floating-point operations of the training: 6 N per token (Kaplan et al. 2020, section 2.1; N as `lm` counts it).
    pub training_flop: f64,
    /// Those of the trials that were not kept, and of comparing all trials (2 N per token).
    pub trial_flop: f64,
    /// Floating-point operations spent in this simulation to show laws again that a real API would have sent with the answers:
    /// 2 N of the teacher per training token, at most, as laws that fit are kept. Not the thief's.
    pub rescoring_flop: f64,
}

/// What a training read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// Exchanges that it could read: those that were bought, less what attacks left out and what was held out.
    pub of: u64,
    /// Exchanges that it read, repeats counted.
    pub exchanges: u64,
    /// Different prompts among them.
    pub distinct_prompts: u64,
}

impl Read {
    /// Times that it read each exchange, on average.
    pub fn passes(&self) -> f64 {
        self.exchanges as f64 / self.of as f64
    }
}

impl Cost {
    /// Cost of a student trained on what `bought` counts, of which it read `read`, along `curve`, with `laws` of `teacher`. It was the only
    /// trial.
    pub fn of(bought: Counts, read: Read, student: &Model, curve: &Curve, teacher: &Model, laws: &ShownLaws) -> Self {
        let (training_steps, training_tokens) = curve.last().map_or((0, 0), |p| (p.step, p.tokens));
        let rescored_tokens = if matches!(laws, ShownLaws::Tokens) { 0 } else { training_tokens };
        Self {
            queries: bought.queries,
            prompt_tokens: bought.prompt_tokens,
            answer_tokens: bought.answer_tokens,
            training_steps,
            training_tokens,
            read,
            trial_flop: 0.0,
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
        let read = Read { of: 2, exchanges: 5, distinct_prompts: 1 };
        assert_eq!(read.passes(), 2.5);
        let cost = Cost::of(Counts::of(&exchanges), read, &student, &curve, &teacher, &ShownLaws::Tokens);
        assert_eq!((cost.queries, cost.prompt_tokens, cost.answer_tokens), (2, 3, 4));
        assert_eq!((cost.training_steps, cost.training_tokens, cost.rescoring_flop), (9, 100, 0.0));
        // the tied embedding is the output product too, so every parameter is multiplied
        assert_eq!(cost.training_flop, 600.0 * student.n_params() as f64);
        let surface = Surface::Logits { law: ServedLaw::PreWatermark };
        let live = ShownLaws::Live(Arc::new(Served::new(Arc::new(teacher.clone()), Vec::new(), surface, runtime(1))));
        let cost = Cost::of(Counts::of(&exchanges), read, &student, &curve, &teacher, &live);
        assert_eq!(cost.rescoring_flop, 200.0 * teacher.n_params() as f64);
    }
}
