//! `--set a.b=v`: overriding keys of an experiment file from the command line.

use crate::config_error::{Place, Problem};
use crate::document::{Entry, Node, Step, Tree, dotted, steps};

/// The key of one `--set` argument, where it has one.
pub fn key_of(argument: &str) -> Option<Vec<Step>> {
    steps(argument.split_once('=')?.0.trim())
}

/// Applies one `--set` argument, `key=value`, to a parsed file.
///
/// The value is read as TOML, and as plain text when it is not TOML, so that paths need no quotes. Keys that are absent
/// are added: whether they exist in an experiment file is checked later, together with the file's own.
///
/// # Errors
/// When the argument is not `key=value`, or leads through something that has no parts.
pub fn apply(root: &mut Node, argument: &str) -> Result<(), Problem> {
    let problem = |key: &str, what: String, remedy: &str| Problem {
        key: key.to_string(),
        value: None,
        what,
        remedy: remedy.to_string(),
        place: Place::Flag(argument.to_string()),
    };
    let Some((key, text)) = argument.split_once('=') else {
        return Err(problem("", "no `=` in it".into(), "write --set key=value, for example --set queries.budgets=[100,300]"));
    };
    let key = key.trim();
    let Some(path) = steps(key) else {
        return Err(problem(key, "not a dotted key".into(), "write it like queries.budgets or distill[0].loss"));
    };
    let value = text.trim().parse::<toml_edit::Value>().unwrap_or_else(|_| text.trim().into());
    let node = Node::from_flag(&value, argument);
    let place = node.place.clone();
    put(root, &path, node, &place).map_err(|(depth, what)| {
        problem(&dotted(&path[..depth]), what, "set it as a whole, for example --set 'key={ part = 1 }'")
    })
}

/// Puts `node` where `path` leads, keys that are missing at `key`; on failure, how far the path could be followed and why no
/// further.
pub fn put(root: &mut Node, path: &[Step], node: Node, key: &Place) -> Result<(), (usize, String)> {
    let mut at = root;
    for (depth, step) in path.iter().enumerate() {
        let found = at.kind();
        at = match (step, &mut at.tree) {
            (Step::Key(name), Tree::Table(entries)) => {
                let index = entries.iter().position(|entry| entry.key == *name).unwrap_or_else(|| {
                    let empty = Node { tree: Tree::Table(Vec::new()), place: node.place.clone() };
                    entries.push(Entry { key: name.clone(), place: key.clone(), node: empty });
                    entries.len() - 1
                });
                &mut entries[index].node
            }
            (Step::Index(index), Tree::Array(nodes)) => {
                let length = nodes.len();
                nodes.get_mut(*index).ok_or_else(|| (depth + 1, format!("there are only {length} entries, counted from 0")))?
            }
            (Step::Key(_), _) => return Err((depth, format!("it is {found}, which has no keys"))),
            (Step::Index(_), _) => return Err((depth, format!("it is {found}, which has no positions"))),
        };
    }
    *at = node;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(source: &str, argument: &str) -> Result<String, String> {
        let mut root = Node::parse("x.toml".as_ref(), source).unwrap();
        apply(&mut root, argument).map_err(|problem| format!("{} {}", problem.key, problem.what))?;
        Ok(root.to_line())
    }

    #[test]
    fn overrides_replace_and_add() {
        let cases = [
            ("a = 1", "a=2", "{ a = 2 }", "a number"),
            ("a = 1", "a=../shared/models/x", "{ a = \"../shared/models/x\" }", "text that is not TOML"),
            ("a = 1", "a=\"2\"", "{ a = \"2\" }", "a quoted string"),
            ("a = [1, 2]", "a[1]=5", "{ a = [1, 5] }", "a position"),
            ("[[a]]\nb = 1", "a.0.b=[1,2]", "{ a = [{ b = [1, 2] }] }", "a position written with a dot"),
            ("a = { b = 1 }", "a.c.d=x=y", "{ a = { b = 1, c = { d = \"x=y\" } } }", "a new key; only the first = parts"),
            ("a = 1", "a={ b = 2 }", "{ a = { b = 2 } }", "a whole table"),
        ];
        for (source, argument, want, case) in cases {
            assert_eq!(after(source, argument).as_deref(), Ok(want), "{case}");
        }
    }

    #[test]
    fn what_cannot_be_set_is_said() {
        let cases = [
            ("a = 1", "a", "no `=`"),
            ("a = 1", "a..b=2", "not a dotted key"),
            ("a = 1", "a.b=2", "a it is a whole number, which has no keys"),
            ("a = [1]", "a[3]=2", "a[3] there are only 1 entries"),
            ("a = 1", "a[0]=2", "which has no positions"),
        ];
        for (source, argument, want) in cases {
            let error = after(source, argument).unwrap_err();
            assert!(error.contains(want), "{argument}: {error}");
        }
    }
}
