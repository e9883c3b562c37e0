//! Real models, where `../shared` is beside the repository.

use std::fs;

use crate::support::{birthmark, manifests, shared, smoke, text};

/// Reference figures of `../shared/models/README.md`, on the first 200 stories: model, nats per token, nats per byte.
const FIGURES: [(&str, f64, f64); 2] = [("stories260k", 1.5081, 0.7548), ("llama2xs-280k", 2.1397, 1.0709)];

#[test]
fn scores_are_the_reference_figures() {
    let Some(shared) = shared("scores_are_the_reference_figures") else { return };
    let stories = shared.join("text/tinystories_recased.jsonl");
    for (model, per_token, per_byte) in FIGURES {
        let model = shared.join("models").join(model);
        let args = ["model", "score", "--json", "--rows", "200", "--model", text(&model), "--jsonl", text(&stories)];
        let score = birthmark(&args).expect_code(0).json_lines().remove(0);
        assert_eq!(score["tokens"], 50_406);
        for (key, want) in [("nats_per_token", per_token), ("nats_per_byte", per_byte)] {
            let got = score[key].as_f64().unwrap();
            assert!((got / want - 1.0).abs() < 0.001, "{}: {key} is {got}, not {want}", model.display());
        }
    }
}

#[test]
fn generated_text_is_english() {
    let Some(shared) = shared("generated_text_is_english") else { return };
    let stories = fs::read_to_string(shared.join("text/tinystories_recased.jsonl")).unwrap().to_lowercase();
    let known: std::collections::HashSet<&str> = stories.split(|c: char| !c.is_alphabetic()).collect();
    let model = shared.join("models/stories260k");
    let generate = |prompt: &str| {
        let args =
            ["--model", text(&model), "--prompt", prompt, "--max-new-tokens", "100", "--temperature", "0.7", "--seed", "1"];
        birthmark(&[&["model", "generate"], &args[..]].concat()).expect_code(0).stdout
    };
    for prompt in ["Once upon a time", "The little dog"] {
        let said = generate(prompt);
        assert!(said.starts_with(prompt), "{said}");
        let lower = said.to_lowercase();
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 1).collect();
        let (hits, n) = (words.iter().filter(|word| known.contains(*word)).count(), words.len());
        assert!(n > 30 && hits * 100 >= n * 95, "{hits} of {n} words are those of stories:\n{said}");
        assert!(["was", "the", "and", "she", "he", "to"].iter().filter(|word| words.contains(word)).count() >= 3, "{said}");
    }
}

/// Students are directories that `transformers` loads; needs no shared files.
#[test]
fn students_are_saved_in_hugging_face_form() {
    let artifacts = &smoke().artifacts;
    let students: Vec<String> = manifests(artifacts).into_keys().filter(|name| name.starts_with("student/")).collect();
    assert!(!students.is_empty());
    for student in students {
        let at = |name: &str| artifacts.join(&student).join(name);
        for name in
            ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
        {
            let text = fs::read_to_string(at(name)).unwrap_or_else(|error| panic!("{student}/{name}: {error}"));
            serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{student}/{name}: {error}"));
        }
        let config: serde_json::Value = serde_json::from_slice(&fs::read(at("config.json")).unwrap()).unwrap();
        assert_eq!(config["model_type"], "llama");
        assert_eq!(config["architectures"], serde_json::json!(["LlamaForCausalLM"]));
        let bytes = fs::read(at("model.safetensors")).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        assert_eq!(header["__metadata__"]["format"], "pt", "transformers refuses checkpoints without it");
        assert!(header["model.embed_tokens.weight"].is_object(), "Hugging Face names");
        let readme = fs::read_to_string(at("README.md")).unwrap();
        assert!(readme.starts_with("---\n") && readme.contains("\nlibrary_name: transformers\n"), "{readme}");
        let info = birthmark(&["model", "info", "--json", "--model", text(&artifacts.join(&student))]).expect_code(0);
        assert_eq!(info.json_lines()[0]["architecture"], "llama");
    }
}
