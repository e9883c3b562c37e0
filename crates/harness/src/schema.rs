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

    fn experiments() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments")
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
                    let place = experiments().canonicalize().unwrap();
                    assert_eq!(named.parent().unwrap().canonicalize().unwrap(), place, "{}", path.display());
                    assert!(named.ends_with("experiment.schema.json"), "{} names {}", path.display(), named.display());
                    assert!(text.lines().any(|line| line.starts_with("# Cost")), "{}: no cost in its header", path.display());
                    if let Err(errors) = crate::grid::read(&path, &[]) {
                        panic!("{errors}");
                    }
                }
            }
        }
        assert!(seen >= 3);
    }
}
