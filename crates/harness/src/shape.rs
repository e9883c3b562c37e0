//! Comparing a parsed file with the JSON Schema of the type it should become.
//!
//! serde stops at its first complaint and says less than the schema knows; walking the tree beside the schema finds
//! every unknown key, missing key and wrong type at once, each with its place and with the names that would be right.

use serde_json::Value as Json;

use crate::config_error::{Place, Problem, nearest};
use crate::document::{Entry, Node, Step, Tree, dotted};

/// All differences between `root` and what `schema` asks for, in the order of the file.
pub fn problems(root: &Node, schema: &Json) -> Vec<Problem> {
    let mut walk = Walk { root, schema, path: Vec::new(), problems: Vec::new() };
    walk.value(root, schema);
    walk.problems
}

struct Walk<'a> {
    root: &'a Node,
    schema: &'a Json,
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, node: &Node, schema: &'a Json) {
        let schema = self.resolved(schema);
        if let Some(choices) = schema.get("oneOf").and_then(Json::as_array) {
            return self.choice(node, choices);
        }
        if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
            // an optional value is written as "this or null", and TOML has no null
            let real: Vec<&'a Json> = choices.iter().filter(|choice| choice.get("type") != Some(&Json::from("null"))).collect();
            if let [only] = real[..] {
                return self.value(node, only);
            }
            // one of something, or a list of them
            let is_list = |choice: &Json| kind_of(self.resolved(choice)) == Some("array");
            let alike = |choice: &&&'a Json| is_list(choice) == matches!(node.tree, Tree::Array(_));
            if real.iter().filter(|choice| is_list(choice)).count() == 1
                && let Some(choice) = real.iter().find(alike)
            {
                return self.value(node, choice);
            }
        }
        if let Some(names) = schema.get("enum").and_then(Json::as_array) {
            return self.choice_of_names(node, names.iter().filter_map(Json::as_str).collect());
        }
        let Some(kind) = kind_of(schema) else { return };
        match (kind, &node.tree) {
            ("object", Tree::Table(entries)) => self.table(entries, schema),
            ("array", Tree::Array(nodes)) => {
                if let Some(items) = schema.get("items") {
                    for (index, item) in nodes.iter().enumerate() {
                        self.path.push(Step::Index(index));
                        self.value(item, items);
                        self.path.pop();
                    }
                }
            }
            ("integer", Tree::Leaf(toml::Value::Integer(number))) => self.limits(node, *number, schema),
            ("number", Tree::Leaf(toml::Value::Integer(_))) => {}
            ("number", Tree::Leaf(toml::Value::Float(number))) => {
                if !number.is_finite() {
                    self.report(node, "not a finite number".into(), "write an ordinary number".into());
                }
            }
            ("string", Tree::Leaf(toml::Value::String(_))) | ("boolean", Tree::Leaf(toml::Value::Boolean(_))) => {}
            _ => {
                let remedy = match (kind, &node.place) {
                    ("object", _) => {
                        format!("write {{ {} }}", keys_of(schema).map(|key| format!("{key} = …")).collect::<Vec<_>>().join(", "))
                    }
                    ("array", _) => "write [ … ]".to_string(),
                    ("string", Place::Flag(_)) => "quote it twice: --set 'key=\"text\"'".to_string(),
                    ("string", _) => "write it in quotes".to_string(),
                    ("integer", _) => "write it in digits, without quotes or fraction".to_string(),
                    ("number", _) => "write it in digits, without quotes".to_string(),
                    _ => "write true or false".to_string(),
                };
                self.report(node, format!("should be {}, is {}", in_words(kind), node.kind()), remedy);
            }
        }
    }

    fn table(&mut self, entries: &[Entry], schema: &'a Json) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties");
        for entry in entries {
            self.path.push(Step::Key(entry.key.clone()));
            match (properties.and_then(|known| known.get(&entry.key)), others) {
                (Some(property), _) => self.value(&entry.node, property),
                (None, Some(Json::Object(_))) => self.value(&entry.node, &schema["additionalProperties"]),
                (None, Some(Json::Bool(false))) => {
                    let known: Vec<&str> = keys_of(schema).collect();
                    let remedy = meant(&entry.key, &known, "keys here");
                    self.push(entry.place.clone(), None, "unknown key".into(), remedy);
                }
                (None, _) => {}
            }
            self.path.pop();
        }
        for key in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if entries.iter().any(|entry| entry.key == key) {
                continue;
            }
            // a mistyped key is reported once, not also as the key it should have been
            let mistyped = entries.iter().any(|entry| {
                properties.is_some_and(|known| !known.contains_key(&entry.key))
                    && nearest(&entry.key, keys_of(schema)) == Some(key)
            });
            if !mistyped {
                let place = self.root.place_of(&self.path);
                let about = properties
                    .and_then(|known| known.get(key))
                    .and_then(|property| self.described(property))
                    .map(|text| format!(": {}", first_sentence(text)))
                    .unwrap_or_default();
                self.path.push(Step::Key(key.to_string()));
                self.push(place, None, "missing".into(), format!("add `{key} = …`{about}"));
                self.path.pop();
            }
        }
    }

    /// A choice among variants: bare names, and tables with one key that names the variant.
    fn choice(&mut self, node: &Node, choices: &'a [Json]) {
        let mut names: Vec<&str> = Vec::new();
        let mut tables: Vec<(&'a str, &'a Json)> = Vec::new();
        for choice in choices {
            let choice = self.resolved(choice);
            names.extend(choice.get("const").and_then(Json::as_str));
            names.extend(choice.get("enum").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str));
            if let Some(properties) = choice.get("properties").and_then(Json::as_object) {
                tables.extend(properties.iter().map(|(name, inner)| (name.as_str(), inner)));
            }
        }
        let all: Vec<&str> = names.iter().copied().chain(tables.iter().map(|(name, _)| *name)).collect();
        match &node.tree {
            Tree::Leaf(toml::Value::String(name)) => {
                if names.contains(&name.as_str()) {
                    return;
                }
                if let Some((table, inner)) = tables.iter().find(|(table, _)| table == name) {
                    let keys: Vec<String> = keys_of(self.resolved(inner)).map(|key| format!("{key} = …")).collect();
                    let remedy = format!("write {{ {table} = {{ {} }} }}", keys.join(", ")).replace("{  }", "{}");
                    self.report(node, "this choice has parameters".into(), remedy);
                } else {
                    let remedy = meant(name, &all, "choices");
                    self.report(node, "unknown choice".into(), remedy);
                }
            }
            Tree::Table(entries) => match &entries[..] {
                [entry] => {
                    self.path.push(Step::Key(entry.key.clone()));
                    if let Some((_, inner)) = tables.iter().find(|(table, _)| *table == entry.key) {
                        self.value(&entry.node, inner);
                    } else if names.contains(&entry.key.as_str()) {
                        let remedy = format!("write it as the bare name \"{}\"", entry.key);
                        self.push(entry.place.clone(), None, "this choice has no parameters".into(), remedy);
                    } else {
                        let remedy = meant(&entry.key, &all, "choices");
                        self.push(entry.place.clone(), None, "unknown choice".into(), remedy);
                    }
                    self.path.pop();
                }
                [] => self.report(node, "no choice made".into(), format!("name one of {}", listed(&all))),
                several => self.several(node, several, &all),
            },
            _ => {
                let what = format!("should be a choice, is {}", node.kind());
                self.report(node, what, format!("name one of {}", listed(&all)));
            }
        }
    }

    /// Several choices where one is wanted: a name that nobody knows is the mistake, not that there are several.
    fn several(&mut self, node: &Node, entries: &[Entry], known: &[&str]) {
        let (right, strange): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| known.contains(&entry.key.as_str()));
        for entry in &strange {
            self.path.push(Step::Key(entry.key.clone()));
            self.push(entry.place.clone(), None, "unknown choice".into(), meant(&entry.key, known, "choices"));
            self.path.pop();
        }
        if right.len() > 1 {
            let given: Vec<&str> = right.iter().map(|entry| entry.key.as_str()).collect();
            let remedy = in_place_of(&dotted(&self.path), &right).unwrap_or_else(|| "keep one".into());
            self.report(node, format!("{} choices at once ({})", given.len(), given.join(", ")), remedy);
        }
    }

    fn choice_of_names(&mut self, node: &Node, names: Vec<&str>) {
        match &node.tree {
            Tree::Leaf(toml::Value::String(name)) if names.contains(&name.as_str()) => {}
            Tree::Leaf(toml::Value::String(name)) => {
                let remedy = meant(name, &names, "choices");
                self.report(node, "unknown choice".into(), remedy);
            }
            _ => {
                let what = format!("should be a name, is {}", node.kind());
                self.report(node, what, format!("name one of {}", listed(&names)));
            }
        }
    }

    fn limits(&mut self, node: &Node, number: i64, schema: &Json) {
        let limit = |key: &str| schema.get(key).and_then(Json::as_f64);
        if limit("minimum").is_some_and(|least| (number as f64) < least) {
            self.report(node, "a negative number".into(), "write 0 or more".into());
        } else if let Some(most) = limit("maximum").filter(|most| number as f64 > *most) {
            self.report(node, "too large".into(), format!("write at most {most}"));
        }
    }

    fn resolved(&self, schema: &'a Json) -> &'a Json {
        let mut schema = schema;
        while let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            match self.schema.pointer(name.trim_start_matches('#')) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn described(&self, schema: &'a Json) -> Option<&'a str> {
        let own = schema.get("description").or_else(|| self.resolved(schema).get("description"));
        own.and_then(Json::as_str)
    }

    fn report(&mut self, node: &Node, what: String, remedy: String) {
        let place = if node.place == Place::File { self.root.place_of(&self.path) } else { node.place.clone() };
        self.push(place, Some(node.to_line()), what, remedy);
    }

    fn push(&mut self, place: Place, value: Option<String>, what: String, remedy: String) {
        self.problems.push(Problem { key: dotted(&self.path), value, what, remedy, place });
    }
}

/// How the choice that a flag made takes the place of what the file has there.
fn in_place_of(key: &str, entries: &[&Entry]) -> Option<String> {
    let typed = entries.iter().find(|entry| matches!(entry.place, Place::Flag(_)))?;
    Some(format!("to replace the table write --set '{key}={{ {} = {} }}'", typed.key, typed.node.to_line()))
}

/// The type a schema asks for; of an optional one, the type it has when present.
fn kind_of(schema: &Json) -> Option<&str> {
    match schema.get("type")? {
        Json::String(kind) => Some(kind),
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

fn in_words(kind: &str) -> &str {
    match kind {
        "object" => "a table",
        "array" => "an array",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        _ => "a string",
    }
}

fn keys_of(schema: &Json) -> impl Iterator<Item = &str> {
    schema.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(key, _)| key.as_str())
}

fn first_sentence(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    flat.split_once(". ").map_or(flat.trim_end_matches('.').to_string(), |(first, _)| first.to_string())
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn meant(typed: &str, known: &[&str], what: &str) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("{what}: {}", listed(known)),
    }
}
