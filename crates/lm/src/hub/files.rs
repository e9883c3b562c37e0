//! Which files of a repository make a model.

use super::{HubError, ModelName};
use crate::checkpoint::{INDEX, SINGLE, has_pickle_ending};

pub(super) const CONFIG: &str = "config.json";

/// An adapter: what it is, and its weights.
pub(super) const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// What a tokenizer is made of at least.
pub(super) const TOKENIZER: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];

/// Files taken when they exist.
const SMALL: [&str; 8] = [
    CONFIG,
    "generation_config.json",
    TOKENIZER[0],
    TOKENIZER[1],
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    ADAPTER[0],
];

/// How much of a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything that loading it takes.
    Whole,
    /// Its `config.json` alone, or an adapter's `adapter_config.json`.
    Config,
}

/// Which files to fetch, and which the repository does not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// In the order in which they are fetched: small ones first.
    pub(super) files: Vec<&'static str>,
    /// Wanted, were they there.
    pub(super) absent: Vec<&'static str>,
}

impl Wanted {
    /// Chooses among the files of a repository. The shards are not named yet: they stand in the index, if it is wanted.
    pub(super) fn of(name: &ModelName, listed: &[String], part: Part) -> Result<Self, HubError> {
        let has = |file: &str| listed.iter().any(|listed| listed == file);
        let lacks = |missing: &str| Err(HubError::NotAModel { name: name.clone(), missing: missing.into() });
        let adapter = ADAPTER.iter().all(|file| has(file));
        if part == Part::Config {
            if adapter && !has(SINGLE) && !has(INDEX) {
                return Ok(Self { files: vec![ADAPTER[0]], absent: Vec::new() });
            }
            return if has(CONFIG) { Ok(Self { files: vec![CONFIG], absent: Vec::new() }) } else { lacks(CONFIG) };
        }
        if !has(SINGLE) && !has(INDEX) && !adapter {
            let pickles: Vec<&str> = listed
                .iter()
                .map(String::as_str)
                .filter(|file| !file.contains('/') && has_pickle_ending(file.as_ref()))
                .collect();
            return match &pickles[..] {
                [] => lacks(SINGLE),
                [files @ .., last] if files.len() > 3 => {
                    Err(HubError::Pickle { name: name.clone(), files: format!("{} … {last}", files[0]) })
                }
                files => Err(HubError::Pickle { name: name.clone(), files: files.join(", ") }),
            };
        }
        if !has(CONFIG) && !adapter {
            return lacks(CONFIG);
        }
        let weights = [Some(SINGLE), (!has(SINGLE)).then_some(INDEX), adapter.then_some(ADAPTER[1])];
        let (files, absent) = SMALL.into_iter().chain(weights.into_iter().flatten()).partition(|file| has(file));
        Ok(Self { files, absent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(listed: &[&str]) -> Result<Wanted, HubError> {
        let listed: Vec<String> = listed.iter().map(|file| file.to_string()).collect();
        Wanted::of(&"a/b".parse().unwrap(), &listed, Part::Whole)
    }

    #[test]
    fn one_form_of_the_weights_is_taken() {
        let all =
            ["README.md", "pytorch_model.bin", "model.safetensors", "config.json", INDEX, "tokenizer.json", "onnx/model.onnx"];
        let found = wanted(&all).unwrap();
        assert_eq!(found.files, ["config.json", "tokenizer.json", "model.safetensors"]);
        assert!(found.absent.contains(&"tokenizer_config.json") && !found.absent.contains(&INDEX));
        let found = wanted(&["config.json", INDEX, "model-00001-of-00002.safetensors"]).unwrap();
        assert_eq!(found.files, ["config.json", INDEX]);
        assert!(found.absent.contains(&SINGLE));
        assert_eq!(wanted(&ADAPTER).unwrap().files, ADAPTER);
    }

    #[test]
    fn what_cannot_be_loaded_is_refused() {
        let message = |listed: &[&str]| wanted(listed).unwrap_err().to_string();
        let pickles = message(&["config.json", "pytorch_model.bin", "old/x.pt"]);
        assert!(pickles.contains("only as pickles (pytorch_model.bin)") && !pickles.contains('\n'), "{pickles}");
        let parts: Vec<String> = (1..6).map(|i| format!("pytorch_model-{i}-of-5.bin")).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        assert!(message(&parts).contains("pytorch_model-1-of-5.bin … pytorch_model-5-of-5.bin"));
        assert!(message(&["config.json", "model.gguf"]).contains("no model.safetensors"));
        assert!(message(&["model.safetensors"]).contains("no config.json"));
        assert!(message(&["adapter_config.json", "adapter_model.bin"]).contains("only as pickles (adapter_model.bin)"));
    }
}
