//! The table of marks in the forms that a paper or a program takes: a row for each arm, or a row of numbers for each mark and setting.

use std::collections::BTreeSet;

use super::marks::{effect, settings_of};
use super::sheet::Sheet;
use crate::Finding;
use crate::columns::{cell, csv, star_cells, star_names, word};
use crate::finding::Seen;
use crate::level::with_account;
use crate::setting::Names;
use crate::words::{p_value, probability, queries};

/// A row for each arm of each finding; what is said of the finding stands in its first.
pub(super) fn sheet(findings: &[Finding]) -> Sheet {
    let names = Names::of(&settings_of(findings));
    let points = names.has_points();
    let by_count = findings.iter().any(|finding| finding.n_star_by_count.is_some());
    let heading = |name: &str, right: bool| (name.to_string(), right);
    let mut header = vec![heading("mark", false), heading("surface", false)];
    header.extend(points.then(|| heading("setting", false)));
    header.push(heading("N*", false));
    header.extend(by_count.then(|| heading("N* by the count", false)));
    header.extend(
        [("queries", true), ("model", false), ("effect (95 %)", false), ("p", true)].map(|(name, right)| heading(name, right)),
    );
    header.extend([("P(proven again)", true), ("what was shown", false)].map(|(name, right)| heading(name, right)));
    let mut rows = Vec::new();
    for finding in findings {
        let primary = if finding.primary { " (primary)" } else { "" };
        let mut said = vec![with_account(&finding.mark, finding.account) + primary, finding.setting.surface.clone()];
        said.extend(points.then(|| names.point(&finding.setting, true)));
        said.push(finding.n_star.words());
        said.extend(by_count.then(|| finding.n_star_by_count.as_ref().map_or("-".to_string(), |count| count.bare())));
        said.push(queries(finding.n_star.largest));
        let words = match &finding.detail {
            Some(detail) => format!("{} ({detail})", finding.sentence),
            None => finding.sentence.clone(),
        };
        for (i, (name, seen)) in arms(finding).into_iter().enumerate() {
            let first = i == 0;
            let mut row: Vec<String> = said.iter().map(|text| if first { text.clone() } else { String::new() }).collect();
            let again = finding.again.filter(|_| name == "student").map_or(String::new(), probability);
            row.extend([name, effect(&seen), seen.log10_p.map_or("-".to_string(), p_value), again]);
            row.push(if first { words.clone() } else { String::new() });
            rows.push(row);
        }
    }
    let units: BTreeSet<String> =
        findings.iter().filter_map(|f| Some(format!("{}: {}", f.mark, f.effect_unit.as_ref()?))).collect();
    let note =
        if units.is_empty() { String::new() } else { format!("Effects: {}", units.into_iter().collect::<Vec<_>>().join("; ")) };
    Sheet { header, rows, note }
}

/// The models of a finding, each with what was seen in it.
fn arms(finding: &Finding) -> Vec<(String, Seen)> {
    let control = if finding.control_positive { "control (positive)" } else { "control" };
    let mut arms = vec![
        ("teacher".to_string(), finding.teacher),
        ("student".to_string(), finding.student),
        (control.to_string(), finding.control),
    ];
    arms.extend(finding.apart.iter().map(|apart| (format!("without {}", apart.lacks), apart.seen)));
    arms
}

/// CSV text: one row for each mark and setting, with the student of the largest budget beside its teacher and control (medians over seeds).
/// Columns are of one type each, as in [`summary_csv`](crate::summary_csv).
///
/// # Errors
/// When the CSV writer fails.
pub(super) fn text(findings: &[Finding]) -> anyhow::Result<String> {
    let axes: BTreeSet<&str> = findings.iter().flat_map(|f| f.setting.axes.keys()).map(String::as_str).collect();
    let models = ["teacher", "student", "control"];
    let own = ["mark", "account", "primary", "family", "surface", "loss", "compute", "defence", "attack", "budget_queries"];
    let of_arm = |arm: &str| ["effect", "effect_low", "effect_high", "log10_p"].map(|name| format!("{arm}_{name}"));
    let names = own.map(str::to_string).into_iter().chain(["effect_unit".to_string()]).chain(models.into_iter().flat_map(of_arm));
    let names = names.chain(["control_positive", "proven_again"].map(str::to_string));
    let names = names.chain(star_names("")).chain(star_names("_by_count"));
    let names = names.chain(["detail", "shown"].map(str::to_string)).chain(axes.iter().map(|axis| format!("axis.{axis}")));
    let line = |f: &Finding| {
        let setting = &f.setting;
        let mut line = vec![f.mark.clone(), cell(f.account), f.primary.to_string(), word(f.family)];
        line.extend([setting.surface.clone(), setting.loss.clone(), setting.compute.clone()]);
        line.extend([cell(setting.defence.clone()), cell(setting.attack.clone()), f.n_star.largest.to_string()]);
        line.push(cell(f.effect_unit.clone()));
        for seen in [f.teacher, f.student, f.control] {
            let (low, high) = seen.interval.unzip();
            line.extend([seen.effect, low, high, seen.log10_p].map(cell));
        }
        line.extend([f.control_positive.to_string(), cell(f.again)]);
        line.extend(star_cells(Some(f.n_star.numbers())));
        line.extend(star_cells(f.n_star_by_count.as_ref().map(|count| count.numbers())));
        line.extend([cell(f.detail.clone()), f.sentence.clone()]);
        line.extend(axes.iter().map(|axis| cell(setting.axes.get(*axis))));
        line
    };
    csv(std::iter::once(names.collect()).chain(findings.iter().map(line)))
}
