//! A parsed TOML file that remembers where everything was written.
//!
//! The typed values come from this tree rather than from the text, because `--set` changes the tree, and because
//! checks made after parsing must still point at the line of the key they refuse.

use std::ops::Range;
use std::path::Path;

use crate::config_error::{ConfigErrors, Place, Problem};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub tree: Tree,
    /// Where the value is; for tables opened by a header, the header.
    pub place: Place,
}

/// A TOML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// Keys in the order of the file.
    Table(Vec<Entry>),
    /// Also arrays of tables.
    Array(Vec<Node>),
    /// Anything without parts.
    Leaf(toml::Value),
}

/// A key of a table with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

/// A step from a value into one of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a table.
    Key(String),
    /// A position in an array.
    Index(usize),
}

/// Writes steps as a dotted key: `distill[0].surface`.
pub fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// Reads a dotted key; array positions may be written `a[0]` or `a.0`. `None` when it is not one.
pub fn steps(key: &str) -> Option<Vec<Step>> {
    let mut path = Vec::new();
    for part in key.split('.') {
        let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
        match name.parse::<usize>() {
            Ok(index) if !path.is_empty() => path.push(Step::Index(index)),
            _ if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') => {
                path.push(Step::Key(name.to_string()));
            }
            _ => return None,
        }
        while let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']')?;
            path.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(path)
}

impl Node {
    /// Parses a file's text.
    ///
    /// # Errors
    /// The first syntax error, with its line.
    pub fn parse(file: &Path, source: &str) -> Result<Self, ConfigErrors> {
        let problem = |message: &str, span: Option<Range<usize>>| Problem {
            key: String::new(),
            value: None,
            what: format!("not valid TOML: {}", message.trim().replace('\n', ", ")),
            remedy: String::new(),
            place: span.map_or(Place::File, Place::Bytes),
        };
        toml_edit::Document::parse(source).map(|document| from_item(document.as_item(), Some(0..0))).map_err(|error| {
            // the editing parser reports the last mistake, which may be a mere consequence of the first
            let (_, all) = toml::de::DeTable::parse_recoverable(source);
            let first = all.iter().filter(|error| error.span().is_some()).min_by_key(|error| error.span().map(|span| span.start));
            let problem = match first {
                Some(first) => problem(first.message(), first.span()),
                None => problem(error.message(), error.span()),
            };
            ConfigErrors { file: file.to_path_buf(), text: source.to_string(), problems: vec![problem] }
        })
    }

    /// A value typed after `--set`.
    pub fn from_flag(value: &toml_edit::Value, flag: &str) -> Self {
        let mut node = from_value(value, None);
        node.placed(&Place::Flag(flag.to_string()));
        node
    }

    fn placed(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.tree {
            Tree::Table(entries) => {
                for entry in entries {
                    entry.place = place.clone();
                    entry.node.placed(place);
                }
            }
            Tree::Array(nodes) => nodes.iter_mut().for_each(|node| node.placed(place)),
            Tree::Leaf(_) => {}
        }
    }

    /// Removes a key of this table, with its value.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        let Tree::Table(entries) = &mut self.tree else { return None };
        let index = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(index))
    }

    /// The part that a path leads to.
    pub fn get(&self, path: &[Step]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match (first, &self.tree) {
            (Step::Key(key), Tree::Table(entries)) => entries.iter().find(|entry| entry.key == *key)?.node.get(rest),
            (Step::Index(index), Tree::Array(nodes)) => nodes.get(*index)?.get(rest),
            _ => None,
        }
    }

    /// As [`get`](Self::get), to be changed.
    pub fn get_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match (first, &mut self.tree) {
            (Step::Key(key), Tree::Table(entries)) => entries.iter_mut().find(|entry| entry.key == *key)?.node.get_mut(rest),
            (Step::Index(index), Tree::Array(nodes)) => nodes.get_mut(*index)?.get_mut(rest),
            _ => None,
        }
    }

    /// Where a problem with `path` should point: the value, else the nearest enclosing key or table that was written.
    pub fn place_of(&self, path: &[Step]) -> Place {
        let mut node = self;
        let mut key = self.place.clone();
        for step in path {
            let next = match (step, &node.tree) {
                (Step::Key(name), Tree::Table(entries)) => {
                    entries.iter().find(|entry| entry.key == *name).map(|entry| (&entry.node, &entry.place))
                }
                (Step::Index(index), Tree::Array(nodes)) => nodes.get(*index).map(|node| (node, &node.place)),
                _ => None,
            };
            let Some((part, written)) = next else { return key };
            node = part;
            if *written != Place::File {
                key = written.clone();
            }
        }
        if node.place == Place::File { key } else { node.place.clone() }
    }

    /// As TOML data, without places.
    pub fn to_value(&self) -> toml::Value {
        match &self.tree {
            Tree::Table(entries) => {
                toml::Value::Table(entries.iter().map(|entry| (entry.key.clone(), entry.node.to_value())).collect())
            }
            Tree::Array(nodes) => toml::Value::Array(nodes.iter().map(Self::to_value).collect()),
            Tree::Leaf(value) => value.clone(),
        }
    }

    /// As one line of TOML, for messages.
    pub fn to_line(&self) -> String {
        match &self.tree {
            Tree::Table(entries) if entries.is_empty() => "{}".to_string(),
            Tree::Table(entries) => {
                let parts: Vec<String> =
                    entries.iter().map(|entry| format!("{} = {}", entry.key, entry.node.to_line())).collect();
                format!("{{ {} }}", parts.join(", "))
            }
            Tree::Array(nodes) => format!("[{}]", nodes.iter().map(Self::to_line).collect::<Vec<_>>().join(", ")),
            Tree::Leaf(value) => value.to_string(),
        }
    }

    /// What kind of value it is, in words.
    pub fn kind(&self) -> &'static str {
        match &self.tree {
            Tree::Table(_) => "a table",
            Tree::Array(_) => "an array",
            Tree::Leaf(toml::Value::String(_)) => "a string",
            Tree::Leaf(toml::Value::Integer(_)) => "a whole number",
            Tree::Leaf(toml::Value::Float(_)) => "a number with a fraction",
            Tree::Leaf(toml::Value::Boolean(_)) => "a boolean",
            Tree::Leaf(_) => "a date or time",
        }
    }
}

fn bytes(span: Option<Range<usize>>) -> Place {
    span.map_or(Place::File, Place::Bytes)
}

fn from_item(item: &toml_edit::Item, span: Option<Range<usize>>) -> Node {
    match item {
        toml_edit::Item::Value(value) => from_value(value, span),
        toml_edit::Item::ArrayOfTables(tables) => Node {
            tree: Tree::Array(tables.iter().map(|table| from_table(table, table.span())).collect()),
            place: bytes(tables.span().or(span)),
        },
        toml_edit::Item::Table(table) => from_table(table, span),
        toml_edit::Item::None => Node { tree: Tree::Table(Vec::new()), place: bytes(span) },
    }
}

fn from_table(table: &toml_edit::Table, span: Option<Range<usize>>) -> Node {
    let entries = table
        .iter()
        .filter_map(|(key, item)| {
            let key_span = table.key(key).and_then(toml_edit::Key::span);
            let node = from_item(item, item.span().or(key_span.clone()));
            (!item.is_none()).then(|| Entry { key: key.to_string(), place: bytes(key_span), node })
        })
        .collect();
    Node { tree: Tree::Table(entries), place: bytes(span) }
}

fn from_value(value: &toml_edit::Value, fallback: Option<Range<usize>>) -> Node {
    let place = bytes(value.span().or(fallback));
    let tree = match value {
        toml_edit::Value::String(text) => Tree::Leaf(toml::Value::String(text.value().clone())),
        toml_edit::Value::Integer(number) => Tree::Leaf(toml::Value::Integer(*number.value())),
        toml_edit::Value::Float(number) => Tree::Leaf(toml::Value::Float(*number.value())),
        toml_edit::Value::Boolean(truth) => Tree::Leaf(toml::Value::Boolean(*truth.value())),
        toml_edit::Value::Datetime(time) => Tree::Leaf(toml::Value::Datetime(*time.value())),
        toml_edit::Value::Array(array) => Tree::Array(array.iter().map(|item| from_value(item, None)).collect()),
        toml_edit::Value::InlineTable(table) => Tree::Table(
            table
                .iter()
                .map(|(key, item)| {
                    let key_span = table.key(key).and_then(toml_edit::Key::span);
                    Entry { key: key.to_string(), place: bytes(key_span.clone()), node: from_value(item, key_span) }
                })
                .collect(),
        ),
    };
    Node { tree, place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_keys_read_back() {
        for key in ["name", "queries.budgets[2]", "distill[0].surface.top_logprobs.k"] {
            assert_eq!(dotted(&steps(key).unwrap()), key);
        }
        assert_eq!(steps("distill.1.loss"), steps("distill[1].loss"));
        for key in ["", "a..b", "a[", "a[x]", "a]b"] {
            assert_eq!(steps(key), None, "{key}");
        }
    }

    #[test]
    fn places_are_those_of_the_text() {
        let source = "a = 1\n[b.c]\nd = { e = [1, 2] }\n[[f]]\ng = 3\n";
        let root = Node::parse("x.toml".as_ref(), source).unwrap();
        let at = |key: &str| match root.place_of(&steps(key).unwrap()) {
            Place::Bytes(bytes) => source[bytes].to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(at("a"), "1");
        assert_eq!(at("b.c.d.e[1]"), "2");
        assert_eq!(at("b.c.d.missing"), "d");
        assert_eq!(at("b.c.missing"), "c");
        assert_eq!(at("f[0].g"), "3");
        assert!(at("f[0].missing").starts_with("[[f]]"), "{}", at("f[0].missing"));
    }
}
