//! Reading an experiment file: parse, override, compare with the schema, deserialise, validate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config_error::{ConfigErrors, Place, Problem};
use crate::document::{Node, Step, Tree, dotted, steps};
use crate::experiment::moved;
use crate::{set, shape};

/// A typed file together with what is needed to point into it.
#[derive(Debug)]
pub struct Loaded<T> {
    /// What was typed.
    pub value: T,
    /// The file, as the user named it.
    pub file: PathBuf,
    text: Arc<str>,
    root: Node,
    base: Option<PathBuf>,
}

impl<T: DeserializeOwned + JsonSchema> Loaded<T> {
    /// Reads `file` with `sets` (`key=value`) applied.
    ///
    /// # Errors
    /// Everything that is wrong with the file's form.
    pub fn read(file: &Path, sets: &[String]) -> Result<Self, ConfigErrors> {
        Self::typed(Source::read(file, sets)?)
    }

    /// As [`Loaded::read`], from text that is already here; `file` is only named in messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text's form.
    pub fn parse(file: &Path, text: &str, sets: &[String]) -> Result<Self, ConfigErrors> {
        Self::typed(Source::parse(file, text, sets)?)
    }

    fn typed(source: Source) -> Result<Self, ConfigErrors> {
        let Source { file, text, root } = source;
        Self::of(&file, &text, root, schemars::schema_for!(T).as_value())
    }

    /// `root` as the type whose schema is `schema`; `file` and `text` are what it came from.
    ///
    /// # Errors
    /// Everything that is wrong with its form.
    pub(crate) fn of(file: &Path, text: &Arc<str>, root: Node, schema: &serde_json::Value) -> Result<Self, ConfigErrors> {
        let problems = shape::problems(&root, schema);
        if !problems.is_empty() {
            return Err(ConfigErrors { file: file.to_path_buf(), text: text.to_string(), problems });
        }
        match T::deserialize(root.to_value()) {
            Ok(value) => Ok(Self { value, file: file.to_path_buf(), text: text.clone(), root, base: None }),
            Err(error) => {
                let what = error.to_string().trim().replace('\n', " ");
                Err(ConfigErrors { text: text.to_string(), ..ConfigErrors::whole(file, what, "") })
            }
        }
    }
}

/// A parsed file, `--set` applied, before anything is known of its keys.
pub(crate) struct Source {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// Its values.
    pub root: Node,
}

impl Source {
    /// Reads `file` with `sets` (`key=value`) applied.
    pub fn read(file: &Path, sets: &[String]) -> Result<Self, ConfigErrors> {
        Self::parse(file, &Self::text(file)?, sets)
    }

    /// The text of `file`.
    pub fn text(file: &Path) -> Result<String, ConfigErrors> {
        if let Some(why) = store::not_a_file(file) {
            return Err(ConfigErrors::whole(file, why, "check the path"));
        }
        std::fs::read_to_string(file).map_err(|error| {
            let (what, remedy) = match error.kind() {
                std::io::ErrorKind::InvalidData => ("not UTF-8 text".to_string(), "save it as UTF-8".to_string()),
                _ => (format!("cannot be read: {error}"), String::new()),
            };
            ConfigErrors::whole(file, what, remedy)
        })
    }

    /// As [`Source::read`], from text that is already here.
    pub fn parse(file: &Path, text: &str, sets: &[String]) -> Result<Self, ConfigErrors> {
        // a byte-order mark, which some editors put at the start
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut source = Self { file: file.to_path_buf(), text: text.into(), root: Node::parse(file, text)? };
        let mut problems: Vec<Problem> =
            sets.iter().filter_map(|argument| set::apply(&mut source.root, argument).err()).collect();
        problems.extend(moved::problems(&source.root));
        if problems.is_empty() { Ok(source) } else { Err(source.errors(problems)) }
    }

    /// These problems as one error about this file.
    pub fn errors(&self, problems: Vec<Problem>) -> ConfigErrors {
        ConfigErrors { file: self.file.clone(), text: self.text.to_string(), problems }
    }
}

impl<T> Loaded<T> {
    /// A problem with the value at `path`, pointing to where it was written.
    pub fn problem(&self, path: &[Step], what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem {
            key: dotted(path),
            value: self.root.get(path).map(Node::to_line),
            what: what.into(),
            remedy: remedy.into(),
            place: self.root.place_of(path),
        }
    }

    /// As [`Loaded::problem`], with the key as it is written: `distill[0].surface`.
    pub fn problem_with(&self, key: &str, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        self.problem(&steps(key).unwrap_or_default(), what, remedy)
    }

    /// These problems as one error about this file.
    pub fn errors(&self, problems: Vec<Problem>) -> ConfigErrors {
        ConfigErrors { file: self.file.clone(), text: self.text.to_string(), problems }
    }

    /// The value at `path` as it was written.
    pub(crate) fn node(&self, path: &[Step]) -> Option<&Node> {
        self.root.get(path)
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

    /// The same with relative paths that start at `base`, whatever file it was read from.
    #[must_use]
    pub fn with_base(self, base: PathBuf) -> Self {
        Self { base: Some(base), ..self }
    }

    /// Where relative paths in the file start.
    pub fn base(&self) -> PathBuf {
        self.base.clone().unwrap_or_else(|| project_root(&self.file))
    }

    /// A path typed at `key`, made absolute or relative to the current directory.
    ///
    /// A relative path in a file starts at the project root ([`project_root`]), so that an experiment means the same
    /// wherever it is started; one given by `--set` starts at the current directory, as on any command line.
    pub fn path(&self, key: &[Step], typed: &str) -> PathBuf {
        let typed = Path::new(typed);
        if typed.is_absolute() || self.is_from_flag(key) { typed.to_path_buf() } else { self.base().join(typed) }
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
