//! What strangers lost or never heard of: files changed under a run, links, pipes, records edited by hand, waits without a word.

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bad_model::open_teacher;
use crate::support::{Ran, birthmark, command, copy, manifests, root, run, run_command, smoke, smoke_file, text, tiny_model};

/// What a command leaves; a wait for something that never comes is a failure, not a test that never ends.
#[track_caller]
fn ends(command: &mut Command) -> Ran {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("it waits for something: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ran::of(child.wait_with_output().unwrap())
}

/// Smoke's artifacts and results, to be harmed, below a place of their own.
fn finished() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    copy(&smoke().artifacts, &place.path().join("artifacts"));
    let directory = place.path().join("results/smoke").join(smoke().directory.file_name().unwrap());
    copy(&smoke().directory, &directory);
    (place, directory)
}

#[cfg(unix)]
fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// The first finished artifact of a kind, once there is one.
fn first_of(artifacts: &Path, kind: &str) -> Option<PathBuf> {
    let all = fs::read_dir(artifacts.join(kind)).ok()?.flatten().map(|entry| entry.path());
    let mut done: Vec<PathBuf> = all.filter(|path| path.join("manifest.json").exists()).collect();
    done.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    done.into_iter().next()
}

#[test]
fn what_was_made_from_a_file_that_changed_meanwhile_is_not_kept() {
    for (kind, file) in [("transcript", "transcript.parquet"), ("pretrained", "model.safetensors")] {
        let place = tempfile::tempdir().unwrap();
        let artifacts = place.path().join("artifacts");
        let mut running = run_command(&smoke_file(), place.path(), 1);
        running.args(["--checkpoint-every", "0"]);
        let mut child = running.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let harmed = loop {
            assert!(child.try_wait().unwrap().is_none(), "the run ended without a {kind}");
            if let Some(artifact) = first_of(&artifacts, kind) {
                break artifact.join(file);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        // in place and of the same length, some way before the end
        let mut open = fs::File::options().read(true).write(true).open(&harmed).unwrap();
        let middle = open.metadata().unwrap().len() / 2;
        open.seek(SeekFrom::Start(middle)).unwrap();
        open.write_all(&[0xa5; 4]).unwrap();
        drop(open);
        let stopped = Ran::of(child.wait_with_output().unwrap()).expect_code(75);
        let line = stopped.stderr.lines().find(|line| line.starts_with("stopped: ")).unwrap();
        assert!(line.contains(text(&harmed)) && line.contains("was changed while it was in use"), "{line}");

        let again = run(&smoke_file(), place.path(), 1);
        let said = again.ran.stderr.lines().any(|line| line.contains(text(&harmed)) && line.contains("making it again"));
        assert!(said, "{}", again.ran.stderr);
        assert_eq!(again.records(), smoke().records());
        assert_eq!(manifests(&artifacts), manifests(&smoke().artifacts), "{kind}: nothing made from it was kept");
    }
}

#[test]
fn a_journal_of_any_content_stands_in_nobodys_way() {
    let (place, directory) = finished();
    let journal = directory.join("records.partial.jsonl");
    for left in [&b"no JSON\n{\"a\":1}\n"[..], b"\xff\n\xff\n", b"{\"torn\":"] {
        fs::write(&journal, left).unwrap();
        assert_eq!(run(&smoke_file(), place.path(), 1).records(), smoke().records());
        assert!(!journal.exists());
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_the_results_does_not_harm_what_it_leads_to() {
    use std::os::unix::fs::symlink;
    let (place, directory) = finished();
    let target = place.path().join("target");
    fs::write(&target, "mine").unwrap();
    let journal = directory.join("records.partial.jsonl");
    symlink(&target, &journal).unwrap();
    let refused = |what: &str| ends(&mut run_command(&smoke_file(), place.path(), 1)).refused_with(&[text(&journal), what]);
    refused("is a symbolic link");
    fs::remove_file(&journal).unwrap();
    pipe(&journal);
    refused("is a named pipe");
    fs::remove_file(&journal).unwrap();
    // these are replaced, and what they lead to is not copied
    for name in ["timings.jsonl", "records.jsonl", "manifest.json"] {
        fs::remove_file(directory.join(name)).unwrap();
        symlink(&target, directory.join(name)).unwrap();
    }
    assert_eq!(run(&smoke_file(), place.path(), 1).records(), smoke().records());
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    assert!(!fs::read_to_string(directory.join("timings.jsonl")).unwrap().contains("mine"));
}

/// `report` on smoke's results after a change of one of their files.
fn report_after(file: &str, change: impl Fn(String) -> String) -> (TempDir, PathBuf, Ran) {
    let (place, directory) = finished();
    let path = directory.join(file);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    let ran = birthmark(&["report", text(&directory)]);
    (place, directory, ran)
}

#[test]
fn records_are_sealed_and_a_report_says_when_they_were_changed() {
    let (place, directory, whole) = report_after("records.jsonl", |records| records);
    let whole = whole.expect_code(0);
    assert_eq!((whole.stderr.as_str(), whole.stdout.contains("CHANGED")), ("", false));
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap();
    let sha256 = store::sha256_file(&directory.join("records.jsonl")).unwrap().0;
    assert_eq!(manifest["records_sha256"], sha256.hex());
    drop(place);

    let (place, directory, changed) = report_after("records.jsonl", |records| records.replacen("\"n\":", "\"n\":1", 1));
    let changed = changed.expect_code(0);
    assert!(changed.stderr.contains("note: records.jsonl is not what the run wrote"), "{}", changed.stderr);
    assert!(changed.stdout.starts_with("CHANGED: records.jsonl is not what the run wrote"), "{}", changed.stdout);
    assert!(fs::read_to_string(directory.join("table.txt")).unwrap().starts_with("CHANGED: "));
    let again = birthmark(&["report", text(&directory)]).expect_code(0);
    assert!(again.stdout.starts_with("CHANGED: "), "a report seals nothing that it found broken");
    // nor is it forgotten by a report elsewhere, which is made again from itself
    let elsewhere = place.path().join("elsewhere");
    birthmark(&["report", text(&directory), "--out", text(&elsewhere)]).expect_code(0);
    let again = birthmark(&["report", text(&elsewhere)]).expect_code(0);
    assert!(again.stdout.starts_with("CHANGED: ") && !elsewhere.join("manifest.json").exists(), "{}", again.stdout);
    let repaired = run(&smoke_file(), place.path(), 1);
    assert_eq!(repaired.records(), smoke().records());
    birthmark(&["report", text(&directory), "--out", text(&elsewhere)]).expect_code(0);
    let whole = birthmark(&["report", text(&elsewhere)]).expect_code(0);
    assert_eq!((whole.stdout.starts_with("CHANGED: "), whole.stderr.as_str()), (false, ""));
    let path = elsewhere.join("records.jsonl");
    fs::write(&path, fs::read_to_string(&path).unwrap().replacen("\"n\":", "\"n\":1", 1)).unwrap();
    assert!(birthmark(&["report", text(&elsewhere)]).expect_code(0).stdout.starts_with("CHANGED: "));
    assert_eq!(birthmark(&["report", text(&directory)]).expect_code(0).stderr, "");

    let (_place, _, unsealed) = report_after("manifest.json", |manifest| manifest.replacen("records_sha256", "x", 1));
    assert!(unsealed.expect_code(0).stderr.contains("note: records.jsonl is not sealed"));
}

#[test]
fn what_no_run_writes_is_refused_by_a_report() {
    let in_first = |key: &'static str, value: &'static str| {
        move |records: String| {
            let mut lines: Vec<serde_json::Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let first = lines.iter_mut().find(|line| line["decoys"].is_u64() && line["log10_p"].is_f64()).unwrap();
            first[key] = serde_json::from_str(value).unwrap();
            lines.iter().map(|line| format!("{line}\n")).collect::<String>()
        }
    };
    type Change = Box<dyn Fn(String) -> String>;
    let cases: [(&str, Change, &[&str]); 6] = [
        ("records.jsonl", Box::new(in_first("decoys_at_alpha", "999999")), &["no run writes", "`decoys_at_alpha` is 999999 of"]),
        ("records.jsonl", Box::new(in_first("log10_p", "2.5")), &["no run writes", "`log10_p` is 2.5"]),
        ("records.jsonl", Box::new(in_first("verdict", "\"perhaps\"")), &["unknown variant `perhaps`"]),
        ("records.jsonl", Box::new(|_| String::new()), &["records.jsonl: holds no record"]),
        ("records.jsonl", Box::new(|records| records + "\n"), &["not a JSON record"]),
        ("report.json", Box::new(|_| "{}".into()), &["report.json", "is not what this version writes"]),
    ];
    for (file, change, said) in cases {
        let (_place, directory, ran) = report_after(file, change);
        let figure = fs::read(directory.join("survival.svg")).unwrap();
        ran.refused_with(said);
        assert_eq!(fs::read(directory.join("survival.svg")).unwrap(), figure, "a refused report writes nothing");
    }
}

#[test]
fn control_characters_are_refused_at_validation_and_harmless_in_edited_results() {
    let set = |set: &str| birthmark(&["check", "--quick", "experiments/ci/smoke.toml", "--set", set]);
    let refused = set("question=\"a\\u001b[2Jb\"").refused_with(&["`question = ", "control character U+001B", "leave it out"]);
    assert!(!refused.contains('\u{1b}'), "{refused}");
    set("hypothesis=\"\\u0000\"").refused_with(&["`hypothesis = ", "U+0000"]);
    let in_title = |report: String| report.replacen("\"title\":\"", "\"title\":\"\\u001b]0;owned\\u0007\\u0001", 1);
    let in_mark = |records: String| records.replace("\"mark\":\"kgw\"", "\"mark\":\"k\\u001b[31mgw\"");
    let (_a, title, first) = report_after("report.json", in_title);
    let (_b, mark, second) = report_after("records.jsonl", in_mark);
    for (directory, ran) in [(title, first), (mark, second)] {
        let ran = ran.expect_code(0);
        let figures = ["survival.svg", "effect.svg", "survival-column.svg", "table.txt"];
        let all = figures.map(|file| fs::read_to_string(directory.join(file)).unwrap());
        for shown in all.iter().chain([&ran.stdout, &ran.stderr]) {
            let strange = shown.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
            assert_eq!(strange, None, "{shown}");
        }
    }
}

#[test]
fn what_files_say_reaches_no_terminal_as_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.jsonl");
    fs::write(&file, "{\"\\u001b[31mred\": \"\\u009b2J\"}\n").unwrap();
    let score =
        |args: &[&str]| birthmark(&[&["model", "score", "--model", text(tiny_model()), "--jsonl", text(&file)], args].concat());
    let refused = score(&[]).refused_with(&["no key `text`", "\\u{1b}[31mred"]);
    assert!(!refused.contains('\u{1b}'));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_named_and_not_waited_for() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    type Make = fn(&Path);
    let kinds: [(&str, Make); 4] = [
        ("is a named pipe, not a file", |path| pipe(path)),
        ("is a directory, not a file", |path| fs::create_dir(path).unwrap()),
        ("is a symbolic link to nothing", |path| symlink("nowhere", path).unwrap()),
        ("is a symbolic link that cannot be followed", |path| symlink(path.file_name().unwrap(), path).unwrap()),
    ];
    for (number, (said, make)) in kinds.into_iter().enumerate() {
        let place = |name: &str| {
            let path = dir.path().join(format!("{number}-{name}"));
            make(&path);
            path
        };
        let check = |set: String| {
            let mut command = command(&root());
            command.args(["check", "--quick"]).arg(smoke_file()).args(["--set", &set]);
            ends(&mut command)
        };
        let path = place("e.toml");
        ends(command(&root()).arg("check").arg(&path)).refused_with(&[text(&path), said]);
        let path = place("g.toml");
        check(format!("corpus.grammar=\"{}\"", text(&path))).refused_with(&["`corpus.grammar = ", text(&path), said]);
        for name in ["c.txt", "c.jsonl", "c.parquet"] {
            let path = place(name);
            let set = format!("corpus={{ file = {{ path = \"{}\", column = \"text\" }} }}", text(&path));
            check(set).refused_with(&["`corpus.file.path", text(&path), said]);
        }
        let path = place("secret");
        let refused = check(format!("owner={{ secret_file = \"{}\" }}", text(&path))).refused_with(&[text(&path), said]);
        assert!(!refused.contains("chmod"), "{refused}");
        for flag in ["--text", "--jsonl"] {
            let path = place(flag);
            ends(command(&root()).args(["model", "score", "--model"]).arg(tiny_model()).arg(flag).arg(&path))
                .refused_with(&[text(&path), said]);
        }
        for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
            let model = dir.path().join(format!("{number}-model-{name}"));
            copy(tiny_model(), &model);
            let path = model.join(name);
            let _ = fs::remove_file(&path);
            make(&path);
            let file = dir.path().join("words.txt");
            fs::write(&file, "some words").unwrap();
            let model = ["model", "score", "--model", text(&model), "--text", text(&file)];
            ends(command(&root()).args(model)).refused_with(&[text(&path)]);
        }
        let (_place, results) = finished();
        for name in ["records.jsonl", "report.json"] {
            let path = results.join(name);
            let kept = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            make(&path);
            ends(command(&root()).arg("report").arg(&results)).refused_with(&[name]);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            fs::write(&path, kept).unwrap();
        }
    }
}

#[test]
fn nobody_is_told_to_close_a_directory() {
    for path in ["/tmp", "/", "."] {
        let set = format!("owner={{ secret_file = \"{path}\" }}");
        let refused =
            birthmark(&["check", "experiments/ci/smoke.toml", "--set", &set]).refused_with(&["is a directory, not a file"]);
        assert!(!refused.contains("chmod"), "{refused}");
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused_before_anything_is_computed() {
    let dir = tempfile::tempdir().unwrap();
    let (model, words) = (dir.path().join("model"), dir.path().join("words.txt"));
    copy(tiny_model(), &model);
    fs::write(&words, "some words that are scored").unwrap();
    let loaded = lm::Model::load(&model).unwrap();
    let broken = &loaded.layout().parameters()[1];
    let mut weights = loaded.weights().to_vec();
    weights[broken.range.start] = f32::NAN;
    let tokenizer = lm::Tokenizer::load(&model).unwrap();
    loaded.with_weights(weights).save(&model, Some(&tokenizer), &lm::ModelCard::default()).unwrap();
    let said = format!("tensor `{}` is NaN at 0", broken.name);
    let score = ["model", "score", "--model", text(&model), "--text", text(&words)];
    birthmark(&score).refused_with(&["model.safetensors", &said]);
    let mut run = open_teacher(&model, tiny_model(), dir.path());
    ends(&mut run).refused_with(&["teacher.model", "model.safetensors", &said]);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_secret_is_not_converted_into_a_template() {
    let dir = tempfile::tempdir().unwrap();
    let (model, secret, out) = (dir.path().join("model"), dir.path().join("id_rsa"), dir.path().join("out"));
    copy(tiny_model(), &model);
    fs::write(&secret, "PRIVATE KEY").unwrap();
    let template = model.join("chat_template.jinja");
    let _ = fs::remove_file(&template);
    std::os::unix::fs::symlink(&secret, &template).unwrap();
    let convert = ["model", "convert", "--model", text(&model), "--out", text(&out)];
    birthmark(&convert).refused_with(&[text(&template), "is a symbolic link to", "no file of this model"]);
    assert!(!out.exists());
}

#[test]
fn who_waits_says_so_even_when_quiet() {
    let place = tempfile::tempdir().unwrap();
    let name = first_of(&smoke().artifacts, "tokenizer").unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let kind = place.path().join("artifacts/tokenizer");
    fs::create_dir_all(&kind).unwrap();
    let lock = fs::File::create(kind.join(format!(".{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let mut waiting = run_command(&smoke_file(), place.path(), 2);
    let mut child = waiting.arg("--quiet").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("another process is making it, waiting"), "{first}");
    lock.unlock().unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    assert_eq!(rest, [""; 0], "and nothing else");
}

#[test]
fn a_rehearsal_clears_up_after_one_that_was_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let left = || fs::read_dir(temporary.path()).unwrap().count();
    let check = || {
        let mut command = command(&root());
        command.arg("check").arg(smoke_file()).env("TMPDIR", temporary.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut child = check().spawn().unwrap();
    while left() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended without a rehearsal");
        std::thread::sleep(Duration::from_millis(1));
    }
    // once its lock is there
    std::thread::sleep(Duration::from_millis(200));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(left(), 1);
    assert!(check().status().unwrap().success());
    assert_eq!(left(), 0);
}
