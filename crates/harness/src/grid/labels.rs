//! Short names for the values of an axis.

use std::collections::BTreeMap;

use crate::config_error::Place;
use crate::document::{Node, Tree};

/// The label of a key that a point leaves out.
pub const ABSENT: &str = "-";
/// Most differing values that a label names.
const MOST_DIFFERENCES: usize = 3;

/// A label for each of `values`, no two alike: numbers and strings as they are typed in `text`, a table by the first key that
/// tells it from the others, or by the values that it has and in which it differs from those of the same key; `#2` where nothing else helps.
pub fn labels(values: &[&Node], text: &str) -> Vec<String> {
    let names = first_keys(values);
    let plain = values.iter().enumerate().map(|(index, node)| match &names {
        Some(names) => names[index].clone(),
        None => plain(node, text),
    });
    let mut labels: Vec<String> = plain.collect();
    for group in groups(&labels) {
        let alike: Vec<&Node> = group.iter().map(|&index| values[index]).collect();
        if let Some(differences) = differences(&alike, text) {
            for (&index, difference) in group.iter().zip(differences) {
                labels[index] = format!("{} {difference}", labels[index]).trim_end().to_string();
            }
        }
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::from([(ABSENT.to_string(), 1)]);
    for label in &mut labels {
        let times = seen.entry(label.clone()).or_default();
        *times += 1;
        if *times > 1 {
            *label = format!("{label}#{times}");
        }
    }
    labels
}

/// Positions of equal labels, where there is more than one.
fn groups(labels: &[String]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, label) in labels.iter().enumerate() {
        groups.entry(label).or_default().push(index);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// The first key of every table, or of the tables below it where those at the top all have one key and those below each name a choice;
/// `None` unless all are tables with a key.
fn first_keys(values: &[&Node]) -> Option<Vec<String>> {
    let firsts: Vec<_> = values.iter().map(|node| first(node)).collect::<Option<_>>()?;
    let keys: Vec<String> = firsts.iter().map(|(key, _)| (*key).to_string()).collect();
    if values.len() < 2 || keys.iter().any(|key| *key != keys[0]) {
        return Some(keys);
    }
    let inner: Vec<&Node> = firsts.iter().map(|(_, node)| *node).collect();
    let names_a_choice = |node: &&Node| first(node).is_some_and(|(_, behind)| matches!(behind.tree, Tree::Table(_)));
    let below = if inner.iter().all(names_a_choice) { first_keys(&inner) } else { None };
    Some(below.filter(|inner| inner.iter().any(|key| *key != inner[0])).unwrap_or(keys))
}

/// The first key of a table with a table behind it, which names a choice; else the first key.
fn first(node: &Node) -> Option<(&str, &Node)> {
    match &node.tree {
        Tree::Table(entries) => {
            let choice = entries.iter().find(|entry| matches!(entry.node.tree, Tree::Table(_)));
            choice.or(entries.first()).map(|entry| (entry.key.as_str(), &entry.node))
        }
        _ => None,
    }
}

/// A value by itself.
fn plain(node: &Node, text: &str) -> String {
    match &node.tree {
        Tree::Leaf(toml::Value::String(string)) => string.clone(),
        Tree::Leaf(value) => match &node.place {
            Place::Bytes(bytes) => text.get(bytes.clone()).map_or_else(|| value.to_string(), ToString::to_string),
            _ => value.to_string(),
        },
        Tree::Array(nodes) => format!("[{}]", nodes.iter().map(|node| plain(node, text)).collect::<Vec<_>>().join(", ")),
        Tree::Table(_) => first(node).map_or("{}", |(key, _)| key).to_string(),
    }
}

/// For each of `nodes` the values in which it differs from the others, where these are few.
fn differences(nodes: &[&Node], text: &str) -> Option<Vec<String>> {
    let leaves: Vec<BTreeMap<String, String>> = nodes
        .iter()
        .map(|node| {
            let mut found = BTreeMap::new();
            collect(node, String::new(), text, &mut found);
            found
        })
        .collect();
    let keys: std::collections::BTreeSet<&String> = leaves.iter().flat_map(BTreeMap::keys).collect();
    let differing: Vec<&String> =
        keys.into_iter().filter(|key| leaves.iter().any(|leaf| leaf.get(*key) != leaves[0].get(*key))).collect();
    if differing.is_empty() || differing.len() > MOST_DIFFERENCES {
        return None;
    }
    let one = |leaf: &BTreeMap<String, String>| {
        // what is not there needs no word
        let of = |key: &&String| {
            let name = key.rsplit('.').next().unwrap_or(key);
            leaf.get(*key).map(|value| format!("{name}={value}"))
        };
        differing.iter().filter_map(of).collect::<Vec<_>>().join(" ")
    };
    Some(leaves.iter().map(one).collect())
}

/// Every value without parts, by its dotted key.
fn collect(node: &Node, key: String, text: &str, found: &mut BTreeMap<String, String>) {
    match &node.tree {
        Tree::Table(entries) if !entries.is_empty() => {
            for entry in entries {
                collect(&entry.node, format!("{key}.{}", entry.key), text, found);
            }
        }
        _ if key.is_empty() => {}
        _ => {
            found.insert(key, plain(node, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str) -> Vec<String> {
        let text = format!("x = {list}\n");
        let root = Node::parse("x.toml".as_ref(), &text).unwrap();
        let Tree::Array(values) = &root.get(&crate::document::steps("x").unwrap()).unwrap().tree else { panic!("no list") };
        labels(&values.iter().collect::<Vec<_>>(), &text)
    }

    #[test]
    fn labels_are_short_and_tell_values_apart() {
        let cases: &[(&str, &[&str])] = &[
            ("[16_000, 48]", &["16_000", "48"]),
            ("[1e-3, 0.5]", &["1e-3", "0.5"]),
            ("[\"text\", \"greedy_text\"]", &["text", "greedy_text"]),
            ("[true, false]", &["true", "false"]),
            ("[\"1\", 1]", &["1", "1#2"]),
            ("[\"-\"]", &["-#2"]),
            ("[[1, 2], [3]]", &["[1, 2]", "[3]"]),
            ("[{ one = { gamma = 1 } }, { other = {} }]", &["one", "other"]),
            ("[{ watermark = { one = {} } }, { watermark = { other = {} } }]", &["one", "other"]),
            (
                "[{ one = { gamma = 1, delta = 2.0 } }, { one = { gamma = 1, delta = 3.0 } }, { other = {} }]",
                &["one delta=2.0", "one delta=3.0", "other"],
            ),
            ("[{ one = { a = 1, b = 1, c = 1, d = 1 } }, { one = { a = 2, b = 2, c = 2, d = 2 } }]", &["one", "one#2"]),
            ("[{ one = { gamma = 1 } }]", &["one"]),
            ("[{ one = { a = 1 } }, { one = { a = 1, b = 2 } }, { one = { a = 1, c = {} } }]", &["one", "one b=2", "one c={}"]),
            ("[{ one = { a = 1, b = 2 } }, { one = { a = 2 } }]", &["one a=1 b=2", "one a=2"]),
            ("[\"text\", { top_logprobs = { k = 5 } }]", &["text", "top_logprobs"]),
        ];
        for (list, want) in cases {
            assert_eq!(of(list), *want, "{list}");
        }
    }
}
