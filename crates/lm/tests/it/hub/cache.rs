//! Caches as Python's library lays them out, found without a network.

use super::*;

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
fn what_python_noted_of_a_commit_says_what_is_missing() {
    let (server, _dir, settings) = hub();
    let repository = server.repository.lock().unwrap().clone();
    python_cache(&settings.cache, &repository);
    let folder = settings.cache.join(FOLDER);
    let pinned = name(&repository.commit);
    let note = |files: &[&str]| {
        let files: serde_json::Map<_, _> =
            files.iter().map(|file| (file.to_string(), serde_json::json!({ "size": 1 }))).collect();
        let tree = serde_json::json!({ "format_version": 1, "files": files }).to_string();
        fs::create_dir_all(folder.join("trees")).unwrap();
        fs::write(folder.join("trees").join(format!("{}.json", repository.commit)), tree).unwrap();
    };
    // no tokenizer is listed, so none is missed
    note(&["config.json", "generation_config.json", "model.safetensors"]);
    get(&settings, &pinned).unwrap();
    assert_eq!(server.requests(), [""; 0]);
    note(&["config.json", "generation_config.json", "model.safetensors", "chat_template.jinja"]);
    server.change(|repository| drop(repository.files.insert("chat_template.jinja".into(), b"{{ messages }}".to_vec())));
    let (snapshot, _) = get(&settings, &pinned).unwrap();
    assert_eq!(fs::read(snapshot.directory.join("chat_template.jinja")).unwrap(), b"{{ messages }}");
    // only what is missing came
    assert!(
        server
            .requests()
            .iter()
            .filter(|request| request.contains("/an-org/"))
            .all(|r| r.starts_with("HEAD") || r.contains("chat") || r.contains("/api/models"))
    );
}

#[test]
fn what_is_not_there_is_said_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let remedy = format!("`hf download {NAME} --revision v2`");
    let place = dir.path().display().to_string();
    let offline = HubSettings { offline: true, ..nowhere(dir.path()) };
    refused(&offline, &name("v2"), &[&remedy, FOLDER, &place, "HF_HUB_OFFLINE is set"]);
    refused(&nowhere(dir.path()), &name("v2"), &[&remedy, FOLDER, &place, "cannot be reached"]);
    // half a model does not count
    let repository = repository();
    python_cache(dir.path(), &repository);
    let weights = dir.path().join(FOLDER).join("blobs").join(etag("model.safetensors", &repository.files["model.safetensors"]));
    fs::remove_file(weights).unwrap();
    refused(&offline, &name("main"), &["is not whole in the cache", "--revision main"]);
    assert_eq!(cached(&offline, &name("main")), None);
}
