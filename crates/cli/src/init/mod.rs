//! `birthmark init`: an experiment file to begin with.
//!
//! What is written is checked as every file is before it is written, and nothing that is there is ever overwritten.

mod sizes;
mod template;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use corpus::from_file;
use harness::exit::{NotHereYet, WillBeFetched};
use harness::grid;
use harness::hub::{FoundModel, Models};
use harness::loaded::project_root;
use harness::resolve::resolve_grid;

use crate::exit::UsageError;
use crate::model::here;
use crate::output::Output;
use sizes::{Own, Sizes};
use template::{Corpus, Template};

/// The dataset of the quickstart, for whoever brings no texts.
const GRAMMAR: &str = include_str!("../../../../datasets/quickstart.toml");
/// Where it lies in this repository.
const GRAMMAR_HERE: &str = "datasets/quickstart.toml";

/// What to write, about what.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// File to write (.toml); it must not exist.
    #[arg(default_value = "experiment.toml")]
    file: PathBuf,
    /// Your model, which becomes the teacher: a Hugging Face directory, a GGUF file, an adapter, or org/name[@revision] on the hub.
    /// Without it a small one is trained.
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Your texts, from which prompts are drawn: .txt with blank lines between records, .jsonl or .parquet. Without it they are
    /// generated.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// The key or column of a .jsonl or .parquet file that holds the text.
    #[arg(long, value_name = "NAME", default_value = "text")]
    column: String,
}

/// Writes the file.
pub fn init(args: &InitArgs, out: &mut Output) -> anyhow::Result<()> {
    let place = args.file.display();
    if args.file.extension().is_none_or(|kind| kind != "toml") {
        return Err(UsageError(format!("{place}: an experiment file ends in .toml; name one that does")).into());
    }
    // a link that leads nowhere is there too
    if std::fs::symlink_metadata(&args.file).is_ok() {
        return Err(UsageError(format!("{place} exists already, and nothing is overwritten; name another file")).into());
    }
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(UsageError(format!("{place}: there is no folder {}; make it first", folder.display())).into());
    }
    let root = project_root(&std::path::absolute(&args.file)?);
    let own = own(args)?;
    let mut beside = None;
    let corpus = match &args.text {
        Some(path) => Corpus::File { path: written(&root, path)?, column: args.column.clone() },
        None if std::fs::read(root.join(GRAMMAR_HERE)).is_ok_and(|bytes| bytes == GRAMMAR.as_bytes()) => {
            Corpus::Grammar(GRAMMAR_HERE.into())
        }
        None => {
            let path = args.file.with_file_name(format!("{}-texts.toml", stem(&args.file)));
            let grammar = written(&root, &path)?;
            beside = Some(path);
            Corpus::Grammar(grammar)
        }
    };
    let model = match &args.model {
        Some(path) if path.exists() => Some(written(&root, path)?),
        Some(path) => Some(path.to_string_lossy().into_owned()),
        None => None,
    };
    let sizes = Sizes::of(&own).map_err(UsageError)?;
    let text = Template { name: name(&args.file), corpus, model, sizes }.text();
    if let Some(path) = &beside {
        write_new(path, GRAMMAR)?;
    }
    let kept = checked(&args.file, &text).and_then(|()| write_new(&args.file, &text));
    if let (Err(_), Some(path)) = (&kept, &beside) {
        let _ = std::fs::remove_file(path);
    }
    kept?;
    out.pair("written", &place)?;
    if let Some(path) = &beside {
        out.pair("and its texts", path.display())?;
    }
    out.pair("what it will cost", format!("birthmark check {place}"))?;
    out.pair("the run", format!("birthmark run {place}"))
}

/// What was brought, as far as sizes follow from it.
fn own(args: &InitArgs) -> anyhow::Result<Own> {
    let mut own = Own::default();
    if let Some(path) = &args.text {
        let texts = from_file(path, &args.column, 0).with_context(|| format!("--text {}", path.display()))?;
        own.texts = Some(texts);
    }
    if let Some(path) = &args.model {
        let typed = path.to_string_lossy();
        let found: FoundModel = match Models::cached().find(path, &typed, None) {
            // whatever it is, a run will fetch it, and say what does not fit
            Err(error) if error.is::<WillBeFetched>() => return Ok(own),
            found => here(&typed, found.with_context(|| format!("--model {typed}"))?)?,
        };
        own.context = Some(found.config().with_context(|| format!("--model {typed}"))?.context_length());
        own.tokenizer = found.tokenizer().with_context(|| format!("--model {typed}"))?;
        if own.tokenizer.is_none() {
            return Err(UsageError(format!("--model {typed}: no tokenizer.json; put the model's beside it")).into());
        }
    }
    Ok(own)
}

/// Refuses a text that `check` would refuse.
fn checked(file: &Path, text: &str) -> anyhow::Result<()> {
    let loaded = grid::from_text(file, text, &[])?;
    match resolve_grid(&loaded, &Models::cached(), &lm::Device::cpu()) {
        Err(error) if error.is::<NotHereYet>() => Ok(()),
        resolved => resolved.map(drop),
    }
}

/// `path` as an experiment file whose paths start at `root` writes it.
fn written(root: &Path, path: &Path) -> anyhow::Result<String> {
    let whole = std::path::absolute(path)?;
    let short = whole.strip_prefix(root).map(Path::to_path_buf).unwrap_or(whole);
    match short.to_str() {
        Some(text) => Ok(text.to_string()),
        None => {
            Err(UsageError(format!("{}: an experiment file cannot write this path, which is not UTF-8", path.display())).into())
        }
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name of the experiment: that of its file, as far as a folder may be called so.
fn name(file: &Path) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = stem(file).chars().map(fits).collect();
    if name.is_empty() { "experiment".into() } else { name }
}

/// Writes a file that was not there; one that came in between stays as it is.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let place = path.display();
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => UsageError(format!("{place} exists already, and nothing is overwritten; name another file")),
        _ => UsageError(format!("{place}: cannot be written: {error}; name another place")),
    })?;
    file.write_all(text.as_bytes()).with_context(|| format!("{place}: writing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_is_called_as_its_file() {
        for (file, called) in [("a/My test.toml", "My-test"), ("x_1.toml", "x_1"), (".toml", "-toml")] {
            assert_eq!(name(Path::new(file)), called);
        }
    }
}
