//! The flat vector as named tensors.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Error, Result, Tensor, Var, backprop::GradStore};

use super::Layout;
use super::summed::Summed;
use crate::device::Device;

/// Named tensors over copies of the parts of a flat vector.
pub struct Weights {
    tensors: HashMap<String, Tensor>,
    device: candle_core::Device,
    purpose: Purpose,
}

/// What weights are for, which decides how a model is computed.
#[derive(Clone)]
pub(crate) enum Purpose {
    /// Running a model: by candle-nn's operations, each in one pass, which have no gradient.
    Running,
    /// Training on any device: by operations whose gradients candle knows.
    Training,
    /// Training on the CPU: by our own operations, which know their gradients and sum those of parameters.
    Summing(Arc<Summed>),
}

impl Weights {
    /// Tensors without gradients on `device`, for running a model. `flat`: as long as the layout.
    ///
    /// # Errors
    /// When a tensor cannot be made.
    pub fn constant(layout: &Layout, flat: &[f32], device: &Device) -> Result<Self> {
        Self::build(layout, flat, device, Purpose::Running, |part, shape, device| Tensor::from_slice(part, shape, device))
    }

    /// Variables on `device`, for training. `flat`: as long as the layout.
    ///
    /// # Errors
    /// When a tensor cannot be made.
    pub fn variable(layout: &Layout, flat: &[f32], device: &Device) -> Result<Self> {
        Self::build(layout, flat, device, Purpose::Training, |part, shape, device| {
            Ok(Var::from_slice(part, shape, device)?.as_tensor().clone())
        })
    }

    /// The parameters that `summed` holds.
    pub(crate) fn summing(summed: Arc<Summed>) -> Self {
        Self { tensors: HashMap::new(), device: summed.leaf().device().clone(), purpose: Purpose::Summing(summed) }
    }

    fn build(
        layout: &Layout,
        flat: &[f32],
        device: &Device,
        purpose: Purpose,
        make: impl Fn(&[f32], &[usize], &candle_core::Device) -> Result<Tensor>,
    ) -> Result<Self> {
        let device = device.candle();
        let mut tensors = HashMap::with_capacity(layout.parameters().len());
        for parameter in layout.parameters() {
            let part = flat
                .get(parameter.range.clone())
                .ok_or_else(|| Error::Msg(format!("`{}` lies beyond the {} weights given", parameter.name, flat.len())))?;
            tensors.insert(parameter.name.clone(), make(part, &parameter.shape, device)?);
        }
        Ok(Self { tensors, device: device.clone(), purpose })
    }

    /// The parameter of this name.
    ///
    /// # Errors
    /// When the layout has none.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::Msg(format!("no parameter `{name}` in the layout")))
    }

    /// What they are for.
    pub(crate) fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Where the tensors live.
    pub fn device(&self) -> &candle_core::Device {
        &self.device
    }

    /// Adds the gradients of all parameters to `grad` (as long as the layout). Returns the names of parameters that
    /// received none.
    ///
    /// # Errors
    /// When a gradient cannot be read back.
    pub fn add_gradients(&self, layout: &Layout, store: &GradStore, grad: &mut [f32]) -> Result<Vec<String>> {
        let mut without = Vec::new();
        for parameter in layout.parameters() {
            let Some(gradient) = store.get(self.get(&parameter.name)?) else {
                without.push(parameter.name.clone());
                continue;
            };
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            for (sum, value) in grad[parameter.range.clone()].iter_mut().zip(values) {
                *sum += value;
            }
        }
        Ok(without)
    }
}
