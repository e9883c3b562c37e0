//! A crate uses only crates of a strictly lower floor (`crates/README.md`).

use std::collections::BTreeMap;

use crate::support::root;

/// Floors from the ground up. A new crate is put here and on the map.
const FLOORS: [&[&str]; 5] =
    [&["oracle", "stats", "kernels", "corpus", "store"], &["marks", "lm", "results"], &["distill"], &["harness"], &["cli"]];

fn floors() -> BTreeMap<&'static str, usize> {
    FLOORS.iter().enumerate().flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor))).collect()
}

/// Names of all dependencies a manifest states, of whatever section.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

#[test]
fn crates_depend_on_lower_floors_only() {
    let floors = floors();
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let name = folder.file_name().unwrap().to_str().unwrap().to_string();
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some(name.as_str()), "folder name = crate name");
        let floor = *floors.get(name.as_str()).unwrap_or_else(|| panic!("crate `{name}` has no floor in tests/floors.rs"));
        for dependency in dependencies(&manifest) {
            if let Some(below) = floors.get(dependency.as_str()) {
                assert!(*below < floor, "`{name}` (floor {floor}) may not use `{dependency}` (floor {below})");
            }
        }
        seen.push(name);
    }
    assert_eq!(seen.len(), floors.len(), "every crate on the map exists: {seen:?}");
}

#[test]
fn marks_and_models_never_meet() {
    for (one, other) in [("marks", "lm"), ("lm", "marks")] {
        let text = std::fs::read_to_string(root().join("crates").join(one).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        assert!(!dependencies(&manifest).iter().any(|name| name == other), "`{one}` uses `{other}`");
    }
}
