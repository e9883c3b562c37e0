//! `birthmark model info`.

use clap::Args;
use serde_json::json;

use super::ModelArgs;
use crate::cli::output::Output;
use crate::exit::Signals;
use crate::progress::count;
use crate::shapes::config_of;

/// Which model.
#[derive(Debug, Args)]
pub struct InfoArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints shape, size and cost per token.
pub fn info(args: &InfoArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let model = args.model.find_config(signals)?;
    let config = config_of(&model.directory)?;
    let (kind, params) = (config.arch().model_type(), config.n_params());
    let (forward, train) = (config.flops_per_token_forward(), config.flops_per_token_train());
    if args.json {
        return out.json(&json!({
            "model": args.model.typed(),
            "commit": model.origin.as_ref().map(|origin| &origin.commit),
            "architecture": kind,
            "parameters": params,
            "vocab_size": config.vocab_size(),
            "context_length": config.context_length(),
            "forward_flop_per_token": forward,
            "train_flop_per_token": train,
            "training_state_bytes": config.training_state_bytes(),
        }));
    }
    if let Some(origin) = &model.origin {
        out.pair("commit", &origin.commit)?;
    }
    out.pair("architecture", kind)?;
    out.pair("parameters", params)?;
    out.pair("vocabulary", config.vocab_size())?;
    out.pair("context", format!("{} tokens", config.context_length()))?;
    out.pair("forward", format!("{}FLOP/token (2 N)", count(forward)))?;
    out.pair("training", format!("{}FLOP/token (6 N)", count(train)))?;
    out.pair("training state", format!("{:.1} MB", config.training_state_bytes() as f64 / 1e6))
}
