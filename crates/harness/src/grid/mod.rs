//! `[grid]`: one experiment file, many points.
//!
//! A point is the same document with some keys overridden, as `--set` would; it is deserialised, validated and resolved as an
//! experiment of its own. So a mistake in an axis is found by the checks of the file's own keys, and points to its line in `[grid]`.

mod labels;
mod table;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use schemars::schema_for;

use crate::config_error::{ConfigErrors, Place, Problem, in_order, nearest};
use crate::document::{Node, Step, Tree, dotted, steps};
use crate::experiment::{Experiment, expectations};
use crate::load::checked;
use crate::loaded::{Loaded, Source};
use crate::places::Written;
use crate::set;

pub use labels::ABSENT;
use table::{Override, Table};

/// A key that takes several values, with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxisNames {
    /// The dotted key.
    pub key: String,
    /// What its values are called, in the order in which points first take them.
    pub labels: Vec<String>,
}

/// One point: an experiment of its own.
#[derive(Debug)]
pub struct LoadedPoint {
    /// What it takes of each axis, by dotted key; empty where the file has no grid.
    pub axes: BTreeMap<String, String>,
    /// The experiment.
    pub loaded: Loaded<Experiment>,
    /// What it says beside this, where it comes from a resolved experiment.
    pub written: Option<Written>,
    /// Where in `[grid]` it comes from.
    place: Place,
}

impl LoadedPoint {
    /// A point that was read from a resolved experiment.
    pub fn of(axes: BTreeMap<String, String>, loaded: Loaded<Experiment>, written: Written) -> Self {
        Self { axes, loaded, written: Some(written), place: Place::File }
    }
}

/// Every point of an experiment file; one, without axes, where it has no grid.
#[derive(Debug)]
pub struct LoadedGrid {
    /// What tells the points apart.
    pub axes: Vec<AxisNames>,
    /// Crossed points first, the last axis changing fastest; then the single ones.
    pub points: Vec<LoadedPoint>,
}

/// Reads, overrides, expands and validates an experiment file.
///
/// # Errors
/// Everything that is wrong with it, as far as the file alone shows.
pub fn read(file: &Path, sets: &[String]) -> Result<LoadedGrid, ConfigErrors> {
    expand(Source::read(file, sets)?, sets)
}

/// As [`read`], from text; `file` is named in messages and roots relative paths.
///
/// # Errors
/// As [`read`].
pub fn from_text(file: &Path, text: &str, sets: &[String]) -> Result<LoadedGrid, ConfigErrors> {
    expand(Source::parse(file, text, sets)?, sets)
}

fn expand(mut source: Source, sets: &[String]) -> Result<LoadedGrid, ConfigErrors> {
    let Some(grid) = source.root.take("grid") else {
        let Source { file, text, root } = source;
        let loaded = checked(&file, &text, root, schema_for!(Experiment).as_value())?;
        let problems = expectations(std::slice::from_ref(&loaded));
        if !problems.is_empty() {
            return Err(loaded.errors(problems));
        }
        return Ok(LoadedGrid {
            axes: Vec::new(),
            points: vec![LoadedPoint { axes: BTreeMap::new(), loaded, written: None, place: Place::File }],
        });
    };
    let table = Table::parse(&grid).map_err(|problems| with_the_rest(&source, problems))?;
    let hidden = hidden_flags(&table, sets);
    if !hidden.is_empty() {
        return Err(with_the_rest(&source, hidden));
    }
    let strange = unknown_marks(&table, &source);
    if !strange.is_empty() {
        return Err(with_the_rest(&source, strange));
    }
    let points = documents(&source, &table)?;
    let problems = expectations(&points);
    if !problems.is_empty() {
        return Err(source.errors(problems));
    }
    let (axes, labels) = named(&source, &table, &points);
    let points = points.into_iter().zip(labels).zip(table.points());
    let points =
        points.map(|((loaded, axes), (_, place))| LoadedPoint { axes, loaded, written: None, place: place.clone() }).collect();
    Ok(LoadedGrid { axes, points })
}

/// Mistakes in `[grid]`, and those of the file without it.
fn with_the_rest(source: &Source, mut problems: Vec<Problem>) -> ConfigErrors {
    let rest = checked(&source.file, &source.text, source.root.clone(), schema_for!(Experiment).as_value());
    problems.extend(rest.err().into_iter().flat_map(|errors| errors.problems));
    source.errors(in_order(problems))
}

/// `--set` of a key that an axis takes anyway would be lost without a word.
fn hidden_flags(table: &Table, sets: &[String]) -> Vec<Problem> {
    let hidden = |argument: &String| {
        let path = set::key_of(argument)?;
        let axis = table.axes.iter().find(|axis| path.starts_with(&axis.path))?;
        let key = dotted(&axis.path);
        Some(Problem {
            key: dotted(&path),
            value: None,
            what: format!("the grid gives `{key}` at every crossed point"),
            remedy: format!("choose points with --only {key}=VALUE, or change [grid] in the file"),
            place: Place::Flag(argument.clone()),
        })
    };
    sets.iter().filter_map(hidden).collect()
}

/// A key of a mark that the file does not have would begin another mark, of which all but that key is missing.
fn unknown_marks(table: &Table, source: &Source) -> Vec<Problem> {
    let all = steps("marks").and_then(|path| source.root.get(&path)).map(|node| &node.tree);
    let known: Vec<&str> = match all {
        Some(Tree::Table(entries)) => entries.iter().map(|entry| &*entry.key).collect(),
        _ => Vec::new(),
    };
    let whole = table.keys();
    let unknown = |(path, place): (&[Step], &Place)| {
        let [Step::Key(root), Step::Key(name), _, ..] = path else { return None };
        if root != "marks" || known.contains(&&**name) || whole.iter().any(|key| key[..] == path[..2] || key[..] == path[..1]) {
            return None;
        }
        let remedy = match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("marks here: {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
        };
        let what = format!("the file has no mark `{name}`");
        Some(Problem { key: dotted(path), value: None, what, remedy, place: place.clone() })
    };
    let axes = table.axes.iter().map(|axis| (&axis.path[..], &axis.place));
    let single = table.singles.iter().flat_map(|single| single.overrides.iter().map(|o| (&o.path[..], &o.place)));
    axes.chain(single).filter_map(unknown).collect()
}

/// Every point as an experiment, valid as far as the file shows.
fn documents(source: &Source, table: &Table) -> Result<Vec<Loaded<Experiment>>, ConfigErrors> {
    let schema = schema_for!(Experiment);
    let (mut loaded, mut found) = (Vec::new(), Found::default());
    for (overrides, _) in table.points() {
        match point(source, &overrides, schema.as_value()) {
            Ok(experiment) => loaded.push(experiment),
            Err(errors) => found.add(errors.problems, &overrides),
        }
    }
    let n_points = loaded.len() + found.points;
    if found.points > 0 { Err(source.errors(found.problems(n_points))) } else { Ok(loaded) }
}

fn point(source: &Source, overrides: &[Override], schema: &serde_json::Value) -> Result<Loaded<Experiment>, ConfigErrors> {
    let mut root = source.root.clone();
    let mut problems = Vec::new();
    for Override { path, place, node } in overrides {
        if let Err((depth, what)) = set::put(&mut root, path, node.clone(), place) {
            let key = dotted(&path[..depth]);
            let remedy = format!("let the axis replace `{key}` as a whole");
            problems.push(Problem { key, value: None, what, remedy, place: place.clone() });
        }
    }
    if !problems.is_empty() {
        return Err(source.errors(problems));
    }
    checked(&source.file, &source.text, root, schema)
}

/// Mistakes of many points, each said once.
#[derive(Default)]
struct Found {
    /// Points that have some.
    points: usize,
    mistakes: Vec<Mistake>,
    seen: HashMap<String, usize>,
}

struct Mistake {
    problem: Problem,
    /// Points that have it.
    times: usize,
    /// What the first of them overrides; `None` where the mistake is in that itself.
    point: Option<String>,
}

impl Found {
    fn add(&mut self, problems: Vec<Problem>, overrides: &[Override]) {
        self.points += 1;
        for problem in problems {
            let index = *self.seen.entry(format!("{problem:?}")).or_insert(self.mistakes.len());
            match self.mistakes.get_mut(index) {
                Some(mistake) => mistake.times += 1,
                None => {
                    let inside = overrides.iter().any(|o| o.place == problem.place || o.node.place.contains(&problem.place));
                    let all = || overrides.iter().map(|o| format!("{} = {}", dotted(&o.path), o.node.to_line()));
                    let point = (!inside).then(|| all().collect::<Vec<_>>().join(", "));
                    self.mistakes.push(Mistake { problem, times: 1, point });
                }
            }
        }
    }

    /// All of them; one that only some of `n_points` have says at which.
    fn problems(self, n_points: usize) -> Vec<Problem> {
        let said = |mistake: Mistake| {
            let mut problem = mistake.problem;
            if let Some(point) = mistake.point.filter(|_| mistake.times < n_points) {
                problem.what = format!("{} (at the point {point})", problem.what);
            }
            problem
        };
        self.mistakes.into_iter().map(said).collect()
    }
}

/// The axes with the labels of their values, and what each point takes.
fn named(source: &Source, table: &Table, points: &[Loaded<Experiment>]) -> (Vec<AxisNames>, Vec<BTreeMap<String, String>>) {
    let mut axes = Vec::new();
    let mut of_points = vec![BTreeMap::new(); points.len()];
    for path in table.keys() {
        let key = dotted(&path);
        let (values, taken) = distinct(points, &path);
        let mut labels = labels::labels(&values, &source.text);
        for (labels_of_point, value) in of_points.iter_mut().zip(&taken) {
            let label = value.map_or_else(|| ABSENT.to_string(), |index| labels[index].clone());
            labels_of_point.insert(key.clone(), label);
        }
        if taken.contains(&None) {
            labels.push(ABSENT.to_string());
        }
        axes.push(AxisNames { key, labels });
    }
    (axes, of_points)
}

/// The values that points have at `path`, each once, and for each point which one.
fn distinct<'a>(points: &'a [Loaded<Experiment>], path: &[Step]) -> (Vec<&'a Node>, Vec<Option<usize>>) {
    let (mut values, mut seen) = (Vec::new(), HashMap::new());
    let taken = points.iter().map(|point| {
        let node = point.node(path)?;
        Some(*seen.entry(node.to_line()).or_insert_with(|| {
            values.push(node);
            values.len() - 1
        }))
    });
    let taken = taken.collect();
    (values, taken)
}

/// The mistake of a point, `number`, that is point `earlier` again, both counted from 0.
pub(crate) fn repeated(point: &LoadedPoint, number: usize, earlier: usize) -> ConfigErrors {
    let what = format!("point {} is point {} again", number + 1, earlier + 1);
    let problem =
        Problem { key: "grid".into(), value: None, what, remedy: "drop one of them".into(), place: point.place.clone() };
    point.loaded.errors(vec![problem])
}
