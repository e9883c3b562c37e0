use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets};

use crate::finding::{Finding, false_positives, findings};
use crate::summary::metrics_by_suspect;
use crate::words::{median, number, p_value, queries};
use crate::{Arm, Record, SuspectKey, false_positive_rates};

/// Metrics of the second table: name, heading.
const SHOWN: [(&str, &str); 10] = [
    ("held_out_loss", "held-out loss"),
    ("held_out_loss_per_byte", "by byte"),
    ("aligned_tokens", "aligned"),
    ("agreement", "agreement"),
    ("kl", "KL"),
    ("exact_match", "exact match"),
    ("refusal_rate", "refusals"),
    ("queries", "queries"),
    ("answer_tokens", "answer tokens"),
    ("train_flop", "FLOP"),
];

/// What survived, in words, for a terminal `width` columns wide (unlimited if `None`): one table of marks, one of what each
/// suspect is worth and cost, the measured false-positive rates, and any false positive. `records` must have been judged.
pub fn survival_table(records: &[Record], alpha: f64, width: Option<u16>) -> String {
    let mut parts = vec![marks(&findings(records), width), suspects(records, width)];
    let rates = false_positive_rates(records, alpha);
    if !rates.is_empty() {
        let lines: Vec<String> = rates.iter().map(|rate| format!("  {}", rate.sentence())).collect();
        parts.push(format!("False-positive rate of decoy keys\n{}", lines.join("\n")));
    }
    let fired = false_positives(records);
    if !fired.is_empty() {
        parts.push(fired.join("\n"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn marks(findings: &[Finding], width: Option<u16>) -> String {
    if findings.is_empty() {
        return "no student was measured".to_string();
    }
    let several_losses = findings.iter().any(|f| findings.iter().any(|g| g.surface == f.surface && g.loss != f.loss));
    let largest = findings.iter().map(|f| f.n_star.largest).max().unwrap_or_default();
    let same_largest = findings.iter().all(|f| f.n_star.largest == largest);
    let mut table = empty(width);
    table.set_header(vec![
        "mark".to_string(),
        "surface".to_string(),
        "N*".to_string(),
        "p teacher".to_string(),
        if same_largest { format!("p student, {}", queries(largest)) } else { "p student, largest budget".to_string() },
        "p control".to_string(),
        "what survived".to_string(),
    ]);
    for finding in findings {
        let p = |log10_p: Option<f64>| log10_p.map_or("-".to_string(), p_value);
        let surface = if several_losses { format!("{}, {}", finding.surface, finding.loss) } else { finding.surface.clone() };
        let words = match &finding.detail {
            Some(detail) => format!("{} ({detail})", finding.sentence),
            None => finding.sentence.clone(),
        };
        table.add_row(vec![
            finding.mark.clone(),
            surface,
            finding.n_star.words(),
            p(finding.teacher_log10_p),
            p(finding.student_log10_p),
            p(finding.control_log10_p),
            words,
        ]);
    }
    table.trim_fmt()
}

fn suspects(records: &[Record], width: Option<u16>) -> String {
    type Row = (usize, String, String, Option<u64>, Arm);
    let mut rows: BTreeMap<Row, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for (suspect, metrics) in metrics_by_suspect(records) {
        let row = rows.entry(row_of(&suspect)).or_default();
        metrics.into_iter().for_each(|(name, value)| row.entry(name).or_default().push(value));
    }
    let shown: Vec<_> = SHOWN.into_iter().filter(|(name, _)| rows.values().any(|row| row.contains_key(name))).collect();
    if shown.is_empty() {
        return String::new();
    }
    let mut table = empty(width);
    // rows of one line need no rules between them
    use TableComponent::{HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections};
    for part in [HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections] {
        table.remove_style(part);
    }
    table.set_header(["suspect", "surface", "budget"].into_iter().chain(shown.iter().map(|(_, heading)| *heading)));
    for ((_, surface, _, budget, arm), metrics) in rows {
        let mut cells = vec![
            Cell::new(arm.name().replace('_', " ")),
            Cell::new(surface),
            Cell::new(budget.map_or("-".to_string(), queries)).set_alignment(CellAlignment::Right),
        ];
        for (name, _) in &shown {
            let value = metrics.get(name).and_then(|values| median(values));
            cells.push(Cell::new(value.map_or("-".to_string(), number)).set_alignment(CellAlignment::Right));
        }
        table.add_row(cells);
    }
    table.trim_fmt()
}

/// Models that were not distilled come first, as in DESIGN 6's list.
fn row_of(suspect: &SuspectKey) -> (usize, String, String, Option<u64>, Arm) {
    let group = match suspect.arm {
        Arm::Teacher => 0,
        Arm::CleanTeacher => 1,
        Arm::Stranger => 2,
        Arm::Base => 3,
        Arm::Student | Arm::Control | Arm::Rival => 4,
    };
    (group, suspect.surface.clone(), suspect.loss.clone(), suspect.budget_queries, suspect.arm)
}

fn empty(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = width {
        table.set_width(width);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table
}
