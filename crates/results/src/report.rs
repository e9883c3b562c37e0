use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use store::StoreError;

use crate::figure::is_worth_a_heat_map;
use crate::{
    Arm, Caption, Figure, Kind, LossSeries, Record, Width, effect_figure, heat_figure, loss_figure, survival_figure,
    write_metrics, write_records, write_separation, write_summary,
};

/// What the file names of the narrow figures end with.
const NARROW: &str = "-column";

/// What [`write_report`] wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportFiles {
    /// Every file, in the order written.
    pub files: Vec<PathBuf>,
}

/// Writes into `dir`, each file atomically: `records.jsonl`, `summary.csv`, `metrics.csv`, `separation.csv`, and as SVG, PNG and PDF the figures `survival` (evidence and
/// effect against queries, with the students' worth), `effect` (effect alone), `heat` (if there are enough marks) and `loss` (if there are `curves`), each two columns wide
/// and, as `NAME-column`, one. `records` must have been judged at `alpha`. Files that are there are replaced, figures that these records do
/// not give are removed; nothing else is touched.
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
    write_summary(&files[1], records, alpha)?;
    files.push(dir.join("metrics.csv"));
    write_metrics(&files[2], records)?;
    files.push(dir.join("separation.csv"));
    write_separation(&files[3], records)?;
    let curves = with_losses(curves, records);
    // curves of losses have neither points of one test nor verdicts
    let of_training = Caption { statistics: String::new(), ..caption.clone() };
    let subtitle = of_training.lines(records).join("  \u{b7}  ");
    let apart = "points: effects, those of one budget set apart sideways";
    let of_effects = Caption { statistics: apart.into(), ..caption.clone() };
    let survival = |width| survival_figure(records, caption, alpha, width);
    let effect = |width| effect_figure(records, &of_effects, alpha, width);
    let of_cells = Caption { statistics: String::new(), ..caption.clone() };
    let heat = |width| heat_figure(records, &of_cells, width);
    let loss = |width| loss_figure(&curves, &caption.title, &subtitle, width);
    let mut drawings: Vec<(&str, &Draw<'_>)> = Vec::new();
    if records.iter().any(|record| record.kind == Kind::Mark) {
        drawings.extend([("survival", &survival as &Draw<'_>), ("effect", &effect)]);
    }
    if is_worth_a_heat_map(records) {
        drawings.push(("heat", &heat));
    }
    if !curves.is_empty() {
        drawings.push(("loss", &loss));
    }
    remove_others(dir, &drawings)?;
    files.extend(draw_all(dir, &drawings)?);
    Ok(ReportFiles { files })
}

/// Every figure there may be.
const FIGURES: [&str; 4] = ["survival", "effect", "heat", "loss"];

/// Removes the figures of other records: beside these they would say what is not so.
fn remove_others(dir: &Path, drawings: &[(&str, &Draw<'_>)]) -> anyhow::Result<()> {
    for name in FIGURES.into_iter().filter(|name| drawings.iter().all(|(drawn, _)| drawn != name)) {
        for (ending, kind) in ["", NARROW].into_iter().flat_map(|ending| ["svg", "png", "pdf"].map(|kind| (ending, kind))) {
            let path = dir.join(format!("{name}{ending}.{kind}"));
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::io(&path, "remove it", e).into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Draws a figure in a width.
type Draw<'a> = dyn Fn(Width) -> anyhow::Result<Figure> + Sync + 'a;

/// Draws and writes each of `drawings` in both widths, all at once, and returns the files: the wide ones first.
fn draw_all(dir: &Path, drawings: &[(&str, &Draw<'_>)]) -> anyhow::Result<Vec<PathBuf>> {
    std::thread::scope(|scope| {
        let mut drawn = Vec::new();
        for (width, ending) in [(Width::Two, ""), (Width::One, NARROW)] {
            for (name, draw) in drawings {
                let name = format!("{name}{ending}");
                drawn.push(scope.spawn(move || draw(width).with_context(|| format!("drawing `{name}`"))?.write(dir, &name)));
            }
        }
        let mut files = Vec::new();
        for written in drawn {
            files.extend(written.join().map_err(|_| anyhow!("a figure could not be drawn"))??);
        }
        Ok(files)
    })
}

/// Curves with the names of their losses. Files of earlier versions do not say them: a model that was not distilled learned from text, and
/// the loss of a student is that of the records whose surface its group names, if they agree.
fn with_losses(curves: &[LossSeries], records: &[Record]) -> Vec<LossSeries> {
    let loss = |curve: &LossSeries| {
        if !curve.arm.is_distilled() {
            return Some("cross_entropy".to_string());
        }
        let of_surface = |r: &&Record| r.arm == Arm::Student && curve.group.contains(&format!(", {},", r.surface));
        let found: std::collections::BTreeSet<&str> = records.iter().filter(of_surface).map(|r| r.loss.as_str()).collect();
        found.first().filter(|_| found.len() == 1).map(|loss| loss.to_string())
    };
    curves.iter().map(|curve| LossSeries { loss: curve.loss.clone().or_else(|| loss(curve)), ..curve.clone() }).collect()
}
