//! Detectors: anybody's is held against texts known to be unmarked, and ours finds a mark in texts alone.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use harness::secret::OwnerSecret;
use lm::Tokenizer;
use marks::{MarkEntry, Owner, Planting};
use oracle::{Codec, Query, Row, Sampling, Step, TokenId};
use serde_json::{Value, json};

use crate::support::{Ran, birthmark, shared, text, tiny_model};

/// A detector's output: `texts` unmarked texts with evenly spread numbers u, of which `p_of` makes p-values, and two marked ones.
fn output(directory: &Path, texts: u32, p_of: impl Fn(f64) -> f64) -> String {
    let mut lines = "text,z,p,label\n".to_string();
    for i in 0..texts {
        let p = p_of((f64::from(i) + 0.5) / f64::from(texts));
        lines += &format!("{i},{},{p},human\n", 1.0 - p);
    }
    lines += "m,2.5,1e-9,marked\nm,0.2,0.8,marked\n";
    let path = directory.join("detector.csv");
    fs::write(&path, lines).unwrap();
    text(&path).to_string()
}

fn calibrate(csv: &str, more: &[&str]) -> Ran {
    birthmark(&[&["calibrate", "--csv", csv, "--score", "z", "--label", "label"], more].concat())
}

#[test]
fn a_right_detector_stands_and_a_wrong_one_is_refuted() {
    let dir = tempfile::tempdir().unwrap();
    let right = output(dir.path(), 1_000, |u| u);
    let words = calibrate(&right, &["--p", "p"]).expect_code(0).stdout;
    for part in ["1000 unmarked and 2 marked texts", "10\u{a0}of\u{a0}1000", "not refuted", "AUROC", "keeps 0.1\u{a0}%: none yet"]
    {
        assert!(words.contains(part), "no `{part}` in\n{words}");
    }
    let line = calibrate(&right, &["--p", "p", "--json"]).expect_code(0).json_lines().remove(0);
    let found = &line["calibration"];
    assert_eq!((&found["refuted"], &found["unmarked"], &found["checks"]), (&json!(false), &json!(1000), &json!(4)));
    assert_eq!(found["p_values"]["levels"][1]["observed"]["hits"], 10);

    // p-values of a two-sided test taken for one-sided ones
    let wrong = output(dir.path(), 1_000, |u| 0.5 * u);
    let out = dir.path().join("out");
    let ran = calibrate(&wrong, &["--p", "p", "--out", text(&out)]).expect_code(100);
    assert!(ran.stdout.contains("REFUTED") && ran.stderr.is_empty(), "{ran:?}");
    let written: Value = serde_json::from_slice(&fs::read(out.join("calibration.json")).unwrap()).unwrap();
    assert_eq!(written["calibration"]["refuted"], true);
    let svg = fs::read_to_string(out.join("calibration.svg")).unwrap();
    assert!(svg.contains("1000 unmarked texts") && fs::read(out.join("calibration.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn a_threshold_is_judged_by_what_is_claimed_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let csv = output(dir.path(), 1_000, |u| u);
    // 50 of 1,000 unmarked texts reach 0.95
    let claimed = |rate: &str| calibrate(&csv, &["--threshold", "0.95", "--nominal", rate, "--json"]);
    let held = claimed("0.05").expect_code(0).json_lines().remove(0);
    assert_eq!(held["calibration"]["threshold"]["false_positives"]["hits"], 50);
    claimed("0.01").expect_code(100);
    let unclaimed = calibrate(&csv, &["--threshold", "0.95"]).expect_code(0).stdout;
    assert!(unclaimed.contains("50 of 1000 unmarked texts reach it") && unclaimed.contains("nothing was claimed"), "{unclaimed}");
    // the same score, the other way round
    let content = fs::read_to_string(&csv).unwrap();
    let turned: Vec<String> = content
        .lines()
        .map(|line| {
            let mut cells: Vec<String> = line.split(',').map(str::to_string).collect();
            if let Ok(score) = cells[1].parse::<f64>() {
                cells[1] = (-score).to_string();
            }
            cells.join(",")
        })
        .collect();
    fs::write(&csv, turned.join("\n")).unwrap();
    let lower = ["--threshold", "-0.95", "--nominal", "0.05", "--lower-is-marked", "--json"];
    let lower = calibrate(&csv, &lower).expect_code(0).json_lines().remove(0);
    for key in ["false_positives", "threshold"] {
        let (ours, theirs) = (&lower["calibration"]["threshold"][key], &held["calibration"]["threshold"][key]);
        assert_eq!(ours.as_f64().map_or(ours.clone(), |at| json!(-at)), *theirs);
    }
    let ran = calibrate(&csv, &[]).expect_code(0);
    assert!(ran.stderr.contains("--lower-is-marked"), "{}", ran.stderr);
}

#[test]
fn what_is_no_output_of_a_detector_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let csv = output(dir.path(), 50, |u| u);
    calibrate(&csv, &["--p", "q"]).refused_with(&[&csv, "no column `q`", "text, z, p, label"]);
    let path = dir.path().join("other.csv");
    let other = text(&path);
    for (content, parts) in [
        ("", &["the file is empty"][..]),
        ("z,p,label\n1,0.5,human\nmany,0.5,human\n", &["line 3", "`z` is `many`"]),
        ("z,p,label\n1,1.5,human\n", &["line 2", "`p` is 1.5"]),
        ("z,p,label\n1,0.5,marked\n", &["calls every text marked"]),
        ("z,p,label\n1,0.5,perhaps\n", &["line 2", "`label` is `perhaps`", "--unmarked"]),
    ] {
        fs::write(&path, content).unwrap();
        calibrate(other, &["--p", "p"]).refused_with(&[&[other], parts].concat());
    }
    calibrate(text(&dir.path().join("none.csv")), &[]).refused_with(&["none.csv", "no such file"]);
    calibrate(text(dir.path()), &[]).refused_with(&["a directory"]);
}

const MARK: &str = "mine.kgw = { gamma = 0.25, delta = 4.0, context_width = 1 }";
const SYNTHID: &str = "synthid = { layers = 30, context_width = 2, mask_repeats = true, score = \"mean\" }";
const SECRET: &str = "the owner's secret of this test";

/// `count` answers of 40 tokens by a model that knows nothing but the mark: every fourth token is any, the others are raised ones.
fn marked(count: u64, seed: u64) -> Vec<(Vec<TokenId>, Vec<TokenId>)> {
    let codec: Arc<dyn Codec> = Arc::new(Tokenizer::load(tiny_model()).unwrap());
    let entry: MarkEntry = serde_json::from_value(json!({ "kgw": { "gamma": 0.25, "delta": 4.0, "context_width": 1 } })).unwrap();
    let key = OwnerSecret::public(SECRET, None).key_of_mark("mine", &entry.config().unwrap().info(), seed);
    let planting = entry.build(&Owner::new(&key, &codec)).unwrap().planting().remove(0);
    let Planting::Law(law) = planting else { panic!("no law") };
    let answer = |index: u64| {
        let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let ordinary: Vec<TokenId> = (0..300).filter(|id| !codec.special_ids().contains(id)).collect();
        let mut tokens: Vec<TokenId> = (0..5).map(|_| ordinary[draw(ordinary.len())]).collect();
        let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(index, tokens.clone(), 40) };
        for place in 0..40 {
            let mut logits = vec![0.0; 300];
            law.process(&Step { query: &query, tokens: &tokens }, Row::alone(&mut logits));
            let liked = |id: &&TokenId| place % 4 == 0 || logits[**id as usize] > 0.0;
            let choice: Vec<TokenId> = ordinary.iter().filter(liked).copied().collect();
            tokens.push(choice[draw(choice.len())]);
        }
        (query.prompt.clone(), tokens.split_off(5))
    };
    (0..count).map(answer).collect()
}

fn detect(file: &[&str], more: &[&str]) -> Ran {
    let tokenizer = text(tiny_model());
    birthmark(&[&["detect", "--mark", MARK, "--tokenizer", tokenizer, "--decoys", "199"], file, more].concat())
}

#[test]
fn a_mark_is_found_in_texts_alone_and_under_its_own_key_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("texts.jsonl");
    let rows = marked(12, 3);
    let lines: Vec<String> =
        rows.iter().map(|(prompt, ids)| json!({ "prompt_ids": prompt, "ids": ids, "account": 2 }).to_string()).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    let file = ["--jsonl", text(&path)];
    let own = ["--secret", SECRET, "--seed", "3"];
    let words = detect(&file, &own).expect_code(100).stdout;
    for part in
        ["mark `mine` in 12 texts, as token ids", "mark proven at 0.001", "60 prompt tokens, none judged", "texts needed:"]
    {
        assert!(words.contains(part), "no `{part}` in\n{words}");
    }
    let lines = detect(&file, &[&own[..], &["--json"]].concat()).expect_code(100).json_lines();
    assert_eq!(lines.len(), 14, "12 texts, all together, and what was asked");
    let (pooled, asked) = (&lines[12], &lines[13]);
    assert_eq!((&pooled["text"], &pooled["judged"]["texts"], &asked["proven"]), (&Value::Null, &json!(12), &json!(true)));
    let judged = &pooled["judged"];
    let sum: u64 = ["units", "ended", "without_context", "special", "in_prompt", "repeated"]
        .map(|name| judged[name].as_u64().unwrap())
        .iter()
        .sum();
    assert_eq!((sum, judged["tokens"].as_u64().unwrap()), (480, 480), "{judged}");
    assert!(pooled["evidence"]["log10_p"].as_f64().unwrap() < -20.0 && pooled["texts_needed"].as_u64().unwrap() <= 3, "{pooled}");
    assert!(!asked.to_string().contains(SECRET));

    // another repetition's key, another owner's, another name; error rate 1e-3 for each
    for other in [&["--secret", SECRET, "--seed", "4"][..], &["--secret", "somebody else's", "--seed", "3"]] {
        let words = detect(&file, other).expect_code(0).stdout;
        assert!(words.contains("mark not proven"), "{words}");
    }
    // all of it again as one text, with its prompt in front, which is cut off
    let whole = |(prompt, ids): &(Vec<TokenId>, Vec<TokenId>)| {
        let both = [&prompt[..], ids].concat();
        json!({ "prompt_ids": prompt, "ids": both }).to_string()
    };
    let whole: Vec<String> = rows.iter().map(whole).collect();
    fs::write(&path, whole.join("\n")).unwrap();
    let again = detect(&file, &[&own[..], &["--json"]].concat()).expect_code(100);
    assert!(again.stderr.contains("12 texts began with their own prompt"), "{}", again.stderr);
    assert_eq!(again.json_lines()[12]["evidence"], pooled["evidence"]);
}

#[test]
fn what_is_no_mark_and_no_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("texts.jsonl");
    fs::write(&path, "{\"ids\": [5, 6, 7]}\n").unwrap();
    let file = ["--jsonl", text(&path)];
    let secret = ["--secret", "s"];
    detect(&file, &secret).expect_code(0);
    let asked = |mark: &str| {
        let args = ["detect", "--mark", mark, "--tokenizer", text(tiny_model()), "--secret", "s"];
        birthmark(&[&args[..], &file].concat())
    };
    asked("green = { gamma = 0.5 }").refused_with(&["--mark", "no mark is called `green`"]);
    asked("kgw = { gamma = 2.0, delta = 1.0, context_width = 1 }").refused_with(&["--mark", "`kgw.gamma` is 2"]);
    asked("output_agreement = { prompts = 20 }").refused_with(&["`output_agreement` is not looked for in texts alone", "audit"]);
    detect(&file, &[]).refused_with(&["derives from the owner's secret", "--secret-file"]);
    detect(&file, &[]).refused_with(&["derives from the owner's secret", "--secret-file"]);
    asked("per_account = { accounts = 2, of = { unigram = { gamma = 0.5, delta = 2.0 } } }")
        .refused_with(&["1 texts name no account"]);
    for (line, parts) in [
        ("{\"ids\": [5, 300]}", &["line 1", "token id 300, the tokenizer has 300"][..]),
        ("{\"story\": \"a\"}", &["line 1", "no column that holds a text", "`ids`"]),
        ("[1]", &["line 1", "not an object"]),
        ("", &["the file is empty"]),
    ] {
        fs::write(&path, line).unwrap();
        detect(&file, &secret).refused_with(parts);
    }
    let none = dir.path().join("none.txt");
    detect(&["--text", text(&none)], &secret).refused_with(&["none.txt", "no such file"]);
}

/// Texts of servers under the servers' own configurations, with the number that the authors' own detector gives them, and under other keys.
#[test]
fn a_servers_configuration_is_all_that_its_texts_need() {
    let Some(shared) = shared("a_servers_configuration_is_all_that_its_texts_need") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let tokenizer = shared.join("models/stories260k");
    let found = |flag: &str, config: &Value, texts: &str, code: i32| {
        fs::write(&path, config.to_string()).unwrap();
        let file = shared.join(format!("watermarked/{texts}.jsonl"));
        let args = ["detect", flag, text(&path), "--decoys", "199", "--json", "--tokenizer", text(&tokenizer)];
        birthmark(&[&args[..], &["--jsonl", text(&file)]].concat()).expect_code(code).json_lines()
    };
    for (flag, name, theirs, statistic) in [
        ("--vllm-config", "vllm-gumbel", 0, "score"),
        ("--vllm-config", "vllm-dual-key", 0, "score"),
        ("--vllm-config", "vllm-red-green", 0, "hits"),
        ("--vllm-config", "vllm-synthid", 0, "bits"),
        ("--hf-config", "hf-kgw-lefthash", 1, "hits"),
        ("--hf-config", "hf-kgw-selfhash", 1, "hits"),
        ("--hf-config", "hf-synthid-n5", 0, "mean"),
    ] {
        let header = fs::read_to_string(shared.join(format!("watermarked/{name}.json"))).unwrap();
        let header: Value = serde_json::from_str(&header).unwrap();
        let lines = found(flag, &header["config"], name, 100);
        for (line, said) in lines.iter().zip(header["expected"].as_array().unwrap()) {
            let (authors, said) = (&line["authors"][theirs], said.get("distinct").unwrap_or(said));
            assert_eq!(authors["units"], said["n"], "{name}: {line} for {said}");
            let (ours, said) = (authors["statistic"].as_f64().unwrap(), said[statistic].as_f64().unwrap());
            assert!((ours - said).abs() < 1e-11 * said, "{name}: {line} for {said}");
        }
        let pooled = &lines[30];
        assert!(pooled["evidence"]["log10_p"].as_f64().unwrap() < -8.0, "{name}: {pooled}");
        let (authors, said) = (&pooled["authors"][theirs], &header["pooled"]);
        assert_eq!(authors["units"], said["n"], "{name}: {authors} for {said}");
        let (ours, said) = (authors["statistic"].as_f64().unwrap(), said[statistic].as_f64().unwrap());
        assert!((ours / said - 1.0).abs() < 1e-11, "{name}: {authors} for {said}");
        // as a file that holds it, and with a key that is not the server's; error rate 1e-3 for each
        let (wrapped, key) = match flag {
            "--vllm-config" => ("watermark_config", "key"),
            _ => ("watermarking_config", if name.starts_with("hf-kgw") { "hashing_key" } else { "keys" }),
        };
        let mut other = json!({ wrapped: header["config"] });
        other[wrapped][key] =
            if key == "keys" { json!((1..=30).map(|layer| layer * 1_000 + 7).collect::<Vec<_>>()) } else { json!(987_654_321) };
        found(flag, &other, name, 0);
    }
}

/// Text by a real model that no mark of ours is in: 30 answers each.
#[test]
fn unmarked_text_of_a_real_model_proves_nothing() {
    let Some(shared) = shared("unmarked_text_of_a_real_model_proves_nothing") else { return };
    let tokenizer = shared.join("models/stories260k");
    for name in ["vllm-unmarked", "hf-unmarked"] {
        let file = shared.join(format!("watermarked/{name}.jsonl"));
        for mark in [MARK, "gumbel = { context_width = 2, mask_repeats = true }", SYNTHID] {
            let args = ["detect", "--mark", mark, "--secret", "s", "--decoys", "99", "--json", "--tokenizer", text(&tokenizer)];
            let lines = birthmark(&[&args[..], &["--jsonl", text(&file)]].concat()).expect_code(0).json_lines();
            assert_eq!((lines.len(), &lines[31]["as_ids"]), (32, &json!(30)), "{name}");
            assert!(lines[30]["evidence"]["n"].as_u64().unwrap() > 200, "{name}: {}", lines[30]);
        }
    }
}

/// Our own marks, held to the same. Draws that a stopped run left are found, and the kinds that are asked for are the only ones.
#[test]
fn our_own_marks_are_held_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("calibration");
    let marks = |more: &[&str]| birthmark(&[&["calibrate", "--marks", "--draws", "40", "--json"], more].concat());
    let run = |more: &[&str]| marks(&[&["--kind", "unigram", "--kind", "drw", "--out", text(&out)], more].concat());
    let lines = run(&[]).expect_code(0).json_lines();
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["mark"].as_str()).collect();
    assert!(kinds.contains(&"unigram") && kinds.contains(&"drw") && kinds.iter().all(|kind| ["unigram", "drw"].contains(kind)));
    assert!(lines.iter().filter(|line| line["mark"].is_string()).all(|line| line["draws"] == 40));
    let written = ["marks.csv", "calibration.svg", "calibration.png", "calibration.pdf"];
    assert!(written.iter().all(|name| out.join(name).is_file()) && !out.join("parts").exists());
    assert_eq!(run(&["--threads", "1"]).expect_code(0).json_lines(), lines);
    marks(&["--kind", "kwg"]).refused_with(&["--kind kwg", "no such mark", "kgw", "unigram"]);
}
