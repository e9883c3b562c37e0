//! Experiments as they are given to a command: an experiment file, or the `experiment.json` of a results directory, which is the same
//! resolved.
//!
//! A resolved experiment is put back into the form of a file, and goes the way of every file: `--set`, checks, look-up. What it
//! was made from is found where it was, and refused when it is no longer the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use corpus::GrammarSpec;
use lm::Device;
use serde_json::{Map, Value};

use crate::config_error::{ConfigErrors, Place, Problem};
use crate::document::{Entry, Node, Tree, dotted, steps};
use crate::experiment::Experiment;
use crate::grid::{self, AxisNames, LoadedGrid, LoadedPoint};
use crate::hub::Models;
use crate::load::checked;
use crate::loaded::{Loaded, Source, project_root};
use crate::places::{PLACES, Places, SecretPlace, Written};
use crate::resolve::{Grid, resolve_grid};
use crate::set;

/// The experiment in `file` with `sets` (`key=value`) applied, expanded, validated and looked up on `device`: an experiment file, or a
/// resolved experiment (`.json`), which gives the hash and the records that it had.
///
/// # Errors
/// Everything that is wrong with it. Of a resolved one also what is no longer there, or no longer what it was.
pub fn open(file: &Path, sets: &[String], models: &Models<'_>, device: &Device) -> anyhow::Result<Grid> {
    let resolved = file.extension().is_some_and(|kind| kind == "json");
    let loaded = if resolved { read(file, sets)? } else { grid::read(file, sets)? };
    resolve_grid(&loaded, models, device)
}

/// A resolved experiment in the form of a file.
///
/// # Errors
/// When it is none, or does not say where something is.
fn read(file: &Path, sets: &[String]) -> Result<LoadedGrid, ConfigErrors> {
    let text = Source::text(file)?;
    let whole =
        |what: String| ConfigErrors::whole(file, what, "name an experiment file, or the experiment.json of a results directory");
    let mut value: Value = serde_json::from_str(&text).map_err(|error| whole(format!("not valid JSON: {error}")))?;
    let directory = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut places = places_in(directory).into_iter();
    let Some(points) = value.get_mut("points").map(Value::take) else {
        let loaded = point(file, BTreeMap::new(), (value, places.next()), sets)?;
        return Ok(LoadedGrid { axes: Vec::new(), points: vec![loaded] });
    };
    let Value::Array(points) = points else { return Err(whole("`points` is no list".into())) };
    let mut grid = LoadedGrid { axes: Vec::new(), points: Vec::new() };
    for mut value in points {
        let mut part = |key: &str| value.get_mut(key).map(Value::take).unwrap_or_default();
        let (axes, experiment) = (part("axes"), part("experiment"));
        let axes = serde_json::from_value(axes).map_err(|error| whole(format!("`axes`: {error}")))?;
        let loaded = point(file, axes, (experiment, places.next()), sets)?;
        for (key, label) in &loaded.axes {
            if !grid.axes.iter().any(|axis| axis.key == *key) {
                grid.axes.push(AxisNames { key: key.clone(), labels: Vec::new() });
            }
            let axis = grid.axes.iter_mut().find(|axis| axis.key == *key);
            if let Some(axis) = axis.filter(|axis| !axis.labels.contains(label)) {
                axis.labels.push(label.clone());
            }
        }
        grid.points.push(loaded);
    }
    let taken = |set: &String| {
        set::key_of(set)
            .is_some_and(|path| grid.axes.iter().any(|axis| steps(&axis.key).is_some_and(|key| path.starts_with(&key))))
    };
    if let Some(set) = sets.iter().find(|set| taken(set)) {
        return Err(whole(format!("--set {set}: the grid gives this key at every point; choose points with --only KEY=VALUE")));
    }
    if grid.points.is_empty() { Err(whole("there is no point in it".into())) } else { Ok(grid) }
}

/// Where the points of the results in `directory` were made from; nothing where it does not say.
fn places_in(directory: &Path) -> Vec<Places> {
    let text = store::read_plain(&directory.join(PLACES)).unwrap_or_default();
    let places: Vec<Places> = serde_json::from_slice(&text).unwrap_or_default();
    places.iter().map(|places| places.read_in(directory)).collect()
}

/// One resolved experiment, with its places where they are known, as a file's document, `sets` applied.
fn point(
    file: &Path,
    axes: BTreeMap<String, String>,
    (value, places): (Value, Option<Places>),
    sets: &[String],
) -> Result<LoadedPoint, ConfigErrors> {
    let mut reading = Reading { file, sets, problems: Vec::new() };
    let made = reading.document(value, places);
    let found = reading.problems;
    let Some((mut root, written)) = made.filter(|_| found.is_empty()) else {
        return Err(ConfigErrors { file: file.to_path_buf(), text: String::new(), problems: found });
    };
    let problems: Vec<Problem> = sets.iter().filter_map(|set| set::apply(&mut root, set).err()).collect();
    let text: Arc<str> = "".into();
    if !problems.is_empty() {
        return Err(ConfigErrors { file: file.to_path_buf(), text: text.to_string(), problems });
    }
    let loaded: Loaded<Experiment> = checked(file, &text, root, schemars::schema_for!(Experiment).as_value())?;
    Ok(LoadedPoint::of(axes, loaded.with_base(written.places.root.clone()), written))
}

struct Reading<'a> {
    file: &'a Path,
    sets: &'a [String],
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn problem(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let problem = Problem { key: key.into(), value: None, what: what.into(), remedy: remedy.into(), place: Place::File };
        self.problems.push(problem);
    }

    /// Whether a flag gives `key` or a part of it, or the table around it.
    fn is_set(&self, key: &str) -> bool {
        let Some(path) = steps(key) else { return false };
        let given = self.sets.iter().filter_map(|set| set::key_of(set));
        given.into_iter().any(|given| given.starts_with(&path) || path.starts_with(&given))
    }

    /// The keys of an experiment file, and what else the resolved one says; `None` when a problem was noted.
    fn document(&mut self, value: Value, places: Option<Places>) -> Option<(Node, Written)> {
        let Value::Object(mut top) = value else {
            self.problem("", "not a resolved experiment", "name the experiment.json of a results directory");
            return None;
        };
        let world = top.remove("world").unwrap_or_default();
        let Value::Object(parts) = &world else {
            self.problem(
                "world",
                "missing, so this is no resolved experiment",
                "name the experiment.json of a results directory",
            );
            return None;
        };
        // a copy, or results of an earlier version, say of nothing where it was
        let places = places.unwrap_or_else(|| Places {
            root: project_root(self.file),
            secret: SecretPlace::Flag,
            salt: None,
            files: BTreeMap::new(),
        });
        let mut document = Map::new();
        for key in ["name", "question", "hypothesis", "seeds", "alpha", "primary", "marks_apart", "expect"] {
            document.extend(top.get(key).map(|value| (key.to_string(), value.clone())));
        }
        for key in ["tokenizer", "optimizer", "marks", "planting", "defences", "attacks", "student", "audit", "measure"] {
            document.extend(parts.get(key).map(|value| (key.to_string(), value.clone())));
        }
        document.insert("distill".into(), top.get("channels").cloned().unwrap_or_default());
        let mut queries = parts.get("queries").cloned().unwrap_or_default();
        if let Value::Object(queries) = &mut queries {
            queries.insert("budgets".into(), top.get("budgets").cloned().unwrap_or_default());
        }
        document.insert("queries".into(), queries);
        let owner = self.owner(&places);
        document.extend(owner.map(|owner| ("owner".to_string(), owner)));
        let spec = self.corpus(&places, parts, &mut document);
        self.models(&places, parts, &mut document);
        if let Some(Value::Object(transcript)) = parts.get("transcript") {
            let files =
                transcript.keys().filter_map(|key| Some((key.clone(), self.place(&places, &format!("transcript.{key}"))?)));
            let files = files.collect::<Vec<_>>();
            document.insert("transcript".into(), Value::Object(files.into_iter().collect()));
        }
        let changed = self.sets.iter().filter_map(|set| Some(dotted(&set::key_of(set)?))).collect();
        let root = node(&Value::Object(document));
        let Some(root) = root else {
            self.problem("", "a number in it is larger than an experiment file can hold", "run the experiment file itself");
            return None;
        };
        Some((root, Written { places, spec, world, changed }))
    }

    /// Where the file or model at `key` is; a placeholder, and a problem noted, where that is not said.
    fn place(&mut self, places: &Places, key: &str) -> Option<Value> {
        if let Some(path) = places.files.get(key) {
            return Some(Value::String(path.to_string_lossy().into_owned()));
        }
        if !self.is_set(key) {
            self.problem(key, "these results do not say where it was", format!("say it: --set {key}=PLACE"));
        }
        Some(Value::String("not said".into()))
    }

    fn owner(&mut self, places: &Places) -> Option<Value> {
        let mut owner = Map::new();
        owner.extend(places.salt.clone().map(|salt| ("salt".to_string(), Value::String(salt))));
        if self.is_set("owner.secret") || self.is_set("owner.secret_file") {
            return Some(Value::Object(owner));
        }
        let remedy = "results never hold it; say it: --set owner.secret_file=FILE, or --set owner.secret=TEXT";
        match &places.secret {
            SecretPlace::File(path) => {
                owner.insert("secret_file".into(), Value::String(path.to_string_lossy().into_owned()));
            }
            SecretPlace::TypedIn(file) => match typed_secret(file) {
                Some(secret) => {
                    owner.insert("secret".into(), Value::String(secret));
                }
                None => {
                    self.problem("owner.secret", format!("it stood in {}, where it is no longer", file.display()), remedy);
                    return None;
                }
            },
            SecretPlace::Flag => {
                self.problem("owner.secret", "these results do not say where it is", remedy);
                return None;
            }
        }
        Some(Value::Object(owner))
    }

    /// The corpus: a grammar is here whole, under the name of this file.
    fn corpus(
        &mut self,
        places: &Places,
        parts: &Map<String, Value>,
        document: &mut Map<String, Value>,
    ) -> Option<(std::path::PathBuf, GrammarSpec)> {
        let corpus = parts.get("corpus").cloned().unwrap_or_default();
        if let Some(column) = corpus.pointer("/file/column") {
            let path = self.place(places, "corpus.file.path")?;
            document.insert("corpus".into(), serde_json::json!({ "file": { "path": path, "column": column } }));
            return None;
        }
        let Some(grammar) = corpus.get("grammar") else {
            self.problem("corpus", "missing", "name the experiment.json of a results directory");
            return None;
        };
        let path = std::path::absolute(self.file).unwrap_or_else(|_| self.file.to_path_buf());
        document.insert("corpus".into(), serde_json::json!({ "grammar": path.to_string_lossy() }));
        match serde_json::from_value::<GrammarSpec>(grammar.clone()) {
            Ok(spec) if spec.validate().is_ok() => Some((path, spec)),
            _ => {
                self.problem("corpus.grammar", "not a dataset spec that this version reads", "run the experiment file itself");
                None
            }
        }
    }

    fn models(&mut self, places: &Places, parts: &Map<String, Value>, document: &mut Map<String, Value>) {
        for key in ["teacher", "stranger", "base"] {
            let source = parts.get(key).cloned().unwrap_or_default();
            let Some(open) = source.get("open") else {
                document.insert(key.into(), source);
                continue;
            };
            let mut said = Map::new();
            said.extend(self.place(places, &format!("{key}.model")).map(|place| ("model".to_string(), place)));
            said.extend(open.get("continued").map(|continued| ("continued".to_string(), continued.clone())));
            document.insert(key.into(), Value::Object(said));
        }
        if let Some(Value::Object(models)) = parts.get("models") {
            let named = models.keys().filter_map(|name| Some((name.clone(), self.place(places, &format!("models.{name}"))?)));
            let named = named.collect::<Vec<_>>();
            document.insert("models".into(), Value::Object(named.into_iter().collect()));
        }
    }
}

/// The key `owner.secret` of an experiment file.
fn typed_secret(file: &Path) -> Option<String> {
    let text = Source::text(file).ok()?;
    let root = Node::parse(file, &text).ok()?;
    match &root.get(&steps("owner.secret")?)?.tree {
        Tree::Leaf(toml::Value::String(secret)) => Some(secret.clone()),
        _ => None,
    }
}

/// JSON as a document: what is null is left out. `None` for a whole number that TOML cannot hold.
fn node(value: &Value) -> Option<Node> {
    let tree = match value {
        Value::Null => return None,
        Value::Bool(truth) => Tree::Leaf(toml::Value::Boolean(*truth)),
        Value::Number(number) if number.is_f64() => Tree::Leaf(toml::Value::Float(number.as_f64()?)),
        Value::Number(number) => Tree::Leaf(toml::Value::Integer(number.as_i64()?)),
        Value::String(text) => Tree::Leaf(toml::Value::String(text.clone())),
        Value::Array(values) => Tree::Array(values.iter().map(node).collect::<Option<_>>()?),
        Value::Object(entries) => {
            let there = entries.iter().filter(|(_, value)| !value.is_null());
            let entry =
                |(key, value): (&String, &Value)| Some(Entry { key: key.clone(), place: Place::File, node: node(value)? });
            Tree::Table(there.map(entry).collect::<Option<_>>()?)
        }
    };
    Some(Node { tree, place: Place::File })
}
