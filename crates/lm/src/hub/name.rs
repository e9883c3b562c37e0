//! Names of models on the hub.

use std::fmt;
use std::str::FromStr;

/// Longest organisation or model name that the hub allows.
const MAX_PART: usize = 96;

/// What was given is not the name of a model on the hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{typed}\" is not the name of a model on the hub: {why}; write org/name or org/name@revision")]
pub struct NameError {
    /// What was given.
    pub typed: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// `org/name`, with the revision that is meant: a branch, a tag or a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelName {
    repository: String,
    revision: String,
}

impl ModelName {
    /// `org/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Branch, tag or commit; `main` where none was given.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Whether the revision is a commit, the only kind that never moves.
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }

    /// The same model at another revision.
    ///
    /// # Errors
    /// When the revision has a form that the hub does not allow.
    pub fn at(&self, revision: &str) -> Result<Self, NameError> {
        format!("{}@{revision}", self.repository).parse()
    }
}

impl FromStr for ModelName {
    type Err = NameError;

    /// Reads `org/name` or `org/name@revision` under the hub's own rules, which leave nothing that could lead out of a
    /// directory or mean something in a URL.
    fn from_str(typed: &str) -> Result<Self, NameError> {
        let refuse = |why: &'static str| NameError { typed: typed.into(), why };
        let (repository, revision) = typed.split_once('@').unwrap_or((typed, "main"));
        let Some((owner, name)) = repository.split_once('/') else { return Err(refuse("it has no `/`")) };
        if name.contains('/') {
            return Err(refuse("it has more than one `/`"));
        }
        for part in [owner, name] {
            if part.is_empty() || part.len() > MAX_PART {
                return Err(refuse("each side of the `/` has 1 to 96 characters"));
            }
            if !part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                return Err(refuse("names have letters, digits, `-`, `_` and `.` only"));
            }
            if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) || part.contains("..") || part.contains("--") {
                return Err(refuse("a name neither begins nor ends with `-` or `.`, nor doubles them"));
            }
        }
        if name.ends_with(".git") {
            return Err(refuse("a name does not end with `.git`"));
        }
        let segment = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.contains("..")
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
        };
        if revision.len() > 200 || !revision.split('/').all(segment) {
            return Err(refuse("after the `@` comes a branch, a tag or a commit"));
        }
        Ok(Self { repository: repository.into(), revision: revision.into() })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.revision)
    }
}

/// Whether `text` is the full name of a git commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let name: ModelName = "HuggingFaceTB/SmolLM2-135M".parse().unwrap();
        assert_eq!((name.repository(), name.revision(), name.is_pinned()), ("HuggingFaceTB/SmolLM2-135M", "main", false));
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let name: ModelName = format!("a/b_c.d@{commit}").parse().unwrap();
        assert_eq!((name.revision(), name.is_pinned()), (commit, true));
        assert_eq!(name.to_string(), format!("a/b_c.d@{commit}"));
        assert_eq!("a/b@refs/pr/1".parse::<ModelName>().unwrap().revision(), "refs/pr/1");
        assert_eq!(name.at("v1.0").unwrap().to_string(), "a/b_c.d@v1.0");
    }

    #[test]
    fn what_could_lead_astray_is_refused() {
        let long = format!("{}/b", "a".repeat(97));
        let bad = [
            "",
            "/",
            "a",
            "a/",
            "/b",
            "a/b/c",
            "../b",
            "a/..",
            "./b",
            "a/.b",
            "a/b.",
            "-a/b",
            "a--b/c",
            "a/b..c",
            "a/b.git",
            "a b/c",
            "a/b?c",
            "a/b%2f",
            "a\\b/c",
            "ä/b",
            "a/b@",
            "a/b@..",
            "a/b@../x",
            "a/b@x/../y",
            "a/b@/x",
            "a/b@x/",
            "a/b@x//y",
            "a/b@x y",
            "a/b@.x",
            "a/b@x@y",
            &long,
        ];
        for typed in bad {
            assert!(matches!(typed.parse::<ModelName>(), Err(NameError { .. })), "{typed}");
        }
    }
}
