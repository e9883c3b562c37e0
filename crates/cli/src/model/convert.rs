//! `birthmark model convert`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use lm::ModelCard;

use super::asked::{ModelArgs, tell};
use crate::exit::{Signals, UsageError};
use crate::output::Output;

/// Which model, and where to.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Directory to make; it must not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the model as one safetensors file of `F32`, with a `config.json` that transformers 4 and 5 read.
pub fn convert(args: &ConvertArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let place = args.out.display();
    if args.out.symlink_metadata().is_ok() {
        return Err(UsageError(format!("--out: {place} exists already; name a directory that does not")).into());
    }
    let found = args.model.find(signals)?;
    let (model, tokenizer) = (found.load()?, found.tokenizer()?);
    tell(model.notes());
    tell(tokenizer.as_ref().map_or(&[], |tokenizer| tokenizer.notes()));
    let body = match found.base {
        None => format!("Converted from {} by birthmark; the weights are the same numbers in `F32`.", args.model.typed()),
        Some(_) => format!("The adapter {}, merged into its base by birthmark; weights in `F32`.", args.model.typed()),
    };
    let card = ModelCard { title: model.config().model_type().to_string(), body, ..ModelCard::default() };
    // a directory appears under its name when it is whole
    let parent = args.out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let scratch = parent.join(format!(".{}.{}", args.out.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
    // a new one: whatever stands there already may lead elsewhere
    let made = std::fs::create_dir_all(parent).and_then(|()| std::fs::create_dir(&scratch));
    made.with_context(|| format!("--out: {}: making the directory", scratch.display()))?;
    let written = model.save(&scratch, tokenizer.as_ref(), &card).and_then(|()| Ok(std::fs::rename(&scratch, &args.out)?));
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&scratch);
    }
    written?;
    out.pair("written", place)?;
    out.pair("parameters", model.n_params())?;
    out.pair("tokenizer", tokenizer.map_or("none".into(), |tokenizer| format!("ids up to {}", tokenizer.size() - 1)))
}
