//! `birthmark model info`.

use std::path::PathBuf;

use clap::Args;
use lm::{Stored, Tokenizer};
use serde_json::json;

use crate::cli::output::Output;
use crate::progress::count;
use crate::shapes::config_of;

/// Which model.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Model directory (Hugging Face layout).
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints shape, size and cost per token; no weight is read.
pub fn info(args: &InfoArgs, out: &mut Output) -> anyhow::Result<()> {
    let config = config_of(&args.model)?;
    let (kind, params) = (config.arch().model_type(), config.n_params());
    let (forward, train) = (config.flops_per_token_forward(), config.flops_per_token_train());
    let (memory, training) = (config.inference_bytes(), config.training_state_bytes());
    let stored = Stored::of(&args.model)?;
    let tokenizer = match args.model.join("tokenizer.json").exists() {
        true => Some(Tokenizer::load(&args.model)?),
        false => None,
    };
    if args.json {
        return out.json(&json!({
            "model": args.model.display().to_string(),
            "architecture": kind,
            "parameters": params,
            "dtypes": stored.as_ref().map(|stored| &stored.dtypes),
            "files": stored.as_ref().map(|stored| stored.files),
            "tokenizer": tokenizer.as_ref().map(|tokenizer| json!({ "kind": tokenizer.kind(), "max_id": tokenizer.max_id() })),
            "vocab_size": config.vocab_size(),
            "context_length": config.context_length(),
            "forward_flop_per_token": forward,
            "train_flop_per_token": train,
            "inference_bytes": memory,
            "cache_bytes_per_token": config.cache_bytes_per_token(),
            "training_state_bytes": training,
        }));
    }
    out.pair("architecture", kind)?;
    out.pair("parameters", params)?;
    out.pair("stored as", stored.map_or("no weights here".into(), |stored| stored.to_string()))?;
    let words = |tokenizer: Tokenizer| format!("{}, ids up to {}", tokenizer.kind(), tokenizer.max_id());
    out.pair("tokenizer", tokenizer.map_or("none here".into(), words))?;
    out.pair("vocabulary", config.vocab_size())?;
    out.pair("context", format!("{} tokens", config.context_length()))?;
    out.pair("forward", format!("{}FLOP/token (2 N)", count(forward)))?;
    out.pair("training", format!("{}FLOP/token (6 N)", count(train)))?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let cache = config.cache_bytes_per_token() as f64 / 1e3;
    out.pair("memory to run it", format!("{:.1} MB, and {cache:.1} kB per token in an answer's context", megabytes(memory)))?;
    out.pair("memory to train it", format!("{:.1} MB, and what its batches take", megabytes(training)))
}
