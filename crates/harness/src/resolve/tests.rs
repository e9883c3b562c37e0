use std::path::Path;

use results::Arm;

use super::*;
use crate::hub::Models;
use lm::Device;

use crate::load::experiment_from_text;

const VALID: &str = include_str!("../experiment/tests/valid.toml");

/// Resolves the test experiment as if it stood in this repository's `experiments` folder.
fn resolved(sets: &[&str]) -> anyhow::Result<Resolved> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/e.toml");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
    resolve(&experiment_from_text(&file, VALID, &sets)?, &Models::cached())
}

#[test]
fn the_grid_holds_every_arm() {
    let runs = resolved(&["seeds=[1,2]"]).unwrap().runs();
    // per seed: teacher, stranger, base; per curve two budgets of student and control, and one rival
    assert_eq!(runs.len(), 2 * (3 + 2 * (2 * 2 + 1)));
    let rivals: Vec<_> = runs.iter().filter(|run| run.arm == Arm::Rival).map(|run| run.budget).collect();
    assert_eq!(rivals, [Some(60); 4]);
    let ids: std::collections::BTreeSet<String> = {
        let resolved = resolved(&["seeds=[1,2]"]).unwrap();
        runs.iter().map(|run| resolved.run_id(run).unwrap().hex()).collect()
    };
    assert_eq!(ids.len(), runs.len(), "every run has its own id");
}

#[test]
fn the_cpu_is_no_part_of_an_identity_and_any_other_device_is() {
    let plain = resolved(&[]).unwrap();
    let run = plain.distilled(1, Arm::Student, &plain.channels[0], 20);
    let on_cpu = plain.clone().computed_on(Device::cpu());
    assert_eq!((on_cpu.hash().unwrap(), on_cpu.run_id(&run).unwrap()), (plain.hash().unwrap(), plain.run_id(&run).unwrap()));
    let mut on_cuda = plain.clone();
    on_cuda.world.device = Some("cuda");
    assert_ne!(on_cuda.hash().unwrap(), plain.hash().unwrap(), "results of two devices never share a directory");
    assert_ne!(on_cuda.run_id(&run).unwrap(), plain.run_id(&run).unwrap());
}

#[test]
fn a_run_is_the_same_whatever_else_the_file_asks_for() {
    let (small, large) = (resolved(&[]).unwrap(), resolved(&["queries.budgets=[20,60,90]", "seeds=[1,5]"]).unwrap());
    let run = small.distilled(1, Arm::Student, &small.channels[0], 20);
    assert_eq!(small.run_id(&run).unwrap(), large.run_id(&run).unwrap());
    assert_ne!(small.hash().unwrap(), large.hash().unwrap());
    let louder = resolved(&["marks.kgw.kgw.delta=3"]).unwrap();
    assert_ne!(small.run_id(&run).unwrap(), louder.run_id(&run).unwrap());
    let other_secret = resolved(&["owner.secret=another"]).unwrap();
    assert_ne!(small.run_id(&run).unwrap(), other_secret.run_id(&run).unwrap());
}

#[test]
fn a_primary_mark_is_part_of_the_experiment_and_of_no_run() {
    let (plain, ordered) = (resolved(&[]).unwrap(), resolved(&["primary=kgw"]).unwrap());
    assert_ne!(plain.hash().unwrap(), ordered.hash().unwrap());
    assert_ne!(resolved(&["primary=secret_keys"]).unwrap().hash().unwrap(), ordered.hash().unwrap());
    let ids = |resolved: &Resolved| resolved.runs().iter().map(|run| resolved.run_id(run).unwrap()).collect::<Vec<_>>();
    assert_eq!(ids(&plain), ids(&ordered));
    let written = |resolved: &Resolved| String::from_utf8(store::canonical_json(resolved).unwrap()).unwrap();
    assert!(!written(&plain).contains("primary") && written(&ordered).contains("\"primary\":\"kgw\""));
}

#[test]
fn marks_that_are_set_apart_add_runs_and_rename_none() {
    let (plain, apart) = (resolved(&[]).unwrap(), resolved(&["marks_apart=['kgw','secret_keys']"]).unwrap());
    assert_ne!(plain.hash().unwrap(), apart.hash().unwrap());
    let id = |resolved: &Resolved, run: &Run| resolved.run_id(run).unwrap().hex();
    let ids =
        |resolved: &Resolved| resolved.runs().iter().map(|run| id(resolved, run)).collect::<std::collections::BTreeSet<_>>();
    assert!(ids(&apart).is_superset(&ids(&plain)));
    // two curves of two budgets, and two marks
    assert_eq!(ids(&apart).len(), ids(&plain).len() + 8);
    let who: Vec<String> = apart.runs()[3..8].iter().map(Run::who).collect();
    assert_eq!(who, ["student", "control", "apart kgw", "apart secret_keys", "student"]);
    assert!(!String::from_utf8(store::canonical_json(&plain.runs()).unwrap()).unwrap().contains("lacks"));
    assert_eq!((plain.teachers_asked(), apart.teachers_asked()), (3, 5));
}

/// A law that is served costs no training, texts and items cost one where others of their kind stay.
#[test]
fn what_is_trained_again_follows_from_what_else_is_planted() {
    let again = |sets: &[&str]| {
        let TrainedAgain { texts, laws, items } = resolved(sets).unwrap().trained_again();
        (texts, laws, items)
    };
    let second = "marks.second={ secret_sharer = { repeats = [1], canaries_per_level = 2, templates = 2, references = 20, secret = { digits = 4 } } }";
    assert_eq!(again(&["marks_apart=['kgw']"]), (0, 0, 0));
    assert_eq!(again(&["marks_apart=['secret_keys']"]), (0, 0, 0), "the model before its keys were implanted is there");
    assert_eq!(again(&["marks_apart=['secret_sharer']"]), (0, 0, 1), "the keys, into the clean twin");
    assert_eq!(again(&[second, "marks_apart=['secret_sharer', 'second', 'kgw']"]), (2, 0, 2));
}

#[test]
fn nothing_written_holds_the_secret_or_a_path() {
    let json = String::from_utf8(store::canonical_json(&resolved(&[]).unwrap()).unwrap()).unwrap();
    assert!(!json.contains("demo secret"), "{json}");
    assert!(!json.contains(env!("CARGO_MANIFEST_DIR")), "{json}");
}

#[test]
fn paths_that_lead_nowhere_are_named_with_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::create_dir(at("pickle")).unwrap();
    for name in ["config.json", "tokenizer.json", "pytorch_model.bin"] {
        std::fs::write(dir.path().join("pickle").join(name), "{}").unwrap();
    }
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("empty.txt"), "").unwrap();
    let cases = [
        (format!("corpus.grammar={}", at("none.toml")), "`corpus.grammar = ", "no file"),
        (
            format!("corpus={{ file = {{ path = \"{}\", column = \"text\" }} }}", at("empty.txt")),
            "`corpus.file.path = ",
            "is empty",
        ),
        (format!("base={{ model = \"{}\" }}", at("none")), "`base.model = ", "no directory"),
        (format!("base={{ model = \"{}\" }}", at("empty")), "`base.model = ", "has no config.json"),
        (format!("base={{ model = \"{}\" }}", at("pickle")), "`base.model = ", "pytorch_model.bin, a pickle checkpoint"),
    ];
    for (set, key, fragment) in cases {
        let message = resolved(&[&set]).unwrap_err().to_string();
        assert!(message.contains(key) && message.contains(fragment), "{message}");
    }
}
