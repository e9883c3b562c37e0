//! Reading an experiment file: parse, override, compare with the schema, deserialise, validate.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config_error::{ConfigErrors, Place, Problem};
use crate::document::{Node, Step, Tree, dotted, steps};
use crate::experiment::{Experiment, validate};
use crate::{set, shape};

/// A typed file together with what is needed to point into it.
#[derive(Debug)]
pub struct Loaded<T> {
    /// What was typed.
    pub value: T,
    /// The file, as the user named it.
    pub file: PathBuf,
    text: String,
    root: Node,
}

impl<T: DeserializeOwned + JsonSchema> Loaded<T> {
    /// Reads `file` with `sets` (`key=value`) applied.
    ///
    /// # Errors
    /// Everything that is wrong with the file's form.
    pub fn read(file: &Path, sets: &[String]) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let (what, mend) = match error.kind() {
                std::io::ErrorKind::NotFound => ("no such file".to_string(), "check the path".to_string()),
                std::io::ErrorKind::InvalidData => ("not UTF-8 text".to_string(), "save it as UTF-8".to_string()),
                _ => (format!("cannot be read: {error}"), String::new()),
            };
            ConfigErrors::whole(file, what, mend)
        })?;
        Self::parse(file, text, sets)
    }

    /// As [`Loaded::read`], from text that is already here; `file` is only named in messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text's form.
    pub fn parse(file: &Path, text: String, sets: &[String]) -> Result<Self, ConfigErrors> {
        let mut root = Node::parse(file, &text)?;
        let mut problems: Vec<Problem> = sets.iter().filter_map(|argument| set::apply(&mut root, argument).err()).collect();
        if problems.is_empty() {
            problems = shape::problems(&root, schemars::schema_for!(T).as_value());
        }
        if !problems.is_empty() {
            return Err(ConfigErrors { file: file.to_path_buf(), text, problems });
        }
        match T::deserialize(root.to_value()) {
            Ok(value) => Ok(Self { value, file: file.to_path_buf(), text, root }),
            Err(error) => {
                let what = error.to_string().trim().replace('\n', " ");
                Err(ConfigErrors { text, ..ConfigErrors::whole(file, what, "") })
            }
        }
    }
}

impl<T> Loaded<T> {
    /// A problem with the value at `path`, pointing to where it was written.
    pub fn problem(&self, path: &[Step], what: impl Into<String>, mend: impl Into<String>) -> Problem {
        Problem {
            key: dotted(path),
            value: self.root.get(path).map(Node::to_line),
            what: what.into(),
            mend: mend.into(),
            place: self.root.place_of(path),
        }
    }

    /// As [`Loaded::problem`], with the key as it is written: `distill[0].surface`.
    pub fn problem_with(&self, key: &str, what: impl Into<String>, mend: impl Into<String>) -> Problem {
        self.problem(&steps(key).unwrap_or_default(), what, mend)
    }

    /// These problems as one error about this file.
    pub fn errors(&self, problems: Vec<Problem>) -> ConfigErrors {
        ConfigErrors { file: self.file.clone(), text: self.text.clone(), problems }
    }

    /// Whether the value at `path` came from a `--set` flag.
    pub fn is_from_flag(&self, path: &[Step]) -> bool {
        self.root.get(path).is_some_and(|node| matches!(node.place, Place::Flag(_)))
    }

    /// The only key of the table at `key`, where it has just one: the name of the variant chosen there.
    pub fn inner_table(&self, key: &str) -> Option<String> {
        match &self.root.get(&steps(key)?)?.tree {
            Tree::Table(entries) if entries.len() == 1 => Some(entries[0].key.clone()),
            _ => None,
        }
    }

    /// A path typed at `key`, made absolute or relative to the current directory.
    ///
    /// A relative path in a file starts at the project root ([`project_root`]), so that an experiment means the same
    /// wherever it is started; one given by `--set` starts at the current directory, as on any command line.
    pub fn path(&self, key: &[Step], typed: &str) -> PathBuf {
        let typed = Path::new(typed);
        if typed.is_absolute() || self.is_from_flag(key) { typed.to_path_buf() } else { project_root(&self.file).join(typed) }
    }
}

/// Where the relative paths in `file` start: the folder that holds the nearest enclosing `experiments` folder, or the
/// file's own folder where there is none.
pub fn project_root(file: &Path) -> PathBuf {
    let own = file.parent().unwrap_or(Path::new(""));
    let absolute = std::path::absolute(own).unwrap_or_else(|_| own.to_path_buf());
    // levels above the file's own folder, so that a relative file name gives a relative (short) root
    for (levels, folder) in absolute.ancestors().enumerate() {
        if folder.file_name().is_some_and(|name| name == "experiments") {
            let mut root = own.to_path_buf();
            for _ in 0..=levels {
                if !root.pop() {
                    return folder.parent().unwrap_or(folder).to_path_buf();
                }
            }
            return root;
        }
    }
    own.to_path_buf()
}

/// Reads, overrides and validates an experiment file.
///
/// # Errors
/// Everything that is wrong with it, as far as the file alone shows.
pub fn experiment(file: &Path, sets: &[String]) -> Result<Loaded<Experiment>, ConfigErrors> {
    checked(Loaded::read(file, sets)?)
}

/// As [`experiment`], from text; `file` is named in messages and roots relative paths.
///
/// # Errors
/// Everything that is wrong with it, as far as the text alone shows.
pub fn experiment_from_text(file: &Path, text: &str, sets: &[String]) -> Result<Loaded<Experiment>, ConfigErrors> {
    checked(Loaded::parse(file, text.to_string(), sets)?)
}

fn checked(loaded: Loaded<Experiment>) -> Result<Loaded<Experiment>, ConfigErrors> {
    let problems = validate(&loaded);
    if problems.is_empty() { Ok(loaded) } else { Err(loaded.errors(problems)) }
}

#[cfg(test)]
mod tests {
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
        let message = experiment(Path::new("no/such.toml"), &[]).unwrap_err().to_string();
        assert_eq!(message, "no/such.toml: no such file; check the path");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        std::fs::write(&path, b"name = \"\xff\"").unwrap();
        assert!(experiment(&path, &[]).unwrap_err().to_string().contains("not UTF-8 text"));
    }
}
