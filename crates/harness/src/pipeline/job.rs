//! What is run, how, and what came of it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::seal::Seal;
use crate::resolve::Grid;

/// Records as they come, while a run is under way.
pub(super) const JOURNAL: &str = "records.partial.jsonl";

/// Where and how an experiment runs: nothing here changes a result.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Results go to `<results>/<experiment>/<hash8>/`.
    pub results: PathBuf,
    /// Artifacts by hash.
    pub artifacts: PathBuf,
    /// Make no artifact: one that is missing or damaged ends the run.
    pub offline_artifacts: bool,
    /// Wall time between two checkpoints of a training; zero saves one after every step.
    pub checkpoint_every: Duration,
    /// Worker threads.
    pub threads: usize,
    /// Answers a worker samples together; `None` leaves it to the runtime.
    pub decode_rows: Option<usize>,
    /// Revision of the source that the program was built from, for the manifest.
    pub revision: &'static str,
    /// The command line, program included, for the manifest.
    pub command: Vec<String>,
    /// Every `--set` of it, likewise.
    pub sets: Vec<String>,
}

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// Every point.
    pub grid: &'a Grid,
    /// Those to run now, as positions in [`Grid::points`].
    pub chosen: &'a [usize],
    /// Whether the first point that fails ends the run.
    pub fail_fast: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The results directory.
    pub directory: PathBuf,
    /// The table that says in words what survived; empty when nothing was found.
    pub table: String,
    /// The same for programs: one JSON object per line.
    pub lines: Vec<Value>,
    /// Negatives whose true key fires, a line of words each.
    pub false_positives: Vec<String>,
    /// Conditions of `[expect]` that are broken, a line each that names the condition and what was found.
    pub broken: Vec<String>,
    /// Points that failed, in the order of the grid.
    pub failures: Vec<Failure>,
    /// Whether the records are what a run wrote.
    pub seal: Seal,
}

impl Outcome {
    /// Of a run that found nothing.
    pub(super) fn nothing(directory: PathBuf, failures: Vec<Failure>) -> Self {
        let (false_positives, broken) = (Vec::new(), Vec::new());
        Self { directory, table: String::new(), lines: Vec::new(), false_positives, broken, failures, seal: Seal::Whole }
    }
}

/// A point that failed.
#[derive(Debug)]
pub struct Failure {
    /// Its position in [`Grid::points`].
    pub number: usize,
    /// Why.
    pub error: anyhow::Error,
}
