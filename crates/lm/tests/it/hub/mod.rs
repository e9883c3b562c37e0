//! Models from a hub: caches as Python lays them out, and a server on the loopback.

mod cache;
mod connections;
mod layout;
mod refused;

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
