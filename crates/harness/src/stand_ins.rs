//! What else is wrong with a file whose form is wrong: what is wrong in its form is replaced by values of an experiment that is valid, and
//! the rest is looked at as if nothing had been.

use std::path::Path;
use std::sync::Arc;

use crate::config_error::Problem;
use crate::document::{Node, Step, Tree, steps};
use crate::experiment::{Experiment, validate};
use crate::loaded::Loaded;
use crate::{nowhere, shape};

/// A valid experiment that values are taken from.
const VALID: &str = include_str!("stand_ins.toml");

/// Rounds of replacing: a key, what it brings to light, the table around it, the section.
const ROUNDS: usize = 5;

/// What a key is compared with, by the beginnings of both: where the second was replaced, nothing is said of the first.
const COMPARED: [(&str, &[&str]); 17] = [
    ("primary", &["marks"]),
    ("marks_apart", &["marks", "transcript"]),
    ("planting", &["marks", "teacher"]),
    ("marks", &["planting", "teacher", "models", "marks"]),
    ("tokenizer", &["teacher"]),
    ("teacher.model", &["tokenizer", "teacher.train"]),
    ("stranger.model", &["tokenizer", "stranger.train"]),
    ("teacher.train.batch_rows", &["optimizer"]),
    ("teacher.continued", &["optimizer", "teacher"]),
    ("stranger.train.batch_rows", &["optimizer"]),
    ("base.train.batch_rows", &["optimizer"]),
    ("student", &["optimizer", "base", "queries.budgets", "student.compute", "student.batch_rows"]),
    ("queries.chat", &["teacher"]),
    ("distill", &["tokenizer", "marks", "transcript", "student.tokenizer"]),
    ("audit.apart_from_queries", &["queries.budgets"]),
    ("measure", &["alpha"]),
    ("attacks", &["models", "student.compute", "transcript"]),
];

/// Mistakes of sense in `root` beside those of form, `wrong`; none where that cannot be told.
pub fn beside(file: &Path, text: &Arc<str>, root: &Node, wrong: &[Problem], schema: &serde_json::Value) -> Vec<Problem> {
    let Some((replaced, keys)) = replaced(root, wrong, schema) else { return Vec::new() };
    let Ok(loaded) = Loaded::<Experiment>::of(file, text, replaced, schema) else { return Vec::new() };
    let mut found = validate(&loaded);
    found.extend(nowhere::problems(&loaded, &found));
    found.retain(|problem| {
        let Some(path) = steps(&problem.key) else { return false };
        // of what stands in nothing is said, nor of what it is compared with
        let touched = keys.iter().any(|key| key.starts_with(&path) || path.starts_with(key));
        let written = root.get(&path).is_some();
        let compared = COMPARED.iter().filter(|(own, _)| begins(&path, own)).flat_map(|(_, others)| *others);
        !touched && written && !compared.into_iter().any(|other| keys.iter().any(|key| begins(key, other)))
    });
    found
}

/// Whether `path` lies at or below `key`.
fn begins(path: &[Step], key: &str) -> bool {
    steps(key).is_some_and(|key| path.starts_with(&key))
}

/// `root` with everything that is wrong in its form replaced, and the keys that were; `None` where that does not succeed.
fn replaced(root: &Node, wrong: &[Problem], schema: &serde_json::Value) -> Option<(Node, Vec<Vec<Step>>)> {
    let valid = Node::parse(Path::new("stand_ins.toml"), VALID).ok()?;
    let (mut replaced, mut keys) = (root.clone(), Vec::new());
    let mut problems = wrong.to_vec();
    for round in 0..ROUNDS {
        for problem in &problems {
            let path = steps(&problem.key)?;
            // what one round did not put right, the next replaces from a table further out
            let path = &path[..path.len().saturating_sub(round.saturating_sub(1)).max(1).min(path.len())];
            if let Some(key) = replace(&mut replaced, path, &valid) {
                keys.push(key);
            }
        }
        problems = shape::problems(&replaced, schema);
        if problems.is_empty() {
            return Some((replaced, keys));
        }
    }
    None
}

/// Puts a valid value at `path`, or at the nearest key around it that has one, or takes the key away; the key that was changed.
fn replace(root: &mut Node, path: &[Step], valid: &Node) -> Option<Vec<Step>> {
    let like = |path: &[Step]| {
        let first = |step: &Step| if let Step::Index(_) = step { Step::Index(0) } else { step.clone() };
        valid.get(&path.iter().map(first).collect::<Vec<_>>()).cloned()
    };
    let (last, around) = path.split_last()?;
    match like(path) {
        Some(value) => {
            let place = value.place.clone();
            crate::set::put(root, path, value, &place).ok()?;
        }
        // a mark, an attack, a key that nobody knows
        None => {
            let table = root.get_mut(around)?;
            match (last, &mut table.tree) {
                (Step::Key(key), Tree::Table(entries)) => entries.retain(|entry| entry.key != *key),
                (Step::Index(index), Tree::Array(nodes)) if *index < nodes.len() => drop(nodes.remove(*index)),
                _ => return None,
            }
        }
    }
    Some(path.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_ins_are_a_valid_experiment() {
        let root = Node::parse(Path::new("stand_ins.toml"), VALID).unwrap();
        let schema = schemars::schema_for!(Experiment);
        assert!(shape::problems(&root, schema.as_value()).is_empty());
        let loaded: Loaded<Experiment> = Loaded::of(Path::new("stand_ins.toml"), &VALID.into(), root, schema.as_value()).unwrap();
        assert!(validate(&loaded).is_empty());
    }
}
