use std::path::Path;

/// What a file of texts is, as its name says: an ending in capitals is the same ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `.txt`: records with blank lines between them.
    Text,
    /// `.jsonl`: a JSON object a line.
    JsonLines,
    /// `.parquet`.
    Parquet,
}

impl FileKind {
    /// The kind of `path`, if it ends in one of the known ways.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Self::Text),
            "jsonl" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}
