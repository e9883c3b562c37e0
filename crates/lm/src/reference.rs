//! Files of reference values: tensors in safetensors form, whole numbers or `f32`.

use std::path::{Path, PathBuf};

use oracle::TokenId;

use crate::header::{Entry, Header};
use crate::read::LoadError;

/// An open file of reference values.
pub(crate) struct Reference {
    path: PathBuf,
    header: Header,
    data: Vec<u8>,
}

/// Shape and values of a tensor.
pub(crate) struct Tensor<T> {
    pub shape: Vec<usize>,
    pub values: Vec<T>,
}

impl Reference {
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let (_, header) = Header::open(path)?;
        let bytes = std::fs::read(path).map_err(|source| LoadError::Io { path: path.into(), source })?;
        let data = bytes.get(header.data_start as usize..).unwrap_or_default().to_vec();
        let reference = Self { path: path.into(), header, data };
        if reference.has("input_ids") { Ok(reference) } else { Err(reference.bad("input_ids", "is missing: nothing to compute")) }
    }

    pub fn has(&self, name: &str) -> bool {
        self.header.tensors.contains_key(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.header.tensors.keys().map(String::as_str)
    }

    /// An error about one tensor.
    pub fn bad(&self, name: &str, why: &str) -> LoadError {
        LoadError::Reference { path: self.path.clone(), name: name.into(), why: why.into() }
    }

    fn entry(&self, name: &str) -> Result<(&Entry, &[u8]), LoadError> {
        let entry = self.header.tensors.get(name).ok_or_else(|| self.bad(name, "is missing"))?;
        let [start, end] = entry.data_offsets.map(|offset| offset as usize);
        let bytes = self.data.get(start..end).ok_or_else(|| self.bad(name, "lies beyond the end of the file"))?;
        Ok((entry, bytes))
    }

    pub fn floats(&self, name: &str) -> Result<Tensor<f32>, LoadError> {
        let (entry, bytes) = self.entry(name)?;
        let narrow = |b: &[u8]| f32::from_le_bytes(std::array::from_fn(|i| b[i]));
        let wide = |b: &[u8]| f64::from_le_bytes(std::array::from_fn(|i| b[i])) as f32;
        let values = match entry.dtype.as_str() {
            "F32" => bytes.chunks_exact(4).map(narrow).collect(),
            "F64" => bytes.chunks_exact(8).map(wide).collect(),
            other => return Err(self.bad(name, &format!("has type {other}; reference values are F32 or F64"))),
        };
        Ok(Tensor { shape: shape(entry), values })
    }

    pub fn ids(&self, name: &str) -> Result<Tensor<TokenId>, LoadError> {
        let (entry, bytes) = self.entry(name)?;
        let wide = |b: &[u8]| i64::from_le_bytes(std::array::from_fn(|i| b[i]));
        let narrow = |b: &[u8]| i64::from(i32::from_le_bytes(std::array::from_fn(|i| b[i])));
        let numbers: Vec<i64> = match entry.dtype.as_str() {
            "I64" => bytes.chunks_exact(8).map(wide).collect(),
            "I32" => bytes.chunks_exact(4).map(narrow).collect(),
            other => return Err(self.bad(name, &format!("has type {other}; token ids are I64 or I32"))),
        };
        let ids: Option<Vec<TokenId>> = numbers.into_iter().map(|id| TokenId::try_from(id).ok()).collect();
        let values = ids.ok_or_else(|| self.bad(name, "holds a number that is no token id"))?;
        if values.is_empty() {
            return Err(self.bad(name, "is empty"));
        }
        Ok(Tensor { shape: shape(entry), values })
    }
}

fn shape(entry: &Entry) -> Vec<usize> {
    entry.shape.iter().map(|n| *n as usize).collect()
}
