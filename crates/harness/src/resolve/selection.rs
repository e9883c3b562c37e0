use std::collections::BTreeMap;

use super::Grid;
use crate::config_error::nearest;
use crate::exit::UsageError;
use crate::grid::AxisNames;

/// A part of a grid.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `KEY=VALUE`: only points that have one of the values named for each key that is named.
    pub only: Vec<String>,
    /// Only the first so many of those.
    pub limit: Option<usize>,
}

impl Selection {
    fn of(&self, grid: &Grid) -> Result<Vec<usize>, UsageError> {
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for argument in &self.only {
            let (key, label) = find(grid, argument)?;
            wanted.entry(key).or_default().push(label);
        }
        let fits = |axes: &BTreeMap<String, String>| {
            wanted.iter().all(|(key, labels)| axes.get(*key).is_some_and(|label| labels.contains(&label.as_str())))
        };
        let mut chosen: Vec<usize> = (0..grid.points.len()).filter(|&number| fits(&grid.points[number].axes)).collect();
        if chosen.is_empty() {
            let all = self.only.join(" --only ");
            return Err(UsageError(format!("--only {all}: no point has all of these; `--dry-run` lists the points")));
        }
        chosen.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(chosen)
    }
}

impl Grid {
    /// The points that `selection` names, as positions in [`Grid::points`].
    ///
    /// # Errors
    /// An axis or a value that is not there, or a combination that no point has.
    pub fn selected(&self, selection: &Selection) -> Result<Vec<usize>, UsageError> {
        selection.of(self)
    }
}

/// The axis and the label that `argument` names.
fn find<'a>(grid: &'a Grid, argument: &str) -> Result<(&'a str, &'a str), UsageError> {
    let refused = |what: String| Err(UsageError(format!("--only {argument}: {what}")));
    if !grid.is_grid() {
        return refused("this experiment has no [grid]; to change a key write --set KEY=VALUE".into());
    }
    let keys: Vec<&str> = grid.axes.iter().map(|axis| axis.key.as_str()).collect();
    let Some((key, value)) = argument.split_once('=') else {
        return refused(format!("no `=` in it; write --only KEY=VALUE, for example --only '{}'", example(&grid.axes[0])));
    };
    let (key, value) = (key.trim(), value.trim());
    let Some(axis) = grid.axes.iter().find(|axis| axis.key == key) else {
        let meant = nearest(key, keys.iter().copied()).map(|name| format!("did you mean `{name}`?"));
        return refused(format!("no axis `{key}`; {}", meant.unwrap_or_else(|| format!("axes: {}", quoted(&keys)))));
    };
    match axis.labels.iter().find(|label| *label == value || is_same_number(label, value)) {
        Some(label) => Ok((&axis.key, label)),
        None => refused(format!("no point has that value; values: {}", quoted(&axis.labels))),
    }
}

fn example(axis: &AxisNames) -> String {
    format!("{}={}", axis.key, axis.labels.first().map_or("", String::as_str))
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Whether both are numbers and equal, however they are typed: `16_000` and `16000`.
fn is_same_number(a: &str, b: &str) -> bool {
    let number = |text: &str| match text.parse::<toml_edit::Value>() {
        Ok(toml_edit::Value::Integer(number)) => Some(*number.value() as f64),
        Ok(toml_edit::Value::Float(number)) => Some(*number.value()),
        _ => None,
    };
    number(a).zip(number(b)).is_some_and(|(a, b)| a == b)
}
