//! Which model is asked, and on what.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use harness::hub::{FoundModel, Models};
use harness::progress::Progress;
use lm::{ComputePath, Runtime};

use crate::args::{DeviceArgs, ThreadArgs};
use crate::exit::{Signals, UsageError};
use crate::output::complain;

/// A model that is here or on the hub.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model directory (Hugging Face layout), GGUF file, or org/name[@revision] on the hub.
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// What an adapter (adapter_config.json, adapter_model.safetensors) is merged into, where that is not what it says.
    #[arg(long, value_name = "MODEL")]
    base: Option<String>,
}

impl ModelArgs {
    /// What was typed.
    pub fn typed(&self) -> Cow<'_, str> {
        self.model.to_string_lossy()
    }

    /// Where it is, fetched if need be.
    pub fn find(&self, signals: &Signals) -> anyhow::Result<FoundModel> {
        let (progress, typed) = (Progress::new(false), self.typed());
        here(&typed, Models::fetching(&progress, &signals.cancelled).find(&self.model, &typed, self.base.as_deref())?)
    }

    /// Where its `config.json` is, fetched if need be.
    pub fn find_config(&self, signals: &Signals) -> anyhow::Result<FoundModel> {
        let (progress, typed) = (Progress::new(false), self.typed());
        here(&typed, Models::fetching(&progress, &signals.cancelled).find_config(&self.model, &typed, self.base.as_deref())?)
    }
}

/// Says on standard error what the user of a model should know of it.
pub fn tell(notes: &[String]) {
    for note in notes {
        complain(&format!("note: {note}"));
    }
}

/// `found`, refused in words where nothing is there and what was typed names nothing on a hub.
pub fn here(typed: &str, found: FoundModel) -> anyhow::Result<FoundModel> {
    if found.directory.exists() {
        return Ok(found);
    }
    let kinds = "a model directory (config.json, model.safetensors, tokenizer.json) or a .gguf file";
    let hub = "a model on the hub is named org/name, as in openai-community/gpt2";
    Err(UsageError(format!("--model {typed}: not found: no such file or directory; name {kinds}; {hub}")).into())
}

/// Threads and a device for work on one model.
pub fn runtime(path: ComputePath, threads: &ThreadArgs, device: &DeviceArgs, signals: &Signals) -> anyhow::Result<Runtime> {
    let device = device.open()?;
    Ok(Runtime::new(threads.count(), path, Arc::clone(&signals.cancelled))?.with_device(device))
}
