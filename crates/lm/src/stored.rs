//! What lies in a checkpoint, from its headers alone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::header::Header;
use crate::read::LoadError;
use crate::{checkpoint, gguf};

/// How a checkpoint keeps its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Number of files.
    pub files: usize,
    /// Values of each element type, by the format's name for it.
    pub dtypes: BTreeMap<String, u64>,
}

impl Stored {
    /// Reads the headers of a directory's checkpoint, or that of a GGUF file; None when there is none.
    ///
    /// # Errors
    /// When a file is damaged or a shard is missing.
    pub fn of(dir: &Path) -> Result<Option<Self>, LoadError> {
        if let Some(file) = gguf::find(dir)? {
            return Ok(Some(Self { files: 1, dtypes: gguf::Gguf::open(&file)?.dtypes() }));
        }
        let paths = checkpoint::shards(dir)?;
        if let [only] = &paths[..]
            && !only.exists()
        {
            return Ok(None);
        }
        let mut dtypes = BTreeMap::new();
        for path in &paths {
            for entry in Header::open(path)?.1.tensors.into_values() {
                *dtypes.entry(entry.dtype).or_default() += entry.shape.iter().product::<u64>();
            }
        }
        Ok(Some(Self { files: paths.len(), dtypes }))
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // what most values have comes first
        let mut types: Vec<(&str, u64)> = self.dtypes.iter().map(|(name, values)| (name.as_str(), *values)).collect();
        types.sort_by_key(|(_, values)| std::cmp::Reverse(*values));
        let types: Vec<&str> = types.into_iter().map(|(name, _)| name).collect();
        let files = if self.files == 1 { "one file".to_string() } else { format!("{} files", self.files) };
        write!(f, "{} in {files}", types.join(", "))
    }
}
