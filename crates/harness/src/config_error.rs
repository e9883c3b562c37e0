//! Mistakes in an experiment file, shown where they are.
//!
//! Every problem is one line that names file, line, column, key, value and what to do. Problems are collected, so that one run of
//! `check` shows them all, each on its line; a single one has the source line with a caret below it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// How many problems are shown at once; more are counted. Nobody corrects as many by hand before asking again.
const SHOWN: usize = 200;

/// Where a key or value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Bytes of the file.
    Bytes(Range<usize>),
    /// A `--set` flag, as typed.
    Flag(String),
    /// The file as a whole.
    File,
}

impl Place {
    /// Whether `other` lies inside this place in the file.
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(own), Self::Bytes(other)) => own.start <= other.start && other.end <= own.end,
            _ => false,
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key, for example `distill[0].surface.top_logprobs.k`; empty for the whole file.
    pub key: String,
    /// The wrong value as TOML, where there is one.
    pub value: Option<String>,
    /// What is wrong: a lower-case fragment.
    pub what: String,
    /// What to do: a lower-case fragment.
    pub remedy: String,
    /// Where it is.
    pub place: Place,
}

impl Problem {
    /// The same without the value, which would say nothing.
    #[must_use]
    pub fn without_value(self) -> Self {
        Self { value: None, ..self }
    }
}

/// All mistakes found in one file; never empty.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Its text, for the lines shown.
    pub text: String,
    /// What is wrong, in the order of the file as far as known.
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    /// One problem with the file as a whole, such as that it cannot be read.
    pub fn whole(file: impl Into<PathBuf>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let problem = Problem { key: String::new(), value: None, what: what.into(), remedy: remedy.into(), place: Place::File };
        Self { file: file.into(), text: String::new(), problems: vec![problem] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display().to_string();
        for (index, problem) in self.problems.iter().take(SHOWN).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let position = write_problem(f, problem, &file, &self.text)?;
            // below each of many the lines of the file would hide the mistakes
            if let (Some(at), 1) = (position, self.problems.len()) {
                at.write_source(f)?;
            }
        }
        if self.problems.len() > SHOWN {
            write!(f, "\nand {} more", self.problems.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// Writes the line of `problem`; what comes back is the place whose source may be shown.
fn write_problem(
    f: &mut fmt::Formatter<'_>,
    problem: &Problem,
    file: &str,
    source: &str,
) -> Result<Option<Position>, fmt::Error> {
    let position = match &problem.place {
        Place::Bytes(bytes) => Some(Position::of(source, bytes)),
        Place::Flag(_) | Place::File => None,
    };
    let secret = is_secret(&problem.key);
    match (&problem.place, &position) {
        (_, Some(at)) => write!(f, "{file}:{}:{}: ", at.line, at.column)?,
        (Place::Flag(flag), _) if secret || is_secret(flag) => write!(f, "--set {}: ", flag.split('=').next().unwrap_or(""))?,
        (Place::Flag(flag), _) => write!(f, "--set {flag}: ")?,
        _ => write!(f, "{file}: ")?,
    }
    match (&problem.key, &problem.value) {
        (key, _) if key.is_empty() => {}
        (key, Some(value)) if !secret => write!(f, "`{key} = {}`: ", shortened(value))?,
        (key, _) => write!(f, "`{key}`: ")?,
    }
    f.write_str(&problem.what)?;
    if !problem.remedy.is_empty() {
        write!(f, "; {}", problem.remedy)?;
    }
    Ok(position.filter(|_| !secret))
}

/// Whether a key, or the key of a flag, leads to the owner's secret: terminals and logs are read by others.
fn is_secret(key: &str) -> bool {
    let in_grid = key.starts_with("grid") && key.contains("\"owner");
    in_grid || key.trim_start().strip_prefix("owner.secret").is_some_and(|rest| !rest.starts_with("_file"))
}

/// Keeps a message to one line: long values are cut in the middle.
fn shortened(value: &str) -> String {
    let flat = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= 60 {
        return flat;
    }
    let chars: Vec<char> = flat.chars().collect();
    let (head, tail) = (&chars[..36], &chars[chars.len() - 20..]);
    format!("{} … {}", head.iter().collect::<String>(), tail.iter().collect::<String>())
}

/// A place in text, for people: lines and columns from 1, columns in characters.
struct Position {
    line: usize,
    column: usize,
    /// The line, tabs as single spaces so that the caret stands under its column.
    text: String,
    indent: usize,
    width: usize,
}

impl Position {
    /// The line with a caret below it.
    fn write_source(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = self.line.to_string().len();
        write!(f, "\n{:gutter$} |\n{} | {}\n", "", self.line, self.text)?;
        write!(f, "{:gutter$} | {}{}", "", " ".repeat(self.indent), "^".repeat(self.width))
    }

    fn of(source: &str, bytes: &Range<usize>) -> Self {
        let start = floor_char_boundary(source, bytes.start);
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |newline| start + newline);
        let end = floor_char_boundary(source, bytes.end).clamp(start, line_end);
        let indent = source[line_start..start].chars().count();
        let width = source[start..end].trim_end().chars().count().max(1);
        let line: Vec<char> = source[line_start..line_end].trim_end().replace('\t', " ").chars().collect();
        let (text, shift) = window(&line, indent);
        Self {
            line: source[..start].matches('\n').count() + 1,
            column: indent + 1,
            width: width.min(text.chars().count().saturating_sub(indent - shift).max(1)),
            text,
            indent: indent - shift,
        }
    }
}

/// Most characters of a source line that are shown.
const SHOWN_OF_A_LINE: usize = 160;

/// The part of a long line around the character at `at`, and how far that moves to the left.
fn window(line: &[char], at: usize) -> (String, usize) {
    if line.len() <= SHOWN_OF_A_LINE {
        return (line.iter().collect(), 0);
    }
    let start = at.saturating_sub(SHOWN_OF_A_LINE / 2).min(line.len() - SHOWN_OF_A_LINE);
    let end = start + SHOWN_OF_A_LINE;
    let mut shown = line[start..end].to_vec();
    if start > 0 {
        shown[0] = '…';
    }
    if end < line.len() {
        shown[SHOWN_OF_A_LINE - 1] = '…';
    }
    (shown.into_iter().collect(), start)
}

fn floor_char_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Problems in the order of the file, those of flags last.
pub fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| match &problem.place {
        Place::File => 0,
        Place::Bytes(bytes) => bytes.start + 1,
        Place::Flag(_) => usize::MAX,
    });
    problems
}

/// The name nearest to `typed`, if one is near enough to have been meant.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let simple = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    let meant = simple(typed);
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&meant, &simple(name)), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, name)| (*distance, name.len()))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_or_none() {
        let names = ["gamma", "delta", "context_width"];
        assert_eq!(nearest("gama", names), Some("gamma"));
        assert_eq!(nearest("context-width", names), Some("context_width"));
        assert_eq!(nearest("contextwith", names), Some("context_width"));
        assert_eq!(nearest("temperature", names), None);
    }

    #[test]
    fn of_a_long_line_the_part_around_the_mistake_is_shown() {
        let source = format!("x = [{}]\n", (100..300).map(|n| n.to_string()).collect::<Vec<_>>().join(", "));
        for number in ["100", "200", "299"] {
            let start = source.find(number).unwrap();
            let at = Position::of(&source, &(start..start + 3));
            let chars: Vec<char> = at.text.chars().collect();
            assert_eq!(chars.len(), SHOWN_OF_A_LINE);
            assert_eq!(chars[at.indent..at.indent + at.width].iter().collect::<String>(), number);
            assert_eq!(at.column, start + 1);
        }
    }

    #[test]
    fn of_several_problems_each_is_one_line() {
        let problem = |key: &str, place| Problem {
            key: key.into(),
            value: Some("1".into()),
            what: "wrong".into(),
            remedy: "write 2".into(),
            place,
        };
        let problems =
            vec![problem("b", Place::Bytes(6..7)), problem("c", Place::Flag("c=1".into())), problem("a", Place::Bytes(0..1))];
        let errors = ConfigErrors { file: "e.toml".into(), text: "a = 1\nb = 1\n".into(), problems: in_order(problems) };
        let lines =
            "e.toml:1:1: `a = 1`: wrong; write 2\ne.toml:2:1: `b = 1`: wrong; write 2\n--set c=1: `c = 1`: wrong; write 2";
        assert_eq!(errors.to_string(), lines);
    }

    #[test]
    fn a_problem_shows_its_line_with_a_caret() {
        let source = "name = \"x\"\n[queries]\n\tbudgets = [0] # é\n";
        let start = source.find("[0]").unwrap();
        let errors = ConfigErrors {
            file: "e.toml".into(),
            text: source.into(),
            problems: vec![Problem {
                key: "queries.budgets".into(),
                value: Some("[0]".into()),
                what: "a budget of 0 buys nothing".into(),
                remedy: "start at 1 or more".into(),
                place: Place::Bytes(start..start + 3),
            }],
        };
        let shown = errors.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "e.toml:3:12: `queries.budgets = [0]`: a budget of 0 buys nothing; start at 1 or more");
        assert_eq!(lines[2], "3 |  budgets = [0] # é");
        assert_eq!(lines[3], "  |            ^^^");
    }
}
