use std::collections::{BTreeMap, BTreeSet, HashMap};

use lm::Device;
use serde::Serialize;
use store::Hash;

use super::Resolved;
use super::lookup::{Seen, resolve_with};
use crate::grid::{AxisNames, LoadedGrid, LoadedPoint, repeated};
use crate::hub::Models;
use crate::places::{SecretPlace, Written};
use crate::shapes::{ModelsRead, ShapeError, Shapes};

/// One point of a grid: an experiment of its own.
#[derive(Debug, Clone)]
pub struct Point {
    /// What it takes of each axis, by dotted key; empty where the file has no grid.
    pub axes: BTreeMap<String, String>,
    /// The experiment, looked up.
    pub resolved: Resolved,
    /// Shapes of its models.
    pub shapes: Shapes,
    /// Its identity as an experiment of its own: the same whatever grid it is in.
    pub hash: Hash,
}

/// Every point of an experiment file, looked up; never empty.
#[derive(Debug, Clone)]
pub struct Grid {
    /// What tells the points apart; empty where the file has no grid.
    pub axes: Vec<AxisNames>,
    /// Crossed points first, the last axis changing fastest; then the single ones.
    pub points: Vec<Point>,
}

/// Looks up every point, to be computed on `device`. What points have in common is looked up once.
///
/// # Errors
/// As [`resolve`](super::resolve), with shapes that cannot be and points that repeat each other.
pub fn resolve_grid(loaded: &LoadedGrid, models: &Models<'_>, device: &Device) -> anyhow::Result<Grid> {
    let (mut seen, mut read) = (Seen::default(), ModelsRead::default());
    let mut numbers: HashMap<Hash, usize> = HashMap::new();
    let mut points = Vec::with_capacity(loaded.points.len());
    for (number, point) in loaded.points.iter().enumerate() {
        if let Some((path, spec)) = point.written.as_ref().and_then(|written| written.spec.clone()) {
            seen.put_spec(path, spec);
        }
        let mut resolved = resolve_with(&point.loaded, models, &mut seen)?.computed_on(device.clone());
        if let Some(written) = &point.written {
            is_what_it_was(point, written, &resolved)?;
            if let SecretPlace::TypedIn(_) = resolved.secret_place {
                resolved.secret_place = written.places.secret.clone();
            }
        }
        let shapes = Shapes::of(&resolved.world, &resolved.channels, &mut read).map_err(|errors| {
            let problem = |error: ShapeError| point.loaded.problem_with(&error.key, error.what, error.remedy);
            point.loaded.errors(errors.into_iter().map(problem).collect())
        })?;
        let hash = resolved.hash()?;
        if let Some(earlier) = numbers.insert(hash, number) {
            return Err(repeated(point, number, earlier).into());
        }
        points.push(Point { axes: point.axes.clone(), resolved, shapes, hash });
    }
    Ok(Grid { axes: loaded.axes.clone(), points })
}

/// Refuses a resolved experiment when something that it was made from is no longer what it was: it would be another experiment.
fn is_what_it_was(point: &LoadedPoint, written: &Written, resolved: &Resolved) -> anyhow::Result<()> {
    let now = serde_json::to_value(&resolved.world)?;
    let keys: BTreeSet<&String> =
        [&now, &written.world].into_iter().filter_map(|value| value.as_object()).flat_map(|o| o.keys()).collect();
    let mut problems = Vec::new();
    for key in keys {
        let typed = match key.as_str() {
            // what computes is chosen by `--device`
            "device" => continue,
            "commitment" => "owner",
            "mark_files" => "marks",
            other => other,
        };
        let changed = written.changed.iter().any(|set| set.split(['.', '[']).next() == Some(typed));
        if changed || now.get(key) == written.world.get(key) {
            continue;
        }
        let (what, remedy) = match key.as_str() {
            "commitment" => (
                "the secret is not the one of these results",
                "say theirs: --set owner.secret_file=FILE, or --set owner.secret=TEXT",
            ),
            "corpus" | "teacher" | "stranger" | "base" | "models" | "transcript" | "mark_files" => (
                "a file that it names is not what it was (other SHA-256)",
                "name the one that these results were made with by --set, or run the experiment file itself",
            ),
            _ => ("this version reads it otherwise than the one that wrote it", "run the experiment file itself"),
        };
        problems.push(point.loaded.problem_with(typed, what, remedy).without_value());
    }
    if problems.is_empty() { Ok(()) } else { Err(point.loaded.errors(problems).into()) }
}

impl Grid {
    /// The experiment's name, which all points share.
    pub fn name(&self) -> &str {
        &self.first().name
    }

    /// The first point, for what all points share: name, question, hypothesis, alpha, secret, device.
    pub fn first(&self) -> &Resolved {
        &self.points[0].resolved
    }

    /// Whether the file has a grid.
    pub fn is_grid(&self) -> bool {
        !self.axes.is_empty()
    }

    /// Identity of the whole: its results go to `<name>/<first 8 digits>/`. Without a grid it is the experiment's own.
    ///
    /// # Errors
    /// When a parameter has no canonical JSON (a number that is not finite).
    pub fn hash(&self) -> Result<Hash, store::StoreError> {
        #[derive(Serialize)]
        struct Identity<'a> {
            name: &'a str,
            points: Vec<(&'a BTreeMap<String, String>, Hash)>,
        }
        if !self.is_grid() {
            return Ok(self.points[0].hash);
        }
        let points = self.points.iter().map(|point| (&point.axes, point.hash)).collect();
        store::hash_json(&Identity { name: self.name(), points })
    }
}
