//! Models by name, as users of the binary meet them: a server on the loopback, a cache of the test's own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::adapters::tiny_adapter;
use crate::bad_model::open_teacher;
use crate::durability::signal;
use crate::hub_server::{HubServer, Repository, etag};
use crate::support::{Ran, command, copy, results_directory, root, text, tiny_model};

const NAME: &str = "an-org/tiny";

/// A server with the tiny model, and a home for what is fetched from it.
struct Hub {
    server: HubServer,
    home: TempDir,
}

impl Hub {
    fn new() -> Self {
        Self { server: HubServer::start(Repository::of(NAME, tiny_model())), home: tempfile::tempdir().unwrap() }
    }

    /// Leads a command there.
    fn lead<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", self.server.endpoint()).env("HF_HOME", self.home.path())
    }

    /// `birthmark ARGS` with the hub at hand.
    fn birthmark(&self, args: &[&str]) -> Ran {
        self.birthmark_with(args, &[])
    }

    fn birthmark_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = command(&root());
        let output = self.lead(&mut command).args(args).envs(variables.iter().copied()).output().unwrap();
        Ran::of(output)
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("hub")
    }

    fn commit(&self) -> String {
        self.server.repository.lock().unwrap().commit.clone()
    }

    /// Where the weights arrive.
    fn partial_weights(&self) -> PathBuf {
        let tag = etag("model.safetensors", &self.server.repository.lock().unwrap().files["model.safetensors"]);
        self.cache().join("models--an-org--tiny/blobs").join(format!("{tag}.incomplete"))
    }
}

fn generate(model: &str) -> [&str; 8] {
    ["model", "generate", "--model", model, "--prompt", "The red cat", "--max-new-tokens", "8"]
}

/// The arguments of `check` for what `open_teacher` would run.
fn check_args(teacher: &Path, place: &Path) -> Vec<String> {
    let command = open_teacher(teacher, tiny_model(), place);
    let args: Vec<String> = command.get_args().map(|arg| arg.to_str().unwrap().to_string()).collect();
    let flags = args.iter().position(|arg| arg == "--results").unwrap();
    [&["check".to_string(), args[1].clone(), "--quick".to_string()][..], &args[flags + 4..]].concat()
}

#[test]
fn a_model_is_fetched_by_name_and_then_found() {
    let hub = Hub::new();
    let info = hub.birthmark(&["model", "info", "--model", NAME, "--json"]).expect_code(0).json_lines().remove(0);
    assert_eq!((info["model"].as_str(), info["commit"].as_str()), (Some(NAME), Some(hub.commit().as_str())));
    assert_eq!(info["vocab_size"], 300);
    assert!(hub.server.requests().iter().all(|request| !request.contains("safetensors")), "a shape needs no weights");

    let fetched = hub.birthmark(&generate(NAME)).expect_code(0);
    for part in ["fetching an-org/tiny@main", "bytes in 6 files", &hub.commit()] {
        assert!(fetched.stderr.contains(part), "no `{part}` in\n{}", fetched.stderr);
    }
    let local = hub.birthmark(&generate(text(tiny_model()))).expect_code(0);
    assert_eq!((&fetched.stdout, local.stderr.as_str()), (&local.stdout, ""), "the same model says the same");

    hub.server.requests();
    let pinned = format!("{NAME}@{}", hub.commit());
    let found = hub.birthmark(&generate(&pinned)).expect_code(0);
    let offline = hub.birthmark_with(&generate(NAME), &[("HF_HUB_OFFLINE", "1")]).expect_code(0);
    assert_eq!((found.stdout, found.stderr), (offline.stdout, offline.stderr));
    assert_eq!(hub.server.requests(), [""; 0]);

    let story = hub.home.path().join("t.txt");
    fs::write(&story, "The red cat saw 4 birds.\n").unwrap();
    let score = |model: &str| {
        let ran = hub.birthmark(&["model", "score", "--model", model, "--text", text(&story), "--json"]).expect_code(0);
        ran.json_lines().remove(0)
    };
    let (named, local) = (score(NAME), score(text(tiny_model())));
    assert_eq!(named["nats_per_token"], local["nats_per_token"]);
    assert_eq!((named["commit"].as_str(), local["commit"].is_null()), (Some(hub.commit().as_str()), true));
}

#[test]
fn a_directory_of_that_name_wins() {
    let hub = Hub::new();
    let place = tempfile::tempdir().unwrap();
    copy(tiny_model(), &place.path().join(NAME));
    let mut command = command(place.path());
    Ran::of(hub.lead(&mut command).args(generate(NAME)).output().unwrap()).expect_code(0);
    assert_eq!(hub.server.requests(), [""; 0]);
    assert!(!hub.cache().exists());
}

#[test]
fn an_experiment_names_its_teacher_on_the_hub() {
    let hub = Hub::new();
    let place = tempfile::tempdir().unwrap();
    let check = |teacher: &str, more: &[&str]| {
        let args = check_args(Path::new(teacher), place.path());
        hub.birthmark(&[&args.iter().map(String::as_str).collect::<Vec<_>>()[..], more].concat())
    };
    let cache = text(&hub.cache()).to_string();
    let remedy = format!("hf download {NAME} --revision main");
    let finding = ["teacher.model", NAME, &cache, "`birthmark run` will fetch it", &hub.server.endpoint(), &remedy];
    let waits = check(NAME, &[]).expect_code(0);
    for part in finding.into_iter().chain(["is valid as far as it can be told"]) {
        assert!(waits.stdout.contains(part) && waits.stderr.is_empty(), "no `{part}` in\n{waits:?}");
    }
    let waits = check(NAME, &["--json"]).expect_code(0).json_lines().remove(0);
    assert!(waits["will_be_fetched"]["teacher.model"].as_str().unwrap().contains(NAME), "{waits}");
    check(NAME, &["--set", "alpha=0"]).refused_with(&["`alpha = 0`", "above 0"]);
    let offline = check_args(Path::new(NAME), place.path());
    let offline: Vec<&str> = offline.iter().map(String::as_str).collect();
    hub.birthmark_with(&offline, &[("HF_HUB_OFFLINE", "1")])
        .refused_with(&["HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set, so `birthmark run` will not"]);
    assert!(hub.server.requests().is_empty() && !hub.cache().exists(), "a check asks nobody");

    let mut run = open_teacher(Path::new(NAME), tiny_model(), place.path());
    let refused = hub.lead(&mut run).args(["--set", "owner={ secret_file = \"none\" }"]).output().unwrap();
    Ran::of(refused).refused_with(&["owner.secret_file"]);
    assert!(hub.server.requests().is_empty() && !hub.cache().exists(), "nothing is fetched for a file with a mistake");

    let mut run = open_teacher(Path::new(NAME), tiny_model(), place.path());
    let ran = Ran::of(hub.lead(&mut run).output().unwrap()).expect_code(0);
    assert!(ran.stderr.contains("fetching an-org/tiny"), "{}", ran.stderr);
    let directory = results_directory(&place.path().join("results"));
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(directory.join("manifest.json")).unwrap()).unwrap();
    let origin = serde_json::json!({ "teacher.model": { "name": NAME, "revision": "main", "commit": hub.commit() } });
    assert_eq!(manifest["models"], origin);

    hub.server.requests();
    let shown = check(NAME, &[]).expect_code(0).stdout;
    let pinned = format!("{NAME}@{}", hub.commit());
    let note = format!("{NAME} at main, in the cache commit {}; only a commit pins results: write {pinned}", hub.commit());
    assert!(shown.contains(&note), "{shown}");
    let shown = check(&pinned, &[]).expect_code(0).stdout;
    assert!(shown.contains(&format!("{NAME} at commit {}", hub.commit())) && !shown.contains("pins"), "{shown}");

    // a model is what its files are, wherever they were found
    let json = |teacher: &str| check(teacher, &["--json"]).expect_code(0).json_lines().remove(0);
    let (named, local) = (json(NAME), json(text(tiny_model())));
    assert_eq!(named["experiment_hash"], local["experiment_hash"]);
    assert_eq!((&named["models"], &local["models"]), (&origin, &serde_json::json!({})));
    assert_eq!(hub.server.requests(), [""; 0]);
}

#[test]
fn what_cannot_be_had_is_said_in_one_line() {
    let hub = Hub::new();
    let cache = text(&hub.cache()).to_string();
    let offline = hub.birthmark_with(&generate(NAME), &[("HF_HUB_OFFLINE", "1")]);
    offline.refused_with(&[
        "no directory an-org/tiny",
        "hf download an-org/tiny --revision main",
        "models--an-org--tiny",
        &cache,
    ]);
    hub.birthmark(&generate("an-org/other")).refused_with(&["no directory an-org/other", "no model an-org/other"]);
    hub.birthmark(&generate("an-org/tiny@v9")).refused_with(&["no revision v9"]);
    hub.birthmark(&generate("an-org/tiny@../x")).refused_with(&["an-org/tiny@../x", "write org/name or org/name@revision"]);
    hub.birthmark_with(&generate(NAME), &[("HF_ENDPOINT", "hub")]).refused_with(&["HF_ENDPOINT is \"hub\"", "write a URL"]);
    let nowhere = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    hub.birthmark_with(&generate(NAME), &[("HF_ENDPOINT", &nowhere)]).refused_with(&[
        &nowhere,
        "cannot be reached",
        "hf download",
    ]);
    // in a run with the key that named it, and nothing is made
    let place = tempfile::tempdir().unwrap();
    let mut run = open_teacher(Path::new("an-org/other"), tiny_model(), place.path());
    Ran::of(hub.lead(&mut run).output().unwrap()).refused_with(&["`teacher.model = \"an-org/other\"`", "no model an-org/other"]);
    assert!(!place.path().join("artifacts").exists());
    hub.server.change(|repository| {
        let weights = repository.files.remove("model.safetensors").unwrap();
        repository.files.insert("pytorch_model.bin".into(), weights);
    });
    hub.birthmark(&generate(NAME)).refused_with(&["pickles (pytorch_model.bin)"]);
}

#[test]
fn a_token_opens_what_is_gated_and_is_never_shown() {
    let hub = Hub::new();
    hub.server.change(|repository| repository.token = Some("hf_right".into()));
    let place = format!("{}/{NAME}", hub.server.endpoint());
    hub.birthmark(&generate(NAME)).refused_with(&["gives no access", "HF_TOKEN", "licence", &place]);
    let wrong = hub.birthmark_with(&generate(NAME), &[("HF_TOKEN", "hf_wrong")]);
    assert!(!wrong.refused_with(&["gives no access"]).contains("hf_wrong"));
    fs::write(hub.home.path().join("token"), "hf_right\n").unwrap();
    let ran = hub.birthmark(&generate(NAME)).expect_code(0);
    assert!(!ran.stderr.contains("hf_right"), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn a_download_stopped_by_a_signal_goes_on_later() {
    let hub = Hub::new();
    hub.server.change(|repository| repository.pause_ms = 100);
    let mut command = command(&root());
    let child = hub.lead(&mut command).args(generate(NAME)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let part = hub.partial_weights();
    while fs::metadata(&part).map_or(0, |part| part.len()) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&child, "INT");
    let stopped = Ran::of(child.wait_with_output().unwrap()).expect_code(130);
    assert!(stopped.stderr.contains("the same command resumes"), "{}", stopped.stderr);
    let came = fs::metadata(&part).unwrap().len();
    hub.server.change(|repository| repository.pause_ms = 0);
    hub.server.requests();
    hub.birthmark(&generate(NAME)).expect_code(0);
    let requests = hub.server.requests();
    assert!(requests.iter().any(|request| request.ends_with(&format!(" from {came}"))), "{requests:#?}");
}

#[test]
fn a_download_that_breaks_off_is_resumable() {
    let hub = Hub::new();
    hub.server.change(|repository| (repository.cut_after, repository.cuts) = (0, 100));
    let stopped = hub.birthmark(&generate(NAME)).expect_code(75);
    assert!(stopped.stderr.contains("stopped: an-org/tiny@main: model.safetensors broke off"), "{}", stopped.stderr);
    hub.server.change(|repository| (repository.cut_after, repository.cuts, repository.corrupt) = (100, 1, 2));
    let ran = hub.birthmark(&generate(NAME)).expect_code(0);
    assert!(ran.stderr.contains("came damaged"), "{}", ran.stderr);
}

#[test]
fn two_processes_share_one_download() {
    let hub = Hub::new();
    hub.server.change(|repository| repository.pause_ms = 5);
    let start = || {
        let mut command = command(&root());
        hub.lead(&mut command).args(generate(NAME)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let [one, other] = [start(), start()].map(|child| Ran::of(child.wait_with_output().unwrap()).expect_code(0));
    assert_eq!(one.stdout, other.stdout);
    let tag = hub.partial_weights().file_stem().unwrap().to_str().unwrap().to_string();
    let fetched = hub.server.requests().iter().filter(|request| request.starts_with(&format!("GET /{tag}"))).count();
    assert_eq!(fetched, 1);
}

#[test]
fn an_adapter_has_its_base_fetched_and_may_be_on_the_hub_itself() {
    let hub = Hub::new();
    let place = tempfile::tempdir().unwrap();
    let adapter = place.path().join("adapter");
    tiny_adapter(&adapter, NAME);
    let fetched = hub.birthmark(&generate(text(&adapter))).expect_code(0);
    assert!(fetched.stderr.contains("fetching an-org/tiny@main"), "{}", fetched.stderr);
    let local = hub.birthmark(&[&generate(text(&adapter))[..], &["--base", text(tiny_model())]].concat()).expect_code(0);
    assert_eq!(fetched.stdout, local.stdout);

    tiny_adapter(&adapter, text(tiny_model()));
    let far = Hub { server: HubServer::start(Repository::of(NAME, &adapter)), home: tempfile::tempdir().unwrap() };
    let info = far.birthmark(&["model", "info", "--model", NAME, "--json"]).expect_code(0).json_lines().remove(0);
    assert_eq!((info["adapter"]["rank"].as_u64(), info["vocab_size"].as_u64()), (Some(2), Some(300)));
    assert!(far.server.requests().iter().all(|request| !request.contains("safetensors")), "a shape needs no tensors");
    assert_eq!(far.birthmark(&generate(NAME)).expect_code(0).stdout, local.stdout);
}
