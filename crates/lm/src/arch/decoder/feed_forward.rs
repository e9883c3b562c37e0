use candle_core::{Result, Tensor};

use super::activation::Activation;
use super::linear::Linear;
use super::one_pass::{Activated, Gated};
use crate::arch::weights::Purpose;
use crate::arch::{Initialiser, Layout, Weights};

/// down(activation(up(x))), or with a gate down(activation(gate(x)) * up(x)) (Shazeer 2020, arXiv 2002.05202).
#[derive(Debug, Clone, PartialEq)]
pub struct FeedForward {
    /// The gate.
    pub gate: Gate,
    /// Into the inner width; with [`Gate::Stacked`] twice as wide, gate first.
    pub up: Linear,
    /// Back to the residual stream.
    pub down: Linear,
    /// The nonlinearity.
    pub activation: Activation,
}

/// Where the gate of a feed-forward layer comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    /// There is none.
    None,
    /// Its own product.
    Product(Linear),
    /// The first half of the outputs of `up`.
    Stacked,
}

impl FeedForward {
    /// Its matrix products.
    pub(super) fn products(&self) -> Vec<&Linear> {
        let gate = match &self.gate {
            Gate::Product(gate) => Some(gate),
            Gate::None | Gate::Stacked => None,
        };
        gate.into_iter().chain([&self.up, &self.down]).collect()
    }

    pub(super) fn push(&self, layout: &mut Layout, usual: Initialiser, residual: Initialiser) {
        if let Gate::Product(gate) = &self.gate {
            gate.push(layout, usual);
        }
        self.up.push(layout, usual);
        self.down.push(layout, residual);
    }

    /// `x` (n, hidden) -> (n, hidden).
    pub(super) fn apply(&self, weights: &Weights, x: &Tensor) -> Result<Tensor> {
        let up = self.up.apply(weights, x)?;
        let (gate, up) = match &self.gate {
            Gate::None => (None, up),
            Gate::Product(gate) => (Some(gate.apply(weights, x)?), up),
            Gate::Stacked => {
                let width = self.down.inputs;
                (Some(up.narrow(1, 0, width)?), up.narrow(1, width, width)?)
            }
        };
        let inner = match (weights.purpose(), gate) {
            (Purpose::Summing(_), Some(gate)) => gate.contiguous()?.apply_op2(&up.contiguous()?, Gated(self.activation))?,
            (Purpose::Summing(_), None) => up.apply_op1(Activated(self.activation))?,
            (_, Some(gate)) => (self.activation.apply(&gate)? * up)?,
            (_, None) => self.activation.apply(&up)?,
        };
        self.down.apply(weights, &inner)
    }
}
