//! `[transcript]`: what another server answered, imported in place of asking the teacher here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use distill::{TranscriptHeader, read_parquet, write_parquet};
use lm::Tokenizer;
use oracle::{Codec, Exchange, Stop};
use results::{Arm, Kind, Record, Verdict};
use serde_json::{Value, json};

use crate::support::{Finished, Ran, birthmark, copy, manifests, root, run, run_command, smoke, smoke_file, text};

/// The smoke experiment with answers as text alone, and `transcript` in it.
fn file(place: &Path, transcript: &str) -> PathBuf {
    let mut experiment = fs::read_to_string(smoke_file()).unwrap();
    let (laws, student) = (experiment.find("[[distill]]\nsurface = { top").unwrap(), experiment.find("[student]").unwrap());
    experiment.replace_range(laws..student, "");
    let spec = format!("\"{}\"", text(&root().join("datasets/quickstart.toml")));
    experiment = experiment.replace("\"datasets/quickstart.toml\"", &spec);
    experiment = experiment.replace("[queries]", &format!("{transcript}\n[queries]"));
    let file = place.join("imported.toml");
    fs::write(&file, experiment).unwrap();
    file
}

/// Two runs that asked the teacher itself, and the exchanges of the marked and of the clean teacher.
struct Direct {
    finished: Finished,
    marked: Vec<Exchange>,
    clean: Vec<Exchange>,
    tokenizer: Tokenizer,
}

fn direct() -> &'static Direct {
    static DIRECT: OnceLock<Direct> = OnceLock::new();
    DIRECT.get_or_init(|| {
        let place = tempfile::tempdir().unwrap().keep();
        copy(&smoke().artifacts, &place.join("artifacts"));
        for made in ["student", "measurement", "metrics"] {
            fs::remove_dir_all(place.join("artifacts").join(made)).unwrap();
        }
        let finished = run(&file(&place, ""), &place, 2);
        let of = |arm: &str| exchanges(&finished.artifacts, &card(&finished.artifacts, arm)["teacher"]);
        let tokenizer = fs::read_dir(finished.artifacts.join("tokenizer")).unwrap().map(|entry| entry.unwrap().path());
        let tokenizer = tokenizer.into_iter().find(|path| path.join("tokenizer.json").is_file()).unwrap();
        let (marked, clean) = (of("student"), of("control"));
        assert_eq!((marked.len(), clean.len()), (60, 60));
        Direct { marked, clean, tokenizer: Tokenizer::load(&tokenizer).unwrap(), finished }
    })
}

/// What the card of some student of `arm` says, by heading.
fn card(artifacts: &Path, arm: &str) -> BTreeMap<String, String> {
    let found = cards(artifacts).into_iter().find(|(card, _)| card["arm"] == arm);
    found.unwrap_or_else(|| panic!("no {arm}")).0
}

/// Every student's card with its artifact.
fn cards(artifacts: &Path) -> Vec<(BTreeMap<String, String>, PathBuf)> {
    let students = manifests(artifacts).into_keys().filter(|name| name.starts_with("student/"));
    let read = |name: String| {
        let readme = fs::read_to_string(artifacts.join(&name).join("README.md")).unwrap();
        let rows = readme.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
        (rows.map(|(key, value)| (key.to_string(), value.to_string())).collect(), artifacts.join(name))
    };
    students.map(read).collect()
}

/// Weights of all students, by arm and budget.
fn weights(artifacts: &Path) -> BTreeMap<(String, String), Vec<u8>> {
    let of = |(card, place): (BTreeMap<String, String>, PathBuf)| {
        ((card["arm"].clone(), card["queries"].clone()), fs::read(place.join("model.safetensors")).unwrap())
    };
    cards(artifacts).into_iter().map(of).collect()
}

/// What the teacher whose artifact has this hash answered.
fn exchanges(artifacts: &Path, teacher: &str) -> Vec<Exchange> {
    let is = |manifest: &str| serde_json::from_str::<Value>(manifest).unwrap()["inputs"]["stream"]["teacher"] == teacher;
    let shards = manifests(artifacts).into_iter().filter(|(name, manifest)| name.starts_with("transcript/") && is(manifest));
    let read = |(name, _): (String, String)| read_parquet(&artifacts.join(name).join("transcript.parquet")).unwrap();
    let mut all: Vec<Exchange> = shards.flat_map(read).collect();
    all.sort_by_key(|exchange| exchange.query.index);
    all
}

/// An exchange as ids.
fn ids(exchange: &Exchange) -> Value {
    json!({ "prompt_ids": exchange.query.prompt, "answer_ids": exchange.answer, "account": 0, "key": "kgw" })
}

/// An exchange as text.
fn words(exchange: &Exchange, tokenizer: &Tokenizer) -> Value {
    let prompt = tokenizer.decode(&exchange.query.prompt);
    let whole = whole(exchange, tokenizer);
    let stop = if exchange.stop == Stop::EndToken { "end_token" } else { "length" };
    json!({ "prompt": prompt, "answer": whole.strip_prefix(&prompt).unwrap(), "stop": stop })
}

fn whole(exchange: &Exchange, tokenizer: &Tokenizer) -> String {
    tokenizer.decode(&[&exchange.query.prompt[..], &exchange.answer].concat())
}

fn lines(path: &Path, rows: impl Iterator<Item = Value>) {
    fs::write(path, rows.map(|row| format!("{row}\n")).collect::<String>()).unwrap();
}

/// Everything that the teachers of the direct run are made from, so that only students and measurements are new.
fn place_with_teachers() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    copy(&direct().finished.artifacts, &place.path().join("artifacts"));
    for made in ["student", "measurement", "metrics", "transcript"] {
        fs::remove_dir_all(place.path().join("artifacts").join(made)).unwrap();
    }
    place
}

/// The records of what was distilled, without what names the experiment and what the teacher's own record decides.
fn of_students(finished: &Finished) -> Vec<Record> {
    let records = results::read_records(&finished.directory.join("records.jsonl")).unwrap();
    let bare = |record: Record| Record {
        experiment_hash: String::new(),
        run_id: String::new(),
        student_id: None,
        teacher_id: None,
        transcript_id: None,
        verdict: None,
        reason: None,
        detectable_effect: None,
        ..record
    };
    records.into_iter().filter(|record| record.arm.is_distilled()).map(bare).collect()
}

#[test]
fn imported_ids_give_the_students_and_records_of_asking() {
    let direct = direct();
    let place = place_with_teachers();
    let (marked, clean) = (place.path().join("marked.jsonl"), place.path().join("clean.parquet"));
    lines(&marked, direct.marked.iter().map(ids));
    let header =
        TranscriptHeader { vocab_size: direct.tokenizer.vocab_size(), tokenizer: "its own", teacher: "the server", codec: None };
    write_parquet(&clean, &direct.clean, &header).unwrap();
    let said = format!("[transcript]\nimport = \"{}\"\ncontrol = \"{}\"\n", text(&marked), text(&clean));
    let experiment = file(place.path(), &said);
    let imported = run(&experiment, place.path(), 2);

    let (now, before) = (weights(&imported.artifacts), weights(&direct.finished.artifacts));
    assert_eq!(now.len(), 5, "student and control at two budgets, and a rival");
    for (student, weights) in &before {
        assert!(now[student] == *weights, "{student:?} has other weights");
    }
    assert_eq!(of_students(&imported), of_students(&direct.finished));
    assert!(card(&imported.artifacts, "student")["teacher"].starts_with("a server outside"));

    // the teacher's watermark is looked for in what the server answered
    let records = results::read_records(&imported.directory.join("records.jsonl")).unwrap();
    let teacher = |mark: &str| records.iter().find(|r| r.arm == Arm::Teacher && r.mark.as_deref() == Some(mark)).unwrap();
    let kgw = teacher("kgw");
    let tokens: usize = direct.marked[..20].iter().map(|exchange| exchange.answer.len()).sum();
    assert_eq!((kgw.audit_queries, kgw.audit_tokens), (Some(20), Some(tokens as u64)));
    assert!(kgw.detail.as_ref().unwrap().ends_with("in the imported answers"), "{kgw:?}");
    assert!(!teacher("output_agreement").detail.as_ref().unwrap().contains("imported"));

    // a second run finds everything
    let before = manifests(&imported.artifacts);
    run(&experiment, place.path(), 2);
    assert_eq!(manifests(&imported.artifacts), before, "no artifact was made");
    let checked = &birthmark(&["check", text(&experiment), "--json"]).expect_code(0).json_lines()[0];
    let holds = &checked["imported"]["transcript.import"];
    assert_eq!((&holds["counts"]["queries"], &holds["accounts"]), (&json!(60), &json!(1)));
    assert_eq!(holds["keys"], json!({ "kgw": 60 }));
    assert_eq!(checked["estimate"]["queries"], 60, "only the stranger is asked");
    let quick = &birthmark(&["check", text(&experiment), "--quick", "--json"]).expect_code(0).json_lines()[0];
    assert!(quick["imported"].is_null(), "{quick}");
}

#[test]
fn imported_text_is_the_same_text_and_without_a_control_nothing_is_proven() {
    let direct = direct();
    let place = place_with_teachers();
    let marked = place.path().join("marked.jsonl");
    lines(&marked, direct.marked.iter().map(|exchange| words(exchange, &direct.tokenizer)));
    // text may take another number of tokens than what the teacher drew
    let experiment = file(place.path(), &format!("[transcript]\nimport = \"{}\"\n", text(&marked)));
    let ran = run_command(&experiment, place.path(), 2).args(["--set", "queries.max_new_tokens=40"]).output().unwrap();
    let ran = Ran::of(ran).expect_code(0);
    let directory = crate::support::results_directory(&place.path().join("results"));

    // what is compared: the text of every row, and how it stopped; tokens are the same wherever the teacher drew the usual ones
    let imported = manifests(&place.path().join("artifacts")).into_keys().find(|name| name.starts_with("imported/")).unwrap();
    let shard = |n: usize| read_parquet(&place.path().join("artifacts").join(&imported).join(format!("{n:06}.parquet"))).unwrap();
    let rows: Vec<Exchange> = (0..3).flat_map(shard).collect();
    assert_eq!(rows.len(), 60);
    let mut same = 0;
    for (row, asked) in rows.iter().zip(&direct.marked) {
        assert_eq!(whole(row, &direct.tokenizer), whole(asked, &direct.tokenizer));
        assert_eq!((row.stop, row.query.index), (asked.stop, asked.query.index));
        same += usize::from(row.answer == asked.answer);
    }
    assert!(same >= 10, "{same} of 60 answers have the teacher's own tokens");

    let records = results::read_records(&directory.join("records.jsonl")).unwrap();
    assert!(records.iter().all(|record| record.arm != Arm::Control));
    let students: Vec<&Record> = records.iter().filter(|r| r.arm == Arm::Student && r.kind == Kind::Mark).collect();
    assert!(!students.is_empty() && students.iter().any(|record| record.log10_p.is_some()));
    for record in students {
        assert_eq!(record.verdict, Some(Verdict::NotMeasurable), "{record:?}");
        assert!(record.log10_p.is_none() || record.reason.as_ref().unwrap().starts_with("no control"), "{record:?}");
    }
    assert_eq!(ran.stdout.matches("No control: ").count(), 1, "{}", ran.stdout);
    birthmark(&["report", text(&directory)]).expect_code(0);
}

/// Refused before any model is trained, with one line that holds `parts`.
#[track_caller]
fn refused(rows: &str, control: Option<&str>, parts: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let (import, other) = (place.path().join("rows.jsonl"), place.path().join("control.jsonl"));
    fs::write(&import, rows).unwrap();
    let mut said = format!("[transcript]\nimport = \"{}\"\n", text(&import));
    if let Some(control) = control {
        fs::write(&other, control).unwrap();
        said.push_str(&format!("control = \"{}\"\n", text(&other)));
    }
    let experiment = file(place.path(), &said);
    copy(&smoke().artifacts.join("tokenizer"), &place.path().join("artifacts/tokenizer"));
    let ran = run_command(&experiment, place.path(), 1).args(["--quiet"]).output().unwrap();
    Ran::of(ran).refused_with(parts);
    assert!(!place.path().join("artifacts/pretrained").exists(), "nothing was trained before");
}

#[test]
fn a_file_that_is_no_transcript_is_refused_with_its_row() {
    let good = r#"{"prompt":"The old miller","answer":" sat down."}"#;
    let rows = |row: &str| format!("{good}\n{row}\n");
    for (row, parts) in [
        (r#"{"prompt":"The old miller"}"#, &["rows.jsonl, line 2", "no `answer`"][..]),
        (r#"{"prompt":"The old miller","answer":null}"#, &["rows.jsonl, line 2", "no `answer`"]),
        (r#"{"prompt":[1,2],"answer":[3]}"#, &["line 2", "token ids, and text in rows before", "the same way"]),
        (r#"{"prompt":"The"#, &["line 2", "one JSON object a line"]),
        (r#"{"question":"a","reply":"b"}"#, &["line 2", "there are question, reply", "`messages`"]),
        (r#"{"prompt":"a","answer":"b","account":9}"#, &["line 2", "account 9", "queries.accounts is 0", "raise"]),
        (r#"{"prompt":"a","answer":"b","account":-1}"#, &["line 2", "`account` is -1", "from 0"]),
    ] {
        refused(&rows(row), None, parts);
    }
    let long = format!(r#"{{"prompt":"a","answer":"{}"}}"#, "zq ".repeat(40));
    refused(&rows(&long), None, &["line 2", "24 in all", "queries.max_new_tokens"]);
    refused(&rows(good), None, &["transcript.import", "has 2 rows", "takes 60", "queries.budgets"]);
    let other = r#"{"prompt_ids":[70,71],"answer_ids":[72,999]}"#;
    refused(other, None, &["line 1", "token id 999", "has 384", "import ids of the teacher's tokenizer"]);
    let chat = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#;
    refused(chat, None, &["line 1", "template", "give `prompt` and `answer` as text"]);
    refused("", None, &["transcript.import", "is empty", "exchanges"]);
    refused("\n\n", None, &["rows.jsonl", "no rows"]);
    let all = format!("{good}\n").repeat(60);
    let changed = all.replacen("miller", "baker", 1);
    refused(&all, Some(&changed), &["control.jsonl, line 1", "another prompt than line 1 of", "same order"]);
}

#[test]
fn what_does_not_go_with_a_transcript_is_refused_in_the_file() {
    let place = tempfile::tempdir().unwrap();
    let rows = place.path().join("rows.jsonl");
    fs::write(&rows, "{\"prompt\": \"a\", \"answer\": \"b\"}\n").unwrap();
    let with = |set: &[&str]| {
        let experiment = file(place.path(), &format!("[transcript]\nimport = \"{}\"\n", text(&rows)));
        let sets = set.iter().flat_map(|set| ["--set", set]);
        birthmark(&["check", text(&experiment), "--quick"].into_iter().chain(sets).collect::<Vec<_>>())
    };
    with(&[]).expect_code(0);
    with(&["transcript.import=\"rows.txt\""]).refused_with(&["transcript.import", "unknown kind of file", ".parquet"]);
    with(&["transcript.import=\"gone.jsonl\""]).refused_with(&["transcript.import", "no file", "gone.jsonl"]);
    let same = format!("transcript.control=\"{}\"", text(&rows));
    with(&[&same]).refused_with(&["transcript.control", "the same file"]);
    with(&["distill=[{surface={top_logprobs={k=5,law=\"post_watermark\"}},loss={topk_kl={tail=\"bucket\"}}}]"]).refused_with(&[
        "distill[0]",
        "no log-probabilities",
        "surface = \"text\"",
    ]);
    with(&["defences=[{rounding={step=0.5}}]"]).refused_with(&["defences"]);
    let parquet = place.path().join("rows.parquet");
    fs::write(&parquet, "this is no Parquet").unwrap();
    let experiment = file(place.path(), &format!("[transcript]\nimport = \"{}\"\n", text(&parquet)));
    let ran = run_command(&experiment, place.path(), 1).args(["--quiet"]).output().unwrap();
    Ran::of(ran).refused_with(&["rows.parquet", "write it again as Parquet"]);
}

/// The two files of `experiments/ci/imported.toml` hold what the teachers of the smoke experiment answered, as text; `UPDATE_EXPECT=1`
/// writes them anew.
#[test]
fn the_committed_transcripts_are_whole() {
    let path = |name: &str| root().join("datasets").join(name);
    let names = ["imported-marked.jsonl", "imported-control.jsonl"];
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let direct = direct();
        for (name, exchanges) in names.into_iter().zip([&direct.marked, &direct.clean]) {
            lines(&path(name), exchanges.iter().map(|exchange| words(exchange, &direct.tokenizer)));
        }
    }
    for name in names {
        let rows = corpus::exchanges(&path(name)).unwrap().map(Result::unwrap).count();
        assert_eq!(rows, 60, "{name}");
        assert!(fs::metadata(path(name)).unwrap().len() < 50_000);
    }
}
