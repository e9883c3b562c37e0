//! Parameters of a training on the CPU, and the sums of their gradients.
//!
//! candle's tape would keep those sums as tensors: for each use of a parameter it makes one of zeros, one of the gradient and one of both
//! together. Here the operations on parameters ([`super::decoder`]) add straight into one vector while candle goes back over its tape, which
//! then only holds what lies between them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Error, Result, Tensor, Var};
use kernels::products::{Packed, Room};

use super::Layout;

/// Values, sums and reused memory of one call at a time.
pub struct Summed {
    places: HashMap<String, Place>,
    values: Vec<f32>,
    /// The tape's one variable: what does not depend on any is not recorded.
    leaf: Tensor,
    work: Mutex<Work>,
}

/// Where a parameter lies.
#[derive(Debug, Clone)]
pub struct Place {
    index: usize,
    range: Range<usize>,
}

struct Work {
    sums: Vec<f32>,
    /// By parameter: whether its sum holds anything of this call.
    reached: Vec<bool>,
    memory: Memory,
}

/// Memory that operations use again.
#[derive(Default)]
pub struct Memory {
    /// For a right operand.
    pub packed: Packed,
    /// For products with a transposed left operand.
    pub room: Room,
    head: HeadMemory,
}

/// Memory of the last product, much larger than the others'.
#[derive(Default)]
pub struct HeadMemory {
    /// Its table as states are multiplied with it, and as slopes of logits are.
    pub forth: Packed,
    /// See `forth`.
    pub back: Packed,
    /// Whether they hold this call's table.
    pub holds: bool,
    /// Logits.
    pub logits: Vec<f32>,
}

impl Summed {
    /// Room for a model of this layout, on the CPU that `device` is.
    ///
    /// # Errors
    /// When a tensor cannot be made.
    pub fn new(layout: &Layout, device: &Device) -> Result<Self> {
        let parameters = layout.parameters().iter().enumerate();
        let place = |(index, parameter): (usize, &super::Parameter)| {
            (parameter.name.clone(), Place { index, range: parameter.range.clone() })
        };
        let work = Work {
            sums: vec![0.0; layout.n_params()],
            reached: vec![false; layout.parameters().len()],
            memory: Memory::default(),
        };
        Ok(Self {
            places: parameters.map(place).collect(),
            values: Vec::new(),
            leaf: Var::zeros(1, DType::F32, device)?.as_tensor().clone(),
            work: Mutex::new(work),
        })
    }

    /// Begins a call with these values (as long as the layout): no sum holds anything.
    pub fn begin(&mut self, values: &[f32]) {
        self.values.clear();
        self.values.extend_from_slice(values);
        let mut work = self.lock();
        work.reached.fill(false);
        work.memory.head.holds = false;
    }

    /// The memory of the last product, until it is put back.
    pub fn take_head(&self) -> HeadMemory {
        std::mem::take(&mut self.lock().memory.head)
    }

    /// Puts it back.
    pub fn put_head(&self, head: HeadMemory) {
        self.lock().memory.head = head;
    }

    /// Place of the parameter of this name.
    ///
    /// # Errors
    /// When the layout has none.
    pub fn place(&self, name: &str) -> Result<Place> {
        self.places.get(name).cloned().ok_or_else(|| Error::Msg(format!("no parameter `{name}` in the layout")))
    }

    /// Values of a parameter.
    pub fn values(&self, place: &Place) -> &[f32] {
        &self.values[place.range.clone()]
    }

    /// What a tape begins with.
    pub fn leaf(&self) -> &Tensor {
        &self.leaf
    }

    /// Lets `compute` use the memory.
    pub fn with_memory<T>(&self, compute: impl FnOnce(&mut Memory) -> T) -> T {
        compute(&mut self.lock().memory)
    }

    /// Lets `add` add to the sum of a parameter; where its second argument is false, the sum holds nothing yet and is to be overwritten.
    pub fn add(&self, place: &Place, add: impl FnOnce(&mut [f32], bool, &mut Memory)) {
        let mut work = self.lock();
        let Work { sums, reached, memory } = &mut *work;
        let holds = std::mem::replace(&mut reached[place.index], true);
        add(&mut sums[place.range.clone()], holds, memory);
    }

    /// [`add`](Self::add) where values are added one by one: the sum holds zeros at first.
    pub fn add_to(&self, place: &Place, add: impl FnOnce(&mut [f32])) {
        self.add(place, |sum, holds, _| {
            if !holds {
                sum.fill(0.0);
            }
            add(sum);
        });
    }

    /// Writes all sums to `into` (as long as the layout). Returns the names of parameters whose sum holds nothing.
    pub fn write(&self, into: &mut [f32]) -> Vec<String> {
        let work = self.lock();
        let mut without = Vec::new();
        for (name, place) in &self.places {
            if work.reached[place.index] {
                into[place.range.clone()].copy_from_slice(&work.sums[place.range.clone()]);
            } else {
                without.push(name.clone());
            }
        }
        without.sort();
        without
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        // a poisoned lock means that a call panicked, and such a call's sums are not read
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
