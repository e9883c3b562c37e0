//! Where what an experiment was made from lies: no part of what it is, and what it takes to run it again.
//!
//! `places.json` in a results directory keeps the places of every point, relative to that directory where they have a folder in common, so
//! that a repository may be moved as a whole. The secret is in no results: only where it was read from is.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use corpus::GrammarSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The file of a results directory that holds them: a list, one entry for each point.
pub const PLACES: &str = "places.json";

/// Where the owner's secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretPlace {
    /// A file of its own.
    File(PathBuf),
    /// The key `owner.secret` of an experiment file.
    TypedIn(PathBuf),
    /// A flag.
    Flag,
}

/// Where everything lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// Where relative paths of the experiment file start, and where programs run.
    pub root: PathBuf,
    /// Where the secret comes from.
    pub secret: SecretPlace,
    /// Salt of its commitment, which is public; absent where it is the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// By key of the experiment file: a file, a model directory, or `org/name@commit`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, PathBuf>,
}

impl Places {
    /// The same, with every path changed by `change`; names on the hub stay.
    #[must_use]
    pub fn map(&self, change: impl Fn(&Path) -> PathBuf) -> Self {
        let secret = match &self.secret {
            SecretPlace::File(path) => SecretPlace::File(change(path)),
            SecretPlace::TypedIn(path) => SecretPlace::TypedIn(change(path)),
            SecretPlace::Flag => SecretPlace::Flag,
        };
        let named =
            |path: &Path| path.to_str().is_some_and(|name| name.contains('@') && name.parse::<lm::hub::ModelName>().is_ok());
        let file = |(key, path): (&String, &PathBuf)| (key.clone(), if named(path) { path.clone() } else { change(path) });
        Self { root: change(&self.root), secret, salt: self.salt.clone(), files: self.files.iter().map(file).collect() }
    }

    /// As they are written into `directory`.
    #[must_use]
    pub fn seen_from(&self, directory: &Path) -> Self {
        self.map(|path| relative(directory, path))
    }

    /// As they are read in `directory`: relative ones start there.
    #[must_use]
    pub fn read_in(&self, directory: &Path) -> Self {
        self.map(|path| whole(&directory.join(path)))
    }
}

/// What a resolved experiment says beside the keys of its document.
#[derive(Debug, Clone)]
pub struct Written {
    /// Where its files were.
    pub places: Places,
    /// Its dataset spec, under the path that its document names it by.
    pub spec: Option<(PathBuf, GrammarSpec)>,
    /// Everything that decided its results, as it was written.
    pub world: Value,
    /// Keys that flags have changed since.
    pub changed: Vec<String>,
}

/// `path` without links where it exists, else made absolute.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf())
}

/// `path` as seen from `directory`; as it is where they have no folder in common but the root.
fn relative(directory: &Path, path: &Path) -> PathBuf {
    let (from, to) = (whole(directory), whole(path));
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let folders = from.components().take(common).filter(|part| matches!(part, Component::Normal(_))).count();
    if folders == 0 {
        return to;
    }
    let up = std::iter::repeat_n(Component::ParentDir, from.components().count() - common);
    let seen: PathBuf = up.chain(to.components().skip(common)).collect();
    if seen.as_os_str().is_empty() { PathBuf::from(".") } else { seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_from_a_directory_and_found_again() {
        let seen = |from: &str, to: &str| relative(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(seen("/no/a/results/x/1", "/no/a/experiments/x.toml"), "../../../experiments/x.toml");
        assert_eq!(seen("/no/a/results", "/no/a"), "..");
        assert_eq!(seen("/no/a", "/no/a"), ".");
        assert_eq!(seen("/no/a/results", "/data/models"), "/data/models", "nothing in common");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b.txt");
        let files = BTreeMap::from([("corpus.file.path".into(), file), ("teacher.model".into(), "org/name@v1".into())]);
        let places = Places { root: dir.path().into(), secret: SecretPlace::Flag, salt: None, files };
        let written = places.seen_from(&dir.path().join("r/s"));
        assert_eq!(written.files["corpus.file.path"], Path::new("../../a/b.txt"));
        assert_eq!(written.files["teacher.model"], Path::new("org/name@v1"), "a name is no path");
        let read = written.read_in(&dir.path().canonicalize().unwrap().join("r/s"));
        assert!(read.files["corpus.file.path"].ends_with("a/b.txt"), "{read:?}");
    }
}
