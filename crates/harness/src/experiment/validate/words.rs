//! Characters that no word of an experiment may hold: figures are XML and tables are shown on terminals.

use store::is_unshowable;

use super::Check;
use crate::document::{Node, Step, Tree};

/// Keys whose words are shown nowhere.
const HIDDEN: [[&str; 2]; 2] = [["owner", "secret"], ["owner", "salt"]];

impl Check<'_> {
    /// Words and names of tables with control characters.
    pub(super) fn words(&mut self) {
        let mut found = Vec::new();
        if let Some(root) = self.loaded.node(&[]) {
            walk(root, &mut Vec::new(), &mut found);
        }
        for (path, c) in found {
            let what = format!("holds the control character U+{:04X}, which figures and terminals cannot show", u32::from(c));
            self.problems.push(self.loaded.problem(&path, what, "leave it out"));
        }
    }
}

fn walk(node: &Node, path: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, char)>) {
    match &node.tree {
        Tree::Table(entries) => {
            for entry in entries {
                path.push(Step::Key(entry.key.clone()));
                // a name is one line
                match entry.key.chars().find(|c| c.is_control() || is_unshowable(*c)) {
                    Some(c) => found.push((path.clone(), c)),
                    None if is_hidden(path) => {}
                    None => walk(&entry.node, path, found),
                }
                path.pop();
            }
        }
        Tree::Array(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                path.push(Step::Index(index));
                walk(node, path, found);
                path.pop();
            }
        }
        // lines of a file that was saved with two characters at their ends
        Tree::Leaf(toml::Value::String(text)) => {
            found.extend(text.replace("\r\n", "\n").chars().find(|c| is_unshowable(*c)).map(|c| (path.clone(), c)));
        }
        Tree::Leaf(_) => {}
    }
}

fn is_hidden(path: &[Step]) -> bool {
    let is = |step: &Step, name: &str| matches!(step, Step::Key(key) if key == name);
    HIDDEN.iter().any(|hidden| path.len() == hidden.len() && path.iter().zip(hidden).all(|(step, name)| is(step, name)))
}
