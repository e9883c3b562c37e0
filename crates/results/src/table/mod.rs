//! What was shown, in words: for a terminal, for a paper, and as numbers.

mod calibration;
mod detection;
mod findings;
mod marks;
mod sheet;
mod style;
mod suspects;

pub use calibration::calibration_table;
pub use detection::detection_table;

use crate::{Record, false_positives, family_wise, findings as found, mark_costs, self_tests};

/// What a table is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// A terminal this many columns wide.
    Text(u16),
    /// GitHub's Markdown, which pandoc reads too.
    Markdown,
    /// LaTeX, without any package.
    Latex,
    /// Numbers for programs: of the table of marks, a row for each mark and setting.
    Csv,
}

/// What was shown, in that form. `records` must have been judged at `alpha`.
///
/// # Errors
/// When the CSV writer fails.
pub fn table_as(format: TableFormat, records: &[Record], alpha: f64) -> anyhow::Result<String> {
    let found = found(records, alpha);
    type Show = fn(&sheet::Sheet) -> String;
    type Escaped = fn(&str) -> String;
    let (show, escaped, item): (Show, Escaped, &str) = match format {
        TableFormat::Text(width) => return Ok(survival_table(records, alpha, Some(width))),
        TableFormat::Csv => return findings::text(&found),
        TableFormat::Markdown => (sheet::Sheet::markdown, sheet::markdown, "- "),
        TableFormat::Latex => (sheet::Sheet::latex, sheet::latex, ""),
    };
    let mut parts = Vec::new();
    if !found.is_empty() {
        parts.push(show(&findings::sheet(&found)));
    }
    parts.extend(suspects::sheet(records).map(|sheet| show(&sheet)));
    for (title, lines) in notes(records, alpha) {
        let lines = lines.iter().map(|line| format!("{item}{}", escaped(line))).collect::<Vec<_>>().join("\n");
        let title = if title.is_empty() { String::new() } else { format!("{}:\n\n", escaped(&title)) };
        parts.push(title + &lines);
    }
    Ok(parts.join("\n\n"))
}

/// What was shown, in words, for a terminal `width` columns wide (unlimited if `None`): one table of marks, one of what each
/// suspect is worth and cost, what each mark that was set apart costs the thief, what the verdicts are worth together, the self-tests with decoy keys, and any false positive. `records`
/// must have been judged at `alpha`.
pub fn survival_table(records: &[Record], alpha: f64, width: Option<u16>) -> String {
    let mut parts = vec![marks::table(&found(records, alpha), width), suspects::table(records, width)];
    parts.extend(notes(records, alpha).into_iter().map(|(title, lines)| match title.is_empty() {
        true => lines.join("\n"),
        false => format!("{title}\n{}", lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")),
    }));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// What is said below the tables: titles, and lines.
fn notes(records: &[Record], alpha: f64) -> Vec<(String, Vec<String>)> {
    let costs: Vec<String> = mark_costs(records).iter().map(|cost| cost.sentence()).collect();
    let family: Vec<String> = family_wise(records, alpha).iter().map(|family| family.sentence()).collect();
    let tests: Vec<String> = self_tests(records, alpha).iter().map(|test| test.sentence()).collect();
    let uncontrolled = records.iter().any(|record| record.uncontrolled == Some(true)).then(|| {
        "No control: the answers came from outside without those of the unmarked server, so no student gets a verdict; name them \
         in transcript.control"
            .to_string()
    });
    let all = [
        ("What a mark alone costs the thief", costs),
        ("All verdicts together", family),
        ("Self-test of keys and of the removal of repeated units: decoy keys on negative models", tests),
        ("", uncontrolled.into_iter().collect()),
        ("", false_positives(records)),
    ];
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(title, lines)| (title.to_string(), lines)).collect()
}
