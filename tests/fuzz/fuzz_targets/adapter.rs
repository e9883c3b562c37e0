//! An `adapter_config.json` beside good weights for a small Llama: an error, or an adapter that can be merged and trained on.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use birthmark_fuzz::{CONFIG, Directory, safetensors};
use libfuzzer_sys::fuzz_target;
use lm::lora::Adapter;
use lm::{Model, ModelConfig};

static BASE: LazyLock<Model> =
    LazyLock::new(|| Model::init(&ModelConfig::parse(CONFIG, Path::new("config.json")).expect("it is good"), 1));
static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| {
    let directory = Directory::new();
    let name = |matrix: &str| format!("base_model.model.model.layers.0.self_attn.q_proj.{matrix}.weight");
    directory.put("adapter_model.safetensors", &safetensors(&[(&name("lora_A"), [2, 8]), (&name("lora_B"), [8, 2])]));
    directory
});

fuzz_target!(|input: &[u8]| {
    DIRECTORY.put("adapter_config.json", input);
    if let Ok(adapter) = Adapter::load(DIRECTORY.path(), BASE.config()) {
        assert_eq!(adapter.merged(&BASE).weights().len(), BASE.n_params());
    }
});
