//! Reading an experiment file: its form first, then what its values say together.

use std::path::Path;
use std::sync::Arc;

use crate::config_error::{ConfigErrors, in_order};
use crate::document::Node;
use crate::experiment::{Experiment, validate};
use crate::loaded::{Loaded, Source};
use crate::{nowhere, shape, stand_ins};

/// Reads an experiment from text, overrides and validates it, its grid left aside (see [`crate::grid`]); `file` is named in
/// messages and roots relative paths.
///
/// # Errors
/// Everything that is wrong with it, as far as the text alone shows.
pub fn experiment_from_text(file: &Path, text: &str, sets: &[String]) -> Result<Loaded<Experiment>, ConfigErrors> {
    let Source { file, text, root } = Source::parse(file, text, sets)?;
    checked(&file, &text, root, schemars::schema_for!(Experiment).as_value())
}

/// `root` as an experiment; `file` and `text` are what it came from.
///
/// # Errors
/// Everything that is wrong with it: its form, what its values say together, and files that are not there. Where the form is wrong, the rest
/// is looked at as if it were right.
pub(crate) fn checked(
    file: &Path,
    text: &Arc<str>,
    root: Node,
    schema: &serde_json::Value,
) -> Result<Loaded<Experiment>, ConfigErrors> {
    let mut problems = shape::problems(&root, schema);
    if problems.is_empty() {
        let loaded = Loaded::of(file, text, root, schema)?;
        problems.extend(validate(&loaded));
        if problems.is_empty() {
            return Ok(loaded);
        }
        problems.extend(nowhere::problems(&loaded, &problems));
    } else {
        problems.extend(stand_ins::beside(file, text, &root, &problems, schema));
    }
    Err(ConfigErrors { file: file.to_path_buf(), text: text.to_string(), problems: in_order(problems) })
}

#[cfg(test)]
mod tests {
    use crate::document::steps;
    use crate::loaded::project_root;

    use super::*;
    use crate::experiment::CorpusConfig;

    #[test]
    fn paths_in_a_file_start_beside_the_experiments_folder() {
        let root = |file: &str| project_root(Path::new(file)).display().to_string();
        assert_eq!(root("/a/experiments/x.toml"), "/a");
        assert_eq!(root("/a/experiments/ci/x.toml"), "/a");
        assert_eq!(root("/a/b/x.toml"), "/a/b");
        assert_eq!(root("experiments/x.toml"), "");
        assert_eq!(root("../main/experiments/ci/x.toml"), "../main");
        assert_eq!(root("x.toml"), "");
    }

    #[test]
    fn paths_on_the_command_line_start_where_it_is_typed() {
        let text = include_str!("experiment/tests/valid.toml");
        let key = steps("corpus.grammar").unwrap();
        let path = |sets: &[String]| {
            let loaded = experiment_from_text(Path::new("/a/experiments/x.toml"), text, sets).unwrap();
            let CorpusConfig::Grammar(typed) = &loaded.value.corpus else { panic!("not a grammar") };
            loaded.path(&key, typed).display().to_string()
        };
        assert_eq!(path(&[]), "/a/datasets/quickstart.toml");
        assert_eq!(path(&["corpus.grammar=d/x.toml".into()]), "d/x.toml");
        assert_eq!(path(&["corpus.grammar=/d/x.toml".into()]), "/d/x.toml");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let read = |path: &Path| Loaded::<Experiment>::read(path, &[]).unwrap_err().to_string();
        let message = read(Path::new("no/such.toml"));
        assert_eq!(message, "no/such.toml: no such file; check the path");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        std::fs::write(&path, b"name = \"\xff\"").unwrap();
        assert!(read(&path).contains("not UTF-8 text"));
    }
}
