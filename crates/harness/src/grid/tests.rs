//! Grids as data: what is written, and what points come of it or what must be said about it.

use std::path::Path;

use super::{LoadedGrid, from_text};

const VALID: &str = include_str!("../experiment/tests/valid.toml");

fn load(grid: &str) -> Result<LoadedGrid, String> {
    from_text(Path::new("e.toml"), &format!("{VALID}\n{grid}"), &[]).map_err(|errors| errors.to_string())
}

/// What each point takes, in order.
fn axes(grid: &str) -> Vec<String> {
    let loaded = load(grid).unwrap_or_else(|error| panic!("{grid}\n{error}"));
    let one = |axes: &std::collections::BTreeMap<String, String>| {
        axes.iter().map(|(key, label)| format!("{key}={label}")).collect::<Vec<_>>().join(" ")
    };
    loaded.points.iter().map(|point| one(&point.axes)).collect()
}

/// The first line of the refusal of `grid`; it must stand in the line of the file that holds `line`.
fn refused(grid: &str, line: &str) -> String {
    let message = load(grid).err().unwrap_or_else(|| panic!("accepted: {grid}"));
    let first = message.lines().next().unwrap().to_string();
    let text = format!("{VALID}\n{grid}");
    let number = text[..text.rfind(line).unwrap()].matches('\n').count() + 1;
    assert!(first.starts_with(&format!("e.toml:{number}:")), "line {number} expected\n{message}");
    assert_eq!(message.matches("e.toml:").count(), 1, "said once:\n{message}");
    first
}

#[test]
fn an_experiment_without_a_grid_is_one_point() {
    let loaded = load("").unwrap();
    assert!(loaded.axes.is_empty() && loaded.points.len() == 1 && loaded.points[0].axes.is_empty());
}

#[test]
fn axes_are_crossed_in_the_order_of_the_file_and_single_points_follow() {
    let grid = "[grid]\n\"queries.max_new_tokens\" = [16, 12]\n\"student.peak_lr\" = [1e-3, 3e-3]\n\
                [[grid.point]]\n\"queries.max_new_tokens\" = 9\n";
    assert_eq!(
        axes(grid),
        [
            "queries.max_new_tokens=16 student.peak_lr=1e-3",
            "queries.max_new_tokens=16 student.peak_lr=3e-3",
            "queries.max_new_tokens=12 student.peak_lr=1e-3",
            "queries.max_new_tokens=12 student.peak_lr=3e-3",
            "queries.max_new_tokens=9 student.peak_lr=2e-3",
        ]
    );
    let loaded = load(grid).unwrap();
    let taken: Vec<_> =
        loaded.points.iter().map(|p| (p.loaded.value.queries.max_new_tokens, p.loaded.value.student.peak_lr.unwrap())).collect();
    assert_eq!(taken, [(16, 1e-3), (16, 3e-3), (12, 1e-3), (12, 3e-3), (9, 2e-3)]);
    assert_eq!(loaded.axes[0].labels, ["16", "12", "9"]);
}

#[test]
fn lists_and_whole_alternatives_are_axes() {
    assert_eq!(
        axes("[grid]\n\"queries.budgets\" = [[20], [20, 60]]\nseeds = [[1], [1, 2]]\n").len(),
        4,
        "a list of lists crosses lists"
    );
    let watermarks = "[grid]\n\"marks.kgw\" = [{ kgw = { gamma = 0.25, delta = 2.0, context_width = 1 } }, \
                      { kgw = { gamma = 0.25, delta = 3.0, context_width = 1 } }]\n";
    assert_eq!(axes(watermarks), ["marks.kgw=kgw delta=2.0", "marks.kgw=kgw delta=3.0"]);
    let key = "student.lora";
    let optional = format!(
        "[grid]\n\"student.batch_rows\" = [8]\n[[grid.point]]\n\"{key}\" = {{ rank = 2, alpha = 4, targets = [\"all-linear\"] }}\n"
    );
    let points = axes(&optional);
    assert!(points[0].contains("student.lora=-") && points[1].contains("student.lora=rank"), "{points:?}");
}

#[test]
fn mistakes_are_shown_in_their_line_of_the_grid() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "[grid]\n\"queries.max_new_tokenz\" = [16, 48]\n",
            "\"queries.max_new_tokenz\"",
            &["unknown key", "did you mean `max_new_tokens`?"],
        ),
        ("[grid]\n\"querys.max_new_tokens\" = [16]\n", "\"querys", &["`querys`: unknown key", "did you mean `queries`?"]),
        ("[grid]\n\"queries.max_new_tokens\" = []\n", "\"queries", &["an empty list", "at least one value"]),
        ("[grid]\n\"queries.max_new_tokens\" = 16\n", "\"queries", &["should be a list of values, is a whole number"]),
        (
            "[grid]\n\"queries.max_new_tokens\" = [16, \"48\"]\n",
            "\"queries",
            &["`queries.max_new_tokens = \"48\"`: should be a whole number, is a string"],
        ),
        (
            "[grid]\nqueries.max_new_tokens = [16]\n",
            "queries.max_new_tokens = [16]",
            &["in quotes: \"queries.max_new_tokens\" = [ … ]"],
        ),
        (
            "[grid]\n\"queries.max_new_tokens\" = [16, 48, 16]\n",
            "\"queries",
            &["`grid.\"queries.max_new_tokens\"[2] = 16`: given twice"],
        ),
        ("[grid]\n", "[grid]", &["`grid`: no point in it"]),
        ("[grid]\n\"a..b\" = [1]\n", "\"a..b\"", &["not a dotted key"]),
        (
            "[grid]\n\"student.peak_lr\" = [1e-3]\nstudent = [{ batch_rows = 8 }]\n",
            "student = [",
            &["one of them contains the other"],
        ),
        ("[grid]\n\"name.x\" = [1]\n", "\"name.x\"", &["is the same at every point"]),
        ("[grid]\nalpha = [0.001, 0.01]\n", "alpha = [", &["`alpha` is the same at every point", "one level holds"]),
        ("[grid]\npoint = 3\n", "point = 3", &["should be a list of tables"]),
        ("[[grid.point]]\n", "[[grid.point]]", &["should be a table of keys and values"]),
        ("[grid]\n\"queries.max_new_tokens.x\" = [1]\n", "\"queries.max", &["it is a whole number, which has no keys"]),
        ("[grid]\n\"marks.nobody.kgw.delta\" = [1.0, 2.0]\n", "\"marks.no", &["the file has no mark `nobody`", "marks here: `"]),
        ("[grid]\n\"student.peak_lr\" = [1e-3, 5.0]\n", "\"student", &["`student.peak_lr = 5.0`: out of range"]),
    ];
    for (grid, line, fragments) in cases {
        let first = refused(grid, line);
        for fragment in *fragments {
            assert!(first.contains(fragment), "{grid}\nexpected {fragment}\ngot      {first}");
        }
    }
}

#[test]
fn a_mistake_elsewhere_says_at_which_point() {
    let message = load("[grid]\n\"optimizer.logical_shards\" = [4, 64]\n").unwrap_err();
    assert!(message.contains("a batch is summed in 64 parts (at the point optimizer.logical_shards = 64)"), "{message}");
}

#[test]
fn too_many_points_are_counted_and_not_made() {
    let ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
    let keys = [
        "queries.max_new_tokens",
        "queries.prompt_tokens",
        "audit.prompts",
        "audit.max_new_tokens",
        "measure.decoys",
        "measure.permutations",
    ];
    let grid: String = keys.iter().map(|key| format!("\"{key}\" = {ten}\n")).collect();
    let first = refused(&format!("[grid]\n{grid}"), "[grid]");
    assert!(first.contains("1000000 points; a grid has at most 10000"), "{first}");
}

#[test]
fn the_secret_stands_in_no_label_and_no_message() {
    let message = load("[grid]\n\"owner.secret\" = [\"hunter2\"]\n").unwrap_err();
    assert!(message.contains("`owner` is the same at every point") && !message.contains("hunter2"), "{message}");
}

#[test]
fn a_flag_that_an_axis_would_hide_is_refused() {
    let text = format!("{VALID}\n[grid]\n\"queries.max_new_tokens\" = [16, 48]\n");
    let load = |set: &str| from_text(Path::new("e.toml"), &text, &[set.to_string()]);
    let message = load("queries.max_new_tokens=3").unwrap_err().to_string();
    assert!(
        message.contains("--set queries.max_new_tokens=3") && message.contains("--only queries.max_new_tokens=VALUE"),
        "{message}"
    );
    assert_eq!(load("queries.prompt_tokens=9").unwrap().points[1].loaded.value.queries.prompt_tokens, 9);
}
