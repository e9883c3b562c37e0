//! A detector's output from a CSV file.

use std::path::Path;

use stats::calibration::Scored;

use super::labels::{Labels, MARKED, UNMARKED};
use crate::exit::UsageError;

/// Names of the columns.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Holds the score.
    pub score: &'a str,
    /// Whether smaller scores are more marked.
    pub lower_is_marked: bool,
    /// Holds the p-value.
    pub p: Option<&'a str>,
    /// Says which texts are marked.
    pub label: &'a str,
    /// How it says so.
    pub labels: Labels<'a>,
}

/// What a detector said of the texts of a file: of the unmarked ones, and of the marked ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    pub unmarked: Scored,
    pub marked: Scored,
}

/// Reads the CSV file `path`; scores come back larger where there is more of a mark.
pub fn read(path: &Path, columns: &Columns<'_>) -> anyhow::Result<Output> {
    let shown = path.display();
    if let Some(why) = store::not_a_file(path) {
        return Err(UsageError(format!("--csv {shown}: {why}; name a CSV file")).into());
    }
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => UsageError(format!("--csv {shown}: no such file; check the path")).into(),
        _ => anyhow::Error::new(error).context(format!("--csv {shown}: cannot be read")),
    })?;
    Ok(parse(&bytes, columns).map_err(|said| UsageError(format!("--csv {shown}{said}")))?)
}

/// As [`read`]; what is wrong goes on after the name of the file.
fn parse(bytes: &[u8], columns: &Columns<'_>) -> Result<Output, String> {
    // a byte-order mark, which spreadsheets put at the start
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(": the file is empty; give one with a line of names and a line for each text".to_string());
    }
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let wrong = |error: csv::Error| match error.position() {
        Some(at) => format!(", line {}: {error}; write a comma-separated file with as many cells in each line", at.line()),
        None => format!(": {error}; write a comma-separated file"),
    };
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(|name| name.trim().to_string()).collect();
    let find = |flag: &str, name: &str| {
        let mut places = names.iter().enumerate().filter(|(_, other)| *other == name).map(|(at, _)| at);
        match (places.next(), places.next()) {
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => Err(format!(": several columns `{name}`; give them different names")),
            (None, _) => {
                let separated = names.len() == 1 && names[0].contains([';', '\t']);
                let remedy = if separated {
                    "separate cells by commas".to_string()
                } else {
                    format!("name one of {flag}: {}", names.join(", "))
                };
                Err(format!(": no column `{name}`; {remedy}"))
            }
        }
    };
    let score_at = find("--score", columns.score)?;
    let label_at = find("--label", columns.label)?;
    let p_at = columns.p.map(|name| find("--p", name)).transpose()?;
    let mut output = Output::default();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |at: usize| row.get(at).unwrap_or_default().trim();
        let number = |name: &str, at: usize| {
            let parsed = cell(at).parse::<f64>().ok().filter(|number| !number.is_nan());
            parsed.ok_or_else(|| format!(", line {line}: `{name}` is `{}`; write a number, or leave the row out", cell(at)))
        };
        let score = number(columns.score, score_at)?;
        let marked = columns.labels.marked(cell(label_at)).ok_or_else(|| {
            let what = format!(", line {line}: `{}` is `{}`", columns.label, cell(label_at));
            let (unmarked, marked) = (UNMARKED.join(", "), MARKED.join(", "));
            format!("{what}; write {unmarked} for unmarked texts and {marked} for marked ones, or say with --unmarked which value means unmarked")
        })?;
        let scored = if marked { &mut output.marked } else { &mut output.unmarked };
        scored.scores.push(if columns.lower_is_marked { -score } else { score });
        if let (Some(at), Some(name)) = (p_at, columns.p) {
            let p = number(name, at)?;
            if !(0.0..=1.0).contains(&p) {
                return Err(format!(", line {line}: `{name}` is {p}; a p-value lies between 0 and 1"));
            }
            scored.p.push(p);
        }
    }
    match (output.unmarked.scores.len(), output.marked.scores.len()) {
        (0, 0) => Err(": it has no rows; give a line for each text".to_string()),
        (0, _) => Err(format!(": `{}` calls every text marked; add texts that are known to be unmarked", columns.label)),
        _ => Ok(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns<'_> =
        Columns { score: "z", lower_is_marked: false, p: Some("p"), label: "label", labels: Labels::Words };

    #[test]
    fn rows_are_shared_out_by_their_label() {
        let text = "\u{feff}id,z, p ,label\n1,0.5,0.3,0\n2,-1,0.8,human\n3, 9 ,1e-9,1\n";
        let found = parse(text.as_bytes(), &COLUMNS).unwrap();
        assert_eq!(found.unmarked, Scored { scores: vec![0.5, -1.0], p: vec![0.3, 0.8] });
        assert_eq!(found.marked, Scored { scores: vec![9.0], p: vec![1e-9] });
        let turned = parse(text.as_bytes(), &Columns { lower_is_marked: true, p: None, ..COLUMNS }).unwrap();
        assert_eq!(turned.unmarked, Scored { scores: vec![-0.5, 1.0], p: vec![] });
        let own = Columns { labels: Labels::Unmarked("human"), ..COLUMNS };
        assert_eq!(parse(text.as_bytes(), &own).unwrap().marked.scores.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_column() {
        for (text, parts) in [
            ("", &["empty", "a line of names"][..]),
            (" \n\n", &["empty"]),
            ("z,p,label\n", &["no rows"]),
            ("score,p,label\n1,1,0\n", &["no column `z`", "--score: score, p, label"]),
            ("z,q,label\n1,1,0\n", &["no column `p`", "--p:"]),
            ("z;p;label\n1;1;0\n", &["no column `z`", "separate cells by commas"]),
            ("z,z,p,label\n1,1,1,0\n", &["several columns `z`"]),
            ("z,p,label\n1,0.5,0\nhigh,0.5,0\n", &["line 3", "`z` is `high`", "write a number"]),
            ("z,p,label\nNaN,0.5,0\n", &["line 2", "`z` is `NaN`"]),
            ("z,p,label\n1,1.5,0\n", &["line 2", "`p` is 1.5", "between 0 and 1"]),
            ("z,p,label\n1,-0.1,0\n", &["`p` is -0.1"]),
            ("z,p,label\n1,,0\n", &["`p` is ``"]),
            ("z,p,label\n1,0.5,gpt\n", &["line 2", "`label` is `gpt`", "--unmarked"]),
            ("z,p,label\n1,0.5,1\n2,0.1,1\n", &["calls every text marked", "known to be unmarked"]),
            ("z,p,label\n1,0.5\n", &["line 2", "as many cells"]),
        ] {
            let said = parse(text.as_bytes(), &COLUMNS).unwrap_err();
            assert!(parts.iter().all(|part| said.contains(part)) && !said.contains('\n'), "{text:?}: {said}");
        }
    }
}
