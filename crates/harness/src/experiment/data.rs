use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where texts and prompts come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CorpusConfig {
    /// A dataset spec (TOML) whose seeded grammar generates every text by index.
    Grammar(String),
    /// A text, JSONL or Parquet file.
    File(FileCorpus),
}

/// A file of texts, split disjointly by a seeded permutation of its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileCorpus {
    /// `.txt` (records separated by blank lines), `.jsonl` or `.parquet`; a byte-order mark at the start is passed over.
    pub path: String,
    /// The column of JSONL or Parquet that holds the text, or a conversation (a list of `role` and `content`, or of `from` and `value`),
    /// of which the first turn of the user is the text; null holds none. Plain text files ignore it.
    pub column: String,
}

/// Text to token ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenizerConfig {
    /// Byte-level BPE trained on this experiment's corpus.
    Bpe(TrainedBpe),
    /// The tokenizer in the teacher's model directory.
    OfTeacher,
}

/// A tokenizer trained here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainedBpe {
    /// Entries, the 256 bytes and the special tokens included.
    pub vocab_size: usize,
    /// Training documents that merges are counted on.
    pub documents: u64,
}
