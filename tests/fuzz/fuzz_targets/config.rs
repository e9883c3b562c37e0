//! A `config.json`: an error, or a configuration that has a layout and reads back as what it writes.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use lm::ModelConfig;

fuzz_target!(|input: &str| {
    let path = Path::new("config.json");
    let Ok(config) = ModelConfig::parse(input, path) else { return };
    let parameters = config.layout().parameters().len();
    assert!(parameters > 0 && config.n_params() > 0);
    let _ = (config.inference_bytes(), config.training_state_bytes(), config.cache_bytes_per_token());
    let written = config.arch().config_json().to_string();
    match ModelConfig::parse(&written, path) {
        Ok(again) => assert_eq!(again, config, "what is written reads back"),
        Err(error) => panic!("what is written does not read back: {error}"),
    }
});
