//! Suspect and reference, asked the same prompts: who of them alone does what is looked for.

use stats::{Interval, paired};

/// Prompts on which one of suspect and reference does what is looked for and the other does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paired {
    /// Prompts on which the suspect alone does.
    pub suspect_only: u64,
    /// Prompts on which the reference alone does.
    pub reference_only: u64,
}

impl Paired {
    /// Of two answers to each prompt, in the same order.
    pub fn count(suspect: &[bool], reference: &[bool]) -> Self {
        let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|&(&a, &b)| a && !b).count() as u64;
        Self { suspect_only: only(suspect, reference), reference_only: only(reference, suspect) }
    }

    /// log10 of the exact one-sided p of McNemar's test.
    pub fn log10_p(self) -> f64 {
        paired::mcnemar_one_sided(self.suspect_only, self.reference_only)
    }

    /// Share of the suspect minus share of the reference, over `asked` prompts.
    pub fn difference(self, asked: u64) -> f64 {
        (self.suspect_only as f64 - self.reference_only as f64) / asked as f64
    }

    /// 95 % interval of the difference: Wald after half a prompt is added to each of the four cells (Agresti and Min,
    /// Statistics in Medicine 24, 2005), which keeps a width where all models agree.
    pub fn interval(self, asked: u64) -> Interval {
        let (b, c, n) = (self.suspect_only as f64 + 0.5, self.reference_only as f64 + 0.5, asked as f64 + 2.0);
        let centre = (b - c) / n;
        let half = 1.959_963_984_540_054 * (b + c - (b - c).powi(2) / n).sqrt() / n;
        Interval { low: (centre - half).max(-1.0), high: (centre + half).min(1.0) }
    }
}
