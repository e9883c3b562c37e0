//! `birthmark model generate`.

use std::time::SystemTime;

use anyhow::Context;
use clap::Args;
use lm::{ChatMessage, ChatOptions, ComputePath, Processing, Tokenizer};
use oracle::{Codec, Order, Query, Sampling, TokenId};
use serde_json::json;

use super::asked::{ModelArgs, runtime, tell};
use crate::args::{DeviceArgs, ThreadArgs, count, count_above_0};
use crate::exit::{Signals, UsageError};
use crate::output::Output;
use harness::seeds::seed_for;

/// Texts that are made at once, and held in memory.
const MOST_SAMPLES: u64 = 1 << 20;

/// Which model, what it continues, and how it draws.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// What the text begins with; with --chat, what the user says.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prompt: String,
    /// Put the prompt as the model's chat template has it, and print the answer alone.
    #[arg(long)]
    chat: bool,
    /// Longest continuation.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = count_above_0::<usize>)]
    max_new_tokens: usize,
    /// Divides the logits; 0 takes the most probable token.
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = temperature, allow_hyphen_values = true)]
    temperature: f32,
    /// Keep only this many most probable tokens; 0 keeps all.
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = count::<usize>)]
    top_k: usize,
    /// Keep the smallest set of most probable tokens with this mass.
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = top_p, allow_hyphen_values = true)]
    top_p: f32,
    /// Keep the tokens with at least this share of the most probable one's probability; 0 keeps all.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = min_p, allow_hyphen_values = true)]
    min_p: f32,
    /// In which order temperature and truncation act, as the server does that is to be imitated.
    #[arg(long, value_name = "ORDER", default_value_t = Order::DEFAULT, value_parser = str::parse::<Order>)]
    order: Order,
    /// Same seed, same text.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count::<u64>)]
    seed: u64,
    /// How many texts.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = samples)]
    samples: u64,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object per text.
    #[arg(long)]
    json: bool,
}

fn samples(text: &str) -> Result<u64, String> {
    let asked = count_above_0::<u64>(text)?;
    if asked <= MOST_SAMPLES { Ok(asked) } else { Err(format!("write {MOST_SAMPLES} or less")) }
}

fn temperature(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|t: &f32| t.is_finite() && *t >= 0.0);
    number.ok_or_else(|| "write a number, 0 (the most probable token) or more, usually 1".to_string())
}

fn top_p(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|p: &f32| *p > 0.0 && *p <= 1.0);
    number.ok_or_else(|| "write a number above 0 and at most 1".to_string())
}

fn min_p(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|p: &f32| (0.0..=1.0).contains(p));
    number.ok_or_else(|| "write 0 (keeps all) or a number up to 1".to_string())
}

/// Prints texts of the model.
pub fn generate(args: &GenerateArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let rt = runtime(ComputePath::Fused, &args.threads, &args.device, signals)?;
    let (model, tokenizer) = args.model.find(signals)?.load_with_tokenizer()?;
    tell(model.notes());
    if let Some((id, token)) = tokenizer.without_row().iter().find(|(_, token)| args.prompt.contains(token)) {
        let what = format!("--prompt holds \"{token}\", the token {id}, which the model has no row for; take it out");
        return Err(UsageError(what).into());
    }
    let prompt = if args.chat { as_message(args, &tokenizer)? } else { tokenizer.encode_document(&args.prompt) };
    if prompt.is_empty() {
        return Err(
            UsageError("--prompt is empty and the model has no token that begins a text; give it a few words".into()).into()
        );
    }
    let GenerateArgs { temperature, top_k, top_p, min_p, order, .. } = *args;
    let sampling = Sampling { temperature, top_k, top_p, min_p, order };
    let queries: Vec<Query> = (0..args.samples)
        .map(|index| Query {
            index,
            account: 0,
            prompt: prompt.clone(),
            max_new_tokens: args.max_new_tokens,
            sampling,
            seed: seed_for(args.seed, &format!("model generate {index}")),
        })
        .collect();
    let exchanges = lm::generate(&model, &queries, Processing::none(), &rt, &|_| {})
        .with_context(|| format!("generating with {}", args.model.typed()))?;
    for (index, exchange) in exchanges.iter().enumerate() {
        let shown = if args.chat { &[] } else { &exchange.query.prompt[..] };
        let ids = [shown, &exchange.answer[..]].concat();
        let text = tokenizer.decode(&ids);
        if args.json {
            out.json(&json!({ "sample": index, "text": text, "tokens": exchange.answer.len(), "stop": exchange.stop }))?;
        } else {
            if index > 0 {
                out.line("\n---\n")?;
            }
            out.line(text.trim_start())?;
        }
    }
    Ok(())
}

/// The prompt as a user's message, up to where the model answers. Templates that tell the date tell today's.
fn as_message(args: &GenerateArgs, tokenizer: &Tokenizer) -> anyhow::Result<Vec<TokenId>> {
    let options = ChatOptions { add_generation_prompt: true, now: Some(SystemTime::now()), ..ChatOptions::default() };
    let encoded = tokenizer.encode_chat(&[ChatMessage::user(&args.prompt)], &options);
    encoded.map_err(|error| UsageError(format!("--chat: {}: {error}", args.model.typed())).into())
}
