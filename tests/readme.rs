//! What the documents tell people to type works.
//!
//! Every `birthmark …` and `cargo run … -- …` in the code blocks of [`DOCUMENTS`] is run from the root of the repository by the binary
//! under test. Experiments are scaled down, what they would write goes to a scratch directory, `FILE` is an experiment with the
//! grid that the document shows, and `SUSPECT` and `OTHER` are models.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::hub_server::{HubServer, Repository};
use crate::support::{Ran, birthmark, command, root, shared, smoke_file, text, tiny_model};

/// Documents whose commands are run.
const DOCUMENTS: [&str; 2] = ["README.md", "experiments/README.md"];

/// Scales `experiments/quickstart.toml` down to seconds: every stage, mark, surface and arm stays.
const QUICKSTART: &[&str] = &[
    "tokenizer.bpe={ vocab_size = 384, documents = 300 }",
    "teacher.train.tokens=48_000",
    "stranger.train.tokens=16_000",
    "base.train.tokens=16_000",
    "planting.canaries_after_tokens=8_000",
    "marks.secret_sharer.secret_sharer.repeats=[1,4]",
    "marks.secret_sharer.secret_sharer.canaries_per_level=4",
    "marks.secret_sharer.secret_sharer.references=20",
    "planting.implant.max_steps=20",
    "marks.secret_keys.secret_keys.keys=4",
    "marks.output_agreement.output_agreement.prompts=40",
    "queries.max_new_tokens=16",
    "queries.budgets=[100,200]",
    "audit.prompts=20",
    "measure.held_out_documents=10",
    "measure.permutations=999",
    "measure.tasks={ per_kind = 4, max_new_tokens = 8 }",
];

/// The same for `experiments/tinystories.toml`.
const TINYSTORIES: &[&str] = &[
    "teacher.continued.tokens=40_000",
    "base.train.tokens=16_000",
    "planting.canaries_after_tokens=10_000",
    "marks.secret_sharer.secret_sharer.repeats=[1,4]",
    "marks.secret_sharer.secret_sharer.canaries_per_level=4",
    "marks.secret_sharer.secret_sharer.references=20",
    "planting.implant.max_steps=10",
    "marks.secret_keys.secret_keys.keys=4",
    "marks.output_agreement.output_agreement.prompts=40",
    "queries.max_new_tokens=16",
    "queries.budgets=[100,200]",
    "audit.prompts=20",
    "measure.held_out_documents=10",
    "measure.permutations=999",
];

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The first code block of a document that begins with `[grid]`.
fn grid(markdown: &str) -> Option<&str> {
    let block = &markdown[markdown.find("\n```toml\n[grid]\n")? + 1..];
    block.strip_prefix("```toml\n")?.split("\n```").next()
}

/// Lines of fenced code blocks that hold commands: blocks of a shell, and unnamed ones.
fn command_lines(markdown: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut shell = None;
    for line in markdown.lines() {
        match (line.trim_start().strip_prefix("```"), shell) {
            (Some(language), None) => shell = Some(matches!(language.trim(), "" | "sh" | "bash" | "shell" | "console")),
            (Some(_), Some(_)) => shell = None,
            (None, Some(true)) => lines.push(line.trim().trim_start_matches("$ ").to_string()),
            (None, _) => {}
        }
    }
    // a backslash at the end continues the line
    let mut joined: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines {
        let (part, continues) = line.strip_suffix('\\').map_or((line.as_str(), false), |part| (part, true));
        match joined.last_mut().filter(|_| open) {
            Some(last) => last.push_str(part),
            None => joined.push(part.to_string()),
        }
        open = continues;
    }
    joined
}

/// Words as a shell splits them; a comment, a pipe or a redirection ends the command.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | '&' | ';') => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Arguments of the binary, when the line runs it.
fn arguments(line: &str) -> Option<Vec<String>> {
    let words = words(line);
    let program = words.first()?;
    if Path::new(program).file_name()? == "birthmark" {
        return Some(words[1..].to_vec());
    }
    let runs = program == "cargo" && words.get(1).is_some_and(|word| word == "run");
    let dashes = words.iter().position(|word| word == "--")?;
    runs.then(|| words[dashes + 1..].to_vec())
}

/// What the commands wrote, which later commands name.
struct Scratch {
    place: tempfile::TempDir,
    /// Results directories by name of the experiment, in order.
    results: Vec<(String, PathBuf)>,
}

/// The same experiment in seconds.
fn scale_down(args: &mut Vec<String>) {
    let names = |file: &str| args.iter().any(|arg| arg.ends_with(file));
    let sets = match names("quickstart.toml") {
        true => QUICKSTART,
        false if names("tinystories.toml") => TINYSTORIES,
        false => &[],
    };
    args.extend(sets.iter().flat_map(|set| ["--set".to_string(), set.to_string()]));
}

impl Scratch {
    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// The smoke experiment with the grid of a document, which stands for `FILE`.
    fn grid_file(&self, markdown: &str) -> String {
        let smoke = fs::read_to_string(smoke_file()).unwrap();
        let spec = format!("\"{}\"", text(&root().join("datasets/quickstart.toml")));
        let smoke = smoke.replace("\"datasets/quickstart.toml\"", &spec);
        let file = self.at("grid.toml");
        let grid = grid(markdown).expect("`FILE` means an experiment with the `[grid]` of the same document");
        fs::write(&file, format!("{smoke}\n{grid}\n")).unwrap();
        text(&file).to_string()
    }

    /// Runs one experiment, smaller and elsewhere.
    fn run(&mut self, mut args: Vec<String>) {
        for flag in ["--results", "--artifacts"] {
            if let Some(at) = args.iter().position(|arg| arg == flag) {
                args.drain(at..(at + 2).min(args.len()));
            }
            args.extend([flag.to_string(), text(&self.at(&flag[2..])).to_string()]);
        }
        scale_down(&mut args);
        // of a grid one point is enough
        if args.iter().any(|arg| arg.ends_with("grid.toml")) && !args.iter().any(|arg| arg == "--limit") {
            args.extend(["--limit".to_string(), "1".to_string()]);
        }
        let ran = birthmark(&args).expect_code(0);
        if args.iter().any(|arg| arg == "--dry-run") {
            assert!(!ran.stdout.is_empty(), "{args:?} prints what would be run");
            return;
        }
        // the directory may have been there before, when a document runs something twice
        for experiment in fs::read_dir(self.at("results")).unwrap().map(|entry| entry.unwrap().path()) {
            for directory in fs::read_dir(&experiment).unwrap().map(|entry| entry.unwrap().path()) {
                if directory.join("audit.json").is_file() {
                    continue;
                }
                assert!(directory.join("survival.png").is_file() && directory.join("summary.csv").is_file(), "{args:?}");
                let name = text(Path::new(experiment.file_name().unwrap())).to_string();
                if !self.results.iter().any(|(_, known)| *known == directory) {
                    self.results.push((name, directory));
                }
            }
        }
        assert!(!ran.stdout.is_empty(), "{args:?} prints what it found");
    }

    /// Runs an audit elsewhere: `SUSPECT` is a student that was made here, `OTHER` a model that met nobody. What it proves is no question.
    fn audit(&self, args: Vec<String>) {
        let named = |arg: String| match arg.as_str() {
            "SUSPECT" => self.moved("artifacts/student/hash"),
            "OTHER" => text(tiny_model()).to_string(),
            _ => arg,
        };
        let mut args: Vec<String> = args.into_iter().map(named).collect();
        for flag in ["--results", "--artifacts"] {
            args.extend([flag.to_string(), text(&self.at(&flag[2..])).to_string()]);
        }
        let ran = birthmark(&args);
        assert!([0, 5, 100].contains(&ran.code) && !ran.stdout.is_empty(), "{args:?}: {ran:?}");
    }

    /// The results directory that a path in a document means: of the experiment it names, else the last one.
    fn results(&self, typed: &str) -> &Path {
        let named = self.results.iter().rev().find(|(name, _)| typed.contains(name.as_str()));
        &named.or(self.results.last()).unwrap_or_else(|| panic!("`{typed}` before any `birthmark run`")).1
    }

    /// A path below `artifacts/`, `results/` or `target/` made one of the scratch directory; hashes are examples there.
    fn moved(&self, arg: &str) -> String {
        if let Some(kind) = arg.strip_prefix("artifacts/").and_then(|rest| rest.split('/').next()) {
            let made = fs::read_dir(self.at("artifacts").join(kind)).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut made: Vec<PathBuf> = made.filter(|path| path.join("manifest.json").is_file()).collect();
            made.sort();
            return text(made.first().unwrap_or_else(|| panic!("`{arg}`: no run made such an artifact"))).to_string();
        }
        if let Some(name) = arg.strip_prefix("target/") {
            return text(&self.at(name)).to_string();
        }
        if !arg.starts_with("results/") {
            return arg.to_string();
        }
        let (directory, file) = (self.results(arg), Path::new(arg));
        // a file in it, by its name
        match file.file_name().filter(|_| file.extension().is_some()) {
            Some(name) => text(&directory.join(name)).to_string(),
            None => text(directory).to_string(),
        }
    }
}

/// Runs a command that names the model `org/name` beside a hub that has it.
fn with_hub(args: &[String]) -> Ran {
    let (server, home) = (HubServer::start(Repository::of("org/name", tiny_model())), tempfile::tempdir().unwrap());
    let mut command = command(&root());
    command.args(args).env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", server.endpoint()).env("HF_HOME", home.path());
    Ran::of(command.output().unwrap())
}

#[test]
fn every_command_of_the_documents_works() {
    let mut scratch = Scratch { place: tempfile::tempdir().unwrap(), results: Vec::new() };
    for name in DOCUMENTS {
        let markdown = document(name);
        let mut ran = 0;
        for line in command_lines(&markdown) {
            let Some(mut args) = arguments(&line) else { continue };
            let tinystories = args.iter().any(|arg| arg.ends_with("tinystories.toml"));
            if (tinystories || args.iter().any(|arg| arg.contains("../shared"))) && shared(&format!("`{line}`")).is_none() {
                continue;
            }
            for arg in args.iter_mut().filter(|arg| *arg == "FILE") {
                *arg = scratch.grid_file(&markdown);
            }
            let begun = Instant::now();
            match args.first().map(String::as_str) {
                Some("run") => scratch.run(args),
                Some("audit") => scratch.audit(args),
                Some("check") => {
                    scale_down(&mut args);
                    // hours of work are not rehearsed here
                    if args.iter().any(|arg| arg.starts_with("experiments/scale/")) {
                        args.push("--quick".to_string());
                    }
                    assert!(!birthmark(&args).expect_code(0).stdout.is_empty(), "{line}");
                }
                Some("bench") => {
                    args.extend(["--seconds".to_string(), "0".to_string()]);
                    assert!(!birthmark(&args).expect_code(0).stdout.is_empty(), "{line}");
                }
                _ => {
                    // a report that goes elsewhere reads the committed results, and leaves them alone
                    let elsewhere = args.iter().any(|arg| arg == "--out");
                    let moved = |arg: &String| {
                        if elsewhere && arg.starts_with("results/") { arg.clone() } else { scratch.moved(arg) }
                    };
                    let args: Vec<String> = args.iter().map(moved).collect();
                    let ran = if args.iter().any(|arg| arg.starts_with("org/name")) { with_hub(&args) } else { birthmark(&args) };
                    assert!(!ran.expect_code(0).stdout.is_empty(), "{line}");
                }
            }
            println!("{:6.1} s {line}", begun.elapsed().as_secs_f64());
            ran += 1;
        }
        assert!(ran >= 3, "{name} has {ran} commands to run");
        assert!(!scratch.results.is_empty(), "{name} runs no experiment");
    }
}

#[test]
fn the_readme_names_the_two_commands() {
    let lines = command_lines(&document(DOCUMENTS[0]));
    let at = |wanted: &str| lines.iter().position(|line| line.trim() == wanted).unwrap_or_else(|| panic!("no `{wanted}`"));
    assert!(at("cargo run --release -- run experiments/quickstart.toml") < at("cargo test --workspace"));
}

/// A newcomer reads it to the end.
#[test]
fn the_readme_stays_short() {
    let lines = document(DOCUMENTS[0]).lines().count();
    assert!(lines <= 150, "README.md has {lines} lines: what only some readers need goes to another document");
}

/// Every link and picture of these documents that leads into the repository.
#[test]
fn links_lead_somewhere() {
    for name in
        ["README.md", "crates/README.md", "datasets/README.md", "experiments/README.md", "results/README.md", "tests/README.md"]
    {
        let path = root().join(name);
        let markdown = document(name);
        for target in markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split(['#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            assert!(path.parent().unwrap().join(target).exists(), "{name} links to `{target}`, which is not there");
        }
    }
}

#[test]
fn a_grid_is_found_in_markdown() {
    assert_eq!(grid("a\n\n```toml\n[marks]\n```\n\n```toml\n[grid]\na = [1]\n```\nb\n"), Some("[grid]\na = [1]"));
    assert_eq!(grid("```sh\n[grid]\n```\n"), None);
}

#[test]
fn commands_are_found_in_markdown() {
    let markdown = "```sh\n# a comment\ncargo run --release -- run 'a b.toml' \\\n  --set x=\"1 2\"  # why\n```\n\n```toml\nbirthmark = 1\n```\n\
                    ```console\n$ birthmark list marks | head -1\nkgw\n```\n```\n./target/release/birthmark schema > s.json\n```\n";
    let found: Vec<Vec<String>> = command_lines(markdown).iter().filter_map(|line| arguments(line)).collect();
    assert_eq!(found, [vec!["run", "a b.toml", "--set", "x=1 2"], vec!["list", "marks"], vec!["schema"]]);
}
