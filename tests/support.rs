//! Running the binary, and finding one's way around the repository.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use lm::{ArchitectureConfig, Model, ModelCard, ModelConfig, Tokenizer};
use oracle::Codec;

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is where it was built")
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// What a finished process printed.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Panics with everything that was printed unless the exit code is `code`, or if the binary itself panicked.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for bug in ["panicked", "internal error"] {
            assert!(!self.stderr.contains(bug), "{}", self.stderr);
        }
        self
    }

    /// A refusal: exit code 2, one error with every one of `parts` in its first line, nothing on stdout. Returns that line.
    #[track_caller]
    pub fn refused_with(self, parts: &[&str]) -> String {
        let ran = self.expect_code(2);
        let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error:")).collect();
        let [error] = errors[..] else { panic!("{} errors instead of one:\n{}", errors.len(), ran.stderr) };
        for part in parts {
            assert!(error.contains(part), "no `{part}` in the line\n{error}");
        }
        assert_eq!(ran.stdout, "", "a refusal prints no result");
        error.to_string()
    }

    /// Every line of stdout as JSON; panics unless there is at least one and all parse.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in\n{line}"));
        let lines: Vec<_> = self.stdout.lines().map(parse).collect();
        assert!(!lines.is_empty(), "no line at all");
        lines
    }
}

/// `birthmark ARGS`, in the directory `at`.
pub fn birthmark_at<S: AsRef<OsStr>>(at: &Path, args: &[S]) -> Ran {
    Ran::of(command(at).args(args).output().expect("the binary starts"))
}

/// `birthmark ARGS`, in the root of the repository.
pub fn birthmark<S: AsRef<OsStr>>(args: &[S]) -> Ran {
    birthmark_at(&root(), args)
}

/// Variables that lead to a model hub and through the network.
const HUB_VARIABLES: [&str; 14] = [
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// The binary, not yet started, in the directory `at`; it asks no hub unless a test sets `HF_HUB_OFFLINE` otherwise.
pub fn command(at: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_birthmark"));
    command.current_dir(at).env("HF_HUB_OFFLINE", "1");
    for variable in HUB_VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// `../shared` beside the repository, or `None` after saying that the test is skipped.
pub fn shared(test: &str) -> Option<PathBuf> {
    let shared = root().join("../shared");
    if shared.join("models").is_dir() {
        return Some(shared.canonicalize().expect("it was just seen"));
    }
    println!("skipped {test}: ../shared is absent");
    None
}

/// A path as an argument or part of one.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Places for what tests of this process share. They outlive it, because statics are never dropped; those that are an hour
/// old are removed by the next process.
fn shared_scratch() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let old = |path: &Path| {
            let modified = path.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            modified.elapsed().is_ok_and(|age| age > Duration::from_secs(3600))
        };
        for path in std::fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("shared-"));
            if ours && old(&path) {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
        let place = tempfile::Builder::new().prefix("shared-").tempdir_in(all).expect("target is writable");
        place.keep()
    })
}

/// A small model in Hugging Face form with a tokenizer of its own: untrained, and all that bad input needs.
pub fn tiny_model() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        let place = shared_scratch().join("model");
        let words = ["red", "old", "small", "kind"];
        let texts = (0..300).map(|i| format!("The {} cat saw {i} birds.\nIt was a {} day.", words[i % 4], words[i / 4 % 4]));
        let tokenizer = Tokenizer::train_bpe(texts, 300).expect("300 entries hold the bytes");
        let shape = serde_json::json!({ "llama": {
            "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
            "intermediate_size": 24, "max_position_embeddings": 96, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": true,
        } });
        let shape: ArchitectureConfig = serde_json::from_value(shape).expect("a shape");
        let config = ModelConfig::from_architecture(&shape, tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos());
        let model = Model::init(&config.expect("sizes that fit"), 1);
        model.save(&place, Some(&tokenizer), &ModelCard::default()).expect("target is writable");
        place
    })
}

/// Copies a directory with everything below it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A finished experiment on disk.
#[derive(Debug)]
pub struct Finished {
    /// Its `--artifacts`.
    pub artifacts: PathBuf,
    /// Its results directory.
    pub directory: PathBuf,
    /// What it printed.
    pub ran: Ran,
}

impl Finished {
    /// Bytes of its `records.jsonl`.
    pub fn records(&self) -> Vec<u8> {
        std::fs::read(self.directory.join("records.jsonl")).unwrap()
    }
}

/// `birthmark run FILE` with everything it writes below `place`.
pub fn run_command(file: &Path, place: &Path, threads: u32) -> Command {
    let mut command = command(&root());
    command.arg("run").arg(file).arg("--results").arg(place.join("results")).arg("--artifacts").arg(place.join("artifacts"));
    command.args(["--threads", &threads.to_string()]);
    command
}

/// Runs an experiment to its end below `place`; one results directory must come of it.
#[track_caller]
pub fn run(file: &Path, place: &Path, threads: u32) -> Finished {
    let ran = Ran::of(run_command(file, place, threads).output().unwrap()).expect_code(0);
    Finished { artifacts: place.join("artifacts"), directory: results_directory(&place.join("results")), ran }
}

/// The only results directory of the only experiment below `results`.
#[track_caller]
pub fn results_directory(results: &Path) -> PathBuf {
    let only = |folder: &Path| {
        let entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [one] = &entries[..] else { panic!("{}: {} entries", folder.display(), entries.len()) };
        one.clone()
    };
    only(&only(results))
}

/// The experiment that shows that every stage runs.
pub fn smoke_file() -> PathBuf {
    root().join("experiments/ci/smoke.toml")
}

/// A `--set` for smoke: a watermark that the teacher's weights learn for stories.
pub const DOMAIN_WATERMARK: &str = "marks.domain={ domain_watermark = { words = ['once ', 'one '], prompts = 400, \
     max_new_tokens = 12, of = { kgw = { gamma = 0.25, delta = 4.0, context_width = 0 } } } }";

/// A `--set` for smoke: how it gets there.
pub const LAW_DISTILLATION: &str = "planting.distillation={ steps = 150, answers_per_prompt = 4, max_new_tokens = 12, \
     law_rows = 8, plain_rows = 8, law_weight = 0.6, learning_rate = 5e-3, warmup_steps = 5, grad_clip = 1.0 }";

/// The smoke experiment, run once for all tests, on two threads. Nothing may be changed below its directories.
pub fn smoke() -> &'static Finished {
    static SMOKE: OnceLock<Finished> = OnceLock::new();
    SMOKE.get_or_init(|| run(&smoke_file(), &shared_scratch().join("smoke"), 2))
}

/// The experiment that plants a watermark and holds conditions on its verdicts.
pub fn gate_file() -> PathBuf {
    root().join("experiments/ci/gate.toml")
}

/// The gate experiment, run once for all tests, on two threads. Nothing may be changed below its directories.
pub fn gate() -> &'static Finished {
    static GATE: OnceLock<Finished> = OnceLock::new();
    GATE.get_or_init(|| run(&gate_file(), &shared_scratch().join("gate"), 2))
}

/// Kind and hash of every finished artifact below `artifacts`, with its manifest, which holds the SHA-256 of each of its files.
pub fn manifests(artifacts: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for kind in std::fs::read_dir(artifacts).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for artifact in std::fs::read_dir(&kind).unwrap().map(|entry| entry.unwrap().path()) {
            let hidden = artifact.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if let (false, Ok(manifest)) = (hidden, std::fs::read_to_string(artifact.join("manifest.json"))) {
                found.insert(text(artifact.strip_prefix(artifacts).unwrap()).to_string(), manifest);
            }
        }
    }
    found
}

/// Everything below the places of a run that only an unfinished one may leave: temporary files, half-made artifacts, scratch
/// directories, the journal. Lock files stay for good.
pub fn leftovers(place: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "records.partial.jsonl" || (name.starts_with('.') && !name.ends_with(".lock")) {
            found.push(path);
        } else if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}

/// Experiment files below a folder of the repository, sorted.
pub fn experiments(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no experiments in {folder}");
    files
}
