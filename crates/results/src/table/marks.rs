//! The table of marks: what each left in the student of the largest budget.

use comfy_table::{ColumnConstraint, Width};

use super::style::empty;
use crate::finding::Seen;
use crate::level::with_account;
use crate::setting::Names;
use crate::words::{number, p_value, probability, queries, ranged};
use crate::{Finding, Setting};

/// Longest line that is kept whole.
const WHOLE: usize = 28;

/// One row for each finding. Teacher, student and control stand under each other, so that effect and p are read side by side.
pub(super) fn table(findings: &[Finding], width: Option<u16>) -> String {
    if findings.is_empty() {
        return "no student was measured".to_string();
    }
    let names = Names::of(&settings_of(findings));
    let of_surface = |f: &Finding, g: &Finding| (&f.setting.surface, &f.setting.axes) == (&g.setting.surface, &g.setting.axes);
    let several_losses = findings.iter().any(|f| findings.iter().any(|g| of_surface(f, g) && g.setting.loss != f.setting.loss));
    let largest = findings.iter().map(|f| f.n_star.largest).max().unwrap_or_default();
    let same_largest = findings.iter().all(|f| f.n_star.largest == largest);
    let mut table = empty(width);
    let mut header = vec!["mark, surface".to_string()];
    header.extend(names.has_points().then(|| "setting".to_string()));
    header.extend([
        "N*".to_string(),
        if same_largest { format!("at {} queries", queries(largest)) } else { "at most queries".to_string() },
        "effect (95 %)".to_string(),
        "p".to_string(),
        "P(proven\nagain)".to_string(),
        "what was shown".to_string(),
    ]);
    let points = usize::from(names.has_points());
    table.set_header(header);
    // mark, setting, arms, effect and p keep their lines whole; the words beside them wrap
    let mut widest = vec![0; 5 + points];
    for finding in findings {
        let Setting { surface, loss, .. } = &finding.setting;
        let surface = if several_losses { format!("{surface}, {loss}") } else { surface.clone() };
        let words = match &finding.detail {
            Some(detail) => format!("{} ({detail})", finding.sentence),
            None => finding.sentence.clone(),
        };
        let mut arms = vec![finding.teacher, finding.student, finding.control];
        let control = if finding.control_positive { "control (positive)" } else { "control" };
        let mut shown = vec!["teacher".to_string(), "student".to_string(), control.to_string()];
        for apart in &finding.apart {
            arms.push(apart.seen);
            shown.push(format!("without {}", apart.lacks));
        }
        let unit = finding.effect_unit.as_ref().map_or(String::new(), |unit| format!("\n{unit}"));
        let primary = if finding.primary { " (primary)" } else { "" };
        let mut row = vec![format!("{}{primary}\n{surface}", with_account(&finding.mark, finding.account))];
        row.extend(names.has_points().then(|| names.point(&finding.setting, true)));
        row.extend([
            n_star(finding),
            shown.join("\n").replace(' ', "\u{a0}"),
            lines(&arms, effect) + &unit,
            lines(&arms, |seen| seen.log10_p.map_or("-".to_string(), p_value)),
            finding.again.map_or("-".to_string(), probability),
            words,
        ]);
        let whole = row.iter().enumerate().filter(|(i, _)| *i <= points || (2 + points..5 + points).contains(i));
        for (i, cell) in whole {
            // the surface stands below the mark and the unit below the arms: both may wrap
            let longest =
                cell.lines().take(if i == 0 { 1 } else { arms.len() }).map(|line| line.chars().count()).max().unwrap_or_default();
            widest[i] = longest.max(widest[i]);
        }
        table.add_row(row);
    }
    for (i, width) in widest.into_iter().enumerate().filter(|(_, width)| *width > 0) {
        if let Some(column) = table.column_mut(i) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed((width.min(WHOLE) + 2) as u16)));
        }
    }
    table.trim_fmt()
}

/// N*, or what was seen; and what the older test says of the same answers.
fn n_star(finding: &Finding) -> String {
    let by_count = finding.n_star_by_count.as_ref().map(|count| format!("\nby the count of distinct units: {}", count.bare()));
    finding.n_star.words() + &by_count.unwrap_or_default()
}

fn lines(arms: &[Seen], cell: impl Fn(&Seen) -> String) -> String {
    arms.iter().map(cell).collect::<Vec<_>>().join("\n")
}

/// Settings of findings, in their order.
pub(super) fn settings_of(findings: &[Finding]) -> Vec<Setting> {
    findings.iter().map(|f| f.setting.clone()).collect()
}

/// An effect with its interval, on one line.
pub(super) fn effect(seen: &Seen) -> String {
    let text = match (seen.effect, seen.interval) {
        (Some(effect), Some((low, high))) if high > low => ranged(effect, low, high),
        (Some(effect), _) => number(effect),
        (None, _) => "-".to_string(),
    };
    // one line for each arm, whatever the width
    text.replace(' ', "\u{a0}")
}
