//! What the fuzz targets share: a model directory of which one file is the input.

use std::path::{Path, PathBuf};

/// A small but complete Llama: hidden 8, one layer, 16 token ids.
pub const CONFIG: &str = r#"{
  "model_type": "llama", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
  "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
  "rope_theta": 10000.0, "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1, "hidden_act": "silu"
}"#;

/// A directory that lives as long as the process.
pub struct Directory(tempfile::TempDir);

impl Directory {
    /// An empty one, in memory where the system has such a place.
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        Self(tempfile::TempDir::new_in(parent).expect("a place for the inputs"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a file into it.
    pub fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("writing an input");
        path
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}
