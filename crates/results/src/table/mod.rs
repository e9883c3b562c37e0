//! What was shown, in words, for a terminal.

mod marks;
mod style;
mod suspects;

use crate::{Record, false_positives, family_wise, findings, mark_costs, self_tests};

/// What was shown, in words, for a terminal `width` columns wide (unlimited if `None`): one table of marks, one of what each
/// suspect is worth and cost, what each mark that was set apart costs the thief, what the verdicts are worth together, the self-tests with decoy keys, and any false positive. `records`
/// must have been judged at `alpha`.
pub fn survival_table(records: &[Record], alpha: f64, width: Option<u16>) -> String {
    let mut parts = vec![marks::table(&findings(records, alpha), width), suspects::table(records, width)];
    let costs: Vec<String> = mark_costs(records).iter().map(|cost| format!("  {}", cost.sentence())).collect();
    if !costs.is_empty() {
        parts.push(format!("What a mark alone costs the thief\n{}", costs.join("\n")));
    }
    parts.extend(family_wise(records, alpha).map(|family| format!("All verdicts together\n  {}", family.sentence())));
    let tests = self_tests(records, alpha);
    if !tests.is_empty() {
        let lines: Vec<String> = tests.iter().map(|test| format!("  {}", test.sentence())).collect();
        parts.push(format!(
            "Self-test of keys and of the removal of repeated units: decoy keys on negative models\n{}",
            lines.join("\n")
        ));
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
