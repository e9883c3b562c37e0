//! What the fuzz targets share: a model directory of which one file is the input.

use std::path::{Path, PathBuf};

use oracle::Codec;

/// A small but complete Llama: hidden 8, one layer, 16 token ids.
pub const CONFIG: &str = r#"{
  "model_type": "llama", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
  "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
  "rope_theta": 10000.0, "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1, "hidden_act": "silu"
}"#;

/// Makes a panic that becomes an error no finding; to be called before the first input.
pub fn forgive_guarded_panics() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !lm::is_guarded() {
            abort(panic);
        }
    }));
}

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

/// Words, digits, spaces, several scripts, a combining mark, an emoji of several code points, look-alikes of special tokens.
const TEXT: &str = "The cat's  12 hats\n\tsat. \u{dc}n\u{ef}code e\u{301} \u{732b}\u{304c}\u{5ea7}\u{3063}\u{305f} \u{1f469}\u{200d}\u{1f680} <s></s><|endoftext|>";

/// Does with a tokenizer what everybody does with one.
pub fn use_tokenizer(tokenizer: &lm::Tokenizer) {
    let ids = tokenizer.encode(TEXT);
    assert!(ids.iter().all(|id| *id <= tokenizer.max_id()));
    let _ = tokenizer.decode(&ids);
    let _ = tokenizer.decode(&tokenizer.encode_document(TEXT));
    let _ = tokenizer.encode_with_offsets(TEXT);
}

/// A checkpoint of zeros, in `F32`.
pub fn safetensors(tensors: &[(&str, [usize; 2])]) -> Vec<u8> {
    let (mut entries, mut end) = (Vec::new(), 0);
    for (name, [rows, columns]) in tensors {
        let start = end;
        end += 4 * rows * columns;
        entries.push(format!(r#""{name}":{{"dtype":"F32","shape":[{rows},{columns}],"data_offsets":[{start},{end}]}}"#));
    }
    let header = format!("{{{}}}", entries.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + end, 0);
    file
}
