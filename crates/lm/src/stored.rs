//! What lies in a checkpoint, from its headers alone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::checkpoint;
use crate::header::Header;
use crate::read::LoadError;

/// How a checkpoint keeps its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Number of files.
    pub files: usize,
    /// Values of each element type, by the format's name for it.
    pub dtypes: BTreeMap<String, u64>,
}

impl Stored {
    /// Reads the headers of a directory's checkpoint; None when there is none.
    ///
    /// # Errors
    /// When a file is damaged or a shard is missing.
    pub fn of(dir: &Path) -> Result<Option<Self>, LoadError> {
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
        let types: Vec<&str> = self.dtypes.keys().map(String::as_str).collect();
        let files = if self.files == 1 { "one file".to_string() } else { format!("{} files", self.files) };
        write!(f, "{}, {files}", types.join(" and "))
    }
}
