//! A table as plain cells, and what they become in a paper.

/// Rows of cells under their headings.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sheet {
    /// Headings, and whether what stands below is set to the right.
    pub(super) header: Vec<(String, bool)>,
    pub(super) rows: Vec<Vec<String>>,
    /// Said below it.
    pub(super) note: String,
}

impl Sheet {
    /// A table of GitHub's Markdown, which pandoc reads too.
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |", cells.collect::<Vec<_>>().join(" | "));
        let mut lines = vec![
            line(&mut self.header.iter().map(|(name, _)| markdown(name))),
            line(&mut self.header.iter().map(|(_, right)| if *right { "---:" } else { "---" }.to_string())),
        ];
        lines.extend(self.rows.iter().map(|row| line(&mut row.iter().map(|cell| markdown(cell)))));
        if !self.note.is_empty() {
            lines.push(format!("\n{}", markdown(&self.note)));
        }
        lines.join("\n")
    }

    /// A `tabular` of LaTeX, which needs no package. The last column wraps, if its words are long.
    pub(super) fn latex(&self) -> String {
        let wordy = self.rows.iter().filter_map(|row| row.last()).any(|cell| cell.chars().count() > WORDY);
        let column = |(i, (_, right)): (usize, &(String, bool))| match right {
            _ if wordy && i + 1 == self.header.len() => "p{0.3\\textwidth}",
            true => "r",
            false => "l",
        };
        let columns: String = self.header.iter().enumerate().map(column).collect();
        let line = |cells: &mut dyn Iterator<Item = String>| format!("{} \\\\", cells.collect::<Vec<_>>().join(" & "));
        let mut lines = vec![format!("\\begin{{tabular}}{{{columns}}}"), "\\hline".to_string()];
        lines.push(line(&mut self.header.iter().map(|(name, _)| latex(name))));
        lines.push("\\hline".to_string());
        lines.extend(self.rows.iter().map(|row| line(&mut row.iter().map(|cell| latex(cell)))));
        lines.extend(["\\hline".to_string(), "\\end{tabular}".to_string()]);
        if !self.note.is_empty() {
            lines.push(format!("\n{}", latex(&self.note)));
        }
        lines.join("\n")
    }
}

/// Words that are longer than this wrap.
const WORDY: usize = 30;

/// Text as Markdown shows it.
pub(super) fn markdown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\n' => shown.push(' '),
            '\\' | '|' | '*' | '_' | '`' | '<' | '[' | ']' | '#' => shown.extend(['\\', c]),
            c => shown.push(c),
        }
    }
    shown
}

/// Text as LaTeX sets it, with every engine.
pub(super) fn latex(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\n' => shown.push(' '),
            '\u{a0}' => shown.push('~'),
            '\\' => shown.push_str("\\textbackslash{}"),
            '^' => shown.push_str("\\textasciicircum{}"),
            '~' => shown.push_str("\\textasciitilde{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => shown.extend(['\\', c]),
            '<' | '>' => shown.extend(['$', c, '$']),
            '\u{2212}' => shown.push_str("$-$"),
            '\u{2013}' => shown.push_str("--"),
            '\u{d7}' => shown.push_str("$\\times$"),
            '\u{b1}' => shown.push_str("$\\pm$"),
            '\u{2264}' => shown.push_str("$\\leq$"),
            '\u{2265}' => shown.push_str("$\\geq$"),
            '\u{3b1}' => shown.push_str("$\\alpha$"),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        Sheet {
            header: vec![("mark".into(), false), ("p".into(), true)],
            rows: vec![vec!["secret_keys".into(), "<\u{a0}0.01".into()], vec!["a|b".into(), "1 %\n\u{2212}2".into()]],
            note: String::new(),
        }
    }

    #[test]
    fn markdown_keeps_its_columns_whatever_the_words() {
        let want = "| mark | p |\n| --- | ---: |\n| secret\\_keys | \\<\u{a0}0.01 |\n| a\\|b | 1 % \u{2212}2 |";
        assert_eq!(sheet().markdown(), want);
        assert!(Sheet { note: "below".into(), ..sheet() }.markdown().ends_with("|\n\nbelow"));
    }

    #[test]
    fn latex_escapes_what_it_would_take_for_commands() {
        let text = sheet().latex();
        let rows =
            "\\hline\nmark & p \\\\\n\\hline\nsecret\\_keys & $<$~0.01 \\\\\na|b & 1 \\% $-$2 \\\\\n\\hline\n\\end{tabular}";
        assert_eq!(text, format!("\\begin{{tabular}}{{lr}}\n{rows}"));
        assert_eq!(latex("a_b^c~{d}\\"), "a\\_b\\textasciicircum{}c\\textasciitilde{}\\{d\\}\\textbackslash{}");
        let mut wordy = sheet();
        wordy.rows[0][1] = "a long sentence that would leave the page".into();
        assert!(wordy.latex().starts_with("\\begin{tabular}{lp{0.3\\textwidth}}"));
    }
}
