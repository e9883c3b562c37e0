use candle_core::{Result, Tensor};
use oracle::ConfigError;

use super::Linear;
use crate::arch::{Fields, Initialiser, Layout, Weights};

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

/// A nonlinearity, elementwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x sigmoid(x).
    Silu,
    /// x Phi(x) (Hendrycks & Gimpel 2016, arXiv 1606.08415).
    Gelu,
    /// Its approximation by tanh (section 2 there).
    GeluTanh,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// The activation that `key` names, as transformers names them; `default` when the key is absent.
    ///
    /// # Errors
    /// When it is another one.
    pub fn read(fields: &Fields<'_>, key: &str, default: Self) -> std::result::Result<Self, ConfigError> {
        let Some(value) = fields.get(key) else { return Ok(default) };
        Ok(match value.as_str() {
            Some("silu" | "swish") => Self::Silu,
            Some("gelu") => Self::Gelu,
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Self::GeluTanh,
            Some("relu") => Self::Relu,
            _ => {
                let remedy =
                    "not supported for this architecture, only silu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast and relu are";
                return Err(ConfigError::new(key, value, remedy));
            }
        })
    }

    /// Its name in transformers; `tanh` is what the architecture calls [`GeluTanh`](Self::GeluTanh).
    pub fn name(self, tanh: &'static str) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => tanh,
            Self::Relu => "relu",
        }
    }

    pub(super) fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::Relu => x.relu(),
        }
    }
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
        let inner = match &self.gate {
            Gate::None => self.activation.apply(&up)?,
            Gate::Product(gate) => (self.activation.apply(&gate.apply(weights, x)?)? * up)?,
            Gate::Stacked => {
                let width = self.down.inputs;
                (self.activation.apply(&up.narrow(1, 0, width)?)? * up.narrow(1, width, width)?)?
            }
        };
        self.down.apply(weights, &inner)
    }
}
