//! Every command from the outside: what it prints, where, and with which exit code.

use std::fs;
use std::process::Stdio;

use crate::support::{Ran, birthmark, command, copy, experiments, root, shared, smoke, text, tiny_model};

#[test]
fn help_names_every_command() {
    let help = birthmark(&["--help"]).expect_code(0);
    for command in [
        "run",
        "init",
        "check",
        "audit",
        "detect",
        "calibrate",
        "report",
        "list",
        "model",
        "bench",
        "schema",
        "completions",
        "man",
    ] {
        assert!(help.stdout.contains(&format!("  {command} ")), "{command} is not in\n{}", help.stdout);
        assert!(birthmark(&[command, "--help"]).expect_code(0).stdout.contains("Usage: birthmark"));
    }
    assert!(help.stdout.contains("Exit codes: 0 done"));
    assert!(birthmark(&["--version"]).expect_code(0).stdout.starts_with("birthmark "));
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    for args in [&["destill"][..], &[], &["run"], &["list", "marsk"], &["model", "info"], &["run", "a.toml", "--threads", "0"]] {
        let ran = birthmark(args).expect_code(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{args:?}: {ran:?}");
    }
}

#[test]
fn a_negative_number_is_refused_with_the_range() {
    let generate = ["model", "generate", "--model", "m"];
    let cases: [(&[&str], &str); 14] = [
        (&["--temperature", "-1"], "write a number, 0 (the most probable token) or more"),
        (&["--temperature", "-0.5"], "write a number, 0 (the most probable token) or more"),
        (&["--temperature", "-inf"], "write a number, 0 (the most probable token) or more"),
        (&["--temperature", "hot"], "write a number, 0 (the most probable token) or more"),
        (&["--top-p", "-0.1"], "write a number above 0 and at most 1"),
        (&["--top-k", "-3"], "write a whole number, 0 or more"),
        (&["--seed", "-7"], "write a whole number, 0 or more"),
        (&["--samples", "-1"], "write a whole number, 1 or more"),
        (&["--max-new-tokens", "-1"], "write a whole number, 1 or more"),
        (&["--threads", "-2"], "-2 is not in 1..=1024"),
        (&["bench", "--seconds", "-1"], "write a number of seconds, 0 to 3600"),
        (&["run", "a.toml", "--limit", "-1"], "-1 is not in 1.."),
        (&["run", "a.toml", "--checkpoint-every", "-1"], "-1 is not in 0.."),
        (&["model", "verify", "--model", "m", "--expected", "e", "--loss-tolerance", "-1"], "a number above 0"),
    ];
    for (args, said) in cases {
        let whole: Vec<&str> = if args[0].starts_with("--") { [&generate[..], args].concat() } else { args.to_vec() };
        let ran = birthmark(&whole).expect_code(2);
        let (number, flag) = (args[args.len() - 1], args[args.len() - 2]);
        for part in [number, flag, said] {
            assert!(ran.stderr.contains(part), "no `{part}` in\n{}", ran.stderr);
        }
        assert!(ran.stdout.is_empty() && !ran.stderr.contains("unexpected argument"), "{}", ran.stderr);
    }
}

#[test]
fn a_model_that_is_no_directory_is_told_how_the_hub_names_models() {
    for command in ["info", "generate", "score"] {
        let text = ["--text", "README.md"];
        let more: &[&str] = if command == "score" { &text } else { &[] };
        let args = [&["model", command, "--model", "gpt2"][..], more].concat();
        birthmark(&args).refused_with(&["--model gpt2", "not found", "org/name, as in openai-community/gpt2"]);
    }
}

#[test]
fn a_list_of_experiments_elsewhere_says_where_they_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().canonicalize().unwrap();
    let none = format!("no experiment file below {}/experiments", text(&there));
    for args in [&["list", "experiments"][..], &["list"]] {
        let ran = crate::support::birthmark_at(&there, args).expect_code(0);
        assert!(ran.stdout.contains(&none) && ran.stdout.contains("birthmark init"), "{}", ran.stdout);
    }
    let ran = crate::support::birthmark_at(&there, &["list", "experiments", "--json"]).expect_code(0);
    assert!(ran.stdout.is_empty() && ran.stderr.contains(&none), "{ran:?}");
}

#[test]
fn lists_hold_what_is_registered() {
    let expected: [(&str, Vec<String>); 4] = [
        ("marks", marks::MarkEntry::KINDS.iter().map(ToString::to_string).collect()),
        ("losses", distill::LossConfig::examples().iter().map(|loss| loss.build().name().to_string()).collect()),
        ("surfaces", ["text", "greedy_text", "top_logprobs", "logits", "label"].map(String::from).into()),
        ("architectures", lm::ModelConfig::KNOWN.iter().map(|name| name.to_string()).collect()),
    ];
    for (what, names) in expected {
        let lines = birthmark(&["list", what]).expect_code(0).stdout;
        let listed: Vec<&str> =
            lines.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next()).collect();
        let json: Vec<String> = birthmark(&["list", what, "--json"])
            .expect_code(0)
            .json_lines()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(listed, json, "{what}: both forms list the same");
        for name in names {
            assert!(json.contains(&name), "{what}: no {name} in {json:?}");
        }
    }
    let files = birthmark(&["list", "experiments"]).expect_code(0).stdout;
    assert!(files.contains("experiments/quickstart.toml") && !files.contains("not valid"), "{files}");
    let all = birthmark(&["list"]).expect_code(0).stdout;
    for what in ["marks", "losses", "surfaces", "architectures", "experiments"] {
        assert!(all.lines().any(|line| line == what), "no heading {what} in\n{all}");
    }
}

#[test]
fn the_schema_names_every_key_and_every_mark() {
    let printed = birthmark(&["schema"]).expect_code(0).stdout;
    let schema: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert!(schema["properties"]["queries"].is_object() && schema["$schema"].is_string());
    for kind in marks::MarkEntry::KINDS {
        assert!(schema["$defs"]["MarkEntry"]["properties"][kind].is_object(), "{kind} is not in the schema");
    }
}

#[test]
fn the_bench_measures_what_it_is_asked_to() {
    let args =
        ["bench", "--seconds", "0", "--threads", "2", "--shape", "nano", "--what", "generate", "--what", "generate_marked"];
    let lines = birthmark(&[&args[..], &["--what", "ceiling", "--json"]].concat()).expect_code(0).json_lines();
    let whats: Vec<&str> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(whats[..3], ["ceiling", "generate", "generate"]);
    assert!(whats.len() >= 8 && whats[3..].iter().all(|what| *what == "generate_marked"), "{whats:?}");
    for (index, line) in lines.iter().enumerate() {
        for key in ["what", "shape", "batch", "tokens_per_s", "gflops", "ceiling_share", "threads"] {
            assert_eq!(line[key].is_null(), index == 0 && ["shape", "batch", "tokens_per_s"].contains(&key), "{key} in {line}");
        }
        assert!(line["gflops"].as_f64().unwrap() > 0.0 && line["threads"] == 2, "{line}");
    }
    // two operations per drawn token and each of the shape's 166,208 parameters
    let per_token = lines[1]["gflops"].as_f64().unwrap() * 1e9 / lines[1]["tokens_per_s"].as_f64().unwrap();
    assert!((per_token - 2.0 * 166_208.0).abs() < 1.0, "{per_token}");
    assert_eq!((&lines[1]["shape"], &lines[1]["batch"]), (&"nano".into(), &256.into()));
    assert!(lines[1]["top_k"].is_null() && lines[2]["top_k"] == 40, "{lines:?}");
    // what a mark costs, beside plain sampling from as many tokens
    for line in &lines[3..] {
        let plain = lines[1..3].iter().find(|plain| plain["top_k"] == line["top_k"]).unwrap();
        let [marked, plain] = [line, plain].map(|line| line["tokens_per_s"].as_f64().unwrap());
        assert!((line["cost"].as_f64().unwrap() - (1.0 - marked / plain)).abs() < 1e-9, "{line}");
        assert_eq!(line["top_k"] == 40, line["mark"].as_str().unwrap().contains("synthid"), "{line}");
    }

    let table = birthmark(&["bench", "--seconds", "0", "--what", "detect"]).expect_code(0).stdout;
    assert!(table.lines().filter(|line| line.starts_with("detect ")).count() >= 10, "{table}");
    birthmark(&["bench", "--kind", "secret_keys"]).refused_with(&["--kind secret_keys: not timed", "unigram"]);
    let one = birthmark(&["bench", "--seconds", "0", "--what", "detect", "--kind", "unigram", "--json"]).expect_code(0);
    assert_eq!(one.json_lines().iter().map(|line| line["mark"].as_str().unwrap()).collect::<Vec<_>>(), ["unigram"; 2]);
    birthmark(&["bench", "--kind", "giant"]).expect_code(2);
    birthmark(&["bench", "--shape", "giant"]).expect_code(2);
}

#[test]
fn every_experiment_is_valid_and_estimated() {
    for file in ["experiments", "experiments/ci", "experiments/scale"].into_iter().flat_map(experiments) {
        if fs::read_to_string(&file).unwrap().contains("../shared") && shared(&file.display().to_string()).is_none() {
            continue;
        }
        // experiments on models of the hub are checked with stand-ins by real_models.rs
        if fs::read_to_string(&file).unwrap().contains("@main\"") {
            continue;
        }
        let shown = birthmark(&["check", text(&file), "--quick"]).expect_code(0);
        for part in ["is valid", "queries", "training tokens", "disk", "time"] {
            assert!(shown.stdout.contains(part), "no `{part}` in\n{}", shown.stdout);
        }
        assert!(shown.stderr.is_empty(), "{}", shown.stderr);
        let json = birthmark(&["check", text(&file), "--quick", "--json", "--threads", "2"]).expect_code(0).json_lines();
        let [line] = &json[..] else { panic!("{} lines", json.len()) };
        for key in ["queries", "prompt_tokens", "answer_tokens", "distillation_tokens", "disk_bytes", "seconds"] {
            assert!(line["estimate"][key].as_f64().is_some_and(|n| n > 0.0), "{}: {key} in {line}", file.display());
        }
    }
}

#[test]
fn a_quick_check_loads_no_weights() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    copy(tiny_model(), &model);
    // no weights at all are in it: whoever loads it fails
    fs::write(model.join("model.safetensors"), "not weights").unwrap();
    let set = format!("teacher={{ model = \"{}\" }}", text(&model));
    let sets = ["tokenizer=of_teacher", &set];
    let file = dir.path().join("open.toml");
    let smoke = fs::read_to_string(root().join("experiments/ci/smoke.toml")).unwrap();
    let without = |text: String, from: &str, to: &str| {
        let (start, end) = (text.find(from).unwrap(), text.find(to).unwrap());
        format!("{}{}", &text[..start], &text[end..])
    };
    let grammar = format!("grammar = \"{}\"", text(&root().join("datasets/quickstart.toml")));
    let smoke = without(smoke, "[marks.secret_sharer", "[marks.output_agreement]");
    let smoke = without(smoke, "[planting]", "[queries]").replace("grammar = \"datasets/quickstart.toml\"", &grammar);
    fs::write(&file, smoke).unwrap();
    let mut args = vec!["check", text(&file), "--quick"];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    assert!(birthmark(&args).expect_code(0).stdout.contains("is valid"));
    assert!(!dir.path().join("artifacts").exists() && !dir.path().join("results").exists());
}

#[test]
fn a_model_is_described_scored_and_heard() {
    let model = text(tiny_model());
    let info = birthmark(&["model", "info", "--model", model]).expect_code(0).stdout;
    for part in ["llama", "parameters", "96 tokens", "FLOP"] {
        assert!(info.contains(part), "no `{part}` in\n{info}");
    }
    let json = birthmark(&["model", "info", "--model", model, "--json"]).expect_code(0).json_lines();
    let params = lm::Model::load(tiny_model()).unwrap().n_params();
    assert_eq!((json[0]["parameters"].as_u64(), json[0]["vocab_size"].as_u64()), (Some(params as u64), Some(300)));

    let dir = tempfile::tempdir().unwrap();
    let (plain, lines) = (dir.path().join("t.txt"), dir.path().join("t.jsonl"));
    fs::write(&plain, "The red cat saw 4 birds.\n\nIt was a kind day.\n").unwrap();
    fs::write(&lines, "{\"text\": \"The red cat saw 4 birds.\"}\n{\"text\": \"It was a kind day.\"}\n").unwrap();
    let score = |args: &[&str]| {
        let ran = birthmark(&[&["model", "score", "--json", "--model", model], args].concat()).expect_code(0);
        ran.json_lines().remove(0)
    };
    let (a, mut b) = (score(&["--text", text(&plain)]), score(&["--jsonl", text(&lines)]));
    assert_eq!(a, b, "the same texts in two formats");
    assert_eq!(a["texts"], 2);
    // an untrained model knows nothing: log(vocabulary) nats per token, up to the noise of its small initial weights
    assert!((a["nats_per_token"].as_f64().unwrap() - libm::log(300f64)).abs() < 0.05, "{a}");
    b = score(&["--jsonl", text(&lines), "--rows", "1"]);
    assert_eq!(b["texts"], 1);
    let words = birthmark(&["model", "score", "--model", model, "--text", text(&plain)]).expect_code(0).stdout;
    assert!(words.contains("nats/token") && words.contains("nats/byte"), "{words}");

    let generate = ["model", "generate", "--model", model, "--prompt", "The red cat", "--max-new-tokens", "8", "--seed", "3"];
    let once = birthmark(&generate).expect_code(0).stdout;
    assert!(once.starts_with("The red cat"), "{once}");
    assert_eq!(once, birthmark(&[&generate[..], &["--threads", "1"]].concat()).expect_code(0).stdout, "same seed, same text");
    let two = birthmark(&[&generate[..], &["--json", "--samples", "2"]].concat()).expect_code(0).json_lines();
    assert_eq!(two.len(), 2);
    assert_ne!(two[0]["text"], two[1]["text"], "samples differ");
}

#[test]
fn a_model_is_asked_as_its_chat_template_says() {
    let dir = tempfile::tempdir().unwrap();
    copy(tiny_model(), dir.path());
    let model = text(dir.path());
    let ask =
        |more: &[&str]| birthmark(&[&["model", "generate", "--chat", "--model", model, "--max-new-tokens", "6"], more].concat());
    ask(&["--prompt", "The cat"]).refused_with(&["--chat", model, "has no chat template", "tokenizer_config.json"]);

    let template = "{{ bos_token }}It was {{ messages[0].content }}{% if add_generation_prompt %} The{% endif %}";
    let file = dir.path().join("chat_template.jinja");
    fs::write(&file, template).unwrap();
    let answer = ask(&["--prompt", "a red day.", "--json"]).expect_code(0).json_lines().remove(0);
    let whole = ["model", "generate", "--model", model, "--max-new-tokens", "6", "--prompt", "It was a red day. The", "--json"];
    let continued = birthmark(&whole).expect_code(0).json_lines().remove(0);
    let said = |value: &serde_json::Value| value["text"].as_str().unwrap().to_string();
    assert_eq!(said(&continued), format!("It was a red day. The{}", said(&answer)), "the same tokens, the answer alone");

    fs::write(&file, "{{ raise_exception('only about birds') }}").unwrap();
    ask(&["--prompt", "x"]).refused_with(&["--chat", "refuses these messages: only about birds"]);
    fs::write(&file, "{% for %}").unwrap();
    ask(&["--prompt", "x"]).refused_with(&["--chat", "the chat template cannot be used"]);
    birthmark(&["model", "generate", "--model", model, "--prompt", "x", "--max-new-tokens", "2"]).expect_code(0);
}

#[test]
fn a_report_is_made_again_from_records() {
    let dir = tempfile::tempdir().unwrap();
    copy(&smoke().directory, dir.path());
    for name in ["summary.csv", "survival.svg", "survival.png", "table.txt"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let report = birthmark(&["report", text(dir.path())]).expect_code(0);
    assert!(report.stderr.is_empty(), "{}", report.stderr);
    for entry in fs::read_dir(&smoke().directory).unwrap() {
        let name = entry.unwrap().file_name();
        let (ours, theirs) = (fs::read(dir.path().join(&name)), fs::read(smoke().directory.join(&name)));
        assert!(ours.unwrap() == theirs.unwrap(), "{name:?} is the same as after the run");
    }
    let table = |stdout: &str| stdout.split("\nresults: ").next().unwrap().trim_end().to_string();
    assert_eq!(table(&report.stdout), table(&smoke().ran.stdout), "and so is the table");
    let lines = birthmark(&["report", text(dir.path()), "--json"]).expect_code(0).json_lines();
    assert_eq!(lines.len(), fs::read_to_string(dir.path().join("records.jsonl")).unwrap().lines().count());
}

#[test]
fn a_report_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    birthmark(&["report", text(dir.path())]).refused_with(&[text(dir.path()), "records.jsonl"]);
    birthmark(&["report", text(&dir.path().join("none"))]).refused_with(&["none", "records.jsonl"]);
    copy(&smoke().directory, dir.path());
    fs::write(dir.path().join("records.jsonl"), "{\"schema\": 999}\n").unwrap();
    birthmark(&["report", text(dir.path())]).refused_with(&["records.jsonl:1", "schema 999", "run the experiment again"]);
    fs::write(dir.path().join("records.jsonl"), "records\n").unwrap();
    birthmark(&["report", text(dir.path())]).refused_with(&["records.jsonl:1", "not a JSON record"]);
    fs::write(dir.path().join("report.json"), "{}").unwrap();
    birthmark(&["report", text(dir.path())]).refused_with(&["report.json", "is not what this version writes"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let results = text(&smoke().directory).to_string();
    for args in [&["schema"][..], &["list"], &["list", "--json"], &["--help"], &["report", &results, "--json"]] {
        let place = tempfile::tempdir().unwrap();
        let mut args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        if args[0] == "report" {
            copy(&smoke().directory, place.path());
            args[1] = text(place.path()).to_string();
        }
        // the read end is closed before the first byte is written
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(&root()).args(&args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let ran = Ran::of(output).expect_code(0);
        assert_eq!(ran.stderr, "", "{args:?}");
    }
}
