use std::path::Path;

use results::{Arm, Share, Verdict};

use super::VALID;
use crate::grid::from_text;

fn first_line(lines: &str, grid: &str, sets: &[String]) -> Option<String> {
    let text = format!("{VALID}\n[expect]\n{lines}\n{grid}");
    let errors = from_text(Path::new("e.toml"), &text, sets).err()?.to_string();
    Some(errors.lines().next().unwrap_or_default().to_string())
}

#[test]
fn conditions_are_read_by_name() {
    let text = format!(
        "{VALID}\n[expect]\na = {{ mark = \"kgw\", verdict = \"proven\", budget = 60, seed = 1, surface = \"text\" }}\n\
         [expect.b]\nmetric = \"held_out_loss\"\narm = \"control\"\nof = \"any\"\nat_most = 3\n\
         [expect.c]\nmark = \"kgw\"\narm = \"rival\"\nbudget = 60\nverdict = [\"clean\", \"not measurable\"]\n"
    );
    let grid = from_text(Path::new("e.toml"), &text, &[]).map_err(|errors| errors.to_string()).unwrap();
    let expect = &grid.points[0].loaded.value.expect;
    assert_eq!(expect["a"].verdict.as_ref().unwrap().all(), [Verdict::Proven]);
    assert_eq!((expect["a"].arm, expect["a"].of), (Arm::Student, Share::All));
    assert_eq!((expect["b"].arm, expect["b"].of, expect["b"].at_most), (Arm::Control, Share::Any, Some(3.0)));
    assert_eq!(expect["c"].verdict.as_ref().unwrap().all(), [Verdict::Clean, Verdict::NotMeasurable]);
}

#[test]
fn conditions_that_no_record_can_answer_to_are_refused() {
    let cases: [(&str, &[&str]); 21] = [
        ("a = { mark = \"kgv\", verdict = \"proven\" }", &["expect.a.mark", "\"kgv\"", "no mark", "did you mean `kgw`?"]),
        ("a = { mark = \"kgw\", verdict = \"prooven\" }", &["expect.a.verdict", "unknown choice", "did you mean `proven`?"]),
        ("a = { mark = \"kgw\", verdict = [\"proven\", \"shown\"] }", &["expect.a.verdict[1]", "\"shown\"", "unknown choice"]),
        ("a = { mark = \"kgw\", verdict = [] }", &["expect.a.verdict", "empty"]),
        ("a = { mark = \"kgw\", verdict = 1 }", &["expect.a.verdict", "whole number"]),
        ("a = { mark = \"kgw\", budget = 30, verdict = \"proven\" }", &["expect.a.budget", "not in queries.budgets", "20, 60"]),
        (
            "a = { mark = \"kgw\", arm = \"rival\", budget = 20, verdict = \"clean\" }",
            &["expect.a.budget", "largest budget only", "60"],
        ),
        (
            "a = { mark = \"kgw\", arm = \"base\", budget = 20, verdict = \"clean\" }",
            &["expect.a.budget", "the base is distilled from no"],
        ),
        (
            "a = { mark = \"kgw\", arm = \"teacher\", surface = \"text\", verdict = \"clean\" }",
            &["expect.a.surface", "distilled from no"],
        ),
        ("a = { mark = \"kgw\", surface = \"txt\", verdict = \"proven\" }", &["expect.a.surface", "did you mean `text`?"]),
        ("a = { mark = \"kgw\", seed = 2, verdict = \"proven\" }", &["expect.a.seed", "not in `seeds`", "write one of 1"]),
        ("a = { mark = \"kgw\", arm = \"suspect\", verdict = \"proven\" }", &["expect.a.arm", "no experiment has it"]),
        ("a = { mark = \"kgw\", arm = \"apart\", verdict = \"proven\" }", &["expect.a.arm", "no mark is set apart"]),
        (
            "a = { mark = \"kgw\", lacks = \"kgw\", verdict = \"proven\" }",
            &["expect.a.lacks", "only students of the arm `apart`"],
        ),
        ("a = { mark = \"kgw\" }", &["expect.a", "asks nothing"]),
        ("a = { verdict = \"proven\" }", &["expect.a", "neither a mark nor a metric"]),
        ("a = { metric = \"held_out_loss\", verdict = \"proven\" }", &["expect.a.verdict", "a metric has no verdict"]),
        ("a = { mark = \"kgw\", at_most = 1 }", &["expect.a", "no word of which number", "value = \"log10_p\""]),
        ("a = { mark = \"kgw\", value = \"log10_p\" }", &["expect.a.value", "no bound on it"]),
        ("a = { mark = \"kgw\", value = \"effect\", at_least = 2, at_most = 1 }", &["expect.a.at_most", "below at_least"]),
        ("a = { mark = \"kgw\", verdct = \"proven\" }", &["expect.a.verdct", "unknown key", "did you mean `verdict`?"]),
    ];
    for (line, parts) in cases {
        let found = first_line(line, "", &[]).unwrap_or_else(|| panic!("accepted: {line}"));
        assert!(parts.iter().all(|part| found.contains(part)), "{line}\nexpected {parts:?}\ngot {found}");
    }
}

#[test]
fn what_some_point_of_a_grid_has_the_grid_has() {
    let grid = "[grid]\n\"queries.budgets\" = [[20, 60], [20, 80]]";
    let at = |budget: u64| format!("a = {{ mark = \"kgw\", budget = {budget}, verdict = \"proven\" }}");
    assert_eq!(first_line(&at(60), grid, &[]), None);
    assert_eq!(first_line(&at(80), grid, &[]), None);
    assert!(first_line(&at(70), grid, &[]).unwrap().contains("write one of 20, 60, 80"));
    let axis = "[grid]\n\"expect.a.budget\" = [20, 60]";
    assert!(first_line(&at(60), axis, &[]).unwrap().contains("conditions are on the records of all points together"));
    // what a flag takes away is said of the flag
    let set = vec!["queries.budgets=[20]".to_string()];
    assert!(first_line(&at(60), "", &set).unwrap().contains("expect.a.budget"));
}
