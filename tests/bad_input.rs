//! Whatever is given wrongly is refused with exit code 2 and one line that names file, key, value and what to do, and nothing that
//! was finished before is lost. Here: experiment files, prompt files and directories; models have a file of their own.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Ran, birthmark, copy, run, run_command, smoke, smoke_file, text, tiny_model};

/// An experiment file in a fresh directory: smoke with one line replaced. Returns it with the number of the new line.
fn smoke_with(line: &str, by: &str) -> (TempDir, std::path::PathBuf, usize) {
    let smoke = fs::read_to_string(smoke_file()).unwrap();
    let number = 1 + smoke.lines().position(|l| l == line).unwrap_or_else(|| panic!("smoke.toml has no line `{line}`"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    // the file lies elsewhere, its grammar where it is
    let grammar = smoke_file().parent().unwrap().join("../../datasets/quickstart.toml").canonicalize().unwrap();
    let smoke = smoke.replacen("datasets/quickstart.toml", text(&grammar), 1);
    fs::write(&file, smoke.replacen(line, by, 1)).unwrap();
    (dir, file, number)
}

/// Both `check` and `run` refuse the file, naming its line and column, and `run` writes nothing.
#[track_caller]
fn file_refused(line: &str, by: &str, column: usize, parts: &[&str]) {
    let (dir, file, number) = smoke_with(line, by);
    let place = format!("bad.toml:{number}:{column}: ");
    let parts: Vec<&str> = parts.iter().copied().chain([place.as_str()]).collect();
    let checked = birthmark(&["check", text(&file)]).refused_with(&parts);
    let ran = Ran::of(run_command(&file, dir.path(), 1).output().unwrap()).refused_with(&parts);
    assert_eq!(checked, ran);
    assert!(!dir.path().join("results").exists() && !dir.path().join("artifacts").exists(), "a refused file leaves no trace");
}

#[test]
fn an_unknown_key() {
    file_refused("alpha = 0.001", "audt = 1\nalpha = 0.001", 1, &["`audt`", "unknown key", "did you mean `audit`?"]);
}

#[test]
fn a_wrong_type() {
    file_refused(
        "batch_rows = 8",
        "batch_rows = \"8\"",
        14,
        &["`student.batch_rows = \"8\"`", "should be a whole number, is a string"],
    );
}

#[test]
fn a_budget_of_0() {
    file_refused("budgets = [20, 60]", "budgets = [0, 60]", 12, &["`queries.budgets[0] = 0`", "buys nothing", "write 1 or more"]);
}

#[test]
fn budgets_that_do_not_increase() {
    file_refused("budgets = [20, 60]", "budgets = [20, 20]", 16, &["`queries.budgets[1] = 20`", "not above 20", "must increase"]);
}

#[test]
fn gamma_out_of_range() {
    for (gamma, written) in [("0.0", "0.0"), ("1.0", "1.0"), ("-0.5", "-0.5"), ("1.5", "1.5")] {
        let set = format!("marks.kgw.kgw.gamma={gamma}");
        let value = format!("`marks.kgw.kgw.gamma = {written}`");
        let parts = ["--set marks.kgw.kgw.gamma", &value, "out of range", "between 0 and 1"];
        birthmark(&["check", "experiments/ci/smoke.toml", "--set", &set]).refused_with(&parts);
    }
}

#[test]
fn a_number_of_keys_out_of_range() {
    for (keys, remedy) in [("0", "use at least 1"), ("1000000000", "use at most 4096")] {
        let set = format!("marks.secret_keys.secret_keys.keys={keys}");
        let value = format!("`marks.secret_keys.secret_keys.keys = {keys}`");
        birthmark(&["check", "experiments/ci/smoke.toml", "--set", &set]).refused_with(&[&value, "out of range", remedy]);
    }
}

#[test]
fn a_surface_asked_to_show_more_than_it_does() {
    let set = "distill[0].loss={ topk_kl = { tail = \"bucket\" } }";
    birthmark(&["check", "experiments/ci/smoke.toml", "--set", set]).refused_with(&[
        "`distill[0].loss = ",
        "`topk_kl` needs log-probabilities; a `text` oracle has none",
        "serve `top_logprobs`",
    ]);
}

#[test]
fn a_file_that_is_no_experiment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    birthmark(&["run", text(&file)]).refused_with(&["bad.toml", "no such file", "check the path"]);
    fs::write(&file, b"name = \"caf\xe9\"\n").unwrap();
    birthmark(&["run", text(&file)]).refused_with(&["bad.toml", "not UTF-8", "save it as UTF-8"]);
    fs::write(&file, "name = \"a\"\nseeds = [1\nalpha = 2\n").unwrap();
    birthmark(&["run", text(&file)]).refused_with(&["bad.toml:3:1", "not valid TOML"]);
    fs::write(&file, "name = \"a\"\n").unwrap();
    birthmark(&["run", text(&file)]).refused_with(&["bad.toml", "`question`", "missing", "add `question"]);
}

#[test]
fn an_override_that_is_none() {
    let check = |set: &str| birthmark(&["check", "experiments/ci/smoke.toml", "--set", set]);
    check("alpha").refused_with(&["--set alpha", "no `=`", "key=value"]);
    check("queries.budgtes=[1]").refused_with(&["--set queries.budgtes=[1]", "unknown key", "did you mean `budgets`?"]);
    check("corpus.grammar=none.toml").refused_with(&[
        "`corpus.grammar = \"none.toml\"`",
        "no file none.toml",
        "name a dataset spec",
    ]);
    // whoever looks over one's shoulder learns nothing
    let refused = check("owner.secret=17").refused_with(&["owner.secret", "should be a string"]);
    assert!(!refused.contains("17"), "{refused}");
}

/// Form, values and files are wrong at once: each mistake is a line with key and value, in the order of the file.
#[test]
fn every_mistake_of_a_file_is_shown() {
    let smoke = fs::read_to_string(smoke_file()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    let changed = [
        ("alpha = 0.001", "alhpa = 0.001"),
        ("seeds = [1]", "seeds = [1, 1]"),
        ("vocab_size = 384", "vocab_size = \"384\""),
        ("decay = \"cosine\"", "decay = \"cosinus\""),
        ("beta2 = 0.98", "beta2 = 1.5"),
        ("budgets = [20, 60]", "budgets = [0, 60]"),
        ("batch_rows = 8", "batch_row = 8"),
    ];
    let bad = changed.iter().fold(smoke, |text, (from, to)| {
        assert!(text.contains(from), "smoke.toml has no `{from}`");
        text.replacen(from, to, 1)
    });
    let bad = bad.lines().filter(|line| !line.starts_with("permutations")).collect::<Vec<_>>().join("\n");
    fs::write(&file, format!("{bad}\n")).unwrap();
    let shown = birthmark(&["check", text(&file), "--quick", "--set", "audit.prompts=0"]).expect_code(2);
    let lines: Vec<&str> = shown.stderr.lines().collect();
    let parts = [
        ["`seeds[1] = 1`", "given twice"],
        ["`alhpa`", "unknown key; did you mean `alpha`?"],
        ["`corpus.grammar = \"datasets/quickstart.toml\"`", "no file"],
        ["`tokenizer.bpe.vocab_size = \"384\"`", "should be a whole number, is a string"],
        ["`optimizer.decay = \"cosinus\"`", "did you mean `cosine`?"],
        ["`optimizer.beta2 = 1.5`", "write 0 or more, below 1"],
        ["`queries.budgets[0] = 0`", "buys nothing"],
        ["`student.batch_row`", "unknown key; did you mean `batch_rows`?"],
        ["`measure.permutations`", "missing; add `permutations = …`"],
        ["`audit.prompts = 0`", "too small"],
    ];
    for part in parts {
        let said = lines.iter().filter(|line| part.iter().all(|part| line.contains(part))).count();
        assert_eq!(said, 1, "{part:?} in\n{}", shown.stderr);
    }
    assert_eq!(lines.len(), parts.len(), "one line each:\n{}", shown.stderr);
    assert!(lines[0].starts_with("error: ") && lines[lines.len() - 1].starts_with("--set audit.prompts=0: "), "{lines:#?}");
}

#[test]
fn no_remedy_is_nonsense() {
    let check = |set: &str| birthmark(&["check", "experiments/ci/smoke.toml", "--quick", "--set", set]);
    for alpha in ["0", "-1", "0.0", "1"] {
        let said = check(&format!("alpha={alpha}")).refused_with(&["`alpha = ", "above 0 and at most 0.05"]);
        assert!(!said.contains("inf") && !said.contains("decoys"), "{said}");
    }
    check("alpha=1e-9").refused_with(&["`alpha = ", "99999 decoy keys", "write 1e-5 or more"]);
}

#[test]
fn a_flag_that_meets_a_table_says_how_to_replace_it() {
    let check = |set: &str| birthmark(&["check", "experiments/ci/smoke.toml", "--quick", "--set", set]);
    check("base.model=DIR").refused_with(&["`base = ", "2 choices at once (train, model)", "--set 'base={ model = \"DIR\" }'"]);
    let shown = check("teacher.model=DIR").expect_code(2).stderr;
    assert!(shown.contains("there is a `train` too; to replace the table write --set 'teacher={ model = \"DIR\" }'"), "{shown}");
    check("base.modle=DIR").refused_with(&["`base.modle`", "unknown choice; did you mean `model`?"]);
    check("marks.kgv.kgw.delta=3.0").refused_with(&["the file has no mark `kgv`", "did you mean `kgw`?", "--set 'marks.kgv={"]);
    check("marks.kgw.unigram={ gamma = 0.5, delta = 1.0 }").refused_with(&[
        "`marks.kgw",
        "a second kind beside",
        "--set 'marks.kgw={ unigram = { gamma = 0.5, delta = 1.0 } }'",
    ]);
    check("marks.kgw.kgv={ gamma = 0.5, delta = 1.0 }").refused_with(&["`marks.kgw.kgv`", "unknown key; did you mean `kgw`?"]);
    check("student.compute.one_pas={}").refused_with(&["`student.compute.one_pas`", "unknown choice; did you mean `one_pass`?"]);
}

#[test]
fn text_too_long_for_a_model() {
    let short = "base.train.architecture.llama.max_position_embeddings=10";
    birthmark(&["check", "experiments/ci/smoke.toml", "--set", short])
        .refused_with(&["`queries.max_new_tokens = 8`", "holds 10"]);
    let keys = "marks.secret_keys.secret_keys.prompt_tokens=200";
    birthmark(&["check", "experiments/ci/smoke.toml", "--set", keys]).refused_with(&[
        "`marks.secret_keys",
        "rows of 202 tokens",
        "holds 96",
    ]);
}

/// Smoke on prompts from a file with this content.
#[track_caller]
fn prompts_refused(name: &str, content: &[u8], parts: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    fs::write(&file, content).unwrap();
    let set = format!("corpus={{ file = {{ path = \"{}\", column = \"text\" }} }}", text(&file));
    let output = run_command(&smoke_file(), dir.path(), 1).args(["--set", &set]).output().unwrap();
    let parts: Vec<&str> = parts.iter().copied().chain(["`corpus.file", name]).collect();
    Ran::of(output).refused_with(&parts);
}

#[test]
fn an_empty_prompt_file() {
    prompts_refused("empty.txt", b"", &["is empty", "name a file with texts"]);
    prompts_refused("blank.txt", b"\n \n\n", &["0 usable records", "give at least 16"]);
}

#[test]
fn a_prompt_file_that_is_not_utf8() {
    prompts_refused("latin.txt", b"caf\xe9 au lait\n", &["not UTF-8 at byte 3", "convert the file to UTF-8"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("latin.txt");
    fs::write(&file, b"caf\xe9").unwrap();
    birthmark(&["model", "score", "--model", text(tiny_model()), "--text", text(&file)]).refused_with(&[
        "latin.txt",
        "not UTF-8",
        "convert it",
    ]);
}

#[test]
fn a_prompt_file_of_one_line() {
    prompts_refused("one.txt", b"Once upon a time there was a cat.\n", &["1 usable record", "give at least 16", "blank lines"]);
    prompts_refused("one.jsonl", b"{\"text\": \"Once upon a time.\"}\n", &["1 usable record", "give at least 16", "one a line"]);
    prompts_refused("other.jsonl", b"{\"story\": \"Once upon a time.\"}\n", &["line 1", "no column `text`", "story"]);
}

/// Every file below a directory with its bytes.
fn content(place: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for path in fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.append(&mut content(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_results_directory_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    copy(&smoke().artifacts, &dir.path().join("artifacts"));
    let before = content(&dir.path().join("artifacts"));
    // not even root may write below a file, nor make directories in /proc
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    for place in [file.join("results"), "/proc/birthmark/results".into(), "/sys/birthmark/results".into()] {
        let output = run_command(&smoke_file(), dir.path(), 1);
        let args: Vec<_> =
            output.get_args().map(|a| if a == dir.path().join("results") { place.as_os_str() } else { a }).collect();
        birthmark(&args).refused_with(&[
            "--results",
            text(&place),
            "cannot make the directory",
            "name a directory that can be written",
        ]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(content(&dir.path().join("artifacts")), before, "finished artifacts stay as they were");
    // repaired, the same command finds everything
    let repaired = run(&smoke_file(), dir.path(), 1);
    assert_eq!(repaired.records(), smoke().records());
    assert_eq!(fs::read_to_string(repaired.directory.join("timings.jsonl")).unwrap(), "", "nothing is done twice");
}

#[test]
fn an_artifacts_directory_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("artifacts");
    fs::write(&file, "mine").unwrap();
    let output = run_command(&smoke_file(), dir.path(), 1).output().unwrap();
    Ran::of(output).refused_with(&["--artifacts", text(&file), "cannot make the directory", "name a directory"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[cfg(unix)]
#[test]
fn a_read_only_results_directory() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("results");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        println!("skipped a_read_only_results_directory: mode bits do not bind this user");
        return;
    }
    let output = run_command(&smoke_file(), dir.path(), 1).output().unwrap();
    Ran::of(output).refused_with(&["--results", text(&closed), "ermission denied", "name a directory that can be written"]);
}
