//! What a report is made from: the records of a results directory, and what is kept beside them.

use std::collections::BTreeMap;
use std::path::Path;

use results::{Caption, LossSeries, Record};
use serde::{Deserialize, Serialize};

use crate::exit::UsageError;
use crate::stages::load_json;

/// File of the records.
pub(super) const RECORDS: &str = "records.jsonl";
/// File of [`ReportInputs`].
pub(super) const REPORT: &str = "report.json";

/// What a report needs beside the records, kept in `report.json` of a results directory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportInputs {
    pub alpha: f64,
    pub caption: Caption,
    /// Of an experiment without a grid.
    pub curves: Vec<LossSeries>,
    /// Likewise.
    pub samples: Vec<String>,
    /// What `curves` and `samples` are, point by point of a grid, as far as it was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<PointInputs>,
    /// Of a joined report, where its records are from, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// The same of one point.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PointInputs {
    /// The point's own hash, which its records carry.
    pub hash: String,
    pub axes: BTreeMap<String, String>,
    pub curves: Vec<LossSeries>,
    pub samples: Vec<String>,
}

/// Reads what a report of a results directory is made from; the records are not judged yet.
///
/// # Errors
/// As [`UsageError`] when it is not a results directory, or holds what this version does not read.
pub(super) fn read(directory: &Path) -> anyhow::Result<(Vec<Record>, ReportInputs)> {
    let path = directory.join(RECORDS);
    if !path.is_file() {
        let remedy = "name a directory that `birthmark run` printed, results/<experiment>/<hash>";
        return Err(UsageError(format!("{} has no records.jsonl; {remedy}", directory.display())).into());
    }
    let unusable = |error: anyhow::Error| UsageError(format!("{error:#}"));
    let inputs: ReportInputs = load_json(&directory.join(REPORT)).map_err(unusable)?;
    Ok((results::read_records(&path).map_err(unusable)?, inputs))
}
