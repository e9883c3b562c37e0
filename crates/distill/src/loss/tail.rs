use serde::{Deserialize, Serialize};

/// Treatment of the tokens outside the reported k.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// One further outcome that holds all the rest: a (k + 1)-way divergence, a lower bound of the full one
    /// (TRL `loss_add_tail`, DistillKit `SYMMETRIC_UNIFORM`).
    Bucket,
    /// Both laws are renormalised on the k tokens (MaxText PR 4056): nothing is learned about the rest.
    Renormalised,
    /// The teacher is renormalised, the student is not: probability is pulled out of the rest (DistillKit `ZERO`).
    Zero,
}
