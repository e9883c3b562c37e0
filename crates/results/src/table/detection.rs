//! What was found in texts, in words.

use comfy_table::{Cell, CellAlignment, TableComponent};

use super::style::empty;
use crate::detection::{Detected, Judged, Published};
use crate::words::{number, p_value, ranged};

/// The table of `all` for a terminal `width` columns wide (unlimited if `None`), and below it what was judged and what published
/// detectors say of all texts together. At most `shown` single texts have a row.
pub fn detection_table(all: &[Detected], shown: usize, width: Option<u16>) -> String {
    let mut table = empty(width);
    use TableComponent::{HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections};
    for part in [HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections] {
        table.remove_style(part);
    }
    let accounts = all.iter().any(|one| one.account.is_some());
    let header = ["text", "account", "units", "statistic", "effect (95 %)", "p", "p among\ndecoys", "log10 e", "texts\nneeded"];
    table.set_header(header.into_iter().filter(|name| accounts || *name != "account"));
    let (single, pooled): (Vec<&Detected>, Vec<&Detected>) = all.iter().partition(|one| one.text.is_some());
    for one in single.iter().take(shown).chain(&pooled) {
        let evidence = &one.evidence;
        let mut cells = vec![one.text.map_or("all".to_string(), |text| text.to_string())];
        if accounts {
            cells.push(one.account.map_or("-".to_string(), |account| account.to_string()));
        }
        cells.extend([
            evidence.n.to_string(),
            number(evidence.statistic),
            ranged(evidence.effect, evidence.interval.low, evidence.interval.high),
            p_value(evidence.log10_p),
            evidence.log10_p_decoy.map_or("-".to_string(), p_value),
            evidence.log10_e.map_or("-".to_string(), |log10_e| format!("{log10_e:.1}")),
            one.texts_needed.map_or("-".to_string(), |texts| texts.to_string()),
        ]);
        table.add_row(cells.into_iter().map(|text| Cell::new(text.replace(' ', "\u{a0}")).set_alignment(CellAlignment::Right)));
    }
    let mut parts = vec![table.trim_fmt()];
    if single.len() > shown {
        parts.push(format!("and {} more texts: --json tells of each", single.len() - shown));
    }
    for one in &pooled {
        let of = one.account.map_or(String::new(), |account| format!("account {account}: "));
        parts.push(format!("{of}{}\nnull: {}; effect: {}", judged(&one.judged), one.evidence.null.words, one.effect_unit));
        parts.extend(one.authors.iter().map(published));
        parts.extend(one.authors_silent.iter().map(|why| format!("published detector: {why}")));
    }
    parts.join("\n")
}

/// What was judged, and what was left out and why.
fn judged(judged: &Judged) -> String {
    let Judged { texts, tokens, units, prompt_tokens, ended, without_context, special, in_prompt, repeated } = judged;
    let reasons = [
        (without_context, "first tokens without their context"),
        (special, "special tokens or after one"),
        (in_prompt, "also in the prompt"),
        (repeated, "met before"),
        (ended, "from the end of a text on"),
    ];
    let left: Vec<String> = reasons.into_iter().filter(|(n, _)| **n > 0).map(|(n, why)| format!("{n} {why}")).collect();
    let left = if left.is_empty() { "nothing left out".to_string() } else { format!("left out: {}", left.join(", ")) };
    let prompts = if *prompt_tokens > 0 { format!("; {prompt_tokens} prompt tokens, none judged") } else { String::new() };
    format!("{units} units of {tokens} tokens in {texts} texts judged, each unit once; {left}{prompts}")
}

fn published(said: &Published) -> String {
    let z = said.z.map_or(String::new(), |z| format!(", z {z:.2}"));
    let p = said.log10_p.map_or(String::new(), |log10_p| format!(", p {}", p_value(log10_p)));
    let found = said.found.map_or("", |found| if found { ": found" } else { ": not found" });
    let caution = said.caution.as_ref().map_or(String::new(), |caution| format!("\n  caution: {caution}"));
    let Published { detector, units, statistic_name, statistic, .. } = said;
    format!("for comparison, {detector}: {statistic_name} {} over {units} units{z}{p}{found}{caution}", number(*statistic))
}

#[cfg(test)]
mod tests {
    use stats::Evidence;

    use super::*;

    #[test]
    fn rows_and_reasons_are_shown() {
        let one = |text: Option<u64>| Detected {
            text,
            account: None,
            evidence: Evidence::binomial(75, 200, 0.25),
            effect_unit: "green share".into(),
            texts_needed: text.map(|_| 3),
            judged: Judged { texts: 2, tokens: 230, units: 200, repeated: 25, without_context: 5, ..Judged::default() },
            authors: vec![Published {
                detector: "theirs 1.0".into(),
                units: 230,
                statistic_name: "hits".into(),
                statistic: 80.0,
                z: Some(3.5),
                log10_p: Some(-3.7),
                found: Some(true),
                caution: Some("counts repeats".into()),
            }],
            authors_silent: None,
        };
        let all: Vec<Detected> = (1..=5).map(Some).chain([None]).map(one).collect();
        let text = detection_table(&all, 2, None).replace('\u{a0}', " ");
        for part in ["0.125 (0.058 to 0.196)", "6e-5", "and 3 more texts", "200 units of 230 tokens in 2 texts", "25 met before"]
        {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert!(text.contains("theirs 1.0: hits 80 over 230 units, z 3.50, p 2e-4: found\n  caution: counts repeats"), "{text}");
        assert!(!text.contains("account") && text.lines().any(|line| line.trim_start().starts_with("all ")), "{text}");
    }
}
