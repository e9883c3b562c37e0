//! What a report is made from: the records of a results directory, and what is kept beside them.

use std::collections::BTreeMap;
use std::path::Path;

use results::{Caption, Expectation, LossSeries, Record};
use serde::{Deserialize, Serialize};
use store::Hash;

use super::seal::{RECORDS, Seal};
use crate::exit::UsageError;
use crate::stages::load_json;

/// File of [`ReportInputs`].
pub(super) const REPORT: &str = "report.json";

/// What a report needs beside the records, kept in `report.json` of a results directory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportInputs {
    pub alpha: f64,
    pub caption: Caption,
    /// Conditions on the records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<String, Expectation>,
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
    /// Of a report that lies elsewhere than the results it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Elsewhere>,
}

/// The seal of a report that lies elsewhere, which has no `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Elsewhere {
    /// What the seals of the results said.
    pub results: Seal,
    /// SHA-256 of the records that were written here.
    pub records_sha256: Hash,
}

impl Elsewhere {
    /// Of the records in `directory`, which have just been written from results with this seal.
    pub fn of(directory: &Path, results: Seal) -> anyhow::Result<Self> {
        Ok(Self { results, records_sha256: store::hash_bytes(&store::read_plain(&directory.join(RECORDS))?) })
    }

    /// What is to be said of the records in `directory`.
    fn seal(&self, directory: &Path) -> Seal {
        match Self::of(directory, self.results) {
            Ok(now) if now == *self => self.results,
            _ => Seal::Broken,
        }
    }
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

/// Reads what a report of a results directory is made from, and whether the records are what a run wrote; they are not judged yet.
///
/// # Errors
/// As [`UsageError`] when it is not a results directory, or holds what this version does not read.
pub(super) fn read(directory: &Path) -> anyhow::Result<(Vec<Record>, ReportInputs, Seal)> {
    let path = directory.join(RECORDS);
    let remedy = "name a directory that `birthmark run` printed, results/<experiment>/<hash>";
    if path.symlink_metadata().is_err() {
        return Err(UsageError(format!("{} has no records.jsonl; {remedy}", directory.display())).into());
    }
    if let Some(why) = store::why_no_file(&path) {
        return Err(UsageError(format!("{why}; {remedy}")).into());
    }
    let unusable = |error: anyhow::Error| UsageError(format!("{error:#}"));
    let inputs = directory.join(REPORT);
    if inputs.symlink_metadata().is_err() {
        let said = "which says how its figures are drawn; run the experiment again, which writes it from what it kept";
        return Err(UsageError(format!("{} has no {REPORT}, {said}", directory.display())).into());
    }
    let inputs: ReportInputs = load_json(&inputs).map_err(unusable)?;
    let seal = inputs.elsewhere.as_ref().map_or_else(|| Seal::of(directory), |elsewhere| elsewhere.seal(directory));
    Ok((results::read_records(&path).map_err(unusable)?, inputs, seal))
}
