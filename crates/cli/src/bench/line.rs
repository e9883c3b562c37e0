//! What was measured, and how it is printed.

use clap::ValueEnum;
use serde::Serialize;

use super::marked::Timed;
use super::shapes::Shape;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum What {
    /// Independent single-threaded matrix products, one per worker.
    Ceiling,
    /// Training steps: forward, KL to a full teacher distribution, backward, AdamW; on the fused path and the generic one.
    Train,
    /// Batched sampling with a key/value cache.
    Generate,
    /// The same with every mark that changes the drawn law.
    GenerateMarked,
    /// Detection of every mark that is read from audit answers, with one key and with up to 999 decoy keys.
    Detect,
}

/// One measurement; empty where a number means nothing.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub what: What,
    pub shape: Option<Shape>,
    /// Rows trained or answered together; answers searched.
    pub batch: Option<usize>,
    /// Tokens trained, drawn or searched.
    pub tokens_per_s: Option<f64>,
    /// 6 N per trained, 2 N per drawn token, for N parameters.
    pub gflops: Option<f64>,
    /// `gflops` over those of the ceiling, both measured in turns.
    pub ceiling_share: Option<f64>,
    pub threads: usize,
    /// Which implementation trains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'static str>,
    /// Kind of the mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<&'static str>,
    /// What tells it from others of its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Answers are drawn from so many most probable tokens, where not from all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// The share of sampling throughput that the mark costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Keys tried in one detection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<usize>,
}

impl Line {
    pub fn new(what: What, threads: usize) -> Self {
        let (shape, batch, path) = (None, None, None);
        let (tokens_per_s, gflops, ceiling_share) = (None, None, None);
        let (mark, variant, top_k, cost, keys) = (None, None, None, None, None);
        Self { what, shape, batch, tokens_per_s, gflops, ceiling_share, threads, path, mark, variant, top_k, cost, keys }
    }

    /// What was measured with this mark.
    pub fn of_mark(self, timed: &Timed) -> Self {
        let variant = Some(timed.words.clone()).filter(|words| !words.is_empty());
        Self { mark: Some(timed.kind), variant, ..self }
    }

    /// Drawn from the `top_k` most probable tokens; 0 are all.
    pub fn among(self, top_k: usize) -> Self {
        Self { top_k: Some(top_k).filter(|top_k| *top_k > 0), ..self }
    }

    /// Tokens through a model of a shape: `gflops`, and the share they are of the ceiling.
    pub fn of_model(self, shape: Shape, batch: usize, tokens_per_s: f64, gflops: f64, share: f64) -> Self {
        Self {
            shape: Some(shape),
            batch: Some(batch),
            tokens_per_s: Some(tokens_per_s),
            gflops: Some(gflops),
            ceiling_share: Some(share),
            ..self
        }
    }
}

/// A line of the table.
pub fn row(line: &Line) -> String {
    let name = |value: &dyn ValueName| value.name();
    let shape = line.shape.map(|shape| name(&shape)).unwrap_or_default();
    let batch = line.batch.map(|batch| batch.to_string()).unwrap_or_default();
    let tokens = line.tokens_per_s.map(|tokens| format!("{tokens:.0}")).unwrap_or_default();
    let gflops = line.gflops.map(|gflops| format!("{gflops:.1}")).unwrap_or_default();
    let share = line.ceiling_share.map(|share| format!("{:.0} %", 100.0 * share)).unwrap_or_default();
    let cost = line.cost.map(|cost| format!("{:.0} %", 100.0 * cost)).unwrap_or_default();
    let notes = [
        line.path.map(|path| format!("{path} path")),
        line.mark.map(str::to_string),
        line.variant.clone(),
        line.top_k.map(|top_k| format!("top {top_k}")),
        line.keys.map(|keys| format!("{keys} keys")),
    ];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    let text = format!(
        "{:<15} {shape:<6} {batch:>5}  {:>7} {tokens:>12} {gflops:>9} {share:>11} {cost:>5}   {}",
        name(&line.what),
        line.threads,
        notes.join(", ")
    );
    text.trim_end().to_string()
}

/// The name by which the command line and JSON know a value.
trait ValueName {
    fn name(&self) -> String;
}

impl<T: ValueEnum> ValueName for T {
    fn name(&self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
    }
}
