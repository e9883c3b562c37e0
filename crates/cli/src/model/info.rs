//! `birthmark model info`.

use std::path::PathBuf;

use clap::Args;
use lm::{LoadError, ModelConfig, Stored, Tokenizer, lora};
use serde::Serialize;
use serde_json::json;

use super::asked::ModelArgs;
use crate::exit::Signals;
use crate::output::Output;
use harness::hub::FoundModel;
use harness::progress::count;

/// Which model.
#[derive(Debug, Args)]
pub struct InfoArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// What an adapter says of itself; of its tensors nothing is read.
#[derive(Debug, Serialize)]
struct Adapter {
    base: PathBuf,
    rank: usize,
    alpha: f64,
    modules: usize,
    parameters: usize,
}

impl Adapter {
    fn of(model: &FoundModel, config: &ModelConfig) -> Result<Option<Self>, LoadError> {
        let Some(base) = &model.base else { return Ok(None) };
        let said = lora::read_config(&model.directory)?;
        let path = model.directory.join(lora::CONFIG);
        let shape = lora::AdapterShape::new(&said, config).map_err(|error| LoadError::Config { path, error })?;
        let (modules, parameters) = (shape.pairs().len(), shape.n_params());
        Ok(Some(Self { base: base.directory.clone(), rank: said.rank, alpha: said.alpha, modules, parameters }))
    }
}

/// Prints shape, size and cost per token; no weight is read.
pub fn info(args: &InfoArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let model = args.model.find_config(signals)?;
    let config = model.config()?;
    let (kind, params) = (config.model_type(), config.n_params());
    let (forward, train) = (config.flops_per_token_forward(), config.flops_per_token_train());
    let (memory, training) = (config.inference_bytes(), config.training_state_bytes());
    let root = &model.root().directory;
    let stored = Stored::of(root)?;
    // a model can be looked at without its tokenizer
    let (tokenizer, missing) = match model.tokenizer() {
        Ok(tokenizer) => (tokenizer, "none here".to_string()),
        Err(error @ LoadError::Tokenizer { .. }) if lm::gguf::find(root)?.is_some() => (None, format!("none: {error}")),
        Err(error) => return Err(error.into()),
    };
    let adapter = Adapter::of(&model, &config)?;
    if args.json {
        return out.json(&json!({
            "model": args.model.typed(),
            "commit": model.origin.as_ref().map(|origin| &origin.commit),
            "adapter": adapter,
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
    if let Some(adapter) = adapter {
        let Adapter { base, rank, alpha, modules, parameters } = adapter;
        out.pair("adapter", format!("LoRA of rank {rank}, alpha {alpha}, on {modules} matrices: {parameters} parameters"))?;
        out.pair("merged into", base.display())?;
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
