//! `birthmark model info`.

use std::path::PathBuf;

use clap::Args;
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

/// Prints shape, size and cost per token.
pub fn info(args: &InfoArgs, out: &mut Output) -> anyhow::Result<()> {
    let config = config_of(&args.model)?;
    let (kind, params) = (config.arch().model_type(), config.n_params());
    let (forward, train) = (config.flops_per_token_forward(), config.flops_per_token_train());
    if args.json {
        return out.json(&json!({
            "model": args.model.display().to_string(),
            "architecture": kind,
            "parameters": params,
            "vocab_size": config.vocab_size(),
            "context_length": config.context_length(),
            "forward_flop_per_token": forward,
            "train_flop_per_token": train,
            "training_state_bytes": config.training_state_bytes(),
        }));
    }
    out.pair("architecture", kind)?;
    out.pair("parameters", params)?;
    out.pair("vocabulary", config.vocab_size())?;
    out.pair("context", format!("{} tokens", config.context_length()))?;
    out.pair("forward", format!("{}FLOP/token (2 N)", count(forward)))?;
    out.pair("training", format!("{}FLOP/token (6 N)", count(train)))?;
    out.pair("training state", format!("{:.1} MB", config.training_state_bytes() as f64 / 1e6))
}
