//! `birthmark model score`.

use anyhow::Context;
use clap::Args;
use lm::ComputePath;
use serde_json::json;

use super::asked::{ModelArgs, runtime, tell};
use super::texts::TextArgs;
use crate::args::{DeviceArgs, ThreadArgs, count_above_0};
use crate::exit::{Signals, UsageError};
use crate::output::Output;

/// Which model on which texts.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    texts: TextArgs,
    /// Each text is cut to this many ids, the one that begins it included.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = count_above_0::<usize>)]
    max_ids: usize,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints tokens, nats per token and nats per byte.
pub fn score(args: &ScoreArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let rt = runtime(ComputePath::Fused, &args.threads, &args.device, signals)?;
    let texts = args.texts.read(signals)?;
    let found = args.model.find(signals)?;
    let (model, tokenizer) = found.load_with_tokenizer()?;
    tell(model.notes());
    let score = lm::score_texts(&model, &tokenizer, &texts, args.max_ids, &rt)
        .with_context(|| format!("scoring with {}", args.model.typed()))?;
    if score.tokens == 0 {
        let remedy = "give longer texts, or a larger --max-ids";
        return Err(UsageError(format!("{}: no token of these texts has another before it; {remedy}", args.model.typed())).into());
    }
    if !score.nats_per_token.is_finite() {
        let what = format!("{}: the loss on these texts is {}", args.model.typed(), score.nats_per_token);
        return Err(UsageError(format!("{what}; its weights are numbers, but what it computes with them in F32 is none")).into());
    }
    if args.json {
        return out.json(&json!({
            "model": args.model.typed(),
            "commit": found.origin.map(|origin| origin.commit),
            "texts": texts.len(),
            "tokens": score.tokens,
            "bytes": score.bytes,
            "nats_per_token": score.nats_per_token,
            "nats_per_byte": score.nats_per_byte,
        }));
    }
    out.pair("texts", texts.len())?;
    out.pair("tokens", score.tokens)?;
    out.pair("bytes", score.bytes)?;
    out.pair("nats/token", format!("{:.4}", score.nats_per_token))?;
    out.pair("nats/byte", format!("{:.4}", score.nats_per_byte))
}
