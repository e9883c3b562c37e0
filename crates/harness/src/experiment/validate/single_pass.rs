//! Budgets that a single pass branches off to.

use distill::Compute;

use super::Check;
use crate::experiment::Experiment;

impl Check<'_> {
    /// Every budget of a single pass is a snapshot after whole batches, none of them still warming up.
    pub(super) fn single_pass(&mut self, experiment: &Experiment) {
        let student = &experiment.student;
        let (Compute::SinglePass { warmup_steps, cooldown_fraction, .. }, Some(&least)) =
            (&student.compute, experiment.queries.budgets.first())
        else {
            return;
        };
        let steps = student.compute.steps(least, student.batch_rows, 1).unwrap_or(1);
        let rows = student.batch_rows as u64;
        if least < rows {
            let what = format!("a single pass takes no snapshot before its first batch of {rows}");
            self.problem("queries.budgets[0]", what, format!("write {rows} or more, or lower student.batch_rows"));
        } else if (0.0..1.0).contains(cooldown_fraction)
            && student.compute.branch_step(steps).is_some_and(|branch| branch < *warmup_steps)
        {
            let what = format!("the smallest budget, {steps} steps, would cool down before it is warm");
            self.problem("student.compute.single_pass.warmup_steps", what, "lower it or cooldown_fraction, or drop that budget");
        }
    }
}
