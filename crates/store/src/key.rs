use serde::Serialize;
use serde_json::Value;

use crate::{Hash, StoreError, canonical_json, hash_json};

/// What an artifact is made from. Two keys are one artifact exactly when kind, revision and inputs are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Revision of the stage that makes it: raised whenever the same inputs give other bytes.
    pub revision: u32,
    /// Everything else the bytes depend on, hashes of other artifacts included.
    pub inputs: Value,
}

impl Key {
    /// A key over any serializable inputs.
    ///
    /// # Errors
    /// [`StoreError::NotCanonical`], as [`canonical_json`].
    pub fn new(revision: u32, inputs: &impl Serialize) -> Result<Self, StoreError> {
        canonical_json(inputs)?;
        let inputs = serde_json::to_value(inputs).map_err(|e| StoreError::NotCanonical(e.to_string()))?;
        Ok(Self { revision, inputs })
    }

    /// The artifact's name: SHA-256 over (kind, revision, inputs).
    ///
    /// # Errors
    /// [`StoreError::NotCanonical`], as [`canonical_json`].
    pub fn hash(&self, kind: &str) -> Result<Hash, StoreError> {
        hash_json(&(kind, self.revision, &self.inputs))
    }
}
