//! Models from a hub: caches as Python lays them out, and a server on the loopback.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lm::hub::{HubError, HubEvent, HubSettings, ModelName, Snapshot, cached, fetch, fetch_config};
use lm::{Model, ModelCard, ModelConfig};
use tempfile::TempDir;

use crate::hub_server::{HubServer, Repository, etag};

const NAME: &str = "an-org/tiny-model";
const FOLDER: &str = "models--an-org--tiny-model";

fn tiny() -> Model {
    Model::init(&ModelConfig::examples()[0], 7)
}

/// What the hub has: a real model, with files that nobody needs beside it.
fn repository() -> Repository {
    let dir = tempfile::tempdir().unwrap();
    tiny().save(dir.path(), None, &ModelCard::default()).unwrap();
    fs::write(dir.path().join("pytorch_model.bin"), "pickle").unwrap();
    Repository::of(NAME, dir.path())
}

/// A server with that model, and settings that lead to it with an empty cache.
fn hub() -> (HubServer, TempDir, HubSettings) {
    let (server, dir) = (HubServer::start(repository()), tempfile::tempdir().unwrap());
    let settings = HubSettings::at(server.endpoint(), dir.path().join("hub"));
    (server, dir, settings)
}

/// Settings that lead nowhere: the port was free a moment ago.
fn nowhere(cache: &Path) -> HubSettings {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    HubSettings::at(format!("http://{address}"), cache.to_path_buf())
}

fn name(revision: &str) -> ModelName {
    format!("{NAME}@{revision}").parse().unwrap()
}

/// Fetches quietly; notices come back.
fn get(settings: &HubSettings, name: &ModelName) -> Result<(Snapshot, Vec<String>), HubError> {
    let mut notices = Vec::new();
    let mut note = |event: HubEvent<'_>| {
        if let HubEvent::Notice(text) = event {
            notices.push(text.to_string());
        }
    };
    let snapshot = fetch(settings, name, &mut note, &AtomicBool::new(false))?;
    Ok((snapshot, notices))
}

#[track_caller]
fn refused(settings: &HubSettings, name: &ModelName, parts: &[&str]) -> HubError {
    let error = get(settings, name).unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    for part in parts {
        assert!(line.contains(part), "no `{part}` in\n{line}");
    }
    error
}

/// The cache as `hf download` leaves it.
fn python_cache(cache: &Path, repository: &Repository) {
    let folder = cache.join(FOLDER);
    let snapshot = folder.join("snapshots").join(&repository.commit);
    for dir in [&folder.join("blobs"), &folder.join("refs"), &snapshot] {
        fs::create_dir_all(dir).unwrap();
    }
    fs::write(folder.join("refs/main"), &repository.commit).unwrap();
    for (file, content) in &repository.files {
        let etag = etag(file, content);
        fs::write(folder.join("blobs").join(&etag), content).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), snapshot.join(file)).unwrap();
        #[cfg(not(unix))]
        fs::write(snapshot.join(file), content).unwrap();
    }
}

/// With the files of a tokenizer, whose content does not matter here.
fn with_tokenizer(mut repository: Repository) -> Repository {
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        repository.files.insert(file.into(), b"{}".to_vec());
    }
    repository
}

/// Names in a directory, sorted.
fn names(dir: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_python_downloaded_is_found_without_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let repository = with_tokenizer(repository());
    python_cache(dir.path(), &repository);
    let offline = HubSettings { offline: true, ..nowhere(dir.path()) };
    let want = Snapshot {
        directory: dir.path().join(FOLDER).join("snapshots").join(&repository.commit),
        commit: repository.commit.clone(),
    };
    for revision in ["main", &repository.commit] {
        assert_eq!(get(&offline, &name(revision)).unwrap(), (want.clone(), vec![]), "{revision}");
        assert_eq!(cached(&offline, &name(revision)), Some(want.clone()));
    }
    assert_eq!(Model::load(&want.directory).unwrap().weights(), tiny().weights());
    // a commit needs nobody to be asked, a branch would
    assert_eq!(get(&nowhere(dir.path()), &name(&repository.commit)).unwrap(), (want.clone(), vec![]));
    let (found, notices) = get(&nowhere(dir.path()), &name("main")).unwrap();
    assert_eq!(found, want);
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert!(notice.contains("cannot be reached") && notice.contains(&want.commit), "{notice}");
    refused(&offline, &name("v1"), &["is not whole in the cache", "HF_HUB_OFFLINE"]);
}

#[test]
fn what_is_not_there_is_said_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mend = format!("`hf download {NAME} --revision v2`");
    let place = dir.path().display().to_string();
    let offline = HubSettings { offline: true, ..nowhere(dir.path()) };
    refused(&offline, &name("v2"), &[&mend, FOLDER, &place, "HF_HUB_OFFLINE is set"]);
    refused(&nowhere(dir.path()), &name("v2"), &[&mend, FOLDER, &place, "cannot be reached"]);
    // half a model is none
    let repository = repository();
    python_cache(dir.path(), &repository);
    let weights = dir.path().join(FOLDER).join("blobs").join(etag("model.safetensors", &repository.files["model.safetensors"]));
    fs::remove_file(weights).unwrap();
    refused(&offline, &name("main"), &["is not whole in the cache", "--revision main"]);
    assert_eq!(cached(&offline, &name("main")), None);
}

#[test]
fn a_model_is_fetched_once_into_the_layout_that_python_reads() {
    let (server, _dir, settings) = hub();
    let repository = server.repository.lock().unwrap().clone();
    let (mut begun, mut received) = (None, 0);
    let mut count = |event: HubEvent<'_>| match event {
        HubEvent::Begins { files, bytes, here } => begun = Some((files, bytes, here)),
        HubEvent::Received(n) => received += n,
        HubEvent::Notice(text) => panic!("{text}"),
    };
    let snapshot = fetch(&settings, &name("main"), &mut count, &AtomicBool::new(false)).unwrap();
    let wanted = ["config.json", "generation_config.json", "model.safetensors"];
    let bytes: u64 = wanted.iter().map(|file| repository.files[*file].len() as u64).sum();
    assert_eq!((begun, received), (Some((3, bytes, 0)), bytes));
    assert_eq!(names(snapshot.directory.clone()), wanted);
    let folder = settings.cache.join(FOLDER);
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), repository.commit);
    let mut etags: Vec<String> = wanted.iter().map(|file| etag(file, &repository.files[*file])).collect();
    etags.sort();
    assert_eq!(names(folder.join("blobs")), etags, "nothing partial is left");
    assert!(folder.join(".no_exist").join(&repository.commit).join("tokenizer.json").is_file());
    for file in wanted {
        assert_eq!(fs::read(snapshot.directory.join(file)).unwrap(), repository.files[file]);
        #[cfg(unix)]
        {
            let target = Path::new("../../blobs").join(etag(file, &repository.files[file]));
            assert_eq!(fs::read_link(snapshot.directory.join(file)).unwrap(), target);
        }
    }
    assert_eq!(Model::load(&snapshot.directory).unwrap().weights(), tiny().weights());

    assert!(server.requests().iter().all(|request| !request.contains("pytorch_model")));
    assert_eq!(get(&settings, &name("main")).unwrap(), (snapshot.clone(), vec![]));
    assert_eq!(server.requests(), [format!("GET /api/models/{NAME}/revision/main")], "a branch is asked for its commit");
    assert_eq!(get(&settings, &name(&repository.commit)).unwrap().0, snapshot);
    assert_eq!(get(&HubSettings { offline: true, ..settings.clone() }, &name("main")).unwrap().0, snapshot);
    assert_eq!(server.requests(), [""; 0], "a commit and an offline cache are not");
}

#[test]
fn a_branch_that_moved_brings_what_changed() {
    let (server, _dir, settings) = hub();
    let (before, _) = get(&settings, &name("main")).unwrap();
    server.change(|repository| {
        repository.commit = "f".repeat(40);
        repository.files.insert("generation_config.json".into(), b"{\"temperature\": 0.5}".to_vec());
    });
    server.requests();
    // the configuration alone moves nothing
    let config = fetch_config(&settings, &name("main"), &mut |_| {}, &AtomicBool::new(false)).unwrap();
    assert_eq!((names(config.directory), config.commit), (vec!["config.json".to_string()], "f".repeat(40)));
    assert_eq!(cached(&settings, &name("main")), Some(before.clone()));
    let (after, _) = get(&settings, &name("main")).unwrap();
    assert_eq!(after.commit, "f".repeat(40));
    assert_eq!(cached(&settings, &name("main")), Some(after.clone()));
    let gets: Vec<String> =
        server.requests().into_iter().filter(|request| request.starts_with("GET") && !request.contains("/api/models")).collect();
    assert!(gets.iter().all(|request| request.contains("generation_config")), "{gets:?}");
    assert!(!gets.is_empty());
    assert_eq!(Model::load(&before.directory).unwrap().weights(), Model::load(&after.directory).unwrap().weights());
}

#[test]
fn shards_are_found_through_their_index() {
    let (server, _dir, settings) = hub();
    server.change(|repository| {
        let weights = repository.files.remove("model.safetensors").unwrap();
        let map: serde_json::Map<_, _> =
            tiny().layout().parameters().iter().map(|p| (p.name.clone(), "model-00001-of-00001.safetensors".into())).collect();
        let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
        repository.files.insert("model-00001-of-00001.safetensors".into(), weights);
        repository.files.insert("model.safetensors.index.json".into(), index.into_bytes());
    });
    let (snapshot, _) = get(&settings, &name("main")).unwrap();
    assert_eq!(Model::load(&snapshot.directory).unwrap().weights(), tiny().weights());
    server.requests();
    assert_eq!(get(&settings, &name(&snapshot.commit)).unwrap().0, snapshot);
    assert_eq!(server.requests(), [""; 0]);
    // without one of its shards it is not whole
    fs::remove_file(snapshot.directory.join("model-00001-of-00001.safetensors")).unwrap();
    assert_eq!(cached(&settings, &name("main")), None);
    server.change(|repository| {
        repository.commit = "e".repeat(40);
        let index = br#"{"weight_map": {"x": "../../../outside.safetensors"}}"#.to_vec();
        repository.files.insert("model.safetensors.index.json".into(), index);
    });
    refused(&settings, &name("main"), &["outside.safetensors", "not a plain file name"]);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let (server, _dir, settings) = hub();
    server.change(|repository| (repository.cut_after, repository.cuts) = (1000, 1));
    let weights = server.repository.lock().unwrap().files["model.safetensors"].clone();
    let tag = etag("model.safetensors", &weights);
    let (snapshot, _) = get(&settings, &name("main")).unwrap();
    assert_eq!(fs::read(snapshot.directory.join("model.safetensors")).unwrap(), weights);
    let requests = server.requests();
    assert!(requests.contains(&format!("GET /{tag} from 1000")), "{requests:#?}");
}

#[test]
fn a_download_given_up_is_continued_by_the_next() {
    let (server, _dir, settings) = hub();
    let weights = server.repository.lock().unwrap().files["model.safetensors"].clone();
    let tag = etag("model.safetensors", &weights);
    let part = settings.cache.join(FOLDER).join("blobs").join(format!("{tag}.incomplete"));
    // Python's library left something, and then nothing more comes
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &weights[..1234]).unwrap();
    server.change(|repository| (repository.cut_after, repository.cuts) = (0, 100));
    let error = refused(&settings, &name("main"), &["model.safetensors broke off at 1234 of", "goes on from there"]);
    assert!(matches!(error, HubError::Interrupted { here: 1234, .. }) && !error.is_input());
    assert_eq!(cached(&settings, &name("main")), None);
    server.change(|repository| repository.cuts = 0);
    server.requests();
    let mut here = 0;
    let mut look = |event: HubEvent<'_>| {
        if let HubEvent::Begins { here: h, .. } = event {
            here = h;
        }
    };
    let snapshot = fetch(&settings, &name("main"), &mut look, &AtomicBool::new(false)).unwrap();
    assert!(server.requests().contains(&format!("GET /{tag} from 1234")));
    assert!(here > 1234, "with the small files");
    assert_eq!(fs::read(snapshot.directory.join("model.safetensors")).unwrap(), weights);
    assert!(!part.exists());
}

#[test]
fn a_server_that_cannot_resume_sends_everything() {
    let (server, _dir, settings) = hub();
    server.change(|repository| (repository.cut_after, repository.cuts, repository.no_ranges) = (1000, 1, true));
    let (snapshot, notices) = get(&settings, &name("main")).unwrap();
    assert_eq!(Model::load(&snapshot.directory).unwrap().weights(), tiny().weights());
    assert_eq!(notices, [""; 0]);
}

#[test]
fn a_damaged_file_is_fetched_again_and_then_refused() {
    let (server, _dir, settings) = hub();
    let weights = server.repository.lock().unwrap().files["model.safetensors"].clone();
    let tag = etag("model.safetensors", &weights);
    let blob = settings.cache.join(FOLDER).join("blobs").join(&tag);
    server.change(|repository| repository.corrupt = 2);
    let error = refused(&settings, &name("main"), &["model.safetensors came damaged twice", "SHA-256", &tag]);
    assert!(matches!(error, HubError::Damaged { .. }));
    assert!(!blob.exists() && !blob.with_extension("incomplete").exists());
    // what an earlier process left may be damaged too
    fs::write(blob.with_extension("incomplete"), "not the beginning of a model").unwrap();
    let (snapshot, notices) = get(&settings, &name("main")).unwrap();
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert!(notice.contains("came damaged") && notice.contains("fetching it again"), "{notice}");
    assert_eq!(fs::read(snapshot.directory.join("model.safetensors")).unwrap(), weights);
}

#[test]
fn who_may_not_read_it_is_told_what_to_do() {
    let (server, _dir, mut settings) = hub();
    server.change(|repository| repository.token = Some("hf_right".into()));
    let gated = format!("{}/{NAME}", server.endpoint());
    refused(&settings, &name("main"), &["no access", "401", "HF_TOKEN", "licence", &gated]);
    settings.token = Some("hf_wrong".into());
    let error = refused(&settings, &name("main"), &["no access"]);
    assert!(!error.to_string().contains("hf_wrong"));
    settings.token = Some("hf_right".into());
    get(&settings, &name("main")).unwrap();
    server.change(|repository| repository.status = Some(403));
    refused(&settings, &name("main"), &["no access", "403"]);
}

#[test]
fn names_and_revisions_that_do_not_exist() {
    let (server, _dir, settings) = hub();
    refused(&settings, &name("v9"), &["revision v9 of an-org/tiny-model"]);
    refused(&settings, &"an-org/other".parse().unwrap(), &["model an-org/other"]);
    server.change(|repository| repository.status = Some(503));
    refused(&settings, &name("main"), &["answers 503", "hf download"]);
    server.change(|repository| repository.status = Some(200));
    refused(&settings, &name("main"), &["not a list of files", "HF_ENDPOINT"]);
    server.change(|repository| repository.status = Some(302));
    refused(&settings, &name("main"), &["not a list of files"]);
}

#[test]
fn pickles_are_not_fetched() {
    let (server, _dir, settings) = hub();
    server.change(|repository| drop(repository.files.remove("model.safetensors")));
    refused(&settings, &name("main"), &["only as pickles (pytorch_model.bin)", "safetensors"]);
    assert_eq!(server.requests().len(), 1);
    server.change(|repository| drop(repository.files.remove("pytorch_model.bin")));
    refused(&settings, &name("main"), &["no model.safetensors"]);
    assert!(!settings.cache.exists(), "nothing is made for what is refused");
}

#[test]
fn a_cancelled_download_leaves_what_came() {
    let (server, _dir, settings) = hub();
    server.change(|repository| repository.pause_ms = 20);
    let weights = server.repository.lock().unwrap().files["model.safetensors"].clone();
    let part = settings.cache.join(FOLDER).join("blobs").join(etag("model.safetensors", &weights)).with_extension("incomplete");
    let cancelled = AtomicBool::new(false);
    let mut stop = |event: HubEvent<'_>| {
        if matches!(event, HubEvent::Received(_)) && fs::metadata(&part).is_ok_and(|part| part.len() > 0) {
            cancelled.store(true, Ordering::Relaxed);
        }
    };
    let error = fetch(&settings, &name("main"), &mut stop, &cancelled).unwrap_err();
    assert!(matches!(error, HubError::Cancelled(_)), "{error}");
    let came = fs::metadata(&part).unwrap().len();
    assert!(came > 0 && came < weights.len() as u64, "{came}");
    server.change(|repository| repository.pause_ms = 0);
    server.requests();
    get(&settings, &name("main")).unwrap();
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.ends_with(&format!(" from {came}"))), "{requests:#?}");
}

#[test]
fn two_at_once_fetch_every_file_once() {
    let (server, _dir, settings) = hub();
    server.change(|repository| repository.pause_ms = 1);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| get(&settings, &name("main")).unwrap());
        let other = scope.spawn(|| get(&settings, &name("main")).unwrap());
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one, other);
    assert_eq!(Model::load(&one.0.directory).unwrap().weights(), tiny().weights());
    let weights = server.repository.lock().unwrap().files["model.safetensors"].clone();
    let get = format!("GET /{}", etag("model.safetensors", &weights));
    assert_eq!(server.requests().iter().filter(|request| request.starts_with(&get)).count(), 1);
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    // connections are taken by the operating system and never answered
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = HubSettings::at(format!("http://{}", listener.local_addr().unwrap()), dir.path().into());
    settings.patience = Duration::from_millis(200);
    refused(&settings, &name("main"), &["cannot be reached (timeout", "hf download"]);
}

#[test]
fn an_https_endpoint_is_spoken_to_in_tls_only() {
    let (server, _dir, mut settings) = hub();
    settings.endpoint = settings.endpoint.replace("http://", "https://");
    settings.patience = Duration::from_millis(500);
    refused(&settings, &name("main"), &[&settings.endpoint, "cannot be reached"]);
    assert!(server.requests().iter().all(|request| !request.contains(NAME)));
}

#[test]
fn a_proxy_is_gone_through() {
    let (server, _dir, mut settings) = hub();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    settings.proxy = Some(format!("http://{}", proxy.local_addr().unwrap()));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").unwrap();
        line
    });
    refused(&settings, &name("main"), &["cannot be reached"]);
    let line = asked.join().unwrap();
    assert!(line.contains(server.endpoint().trim_start_matches("http://")), "{line}");
    assert_eq!(server.requests(), [""; 0]);
}
