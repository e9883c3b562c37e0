//! What an audit of a detector found, in words.

use comfy_table::{Cell, CellAlignment, TableComponent};
use stats::Interval;
use stats::calibration::{Calibration, Level, PValues, Rate, SafeThreshold, Threshold};

use super::style::empty;
use crate::words::{number, p_value};

/// The findings in words, for a terminal `width` columns wide (unlimited if `None`): a table of levels, and a line for all else. `lower`
/// says that smaller scores are more marked.
pub fn calibration_table(found: &Calibration, lower: bool, width: Option<u16>) -> String {
    let mut parts = Vec::new();
    if let Some(p) = &found.p_values {
        parts.push(levels(p, width));
        parts.push(whole_range(p));
    }
    if let Some(threshold) = &found.threshold {
        parts.push(of_threshold(threshold));
    }
    parts.push(found.safe.iter().map(|one| safe(one, lower)).collect::<Vec<_>>().join("\n"));
    if let Some(separation) = &found.separation {
        let mut lines =
            vec![format!("AUROC {}: a marked text scores above an unmarked one so often", decimals(separation.auroc, 4))];
        lines.extend(separation.found.iter().map(|at| {
            let few = if at.allowed == 0 { " (too few unmarked texts: it must exceed them all)" } else { "" };
            format!(
                "at a false-positive rate of {} {} of the marked texts are found{few}",
                percent(at.false_positive_rate),
                rate(&at.true_positives)
            )
        }));
        parts.push(lines.join("\n"));
    }
    parts.push(verdict(found));
    parts.join("\n\n")
}

/// One row for each level.
fn levels(p: &PValues, width: Option<u16>) -> String {
    let mut table = empty(width);
    use TableComponent::{HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections};
    for part in [HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections] {
        table.remove_style(part);
    }
    let mut header = vec![
        "p at\nmost",
        "unmarked\ntexts",
        "observed rate\n(95 %)",
        "p of so\nmany",
        "p of so\nfew",
        "noticed\nfrom",
        "texts\nto know",
        "claim",
    ];
    if !p.found.is_empty() {
        header.insert(3, "marked texts\nfound (95 %)");
    }
    table.set_header(header);
    for (at, level) in p.levels.iter().enumerate() {
        let mut cells = vec![
            number(level.nominal),
            format!("{}\u{a0}of\u{a0}{}", level.observed.hits, level.observed.texts),
            rate(&level.observed),
            p_value(level.log10_p_too_many),
            p_value(level.log10_p_too_few),
            level.noticed_from.map_or("-".to_string(), percent),
            level.texts_to_refute_double.to_string(),
            claim(level).to_string(),
        ];
        if let Some(found) = p.found.get(at) {
            cells.insert(3, rate(found));
        }
        let last = cells.len() - 1;
        let aligned = |(i, text): (usize, String)| {
            let cell = Cell::new(text);
            if i == last { cell } else { cell.set_alignment(CellAlignment::Right) }
        };
        table.add_row(cells.into_iter().enumerate().map(aligned));
    }
    let note = "noticed from: a true rate that so many texts show to be above the claim with probability 0.8; texts to know: unmarked \
                texts that do the same where the true rate is twice the claim";
    format!("{}\n{note}", table.trim_fmt())
}

fn claim(level: &Level) -> &'static str {
    if level.refuted { "REFUTED" } else { "not refuted" }
}

fn whole_range(p: &PValues) -> String {
    let distance = &p.distance;
    let judged = if p.refuted { "REFUTED: p-values are too small" } else { "not refuted" };
    let mut lines = vec![format!(
        "over the whole range (Kolmogorov and Smirnov): too small by up to {} (p {}), too large by up to {} (p {}): {judged}",
        number(distance.too_small),
        p_value(distance.log10_p_too_small),
        number(distance.too_large),
        p_value(distance.log10_p_too_large),
    )];
    if p.conservative && !p.refuted && p.levels.iter().all(|level| !level.refuted) {
        lines.push("they are larger than uniform ones somewhere: that breaks no claim, and finds fewer marks".to_string());
    }
    if p.zeros > 0 {
        let zeros = p.zeros;
        lines.push(format!("{zeros} unmarked text(s) have p 0, which no p-value can be: ask the detector for its logarithm"));
    }
    lines.join("\n")
}

fn of_threshold(threshold: &Threshold) -> String {
    let found = &threshold.false_positives;
    let mut text = format!(
        "threshold {}: {} of {} unmarked texts reach it, {}",
        number(threshold.threshold),
        found.hits,
        found.texts,
        rate(found)
    );
    if let Some(marked) = &threshold.true_positives {
        text += &format!("; of the marked ones {}", rate(marked));
    }
    if let Some(level) = &threshold.claim {
        let (claimed, p, said) = (percent(level.nominal), p_value(level.log10_p_too_many), claim(level));
        text += &format!("\nclaimed for it: at most {claimed}; so many have p {p}: {said}");
        let needed = level.texts_to_refute_double;
        text += &match level.noticed_from {
            Some(from) => format!("; a true rate from {} on would have been noticed", percent(from)),
            None => "; no rate would have been noticed".to_string(),
        };
        text += &format!(", twice the claim with {needed} unmarked texts");
    }
    text
}

fn safe(safe: &SafeThreshold, lower: bool) -> String {
    let side = if lower { "below" } else { "above" };
    let rate_kept = percent(safe.rate);
    let Some(beyond) = safe.beyond else {
        return format!("a threshold that keeps {rate_kept}: none yet, it takes {} unmarked texts", safe.texts_needed);
    };
    let marked = safe.true_positives.as_ref().map_or(String::new(), |found| format!("; marked texts {side} it: {}", rate(found)));
    format!("a threshold that keeps {rate_kept} with confidence 95 %: {side} {}{marked}", number(beyond))
}

fn verdict(found: &Calibration) -> String {
    let error = percent(found.error);
    match (found.refuted, found.checks) {
        (true, _) => format!(
            "REFUTED: the detector calls more unmarked texts marked than it claims (a true claim falls so with a chance of at most {error})"
        ),
        (false, 0) => "nothing was claimed: name p-values, or a threshold with the rate that is claimed for it".to_string(),
        (false, _) => {
            "not refuted: no more unmarked texts are called marked than chance allows; see what would have been noticed"
                .to_string()
        }
    }
}

/// "1.2 % (0.6\u{2013}2.1)".
fn rate(rate: &Rate) -> String {
    let Interval { low, high } = rate.interval;
    format!("{} ({}\u{2013}{})", percent(rate.rate), share(low), share(high)).replace(' ', "\u{a0}")
}

fn percent(x: f64) -> String {
    format!("{}\u{a0}%", share(x))
}

/// A share in percent, three digits.
fn share(x: f64) -> String {
    let x = 100.0 * x;
    if x == 0.0 {
        return "0".to_string();
    }
    let digits = (2 - libm::log10(x).floor() as i32).clamp(0, 6) as usize;
    decimals(x, digits)
}

fn decimals(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use stats::calibration::{Claimed, Scored};

    use super::*;

    fn table(p_of: impl Fn(f64) -> f64, claimed: Claimed) -> String {
        let p: Vec<f64> = (0..1_000).map(|i| p_of((f64::from(i) + 0.5) / 1_000.0)).collect();
        let unmarked = Scored { scores: p.iter().map(|p| -p).collect(), p };
        let marked = Scored { scores: vec![0.0, 0.5], p: vec![1e-9, 1e-12] };
        calibration_table(&Calibration::of(&unmarked, &marked, claimed, 0.01).unwrap(), false, None).replace('\u{a0}', " ")
    }

    #[test]
    fn a_right_detector_is_told_what_would_have_been_noticed() {
        let text = table(|p| p, Claimed { threshold: Some(-0.01), nominal: Some(0.01) });
        for part in [
            "100 of 1000",
            "10 % (8.21\u{2013}12)",
            "not refuted",
            "AUROC 1:",
            "confidence 95 %",
            "10 of 1000 unmarked texts reach it",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert!(text.contains("keeps 0.1 %: none yet, it takes 2995 unmarked texts") && !text.contains("REFUTED"), "{text}");
    }

    #[test]
    fn a_wrong_one_is_refuted_in_capitals() {
        let text = table(|p| p * p, Claimed::default());
        assert!(text.matches("REFUTED").count() >= 4 && text.contains("REFUTED: p-values are too small"), "{text}");
        let text = table(|p| 0.5 + 0.5 * p, Claimed::default());
        assert!(text.contains("finds fewer marks") && !text.contains("REFUTED"), "{text}");
        assert!(table(|p| if p < 0.1 { 0.0 } else { p }, Claimed::default()).contains("100 unmarked text(s) have p 0"));
    }
}
