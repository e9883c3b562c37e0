//! What a download leaves in the cache.

use super::*;

#[test]
fn a_model_is_fetched_once_into_the_layout_that_python_reads() {
    let (server, _dir, settings) = hub();
    let repository = server.repository.lock().unwrap().clone();
    let (mut begun, mut received) = (None, 0);
    let mut count = |event: HubEvent<'_>| match event {
        HubEvent::Begins { files, bytes, here } => (begun, received) = (Some((files, bytes, here)), 0),
        HubEvent::Received(n) => received += n,
        HubEvent::Notice(text) => panic!("{text}"),
    };
    let snapshot = fetch(&settings, &name("main"), &mut count, &AtomicBool::new(false)).unwrap();
    let wanted = ["config.json", "generation_config.json", "model.safetensors"];
    let bytes: u64 = wanted.iter().map(|file| repository.files[*file].len() as u64).sum();
    let config = repository.files["config.json"].len() as u64;
    assert_eq!((begun, received), (Some((3, bytes, config)), bytes - config));
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
fn two_at_once_fetch_every_file_once() {
    let (server, _dir, settings) = hub();
    server.change(|repository| repository.pause_ms = 1);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| get(&settings, &name("main")).unwrap());
        let other = scope.spawn(|| get(&settings, &name("main")).unwrap());
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one.0, other.0);
    let notices = [one.1, other.1].concat();
    assert!(notices.iter().all(|notice| notice.contains("another process is fetching")), "{notices:?}");
    assert_eq!(Model::load(&one.0.directory).unwrap().weights(), tiny().weights());
    let weights = server.repository.lock().unwrap().files["model.safetensors"].clone();
    let get = format!("GET /{}", etag("model.safetensors", &weights));
    assert_eq!(server.requests().iter().filter(|request| request.starts_with(&get)).count(), 1);
}
