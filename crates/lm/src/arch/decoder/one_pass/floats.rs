//! Tensors as slices.

use candle_core::{CpuStorage, Error, Layout, Result, Shape, Storage, Tensor};

/// The values behind a layout.
pub(super) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (from, to) =
        layout.contiguous_offsets().ok_or_else(|| Error::Msg("an operation in one pass needs its values in order".into()))?;
    Ok(&storage.as_slice::<f32>()?[from..to])
}

/// Lets `read` see the values of a tensor.
pub(super) fn with_floats<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(read(floats(storage, layout)?)),
        _ => Err(Error::Msg("an operation in one pass computes on the CPU".into())),
    }
}

/// What a way forward gives.
pub(super) fn given(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

/// What a way back gives: the gradient of `argument`.
pub(super) fn gradient_of(argument: &Tensor, values: Vec<f32>) -> Result<Option<Tensor>> {
    Tensor::from_vec(values, argument.shape(), argument.device()).map(Some)
}

/// Adds the rows of `values` to `sum`, one after the other.
pub(super) fn add_rows(values: &[f32], sum: &mut [f32]) {
    for row in values.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
}
