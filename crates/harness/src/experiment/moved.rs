//! Keys of older experiment files, refused with the name they have now.

use crate::config_error::Problem;
use crate::document::{Node, Step, Tree, steps};

/// (old key, what to write instead); a key of the form `[marks.NAME]` that is no table is an old one too.
const MOVED: [(&str, &str); 5] = [
    ("marks.canaries_after_tokens", "write it as `planting.canaries_after_tokens`"),
    ("marks.implant", "write it as `[planting.implant]`"),
    ("marks.probes", "give each probe a name and a table of its own: `[marks.NAME.KIND]`"),
    ("marks.canary.repeats", "give the canary a name and a table of its own: `[marks.NAME.KIND]`"),
    ("marks.watermark.gamma", "give the watermark a name and a table of its own: `[marks.NAME.KIND]`"),
];

/// Every old key in the file.
pub fn problems(root: &Node) -> Vec<Problem> {
    let problem = |(key, remedy): &(&str, &str)| {
        let path: Vec<Step> = steps(key)?;
        let node = root.get(&path)?;
        // a mark may be called `probes` or `implant`: its table then holds a kind
        let is_mark = matches!(&node.tree, Tree::Table(entries) if entries.iter().any(|entry| marks::MarkEntry::KINDS.contains(&&*entry.key)));
        (!is_mark).then(|| Problem {
            key: (*key).to_string(),
            value: Some(node.to_line()),
            what: "this key has moved".to_string(),
            remedy: (*remedy).to_string(),
            place: root.place_of(&path),
        })
    };
    MOVED.iter().filter_map(problem).collect()
}
