//! The JSON Schema of the experiment file, which editors (taplo, Even Better TOML) read through the file's first line.

use crate::experiment::Experiment;

/// The schema, indented, with a final line end.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Experiment);
    schema.insert("title".into(), "Birthmark experiment".into());
    let mut text = format!("{:#}", schema.as_value());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn experiments() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments")
    }

    /// Rewritten by `UPDATE_EXPECT=1 cargo test`.
    #[test]
    fn the_committed_schema_is_the_current_one() {
        let path = experiments().join("experiment.schema.json");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, schema()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == schema(),
            "experiments/experiment.schema.json is out of date: UPDATE_EXPECT=1 cargo test -p harness"
        );
    }

    #[test]
    fn every_experiment_names_the_schema_states_its_cost_and_is_valid() {
        let mut folders = vec![experiments()];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "toml") {
                    seen += 1;
                    let text = std::fs::read_to_string(&path).unwrap();
                    let schema = text.lines().next().and_then(|line| line.strip_prefix("#:schema ")).unwrap_or("none");
                    let named = path.parent().unwrap().join(schema);
                    assert!(named.is_file(), "{}: no schema at {}", path.display(), named.display());
                    assert!(text.lines().any(|line| line.starts_with("# Cost")), "{}: no cost in its header", path.display());
                    if let Err(errors) = crate::load::experiment(&path, &[]) {
                        panic!("{errors}");
                    }
                }
            }
        }
        assert!(seen >= 3);
    }
}
