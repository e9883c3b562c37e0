//! `birthmark model info`.

use std::path::PathBuf;

use clap::Args;
use lm::{LoadError, ModelConfig, Stored, Tokenizer, lora};
use serde::Serialize;
use serde_json::json;

use super::asked::ModelArgs;
use crate::exit::Signals;
use crate::output::Output;
use harness::hub::{FoundModel, Said};
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
    let root = &model.root().directory;
    // a model can be looked at without its tokenizer, but not with one that belongs to another
    let (said, missing) = match model.said() {
        Ok(said) => (said, "none here".to_string()),
        Err(error @ LoadError::Tokenizer { .. })
            if lm::gguf::find(root)?.is_some() && Tokenizer::find(model.tokenizer_place()).is_err() =>
        {
            let config = model.config()?;
            let notes = config.notes().to_vec();
            (Said { config, tokenizer: None, notes }, format!("none: {error}"))
        }
        Err(error) => return Err(error.into()),
    };
    let Said { config, tokenizer, notes } = said;
    let (kind, params) = (config.model_type(), config.n_params());
    let (forward, train) = (config.flops_per_token_forward(), config.flops_per_token_train());
    let (memory, training) = (config.inference_bytes(), config.training_state_bytes());
    let stored = Stored::of(root)?;
    let (rows, used) = (config.vocab_size(), tokenizer.as_ref().map(|tokenizer| tokenizer.size() - tokenizer.absent().len()));
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
            "tokenizer": tokenizer.as_ref().map(|tokenizer| json!({ "kind": tokenizer.kind(), "max_id": tokenizer.size() - 1 })),
            "vocab_size": rows,
            "rows_without_token": used.map(|used| rows - used),
            "context_length": config.context_length(),
            "forward_flop_per_token": forward,
            "train_flop_per_token": train,
            "inference_bytes": memory,
            "cache_bytes_per_token": config.cache_bytes_per_token(),
            "training_state_bytes": training,
            "notes": notes,
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
    let words = |tokenizer: Tokenizer| format!("{}, ids up to {}", tokenizer.kind(), tokenizer.size() - 1);
    out.pair("tokenizer", tokenizer.map_or(missing, words))?;
    let idle = used.map(|used| rows - used).filter(|idle| *idle > 0);
    let idle = idle.map_or(String::new(), |idle| format!(" rows, {idle} of them for no token"));
    out.pair("vocabulary", format!("{rows}{idle}"))?;
    out.pair("context", format!("{} tokens", config.context_length()))?;
    out.pair("forward", format!("{}FLOP/token (2 N)", count(forward)))?;
    out.pair("training", format!("{}FLOP/token (6 N)", count(train)))?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let cache = config.cache_bytes_per_token() as f64 / 1e3;
    out.pair("memory to run it", format!("{:.1} MB, and {cache:.1} kB per token in an answer's context", megabytes(memory)))?;
    out.pair("memory to train it", format!("{:.1} MB, and what its batches take", megabytes(training)))?;
    notes.iter().try_for_each(|note| out.pair("note", note))
}
