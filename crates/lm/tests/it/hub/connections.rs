//! Connections that break, stall, lie or lead elsewhere.

use super::*;

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
fn a_server_that_cannot_resume_and_always_breaks_off_is_given_up() {
    let (server, _dir, settings) = hub();
    server.change(|repository| (repository.cut_after, repository.cuts, repository.no_ranges) = (1000, 100, true));
    let error = refused(&settings, &name("main"), &["model.safetensors broke off at 1000 of"]);
    assert!(matches!(error, HubError::Interrupted { here: 1000, .. }) && !error.is_input());
    let asked = |requests: &[String]| requests.iter().filter(|said| said.ends_with(" from 1000")).count();
    // each goes to the endpoint first, which sends it on
    assert_eq!(asked(&server.requests()), 2 * 3, "as often as a connection may bring nothing new");
    // once it gets further, what came is kept and passed over
    server.change(|repository| (repository.cut_after, repository.cuts) = (1500, 1));
    let mut received = 0;
    let mut look = |event: HubEvent<'_>| {
        if let HubEvent::Received(bytes) = event {
            received += bytes;
        }
    };
    let snapshot = fetch(&settings, &name("main"), &mut look, &AtomicBool::new(false)).unwrap();
    let weights = server.repository.lock().unwrap().files["model.safetensors"].clone();
    assert_eq!(fs::read(snapshot.directory.join("model.safetensors")).unwrap(), weights);
    assert_eq!(received, weights.len() as u64 - 1000, "each new byte counts once");
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
