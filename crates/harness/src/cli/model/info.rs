//! `birthmark model info`.

use clap::Args;
use lm::{LoadError, ModelConfig, Stored, Tokenizer};
use serde_json::json;

use super::ModelArgs;
use crate::cli::output::Output;
use crate::exit::Signals;
use crate::progress::count;

/// Which model.
#[derive(Debug, Args)]
pub struct InfoArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints shape, size and cost per token; no weight is read.
pub fn info(args: &InfoArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let model = args.model.find_config(signals)?;
    let config = ModelConfig::load(&model.directory)?;
    let (kind, params) = (config.model_type(), config.n_params());
    let (forward, train) = (config.flops_per_token_forward(), config.flops_per_token_train());
    let (memory, training) = (config.inference_bytes(), config.training_state_bytes());
    let stored = Stored::of(&model.directory)?;
    // a model can be looked at without its tokenizer
    let (tokenizer, missing) = match Tokenizer::find(&model.directory) {
        Ok(tokenizer) => (tokenizer, "none here".to_string()),
        Err(error @ LoadError::Tokenizer { .. }) if lm::gguf::find(&model.directory)?.is_some() => {
            (None, format!("none: {error}"))
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        return out.json(&json!({
            "model": args.model.typed(),
            "commit": model.origin.as_ref().map(|origin| &origin.commit),
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
    if let Some(origin) = &model.origin {
        out.pair("commit", &origin.commit)?;
    }
    out.pair("architecture", kind)?;
    out.pair("parameters", params)?;
    out.pair("stored as", stored.map_or("no weights here".into(), |stored| stored.to_string()))?;
    let words = |tokenizer: Tokenizer| format!("{}, ids up to {}", tokenizer.kind(), tokenizer.max_id());
    out.pair("tokenizer", tokenizer.map_or(missing, words))?;
    out.pair("vocabulary", config.vocab_size())?;
    out.pair("context", format!("{} tokens", config.context_length()))?;
    out.pair("forward", format!("{}FLOP/token (2 N)", count(forward)))?;
    out.pair("training", format!("{}FLOP/token (6 N)", count(train)))?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let cache = config.cache_bytes_per_token() as f64 / 1e3;
    out.pair("memory to run it", format!("{:.1} MB, and {cache:.1} kB per token in an answer's context", megabytes(memory)))?;
    out.pair("memory to train it", format!("{:.1} MB, and what its batches take", megabytes(training)))
}
