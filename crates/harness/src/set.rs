//! `--set a.b=v`: overriding keys of an experiment file from the command line.

use crate::config_error::{Place, Problem, nearest};
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
    if let Some((what, remedy)) = unknown_mark(root, &path, &node) {
        return Err(problem(key, what, &remedy));
    }
    let place = node.place.clone();
    put(root, &path, node, &place).map_err(|(depth, what)| {
        let key = dotted(&path[..depth]);
        problem(&key, what, &format!("set it as a whole: --set '{key}={{ part = 1 }}' replaces the table or value"))
    })
}

/// What is wrong with a key of a mark that the file does not have: it would begin another mark, of which all but that key is missing. A
/// whole mark may be added.
fn unknown_mark(root: &Node, path: &[Step], node: &Node) -> Option<(String, String)> {
    let [Step::Key(marks), Step::Key(name), rest @ ..] = path else { return None };
    let whole = rest.is_empty() || rest.len() == 1 && matches!(node.tree, Tree::Table(_));
    let Some(Tree::Table(entries)) = root.get(&path[..1]).map(|node| &node.tree) else { return None };
    if marks != "marks" || whole || entries.iter().any(|entry| entry.key == *name) {
        return None;
    }
    let known: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let listed = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let there = nearest(name, known).map_or(format!("marks here: {listed}"), |meant| format!("did you mean `{meant}`?"));
    Some((
        format!("the file has no mark `{name}`"),
        format!("{there} (a new one is added whole: --set 'marks.{name}={{ KIND = {{ … }} }}')"),
    ))
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
            ("a = { b = 1 }", "a={ c = 2 }", "{ a = { c = 2 } }", "a table in the place of another"),
            ("[marks.a]\nx = 1", "marks.b={ y = 2 }", "{ marks = { a = { x = 1 }, b = { y = 2 } } }", "a whole mark"),
            (
                "[marks.a]\nx = 1",
                "marks.b.kgw={ y = 2 }",
                "{ marks = { a = { x = 1 }, b = { kgw = { y = 2 } } } }",
                "a whole kind",
            ),
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
            ("[marks.wm.kgw]\ndelta = 1", "marks.mw.kgw.delta=2", "marks.mw.kgw.delta the file has no mark `mw`"),
            ("[marks.wm.kgw]\ndelta = 1", "marks.other.stack=true", "the file has no mark `other`"),
        ];
        for (source, argument, want) in cases {
            let error = after(source, argument).unwrap_err();
            assert!(error.contains(want), "{argument}: {error}");
        }
    }
}
