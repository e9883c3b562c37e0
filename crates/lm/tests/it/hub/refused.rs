//! What the hub does not give, and what is not taken from it.

use super::*;

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
fn a_model_of_another_kind_is_refused_before_its_weights_come() {
    let (server, _dir, settings) = hub();
    server.change(|repository| drop(repository.files.insert("config.json".into(), br#"{"model_type": "clip"}"#.to_vec())));
    refused(&settings, &name("main"), &["config.json", "`model_type` is \"clip\"", "unknown architecture"]);
    let weights = server.repository.lock().unwrap().files["model.safetensors"].clone();
    let get = format!("GET /{}", etag("model.safetensors", &weights));
    assert!(server.requests().iter().all(|request| !request.starts_with(&get)));
}
