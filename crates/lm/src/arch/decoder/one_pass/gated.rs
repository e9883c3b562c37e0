use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::super::activation::Activation;
use super::floats::{floats, given, gradient_of, with_floats};

/// `activation(x)`.
pub(crate) struct Activated(pub(crate) Activation);

impl CustomOp1 for Activated {
    fn name(&self) -> &'static str {
        "activation in one pass"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = Vec::with_capacity(layout.shape().elem_count());
        self.0.each(floats(storage, layout)?, |_, values, _| y.extend_from_slice(values));
        Ok(given(y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_floats(x, |x| {
            with_floats(dy, |dy| {
                let mut dx = Vec::with_capacity(x.len());
                self.0.each(x, |range, _, slopes| dx.extend(slopes.iter().zip(&dy[range]).map(|(slope, dy)| slope * dy)));
                dx
            })
        })??;
        gradient_of(x, dx)
    }
}

/// `activation(gate) * up`.
pub(crate) struct Gated(pub(crate) Activation);

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gate in one pass"
    }

    fn cpu_fwd(&self, gate: &CpuStorage, of_gate: &Layout, up: &CpuStorage, of_up: &Layout) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (floats(gate, of_gate)?, floats(up, of_up)?);
        let mut y = Vec::with_capacity(up.len());
        self.0.each(gate, |range, values, _| y.extend(values.iter().zip(&up[range]).map(|(value, up)| value * up)));
        Ok(given(y, of_up.shape().clone()))
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let back = |gate: &[f32], up: &[f32], dy: &[f32]| {
            let (mut d_gate, mut d_up) = (Vec::with_capacity(gate.len()), Vec::with_capacity(up.len()));
            self.0.each(gate, |range, values, slopes| {
                let (up, dy) = (&up[range.clone()], &dy[range]);
                d_gate.extend(slopes.iter().zip(up).zip(dy).map(|((slope, up), dy)| slope * up * dy));
                d_up.extend(values.iter().zip(dy).map(|(value, dy)| value * dy));
            });
            (d_gate, d_up)
        };
        let (d_gate, d_up) = with_floats(gate, |gate| with_floats(up, |up| with_floats(dy, |dy| back(gate, up, dy))))???;
        Ok((gradient_of(gate, d_gate)?, gradient_of(up, d_up)?))
    }
}
