//! `birthmark detect`: a mark in given texts, without any model.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use corpus::{ExchangeError, judged_texts};
use harness::detection::{self, Found, Level, Texts, Wanted, in_tokens};
use harness::secret::OwnerSecret;
use lm::{ComputePath, Tokenizer};
use marks::server::Server;
use oracle::Codec;
use results::detection_table;
use serde_json::json;

use crate::args::{DeviceArgs, ThreadArgs, count};
use crate::exit::{self, PROVEN, Signals, UsageError};
use crate::model::{plain_texts, runtime};
use crate::output::{Output, complain};

/// Single texts that words tell of.
const SHOWN: usize = 20;

/// Whose mark, in which texts.
#[derive(Debug, Args)]
pub struct DetectArgs {
    #[command(flatten)]
    mark: MarkSource,
    #[command(flatten)]
    secret: SecretSource,
    /// The repetition whose key it is: one of the experiment's seeds.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count::<u64>)]
    seed: u64,
    /// Tokenizer of the model that was served: a directory with tokenizer.json, or a GGUF file.
    #[arg(long, value_name = "PATH")]
    tokenizer: PathBuf,
    #[command(flatten)]
    source: Source,
    /// The mark is proven from this p on.
    #[arg(long, value_name = "P", default_value_t = marks::ALPHA, value_parser = share)]
    alpha: f64,
    /// Decoy keys: the true one must be among the best of them. 0 tries none.
    #[arg(long, value_name = "N", default_value_t = 999, value_parser = count::<usize>)]
    decoys: usize,
    /// Names the family of decoy keys.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count::<u64>)]
    decoy_seed: u64,
    /// The probability with which as many texts as are said to be needed prove the mark.
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.8, value_parser = share)]
    power: f64,
    #[command(flatten)]
    threads: ThreadArgs,
    /// Print a JSON object for each text and one for all together instead of words.
    #[arg(long)]
    json: bool,
}

/// The mark, as it was typed or as a server has it.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "wanted")]
struct MarkSource {
    /// The mark, a line of TOML as in an experiment's [marks]: 'kgw = { gamma = 0.25, delta = 2.0, context_width = 1 }', or
    /// 'NAME.kgw = { ... }' where the mark has a name of its own there.
    #[arg(long, value_name = "TOML")]
    mark: Option<String>,
    /// What vLLM was given as --watermark-config, or the vllm_xargs of its plug-in vllm-sbw, as a JSON file; its key is in it.
    #[arg(long, value_name = "FILE")]
    vllm_config: Option<PathBuf>,
    /// transformers' generation_config.json, or the watermarking_config in it; its key is in it. Of a server that draws lists on the CPU.
    #[arg(long, value_name = "FILE")]
    hf_config: Option<PathBuf>,
}

impl MarkSource {
    fn read(&self) -> anyhow::Result<Wanted> {
        match (&self.mark, &self.vllm_config, &self.hf_config) {
            (Some(line), ..) => Ok(Wanted::parse(line)?),
            (None, Some(path), _) => Wanted::served(Server::Vllm, "--vllm-config", path),
            (None, None, Some(path)) => Wanted::served(Server::Transformers, "--hf-config", path),
            (None, None, None) => Err(UsageError("name a mark with --mark, --vllm-config or --hf-config".into()).into()),
        }
    }
}

/// The owner's secret, from which the key derives; a mark that names a server's own key needs none.
#[derive(Debug, Args)]
#[group(multiple = false, id = "owner")]
struct SecretSource {
    /// A file that holds the owner's secret, readable by its owner only (mode 600): an experiment's owner.secret_file.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The secret itself, for demonstrations: whoever lists the processes sees it. An experiment's owner.secret.
    #[arg(long, value_name = "TEXT")]
    secret: Option<String>,
}

/// A file of texts.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "texts")]
struct Source {
    /// Plain text; texts are separated by blank lines.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// JSON Lines: `ids` (token ids) or `text`, without the prompt, and where they are known `prompt_ids` or `prompt`, and `account`.
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Parquet with such columns.
    #[arg(long, value_name = "FILE")]
    parquet: Option<PathBuf>,
}

/// A number between 0 and 1, neither of them.
fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0).ok_or_else(|| "write a number between 0 and 1".to_string())
}

/// Looks for the mark and says what was found; the exit code is the verdict.
pub fn detect(args: &DetectArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let wanted = args.mark.read()?;
    let needs = wanted.entry.config()?.needs();
    let key = wanted.key(&args.secret.open(needs.served_key)?, args.seed)?;
    let tokenizer =
        Arc::new(Tokenizer::load(&args.tokenizer).with_context(|| format!("--tokenizer {}", args.tokenizer.display()))?);
    let codec: Arc<dyn Codec> = tokenizer.clone();
    let mark = wanted.build(&key, &codec)?;
    let texts = args.source.read(&tokenizer, signals)?;
    let accounts = needs.accounts;
    let without = texts.exchanges.len() as u64 - texts.with_account;
    if accounts > 0 && without > 0 {
        let what = format!("{without} texts name no account, and the mark has a key for each");
        return Err(UsageError(format!("{}: {what}; give every row its `account`", args.source.shown())).into());
    }
    if texts.cut > 0 {
        complain(&format!("note: {} texts began with their own prompt, which was cut off and is not judged", texts.cut));
    }
    let keyed = texts.exchanges.iter().filter(|text| accounts == 0 || text.query.account < accounts).count();
    if keyed < texts.exchanges.len() {
        complain(&format!("note: {} texts are of accounts that have no key, and are left out", texts.exchanges.len() - keyed));
    }
    let level = Level { alpha: args.alpha, decoys: args.decoys, decoy_seed: args.decoy_seed, power: args.power };
    let cpu = DeviceArgs { device: lm::DeviceName::Cpu };
    let rt = runtime(ComputePath::Fused, &args.threads, &cpu, signals)?;
    let found = rt.pool.install(|| detection::detect(&*mark, &texts.exchanges, &level))?;
    if args.json {
        for one in &found.all {
            out.json(one)?;
        }
        out.json(&json!({
            "mark": { &wanted.name: wanted.shown()? },
            "key": key.name(),
            "tokenizer": args.tokenizer.display().to_string(),
            "file": args.source.shown(),
            "texts": texts.exchanges.len(),
            "as_ids": texts.ids,
            "prompts_cut": texts.cut,
            "alpha": args.alpha,
            "alpha_of_each_account": found.alpha,
            "power": args.power,
            "proven": found.proven,
        }))?;
    } else {
        words(args, &wanted, &texts, &found, out)?;
    }
    out.flush()?;
    if found.proven { Err(exit::Found { code: PROVEN, text: String::new() }.into()) } else { Ok(()) }
}

fn words(args: &DetectArgs, wanted: &Wanted, texts: &Texts, found: &Found, out: &mut Output) -> anyhow::Result<()> {
    let n = texts.exchanges.len() as u64;
    let form = match texts.ids {
        0 => "as text, in what the tokenizer makes of it".to_string(),
        ids if ids == n => "as token ids".to_string(),
        ids => format!("{ids} as token ids, the others as text"),
    };
    out.line(&format!("{}: mark `{}` in {n} texts, {form}\n", args.source.shown(), wanted.name))?;
    out.line(&detection_table(&found.all, SHOWN, Some(120)))?;
    let power = args.power;
    out.line(&format!("texts needed: texts like these that prove the mark at {} with probability {power}", found.alpha))?;
    out.line(&format!("\nmark {} at {}", if found.proven { "proven" } else { "not proven" }, found.alpha))
}

impl SecretSource {
    /// `served` says that the mark names its key.
    fn open(&self, served: bool) -> anyhow::Result<OwnerSecret> {
        let refused = |what: String| Err(UsageError(what).into());
        match (&self.secret_file, &self.secret) {
            (Some(path), _) => {
                OwnerSecret::from_file(path, None).or_else(|(what, remedy)| refused(format!("--secret-file: {what}; {remedy}")))
            }
            (None, Some(text)) if text.is_empty() => {
                refused("--secret: it is empty; write the owner's secret, or name a file with --secret-file".to_string())
            }
            (None, Some(text)) => Ok(OwnerSecret::public(text, None)),
            // the key is the server's: what is derived beside it plays no part
            (None, None) if served => Ok(OwnerSecret::public("a server's own key", None)),
            (None, None) => {
                let what = "the key of this mark derives from the owner's secret";
                refused(format!("{what}; name it with --secret-file FILE, or --secret TEXT"))
            }
        }
    }
}

impl Source {
    fn shown(&self) -> String {
        let path = self.text.as_ref().or(self.jsonl.as_ref()).or(self.parquet.as_ref());
        path.map_or_else(String::new, |path| path.display().to_string())
    }

    fn read(&self, tokenizer: &Tokenizer, signals: &Signals) -> anyhow::Result<Texts> {
        if let Some(path) = &self.text {
            let texts = in_tokens(plain_texts(path, signals)?, tokenizer);
            return texts.map_err(|(what, remedy)| UsageError(format!("{}: {what}; {remedy}", path.display())).into());
        }
        let Some(path) = self.jsonl.as_ref().or(self.parquet.as_ref()) else {
            return Err(UsageError("name a file with --text, --jsonl or --parquet".into()).into());
        };
        let mut texts = Texts::default();
        for row in judged_texts(path)? {
            if signals.cancelled.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(lm::RunError::Cancelled.into());
            }
            let (place, row) = row?;
            texts.push(row, tokenizer).map_err(|(what, remedy)| ExchangeError::row(path, place, what, remedy))?;
        }
        Ok(texts)
    }
}
