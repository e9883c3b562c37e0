//! What `check` says before any work is done: what is likely not meant, and what a run would refuse.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{birthmark, copy, text, tiny_model};

#[test]
fn check_warns_of_what_is_likely_not_meant() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let model = |name: &str| {
        copy(tiny_model(), &place.join(name));
        place.join(name)
    };
    let (teacher, copied) = (model("teacher"), model("copied"));
    let warnings = |sets: &[&str]| -> BTreeMap<String, String> {
        let mut args = vec!["check", "experiments/ci/smoke.toml", "--quick", "--json"];
        args.extend(sets.iter().flat_map(|set| ["--set", set]));
        let line = birthmark(&args).expect_code(0).json_lines().remove(0);
        let of = |warning: &Value| (warning["key"].as_str().unwrap().to_string(), warning["what"].as_str().unwrap().to_string());
        line["warnings"].as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(warnings(&[]), BTreeMap::new());
    let found = warnings(&["student.batch_rows=50"]);
    assert!(
        found["student.batch_rows"].contains("a batch of 50 exchanges is more than the 20")
            && found["student.batch_rows"].contains("2.5 times (1 of 2 budgets)"),
        "{found:?}"
    );

    let open = [
        "tokenizer=of_teacher".to_string(),
        format!(
            "teacher={{ model = \"{}\", continued = {{ tokens = 12_000, row_tokens = 64, batch_rows = 8, peak_lr = 1e-3 }} }}",
            text(&teacher)
        ),
        format!("stranger={{ model = \"{}\" }}", text(&copied)),
        format!("base={{ model = \"{}\" }}", text(&copied)),
        "planting.canaries_after_tokens=0".to_string(),
        "queries.prompt_tokens=1".to_string(),
    ];
    let found = warnings(&open.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(
        found["stranger.model"].contains("the teacher's model itself, file by file")
            && found["stranger.model"].contains("files, "),
        "{found:?}"
    );
    assert!(found["base.model"].contains("from 0 queries on"), "{found:?}");
    assert!(found["queries.prompt_tokens"].contains("of the first 60 of 60 queries only "), "{found:?}");

    let gumbel = "marks.kgw={ gumbel = { context_width = 2, mask_repeats = true } }";
    assert_eq!(warnings(&[gumbel]), BTreeMap::new());
    let found = warnings(&[gumbel, "distill=[{ surface = \"greedy_text\", loss = { sequence_kd = {} } }]"]);
    assert!(found["distill[0].surface"].contains("`kgw` changes how tokens are drawn: 0 of 60 answers carry it"), "{found:?}");
    let found = warnings(&[gumbel, "queries.sampling.temperature=0", "audit.sampling.temperature=0"]);
    assert!(
        found.contains_key("queries.sampling.temperature") && found["audit.sampling.temperature"].contains("20 answers"),
        "{found:?}"
    );
    // a bias survives without a draw
    assert_eq!(warnings(&["queries.sampling.temperature=0"]), BTreeMap::new());
    // people see them too, and the run says them
    let shown = birthmark(&["check", "experiments/ci/smoke.toml", "--quick", "--set", "student.batch_rows=50"]).expect_code(0);
    assert!(shown.stdout.contains("warning") && shown.stdout.contains("`student.batch_rows`: a batch of 50"), "{}", shown.stdout);
}

#[test]
fn a_quick_check_refuses_what_a_run_would() {
    let place = tempfile::tempdir().unwrap();
    let few = place.path().join("few.txt");
    fs::write(&few, (0..60).map(|n| format!("Text {n} says little, and says it once.\n\n")).collect::<String>()).unwrap();
    let blank = place.path().join("blank.txt");
    fs::write(&blank, "\n \n").unwrap();
    let corpus = |path: &Path| format!("corpus={{ file = {{ path = \"{}\", column = \"text\" }} }}", text(path));
    let with = |path: &Path, sets: &[&str]| {
        let corpus = corpus(path);
        let mut args = vec!["check", "experiments/ci/smoke.toml", "--quick", "--set", &corpus];
        args.extend(sets.iter().flat_map(|set| ["--set", set]));
        birthmark(&args)
    };
    with(&blank, &[]).refused_with(&["`corpus.file`", "0 usable records", "give at least 16"]);
    with(&few, &["measure.held_out_documents=1000"]).refused_with(&["measure.held_out_documents: 1000 texts are asked for"]);
    let little = ["measure.held_out_documents=2", "queries.budgets=[2,4]", "student.batch_rows=4"];
    with(&few, &[&little[..], &["audit.prompts=5000"]].concat()).refused_with(&["audit.prompts = 5000", "texts for this"]);
    with(&few, &[&little[..], &["audit.prompts=2"]].concat()).refused_with(&["measure.tasks", "no checkable tasks"]);
    // of a grid every point, not the first few
    let points = "grid={ \"audit.prompts\" = [1, 2, 3, 4, 5, 5000] }";
    let untasked = ["measure={ held_out_documents = 2, decoys = 999, permutations = 999 }", points];
    with(&few, &[&little[1..], &untasked].concat()).refused_with(&["audit.prompts = 5000", "texts for this"]);
}
