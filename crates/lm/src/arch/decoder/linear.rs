use candle_core::{Module, Result, Tensor};

use super::one_pass::ProductPass;
use crate::arch::weights::Purpose;
use crate::arch::{Initialiser, Layout, Weights};

/// A matrix product and, if it has one, a bias.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// `NAME.weight` and `NAME.bias` in checkpoints.
    pub name: String,
    /// Width of what goes in.
    pub inputs: usize,
    /// Width of what comes out.
    pub outputs: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// The weight is (inputs, outputs), as GPT-2 keeps it, instead of (outputs, inputs).
    pub transposed: bool,
}

impl Linear {
    /// A product with a weight (outputs, inputs).
    pub fn new(name: String, inputs: usize, outputs: usize, bias: bool) -> Self {
        Self { name, inputs, outputs, bias, transposed: false }
    }

    /// A product with a bias and a weight (inputs, outputs).
    pub fn transposed(name: String, inputs: usize, outputs: usize) -> Self {
        Self { name, inputs, outputs, bias: true, transposed: true }
    }

    pub(super) fn push(&self, layout: &mut Layout, initialiser: Initialiser) {
        let shape = if self.transposed { [self.inputs, self.outputs] } else { [self.outputs, self.inputs] };
        layout.push(format!("{}.weight", self.name), &shape, initialiser);
        if self.bias {
            layout.push(format!("{}.bias", self.name), &[self.outputs], Initialiser::Zeros);
        }
    }

    /// `x` (n, inputs) -> (n, outputs).
    pub(super) fn apply(&self, weights: &Weights, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (format!("{}.weight", self.name), format!("{}.bias", self.name));
        if let Purpose::Summing(summed) = weights.purpose() {
            return x.contiguous()?.apply_op1(ProductPass {
                weight: summed.place(&weight)?,
                bias: if self.bias { Some(summed.place(&bias)?) } else { None },
                summed: summed.clone(),
                inputs: self.inputs,
                outputs: self.outputs,
                transposed: self.transposed,
            });
        }
        let bias = if self.bias { Some(weights.get(&bias)?.clone()) } else { None };
        let weight = weights.get(&weight)?;
        let weight = if self.transposed { weight.t()? } else { weight.clone() };
        candle_nn::Linear::new(weight, bias).forward(x)
    }
}
