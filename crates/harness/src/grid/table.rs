//! What `[grid]` says, before any point is made of it.

use crate::config_error::{Place, Problem};
use crate::document::{Entry, Node, Step, Tree, dotted, steps};

/// Most points of a grid.
pub const MOST_POINTS: u128 = 10_000;

/// A key that is overridden, and with what.
#[derive(Debug, Clone)]
pub struct Override {
    /// The key.
    pub path: Vec<Step>,
    /// Where the key is in `[grid]`.
    pub place: Place,
    /// The new value.
    pub node: Node,
}

/// A key that takes several values.
#[derive(Debug)]
pub struct Axis {
    /// The key.
    pub path: Vec<Step>,
    /// Where the key is in `[grid]`.
    pub place: Place,
    /// What it takes, in the order of the file; never empty.
    pub values: Vec<Node>,
}

/// A point beside the crossed ones.
#[derive(Debug)]
pub struct Single {
    /// Where it is.
    pub place: Place,
    /// What it overrides.
    pub overrides: Vec<Override>,
}

/// What `[grid]` says.
#[derive(Debug)]
pub struct Table {
    /// Crossed with each other, the first changing slowest.
    pub axes: Vec<Axis>,
    /// Beside them.
    pub singles: Vec<Single>,
}

impl Table {
    /// Reads the table at the key `grid`.
    ///
    /// # Errors
    /// Everything that is wrong with its form, and a grid of too many points, which are counted and never made.
    pub fn parse(grid: &Entry) -> Result<Self, Vec<Problem>> {
        let mut reading = Reading::default();
        let table = reading.table(grid);
        if reading.problems.is_empty() {
            reading.count(&table, grid);
        }
        if reading.problems.is_empty() { Ok(table) } else { Err(reading.problems) }
    }

    /// How many points there are.
    pub fn count(&self) -> u128 {
        let crossed = self.axes.iter().fold(1_u128, |product, axis| product.saturating_mul(axis.values.len() as u128));
        // without axes there is nothing to cross
        let crossed = if self.axes.is_empty() { 0 } else { crossed };
        crossed.saturating_add(self.singles.len() as u128)
    }

    /// What each point overrides, with the place it is to be blamed on: the crossed ones, then the single ones.
    pub fn points(&self) -> impl Iterator<Item = (Vec<Override>, &Place)> {
        let crossed = if self.axes.is_empty() { 0 } else { self.axes.iter().map(|axis| axis.values.len()).product() };
        let crossed =
            (0..crossed).map(|number| (self.crossed(number), self.axes.last().map_or(&Place::File, |axis| &axis.place)));
        crossed.chain(self.singles.iter().map(|single| (single.overrides.clone(), &single.place)))
    }

    /// Crossed point `number`; the last axis changes fastest.
    fn crossed(&self, mut number: usize) -> Vec<Override> {
        let mut overrides = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            let node = axis.values[number % axis.values.len()].clone();
            number /= axis.values.len();
            overrides.push(Override { path: axis.path.clone(), place: axis.place.clone(), node });
        }
        overrides.reverse();
        overrides
    }

    /// Every key that some point overrides: axes in the order of the file, then those of single points.
    pub fn keys(&self) -> Vec<Vec<Step>> {
        let single = self.singles.iter().flat_map(|single| single.overrides.iter().map(|o| &o.path));
        let mut keys: Vec<Vec<Step>> = Vec::new();
        for path in self.axes.iter().map(|axis| &axis.path).chain(single) {
            if !keys.contains(path) {
                keys.push(path.clone());
            }
        }
        keys
    }
}

/// Keys that all points have in common, and why.
const SHARED: [(&str, &str); 6] = [
    ("name", "all points of a grid share one results directory"),
    ("alpha", "one level holds for the whole report"),
    ("primary", "what is tested first is named once, for the whole report"),
    ("expect", "conditions are on the records of all points together"),
    ("owner", "records name the values of an axis, and the secret must be in none"),
    ("grid", "a grid has no grids"),
];

#[derive(Default)]
struct Reading {
    problems: Vec<Problem>,
}

impl Reading {
    fn problem(&mut self, key: &str, node: Option<&Node>, what: impl Into<String>, (remedy, place): (&str, &Place)) {
        let value = node.map(Node::to_line);
        let (what, remedy) = (what.into(), remedy.to_string());
        self.problems.push(Problem { key: key.to_string(), value, what, remedy, place: place.clone() });
    }

    fn table(&mut self, grid: &Entry) -> Table {
        let mut table = Table { axes: Vec::new(), singles: Vec::new() };
        let Tree::Table(entries) = &grid.node.tree else {
            let remedy = "write [grid] and below it \"dotted.key\" = [ … ]";
            self.problem("grid", Some(&grid.node), format!("should be a table, is {}", grid.node.kind()), (remedy, &grid.place));
            return table;
        };
        if entries.is_empty() {
            self.problem("grid", None, "no point in it", ("write \"dotted.key\" = [ … ], or drop it", &grid.place));
        }
        for entry in entries {
            if entry.key == "point" {
                table.singles = self.singles(entry);
            } else {
                table.axes.extend(self.axis(entry));
            }
        }
        let keys: Vec<(&[Step], &Place)> = table.axes.iter().map(|axis| (&axis.path[..], &axis.place)).collect();
        self.apart("grid", &keys);
        table
    }

    fn axis(&mut self, entry: &Entry) -> Option<Axis> {
        let key = format!("grid.\"{}\"", entry.key);
        let path = self.path(&key, entry)?;
        let values = match &entry.node.tree {
            Tree::Array(values) => values,
            Tree::Table(_) => {
                let inner = innermost(&entry.node, &entry.key);
                let remedy = format!("put the dotted key in quotes: \"{inner}\" = [ … ]");
                self.problem(&key, None, "a table, not a list of values", (&remedy, &entry.place));
                return None;
            }
            Tree::Leaf(_) => {
                let what = format!("should be a list of values, is {}", entry.node.kind());
                self.problem(&key, Some(&entry.node), what, ("write [ … ]", &entry.node.place));
                return None;
            }
        };
        if values.is_empty() {
            let remedy = "write at least one value, or drop the key";
            self.problem(&key, Some(&entry.node), "an empty list", (remedy, &entry.node.place));
            return None;
        }
        for (index, value) in values.iter().enumerate() {
            if values[..index].iter().any(|earlier| earlier.to_value() == value.to_value()) {
                self.problem(&format!("{key}[{index}]"), Some(value), "given twice", ("keep it once", &value.place));
            }
        }
        Some(Axis { path, place: entry.place.clone(), values: values.clone() })
    }

    fn singles(&mut self, entry: &Entry) -> Vec<Single> {
        let Tree::Array(nodes) = &entry.node.tree else {
            let remedy = "write [[grid.point]] and below it \"dotted.key\" = value";
            self.problem(
                "grid.point",
                None,
                format!("should be a list of tables, is {}", entry.node.kind()),
                (remedy, &entry.place),
            );
            return Vec::new();
        };
        let mut singles = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let name = format!("grid.point[{index}]");
            match &node.tree {
                Tree::Table(entries) if !entries.is_empty() => {
                    let mut overrides = Vec::new();
                    for entry in entries {
                        if let Some(path) = self.path(&format!("{name}.\"{}\"", entry.key), entry) {
                            overrides.push(Override { path, place: entry.place.clone(), node: entry.node.clone() });
                        }
                    }
                    let keys: Vec<(&[Step], &Place)> = overrides.iter().map(|o| (&o.path[..], &o.place)).collect();
                    self.apart(&name, &keys);
                    singles.push(Single { place: node.place.clone(), overrides });
                }
                _ => {
                    let remedy = "write \"dotted.key\" = value";
                    self.problem(&name, None, "should be a table of keys and values", (remedy, &node.place));
                }
            }
        }
        singles
    }

    /// The key that an entry of the grid overrides.
    fn path(&mut self, key: &str, entry: &Entry) -> Option<Vec<Step>> {
        let Some(path) = steps(&entry.key) else {
            self.problem(
                key,
                None,
                "not a dotted key",
                ("write it like \"queries.budgets\" or \"distill[0].loss\"", &entry.place),
            );
            return None;
        };
        let shared = SHARED.iter().find(|(name, _)| path.first() == Some(&Step::Key((*name).to_string())));
        if let Some((name, why)) = shared {
            self.problem(key, None, format!("`{name}` is the same at every point"), (why, &entry.place));
            return None;
        }
        Some(path)
    }

    /// Refuses keys of which one contains another.
    fn apart(&mut self, name: &str, keys: &[(&[Step], &Place)]) {
        for (index, (path, place)) in keys.iter().enumerate() {
            let other = keys[..index].iter().find(|(earlier, _)| path.starts_with(earlier) || earlier.starts_with(path));
            let Some((other, _)) = other else { continue };
            let (own, other) = (dotted(path), dotted(other));
            let what = match own == other {
                true => "the same key is given twice".to_string(),
                false => format!("`{other}` is given too, and one of them contains the other"),
            };
            self.problem(&format!("{name}.\"{own}\""), None, what, ("keep one of them", place));
        }
    }

    fn count(&mut self, table: &Table, grid: &Entry) {
        let count = table.count();
        if count > MOST_POINTS {
            let how_many = if count == u128::MAX { "more points than can be counted".into() } else { format!("{count} points") };
            let remedy =
                format!("a grid has at most {MOST_POINTS}; shorten a list, or write the points that matter as [[grid.point]]");
            self.problem("grid", None, how_many, (&remedy, &grid.place));
        }
    }
}

/// The dotted key that somebody wrote without quotes, as far as it can be followed.
fn innermost(node: &Node, key: &str) -> String {
    match &node.tree {
        Tree::Table(entries) if entries.len() == 1 => innermost(&entries[0].node, &format!("{key}.{}", entries[0].key)),
        _ => key.to_string(),
    }
}
