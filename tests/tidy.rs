//! What can be seen of the source without compiling it.

use std::path::{Path, PathBuf};

use crate::support::root;

fn sources(under: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // what a fuzzer has built is no source
            if !path.ends_with("target") {
                sources(&path, extension, into);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            into.push(path);
        }
    }
}

fn rust_sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    sources(&root().join("crates"), "rs", &mut files);
    sources(&root().join("tests"), "rs", &mut files);
    let root = root();
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().display().to_string(), text)
        })
        .collect()
}

/// `unsafe` stands only where the design allows it: in `kernels`, in one mapping function of `lm`, and in one line of `main`.
#[test]
fn unsafe_stays_in_its_places() {
    for (path, text) in rust_sources() {
        if path.starts_with("crates/kernels/") || path == "tests/tidy.rs" {
            continue;
        }
        let count = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .filter(|line| line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl"))
            .count();
        let allowed = usize::from(["crates/cli/src/main.rs", "crates/lm/src/mapped.rs"].contains(&path.as_str()));
        assert!(count <= allowed, "{path} has {count} unsafe blocks, allowed are {allowed}");
    }
}

/// Pickle files are never read: no crate that could is in the lock file.
#[test]
fn nothing_reads_pickle() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["serde-pickle", "repugnant-pickle", "tch", "torch-sys"] {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name} is in Cargo.lock");
    }
    for (path, text) in rust_sources() {
        assert!(path == "tests/tidy.rs" || !text.contains("candle_core::pickle"), "{path} uses candle's pickle reader");
    }
}

/// Only the hub's client touches the network, and no crate that could do more is in the lock file.
#[test]
fn the_network_stays_in_its_place() {
    for (path, text) in rust_sources() {
        let is_source = path.starts_with("crates/") && path.contains("/src/");
        if is_source && path != "crates/lm/src/hub/server.rs" {
            for word in ["ureq::", "std::net", "TcpStream", "hf_hub::api"] {
                assert!(!text.contains(word), "{path} contains {word}");
            }
        }
    }
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["reqwest", "hyper", "curl", "tokio", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name} is in Cargo.lock");
    }
}

/// Nothing assumes the CPU: tensors are made on the device that comes down in the runtime, and one file chooses it.
#[test]
fn devices_are_chosen_in_one_place() {
    for (path, text) in rust_sources() {
        if ["crates/lm/src/device.rs", "tests/tidy.rs"].contains(&path.as_str()) {
            continue;
        }
        for word in ["Device::Cpu", "new_cuda", "cuda_if_available", "new_metal", "metal_if_available"] {
            // `DeviceName::Cpu` is a name, no device
            assert!(
                !text.replace("DeviceName::Cpu", "").contains(word),
                "{path} contains {word}: take the device of the runtime"
            );
        }
        let above_lm = path.starts_with("crates/") && path.contains("/src/") && !path.starts_with("crates/lm/");
        assert!(!above_lm || !text.contains("candle_core"), "{path} uses candle: what computes with tensors is `lm`");
    }
}

/// No panicking placeholder is left in code.
#[test]
fn nothing_is_left_to_do() {
    for (path, text) in rust_sources() {
        if path == "tests/tidy.rs" {
            continue;
        }
        for mark in ["todo!(", "unimplemented!(", "#[ignore"] {
            assert!(!text.contains(mark), "{path} contains {mark}");
        }
    }
}

/// A file holds one noun; beyond 450 lines it usually holds two.
#[test]
fn files_stay_small() {
    for (path, text) in rust_sources() {
        let lines = text.lines().count();
        assert!(lines <= 450, "{path} has {lines} lines: split it by noun");
    }
}
