//! `--device`: the CPU is the default, and a device that this build or machine lacks is refused before anything is read.

use crate::support::{birthmark, smoke, smoke_file, text, tiny_model};

/// Every command that computes with models, with a model that is not there: the device comes first.
fn commands() -> [Vec<&'static str>; 5] {
    let experiment = text(Box::leak(smoke_file().into_boxed_path()));
    [
        vec!["run", experiment],
        vec!["check", experiment, "--quick"],
        vec!["model", "score", "--model", "none", "--text", "none"],
        vec!["model", "generate", "--model", "none", "--prompt", "x"],
        vec!["model", "verify", "--model", "none", "--expected", "none"],
    ]
}

#[test]
fn a_device_that_was_not_built_in_is_refused_with_the_build_that_has_it() {
    let devices = [
        (cfg!(feature = "cuda"), "cuda", "CUDA", "cuda"),
        (cfg!(feature = "cuda"), "cuda:3", "CUDA", "cuda"),
        (cfg!(feature = "metal"), "metal", "Metal", "metal"),
    ];
    for (_, device, library, feature) in devices.into_iter().filter(|(built, ..)| !built) {
        for command in commands() {
            let line = birthmark(&[&command[..], &["--device", device]].concat()).refused_with(&[]);
            let build = format!("build with `cargo build --release --features {feature}`");
            assert_eq!(line, format!("error: --device {device}: this birthmark was built without {library}; {build}"));
        }
    }
}

#[test]
fn a_device_that_is_none_is_refused() {
    for device in ["gpu", "cuda:", "cuda:one", "CPU", ""] {
        for command in commands() {
            let ran = birthmark(&[&command[..], &["--device", device]].concat()).expect_code(2);
            assert!(ran.stdout.is_empty() && ran.stderr.contains("write cpu, cuda, cuda:N"), "{device}: {}", ran.stderr);
        }
    }
}

#[test]
fn the_cpu_is_the_default_and_records_name_it() {
    let generate = ["model", "generate", "--model", text(tiny_model()), "--prompt", "The red cat", "--max-new-tokens", "8"];
    let said = birthmark(&generate).expect_code(0).stdout;
    assert_eq!(said, birthmark(&[&generate[..], &["--device", "cpu"]].concat()).expect_code(0).stdout);

    let records = results::read_records(&smoke().directory.join("records.jsonl")).unwrap();
    assert!(records.iter().all(|record| record.device == "cpu"));
    let manifest = std::fs::read_to_string(smoke().directory.join("manifest.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&manifest).unwrap()["device"], "cpu");
}
