use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::{
    Caption, Figure, Kind, LossSeries, Record, effect_figure, loss_figure, survival_figure, write_records, write_summary,
};

/// What [`write_report`] wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportFiles {
    /// Every file, in the order written.
    pub files: Vec<PathBuf>,
}

/// Writes into `dir`, each file atomically: `records.jsonl`, `summary.csv`, and as SVG and PNG the figures `survival` (evidence
/// against queries), `effect` (effect per unit against queries) and `loss` (if there are `curves`). `records` must have been
/// judged. Files that are there are replaced; nothing else is touched.
///
/// # Errors
/// When a file cannot be written, or no student was measured.
pub fn write_report(
    dir: &Path,
    records: &[Record],
    curves: &[LossSeries],
    caption: &Caption,
    alpha: f64,
) -> anyhow::Result<ReportFiles> {
    let mut files = Vec::new();
    files.push(dir.join("records.jsonl"));
    write_records(&files[0], records)?;
    files.push(dir.join("summary.csv"));
    write_summary(&files[1], records)?;
    let mut draw = |name: &str, figure: anyhow::Result<Figure>| -> anyhow::Result<()> {
        let figure = figure.with_context(|| format!("drawing `{name}`"))?;
        files.extend(figure.write(dir, name)?);
        Ok(())
    };
    if records.iter().any(|record| record.kind == Kind::Mark) {
        draw("survival", survival_figure(records, caption, alpha))?;
        draw("effect", effect_figure(records, caption))?;
    }
    if !curves.is_empty() {
        draw("loss", loss_figure(curves, &caption.title, &caption.lines(records).join(" \u{b7} ")))?;
    }
    Ok(ReportFiles { files })
}
