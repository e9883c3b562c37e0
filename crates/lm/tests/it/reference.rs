//! Published small models: the figures their README gives, and English.

use lm::{ComputePath, Model, Processing, generate, score_texts};
use oracle::{Codec, Query};

use crate::support::{runtime, shared};

fn tiny_stories(n: usize) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(shared("text/tinystories_recased.jsonl")?).unwrap();
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_string();
    Some(text.lines().take(n).map(line).collect())
}

#[test]
fn losses_on_tiny_stories_are_the_reference_figures() {
    let (Some(models), Some(texts)) = (shared("models"), tiny_stories(200)) else { return };
    let figures = [("stories260k", 50_406, 1.5081, 0.7548), ("llama2xs-280k", 50_406, 2.1397, 1.0709)];
    for (name, tokens, per_token, per_byte) in figures {
        let (model, tokenizer) = Model::load_with_tokenizer(&models.join(name)).unwrap();
        let score = score_texts(&model, &tokenizer, &texts, 256, &runtime(2, ComputePath::Fused)).unwrap();
        println!("{name}: {score:?}");
        assert_eq!(score.tokens, tokens);
        assert!((score.nats_per_token / per_token - 1.0).abs() < 1e-3, "{name}: {score:?}");
        assert!((score.nats_per_byte / per_byte - 1.0).abs() < 1e-3, "{name}: {score:?}");
    }
}

#[test]
fn greedy_text_is_english() {
    let Some(models) = shared("models") else { return };
    let (model, tokenizer) = Model::load_with_tokenizer(&models.join("stories260k")).unwrap();
    let prompt = tokenizer.encode_document("Once upon a time");
    let query = Query::greedy(0, prompt, 120);
    let answer =
        generate(&model, &[query], Processing::none(), &runtime(1, ComputePath::Fused), &|_| {}).unwrap().remove(0).answer;
    let text = tokenizer.decode(&answer);
    println!("Once upon a time{text}");
    // The beginning of the sample that the model's author published.
    assert!(text.trim_start_matches([',', ' ']).starts_with("there was a little girl named Lily"), "{text}");
}
