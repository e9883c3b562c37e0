use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets};

use crate::finding::{Finding, false_positives, findings};
use crate::judge::with_account;
use crate::setting::Names;
use crate::summary::metrics_by_suspect;
use crate::words::{median, number, p_value, queries};
use crate::{Arm, Record, Setting, SuspectKey, false_positive_rates};

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
    if records.iter().any(|record| record.uncontrolled == Some(true)) {
        parts.push(
            "No control: the answers came from outside without those of the unmarked server, so no student gets a verdict; name them \
             in transcript.control"
                .to_string(),
        );
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
    let settings: Vec<Setting> = findings.iter().map(|f| f.setting.clone()).collect();
    let names = Names::of(&settings);
    let of_surface = |f: &Finding, g: &Finding| (&f.setting.surface, &f.setting.axes) == (&g.setting.surface, &g.setting.axes);
    let several_losses = findings.iter().any(|f| findings.iter().any(|g| of_surface(f, g) && g.setting.loss != f.setting.loss));
    let largest = findings.iter().map(|f| f.n_star.largest).max().unwrap_or_default();
    let same_largest = findings.iter().all(|f| f.n_star.largest == largest);
    let mut table = empty(width);
    let mut header = vec!["mark".to_string(), "surface".to_string()];
    header.extend(names.has_points().then(|| "setting".to_string()));
    header.extend([
        "N*".to_string(),
        "p teacher".to_string(),
        if same_largest { format!("p student, {}", queries(largest)) } else { "p student, largest budget".to_string() },
        "p control".to_string(),
        "what survived".to_string(),
    ]);
    table.set_header(header);
    for finding in findings {
        let p = |log10_p: Option<f64>| log10_p.map_or("-".to_string(), p_value);
        let Setting { surface, loss, .. } = &finding.setting;
        let surface = if several_losses { format!("{surface}, {loss}") } else { surface.clone() };
        let words = match &finding.detail {
            Some(detail) => format!("{} ({detail})", finding.sentence),
            None => finding.sentence.clone(),
        };
        let mut row = vec![with_account(&finding.mark, finding.account), surface];
        row.extend(names.has_points().then(|| names.point(&finding.setting, true)));
        row.extend([
            finding.n_star.words(),
            p(finding.teacher_log10_p),
            p(finding.student_log10_p),
            p(finding.control_log10_p),
            words,
        ]);
        table.add_row(row);
    }
    table.trim_fmt()
}

fn suspects(records: &[Record], width: Option<u16>) -> String {
    let metrics = metrics_by_suspect(records);
    let settings: Vec<Setting> = metrics.keys().filter(|s| s.arm.is_distilled()).map(|s| s.setting.clone()).collect();
    let names = Names::of(&settings);
    let mut rows: BTreeMap<Row, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for (suspect, metrics) in metrics {
        let row = rows.entry(row_of(&suspect, &names)).or_default();
        metrics.into_iter().for_each(|((name, _), value)| row.entry(name).or_default().push(value));
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
    let header = ["suspect", "surface"].into_iter().chain(names.has_points().then_some("setting")).chain(["budget"]);
    table.set_header(header.chain(shown.iter().map(|(_, heading)| *heading)));
    for ((_, setting, label, budget, arm), metrics) in rows {
        let mut cells = vec![Cell::new(arm.name().replace('_', " ")), Cell::new(setting.surface)];
        if names.has_points() {
            cells.push(Cell::new(if label.is_empty() { "-" } else { &label }));
        }
        cells.push(Cell::new(budget.map_or("-".to_string(), queries)).set_alignment(CellAlignment::Right));
        for (name, _) in &shown {
            let value = metrics.get(name).and_then(|values| median(values));
            cells.push(Cell::new(value.map_or("-".to_string(), number)).set_alignment(CellAlignment::Right));
        }
        table.add_row(cells);
    }
    table.trim_fmt()
}

/// Group, setting, its label, budget, arm.
type Row = (usize, Setting, String, Option<u64>, Arm);

/// Models that were not distilled come first, as in DESIGN 6's list. Only what has a name tells rows apart.
fn row_of(suspect: &SuspectKey, names: &Names) -> Row {
    let group = match suspect.arm {
        Arm::Teacher => 0,
        Arm::CleanTeacher => 1,
        Arm::Stranger => 2,
        Arm::Base => 3,
        Arm::Student | Arm::Control | Arm::Rival => 4,
    };
    let label = names.point(&suspect.setting, suspect.arm.is_distilled());
    let mut setting = Setting { compute: String::new(), ..suspect.setting.clone() };
    if !suspect.arm.is_distilled() {
        setting.attack = None;
    }
    (group, setting, label, suspect.budget_queries, suspect.arm)
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
