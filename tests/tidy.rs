//! What can be seen of the source without compiling it.

use std::path::{Path, PathBuf};

use crate::circles::text::{is_literal, tokens_and_literals, without_tests};
use crate::support::root;

/// Crates that know marks only through the registry, or not at all.
const NO_CONCRETE_MARK: [&str; 10] =
    ["lm", "results", "distill", "harness", "cli", "stats", "oracle", "kernels", "corpus", "store"];

/// Kinds of marks that are ordinary words too: only a string that is nothing else names one of them.
const ORDINARY_WORDS: [&str; 2] = ["unigram", "process"];

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

/// `unsafe` is only where the design allows it: in `kernels`, in one mapping function of `lm`, and in one line of `main`.
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

/// Every place that names one of `kinds` or its configuration, comments and test code left out. `files` are paths below a crate's
/// `src` and their sources.
fn concrete_marks(kinds: &[&str], files: &[(&str, &str)]) -> Vec<String> {
    let configs: Vec<String> = kinds
        .iter()
        .map(|kind| kind.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect::<String>() + "Config")
        .collect();
    let is_word = |word: &str| kinds.contains(&word) && !ORDINARY_WORDS.contains(&word) || configs.iter().any(|c| c == word);
    let names_mark = |token: &str| {
        let (Some(open), Some(close), true) = (token.find('"'), token.rfind('"'), is_literal(token)) else {
            return is_word(token);
        };
        let text = token[(open + 1).min(close)..close].replace("\\n", " ");
        kinds.contains(&text.as_str()) || text.split(|c: char| c != '_' && !c.is_alphanumeric()).any(is_word)
    };
    let (mut named, mut tests) = (Vec::new(), Vec::new());
    for (path, source) in files {
        let (kept, modules) = without_tests(tokens_and_literals(source));
        let folder = ["mod.rs", "lib.rs", "main.rs"].iter().find_map(|root| path.strip_suffix(root));
        let folder = folder.map_or_else(|| format!("{}/", path.trim_end_matches(".rs")), str::to_string);
        tests.extend(modules.iter().map(|module| format!("{folder}{module}")));
        named.extend(kept.into_iter().filter(|token| names_mark(token)).map(|token| (*path, token)));
    }
    let is_test =
        |path: &str| tests.iter().any(|t| path.strip_prefix(t.as_str()).is_some_and(|r| r == ".rs" || r.starts_with('/')));
    named.into_iter().filter(|(path, _)| !is_test(path)).map(|(path, token)| format!("{path}: {token}")).collect()
}

/// What is special about a mark comes from the mark: no other crate knows one by name.
#[test]
fn only_marks_name_a_concrete_mark() {
    for name in NO_CONCRETE_MARK {
        let src = root().join("crates").join(name).join("src");
        let mut paths = Vec::new();
        sources(&src, "rs", &mut paths);
        assert!(!paths.is_empty(), "crates/{name} has no sources");
        let files: Vec<(String, String)> = paths
            .iter()
            .map(|path| (path.strip_prefix(&src).unwrap().display().to_string(), std::fs::read_to_string(path).unwrap()))
            .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let named = concrete_marks(marks::MarkEntry::KINDS, &files);
        assert!(
            named.is_empty(),
            "crates/{name} names a concrete mark; let `MarkConfig` or `Mark` say what it needs to know:\n  {}",
            named.join("\n  ")
        );
    }
}

#[test]
fn every_way_to_name_a_mark_is_seen() {
    let found = |files: &[(&str, &str)]| concrete_marks(&["kgw", "secret_keys", "process"], files);
    for (source, token) in [
        ("fn f(e: &MarkEntry) -> bool { e.kgw.is_some() }", "kgw"),
        ("use marks::probe::secret_keys::Keys;", "secret_keys"),
        ("fn f(_: SecretKeysConfig) {}", "SecretKeysConfig"),
        ("const A: &str = \"process\";", "\"process\""),
        ("const A: &str = \"marks.a.kgw.delta\";", "\"marks.a.kgw.delta\""),
        ("const A: &str = r#\"say \"kgw\"\"#;", "r#\"say \"kgw\"\"#"),
        ("const A: &str = \"one\\nkgw\";", "\"one\\nkgw\""),
        ("type P = marks::ProcessConfig;", "ProcessConfig"),
    ] {
        assert_eq!(found(&[("a.rs", source)]), [format!("a.rs: {token}")]);
    }
    for source in [
        "// kgw\n/// `KgwConfig`\n/* secret_keys */ fn f() {}",
        "fn process(kgw_like: u8) -> &'static str { \"a process of secret keys\" }",
        "#[cfg(test)]\nmod tests { const A: &str = \"kgw\"; }",
    ] {
        assert!(found(&[("a.rs", source)]).is_empty(), "{source}");
    }
    // test code in a file of its own, wherever its module is declared
    let test = "const A: &str = \"kgw\";";
    for (parent, child) in [("a.rs", "a/tests.rs"), ("lib.rs", "tests.rs"), ("a/mod.rs", "a/tests/mod.rs")] {
        assert!(found(&[(child, test), (parent, "#[cfg(test)]\nmod tests;")]).is_empty());
        assert_eq!(found(&[(child, test), (parent, "mod tests;")]).len(), 1);
    }
}
