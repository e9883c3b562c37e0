use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use kernels::products::{Rows, times, transposed_times};

use super::floats::{add_rows, floats, given, gradient_of, with_floats};
use crate::arch::summed::{Place, Summed};

/// `x` (n, inputs) -> (n, outputs): a matrix product and, if it has one, a bias.
pub(crate) struct ProductPass {
    pub(crate) summed: Arc<Summed>,
    pub(crate) weight: Place,
    pub(crate) bias: Option<Place>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// The weight is (inputs, outputs).
    pub(crate) transposed: bool,
}

impl CustomOp1 for ProductPass {
    fn name(&self) -> &'static str {
        "product in one pass"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, inputs, outputs) = (floats(storage, layout)?, self.inputs, self.outputs);
        let rows = x.len() / inputs;
        let mut y = vec![0.0; rows * outputs];
        if let Some(bias) = &self.bias {
            y.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(self.summed.values(bias)));
        }
        let weight = self.summed.values(&self.weight);
        self.summed.with_memory(|memory| {
            if self.transposed {
                memory.packed.hold(weight, inputs, outputs);
            } else {
                memory.packed.hold_transposed(weight, outputs, inputs);
            }
            let x = Rows { values: x, stride: inputs };
            times(rows, outputs, inputs, x, &memory.packed, &mut y, outputs, self.bias.is_some());
        });
        Ok(given(y, (rows, outputs)))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_floats(x, |x| with_floats(dy, |dy| self.back(x, dy)))??;
        gradient_of(x, dx)
    }
}

impl ProductPass {
    fn back(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let rows = x.len() / inputs;
        let weight = self.summed.values(&self.weight);
        let mut dx = vec![0.0; x.len()];
        self.summed.add(&self.weight, |sum, holds, memory| {
            if self.transposed {
                transposed_times(inputs, outputs, rows, x, dy, sum, holds, &mut memory.room);
                memory.packed.hold_transposed(weight, inputs, outputs);
            } else {
                transposed_times(outputs, inputs, rows, dy, x, sum, holds, &mut memory.room);
                memory.packed.hold(weight, outputs, inputs);
            }
            let dy = Rows { values: dy, stride: outputs };
            times(rows, inputs, outputs, dy, &memory.packed, &mut dx, inputs, false);
        });
        if let Some(bias) = &self.bias {
            self.summed.add_to(bias, |sum| add_rows(dy, sum));
        }
        dx
    }
}
