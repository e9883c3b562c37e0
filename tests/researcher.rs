//! What a researcher does with an experiment: begins one about a model and texts of their own, runs what was resolved again, finds the
//! models and answers behind a record, and watches a long run from a program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use results::{Arm, read_records};
use serde_json::Value;

use crate::support::{Ran, birthmark, birthmark_at, command, copy, root, run, run_command, smoke, smoke_file, text, tiny_model};

/// Texts that the tiny model's tokenizer was made for, all different.
fn texts() -> Vec<String> {
    let (colours, moods) = (["red", "old", "small", "kind", "blue"], ["calm", "loud", "late", "warm"]);
    let text = |i: usize| {
        let (colour, mood) = (colours[i % 5], moods[i / 5 % 4]);
        format!(
            "Number {i} was a {colour} cat. It saw {} birds on a {mood} day, and slept in house {}.",
            i * 7 % 101,
            i * 13 % 97
        )
    };
    (0..400).map(text).collect()
}

/// A folder with a text file in each form.
fn texts_in(place: &Path) -> [PathBuf; 2] {
    let (plain, lines) = (place.join("mine.txt"), place.join("mine.jsonl"));
    fs::write(&plain, texts().join("\n\n")).unwrap();
    let row = |story: &String| serde_json::json!({ "story": story }).to_string() + "\n";
    fs::write(&lines, texts().iter().map(row).collect::<String>()).unwrap();
    [plain, lines]
}

#[test]
fn what_init_writes_passes_check_with_and_without_own_model_and_texts() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path().canonicalize().unwrap();
    let [plain, lines] = texts_in(&at);
    let model = tiny_model();
    let cases: [(&str, Vec<&str>); 5] = [
        ("plain.toml", vec![]),
        ("with-model.toml", vec!["--model", text(model)]),
        ("with-text.toml", vec!["--text", text(&plain)]),
        ("with-both.toml", vec!["--model", text(model), "--text", "mine.txt"]),
        ("lines.toml", vec!["--model", text(model), "--text", text(&lines), "--column", "story"]),
    ];
    for (file, more) in cases {
        let ran = birthmark_at(&at, &[&["init", file][..], &more[..]].concat()).expect_code(0);
        assert!(ran.stdout.contains(&format!("birthmark run {file}")), "{}", ran.stdout);
        let checked = birthmark_at(&at, &["check", file, "--quick"]).expect_code(0);
        assert!(checked.stdout.contains("is valid"), "{file}: {}", checked.stdout);
        // also from elsewhere: paths start at the file
        birthmark(&["check", text(&at.join(file)), "--quick"]).expect_code(0);
        let before = fs::read(at.join(file)).unwrap();
        birthmark_at(&at, &["init", file]).refused_with(&[file, "exists already", "nothing is overwritten"]);
        assert_eq!(fs::read(at.join(file)).unwrap(), before);
    }
    let written = fs::read_to_string(at.join("with-both.toml")).unwrap();
    assert!(
        written.contains("path = \"mine.txt\"") && written.lines().filter(|line| line.starts_with('#')).count() > 20,
        "{written}"
    );
    // the grammar came along, as there is no repository here
    assert_eq!(fs::read(at.join("plain-texts.toml")).unwrap(), fs::read(root().join("datasets/quickstart.toml")).unwrap());
    // the default name, and a folder of experiments: paths start beside it
    birthmark_at(&at, &["init"]).expect_code(0);
    assert!(at.join("experiment.toml").is_file());
    fs::create_dir(at.join("experiments")).unwrap();
    birthmark_at(&at, &["init", "experiments/mine.toml", "--text", "mine.txt"]).expect_code(0);
    assert!(fs::read_to_string(at.join("experiments/mine.toml")).unwrap().contains("path = \"mine.txt\""));
    birthmark_at(&at, &["check", "experiments/mine.toml", "--quick"]).expect_code(0);
}

#[test]
fn what_init_cannot_use_is_named_and_nothing_is_written() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path().canonicalize().unwrap();
    fs::write(at.join("empty.txt"), "").unwrap();
    fs::write(at.join("rows.jsonl"), "{\"story\": \"a\"}\n").unwrap();
    let init = |more: &[&str]| birthmark_at(&at, &[&["init", "e.toml"][..], more].concat());
    init(&["--model", "gpt2"]).refused_with(&["--model gpt2", "org/name"]);
    init(&["--text", "none.txt"]).refused_with(&["--text none.txt"]);
    init(&["--text", "empty.txt"]).refused_with(&["--text empty.txt", "the file is empty"]);
    init(&["--text", "rows.jsonl"]).refused_with(&["--text rows.jsonl", "no column `text`", "story"]);
    birthmark_at(&at, &["init", "e.yaml"]).refused_with(&["e.yaml", "ends in .toml"]);
    birthmark_at(&at, &["init", "none/e.toml"]).refused_with(&["none/e.toml", "no folder none"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at.join("elsewhere.toml"), at.join("link.toml")).unwrap();
        birthmark_at(&at, &["init", "link.toml"]).refused_with(&["link.toml", "exists already"]);
        assert!(!at.join("elsewhere.toml").exists());
    }
    let left: BTreeSet<String> =
        fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| ["empty.txt", "rows.jsonl", "link.toml"].contains(&name.as_str())), "{left:?}");
}

/// A stranger with a model and texts gets from nothing to a report.
#[test]
fn a_first_run_about_an_own_model_and_own_texts() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path().canonicalize().unwrap();
    texts_in(&at);
    copy(tiny_model(), &at.join("model"));
    birthmark_at(&at, &["init", "first.toml", "--model", "model", "--text", "mine.txt"]).expect_code(0);
    let few = ["--set", "stranger.train.tokens=8_000", "--set", "base.train.tokens=4_000"];
    let ran = birthmark_at(&at, &[&["run", "first.toml", "--threads", "2", "--quiet"][..], &few].concat()).expect_code(0);
    assert!(ran.stdout.contains("results: results/first/"), "{}", ran.stdout);
    let directory = crate::support::results_directory(&at.join("results"));
    let records = read_records(&directory.join("records.jsonl")).unwrap();
    assert!(records.iter().any(|record| record.arm == Arm::Student && record.log10_p.is_some()));

    // what was resolved is found where it was, and refused when it is another
    let resolved = directory.join("experiment.json");
    let again = [&["run", text(&resolved), "--threads", "2", "--quiet"][..], &["--artifacts", "artifacts"]].concat();
    let before = fs::read(directory.join("records.jsonl")).unwrap();
    birthmark_at(&at, &again).expect_code(0);
    assert_eq!(fs::read(directory.join("records.jsonl")).unwrap(), before);
    let mut model = fs::read_to_string(at.join("model/tokenizer_config.json")).unwrap_or_else(|_| "{}".into());
    model.push('\n');
    fs::write(at.join("model/tokenizer_config.json"), model).unwrap();
    birthmark_at(&at, &again).refused_with(&["experiment.json", "`teacher`", "is not what it was"]);
    fs::remove_dir_all(at.join("model")).unwrap();
    birthmark_at(&at, &again).refused_with(&["experiment.json", "`teacher.model = ", "no directory"]);
    fs::remove_file(at.join("first.toml")).unwrap();
    birthmark_at(&at, &again).refused_with(&[
        "`owner.secret`",
        "first.toml, where it is no longer",
        "--set owner.secret_file=FILE",
    ]);
}

#[test]
fn a_resolved_experiment_runs_again_with_the_same_hash_and_records() {
    let place = tempfile::tempdir().unwrap();
    copy(&smoke().artifacts, &place.path().join("artifacts"));
    let resolved = smoke().directory.join("experiment.json");
    let written = fs::read_to_string(&resolved).unwrap();
    assert!(!written.contains("demo secret"), "no results hold the secret");
    let ran = run(&resolved, place.path(), 2);
    assert_eq!(ran.records(), smoke().records());
    assert_eq!(ran.directory.file_name(), smoke().directory.file_name(), "the same hash");
    assert_eq!(fs::read_to_string(ran.directory.join("timings.jsonl")).unwrap(), "", "nothing is done twice");
    // its own resolved experiment leads to the same places, from where it lies
    let again = run_command(&ran.directory.join("experiment.json"), place.path(), 2).output().unwrap();
    Ran::of(again).expect_code(0);

    // it is checked and changed as the file is
    let json = |args: &[&str]| birthmark(args).expect_code(0).json_lines().remove(0);
    let (file, set) = (smoke_file(), ["--set", "queries.budgets=[20]"]);
    let of = |file: &Path, more: &[&str]| {
        json(&[&["check", text(file), "--quick", "--json"][..], more].concat())["experiment_hash"].clone()
    };
    assert_eq!(of(&resolved, &[]), of(&file, &[]));
    assert_eq!(of(&resolved, &set), of(&file, &set));
    assert_ne!(of(&resolved, &set), of(&file, &[]));
    birthmark(&["check", text(&resolved), "--quick", "--set", "queries.budgtes=[1]"]).refused_with(&["did you mean `budgets`?"]);
    birthmark(&["check", text(&resolved), "--quick", "--set", "owner.secret=another"]).expect_code(0);

    // a copy that says nothing of places asks for what it needs
    let bare = place.path().join("bare.json");
    fs::write(&bare, &written).unwrap();
    let check = |more: &[&str]| birthmark(&[&["check", text(&bare), "--quick"][..], more].concat());
    check(&[]).refused_with(&["bare.json", "`owner.secret`", "--set owner.secret_file=FILE"]);
    check(&["--set", "owner.secret=wrong"]).expect_code(0);
    check(&["--set", "owner.secret=birthmark smoke, a public demo secret"]).expect_code(0);
    for (damage, said) in
        [("{", "not valid JSON"), ("[]", "not a resolved experiment"), ("{\"name\": \"x\"}", "`world`: missing")]
    {
        fs::write(&bare, damage).unwrap();
        check(&[]).refused_with(&["bare.json", said]);
    }
}

/// Whoever has the committed results and the secret has the experiment, whatever became of its file.
#[test]
fn the_committed_experiments_are_read_back() {
    for name in ["quickstart", "survival"] {
        let reference = root().join("results").join(name).join("reference");
        let source = fs::read_to_string(root().join("experiments").join(format!("{name}.toml"))).unwrap();
        let secret = source.lines().find_map(|line| line.strip_prefix("secret = \"")).unwrap().trim_end_matches('"');
        let set = format!("owner.secret={secret}");
        let file = reference.join("experiment.json");
        let args = ["check", text(&file), "--quick", "--json", "--set", &set];
        let hash = birthmark(&args).expect_code(0).json_lines().remove(0)["experiment_hash"].clone();
        let records = read_records(&reference.join("records.jsonl")).unwrap();
        assert_eq!(hash, records[0].experiment_hash.as_str(), "{name}");
    }
}

#[test]
fn a_resolved_grid_has_its_points_axes_and_hash() {
    let place = tempfile::tempdir().unwrap();
    let spec = root().join("datasets/quickstart.toml");
    let grid = place.path().join("grid.toml");
    let smoke =
        fs::read_to_string(smoke_file()).unwrap().replace("\"datasets/quickstart.toml\"", &format!("\"{}\"", text(&spec)));
    fs::write(&grid, format!("{smoke}\n[grid]\n\"student.peak_lr\" = [2e-3, 1e-3]\n")).unwrap();
    let few = ["--set", "queries.budgets=[20]", "--limit", "1", "--quiet"];
    let ran = run_command(&grid, place.path(), 2).args(few).output().unwrap();
    Ran::of(ran).expect_code(0);
    let directory = crate::support::results_directory(&place.path().join("results"));
    let resolved = directory.join("experiment.json");
    let hash = |file: &Path, more: &[&str]| {
        let ran = birthmark(&[&["check", text(file), "--quick", "--json"][..], more].concat()).expect_code(0);
        let line = ran.json_lines().remove(0);
        (line["experiment_hash"].clone(), line["points"].clone())
    };
    assert_eq!(hash(&resolved, &[]), hash(&grid, &few[..2]));
    birthmark(&["check", text(&resolved), "--quick", "--set", "student.peak_lr=1"]).refused_with(&["--only"]);
    let rows = rows(&directory);
    assert!(!rows.is_empty() && rows.iter().all(|row| row["axes"] == "student.peak_lr=2e-3"), "{rows:?}");
}

/// The rows of `students.csv`.
fn rows(directory: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(directory.join("students.csv")).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn a_record_leads_to_its_models_and_answers() {
    let records = read_records(&smoke().directory.join("records.jsonl")).unwrap();
    let there = |place: &str| smoke().artifacts.join(place).join("manifest.json").is_file();
    for record in &records {
        let distilled = record.arm.is_distilled();
        assert_eq!((record.student_id.is_some(), record.transcript_id.is_some()), (distilled, distilled), "{record:?}");
        assert_eq!(record.teacher_id.is_some(), distilled || record.arm == Arm::Teacher);
        for id in [&record.student_id, &record.teacher_id].into_iter().flatten() {
            assert!(there(id), "{id}");
        }
    }
    let rows = rows(&smoke().directory);
    let runs: BTreeSet<&str> = records.iter().map(|record| record.run_id.as_str()).collect();
    assert_eq!(rows.iter().map(|row| row["run_id"].as_str()).collect::<BTreeSet<_>>(), runs, "one row for each suspect");
    assert_eq!(rows.len(), runs.len());
    for row in &rows {
        assert!(there(&row["model"]) && there(&row["audit"]), "{row:?}");
        assert!(row["teacher"].is_empty() || there(&row["teacher"]), "{row:?}");
        assert!(row["transcript"].split_whitespace().all(there), "{row:?}");
        let shards = row["transcript"].split_whitespace().count();
        // 25 queries a shard
        let asked: usize = row["budget_queries"].parse().unwrap_or(0);
        assert_eq!(shards, asked.div_ceil(25), "{row:?}");
        let same = records.iter().find(|record| record.run_id == row["run_id"]).unwrap();
        assert_eq!(same.transcript_id.clone().unwrap_or_default(), row["transcript_id"]);
        assert_eq!(same.student_id.clone().unwrap_or(row["model"].clone()), row["model"]);
    }
}

#[test]
fn what_suspects_answered_is_kept_and_is_what_was_measured() {
    let records = read_records(&smoke().directory.join("records.jsonl")).unwrap();
    let kgw = |run: &str| records.iter().find(|record| record.run_id == run && record.mark.as_deref() == Some("kgw")).unwrap();
    let mut questions = BTreeSet::new();
    for row in rows(&smoke().directory) {
        let file = smoke().artifacts.join(&row["audit"]).join("answers.parquet");
        let answers = distill::read_parquet(&file).unwrap();
        let record = kgw(&row["run_id"]);
        assert_eq!(answers.len() as u64, record.audit_prompts.unwrap());
        let tokens: u64 = answers.iter().map(|exchange| exchange.answer.len() as u64).sum();
        assert_eq!(Some(tokens), record.audit_tokens, "the answers that were judged: {row:?}");
        questions.insert(answers.iter().map(|exchange| exchange.query.prompt.clone()).collect::<Vec<_>>());
        let bytes = fs::metadata(&file).unwrap().len();
        assert!(bytes < 20_000, "{bytes} bytes for {} answers", answers.len());
    }
    assert_eq!(questions.len(), 1, "all are asked the same");
}

/// Another mark judges the same answers: they are found, not asked again.
#[test]
fn another_mark_finds_the_answers_of_the_first() {
    let place = tempfile::tempdir().unwrap();
    copy(&smoke().artifacts, &place.path().join("artifacts"));
    let mut command = run_command(&smoke_file(), place.path(), 2);
    // judged otherwise, nothing else is made
    command.args(["--set", "marks.kgw.kgw={ gamma = 0.25, delta = 2.0, context_width = 1, test = \"count\" }", "--quiet"]);
    Ran::of(command.output().unwrap()).expect_code(0);
    let directory = crate::support::results_directory(&place.path().join("results"));
    let timings = fs::read_to_string(directory.join("timings.jsonl")).unwrap();
    assert!(timings.contains("measuring") && !timings.contains("auditing"), "{timings}");
}

#[test]
fn progress_is_read_by_programs() {
    let place = tempfile::tempdir().unwrap();
    let mut command = run_command(&smoke_file(), place.path(), 2);
    command.args(["--set", "queries.budgets=[20]", "--progress", "json"]);
    let ran = Ran::of(command.output().unwrap()).expect_code(0);
    let lines: Vec<Value> =
        ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let events: BTreeSet<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert!(["begin", "end", "run"].iter().all(|event| events.contains(event)), "{events:?}");
    assert!(lines.iter().all(|line| line["schema"] == 1 && line["at_seconds"].is_number()));
    let shares: Vec<f64> =
        lines.iter().filter(|line| line["event"] == "run").map(|line| line["run_done"].as_f64().unwrap()).collect();
    assert!(shares.is_sorted() && (shares.last().unwrap() - 1.0).abs() < 1e-6, "{shares:?}");
    assert!(lines.iter().any(|line| line["run_left_seconds"].is_number()));
    let document = fs::read_to_string(root().join("experiments/README.md")).unwrap();
    for key in lines.iter().flat_map(|line| line.as_object().unwrap().keys()) {
        assert!(document.contains(&format!("`{key}`")), "experiments/README.md does not say what `{key}` is");
    }

    let bad = command_with(&["run", "none.toml", "--progress", "json"]);
    let [line] = &bad.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{}", bad.stderr) };
    let error: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&error["event"], &error["exit_code"]), (&"error".into(), &2.into()));
    assert!(error["text"].as_str().unwrap().contains("none.toml: no such file"), "{error}");
    command_with(&["run", "none.toml", "--progress", "json", "--quiet"]);
}

/// `birthmark ARGS`, which is to fail with code 2.
fn command_with(args: &[&str]) -> Ran {
    Ran::of(command(&root()).args(args).output().unwrap()).expect_code(2)
}

#[test]
fn optimizer_keys_that_are_left_out_are_written_down() {
    let place = tempfile::tempdir().unwrap();
    let spec = root().join("datasets/quickstart.toml");
    let smoke =
        fs::read_to_string(smoke_file()).unwrap().replace("\"datasets/quickstart.toml\"", &format!("\"{}\"", text(&spec)));
    let (start, end) = (smoke.find("[optimizer]").unwrap(), smoke.find("[teacher.train]").unwrap());
    let file = |name: &str, optimizer: &str| {
        let path = place.path().join(name);
        fs::write(&path, format!("{}{optimizer}{}", &smoke[..start], &smoke[end..])).unwrap();
        path
    };
    let all = "[optimizer]\nwarmup_fraction = 0.05\nfinal_lr_fraction = 0.05\ndecay = \"cosine\"\nweight_decay = 0.1\nbeta1 = 0.9\n\
               beta2 = 0.98\nepsilon = 1e-8\ngrad_clip = 1.0\nlogical_shards = 4\n";
    let hash = |file: &Path| {
        birthmark(&["check", text(file), "--quick", "--json"]).expect_code(0).json_lines().remove(0)["experiment_hash"].clone()
    };
    let said = hash(&file("all.toml", all));
    assert_eq!(hash(&file("none.toml", "")), said);
    assert_eq!(hash(&file("one.toml", "[optimizer]\nbeta2 = 0.98\n")), said);
    assert_ne!(hash(&file("other.toml", "[optimizer]\nbeta2 = 0.95\n")), said);
    birthmark(&["check", text(&file("bad.toml", "[optimizer]\nbeta3 = 0.98\n")), "--quick"])
        .refused_with(&["`optimizer.beta3`", "unknown key"]);
    let resolved: Value =
        serde_json::from_slice(&fs::read(crate::support::smoke().directory.join("experiment.json")).unwrap()).unwrap();
    assert_eq!(resolved["world"]["optimizer"].as_object().unwrap().len(), 9, "{resolved}");
}
