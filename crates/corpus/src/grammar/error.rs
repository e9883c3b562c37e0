/// What is wrong with a grammar, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` = {value}: {remedy}")]
pub struct SpecError {
    /// Where in the spec, as in `kinds[2].parts[0][1]`.
    pub key: String,
    /// The wrong value.
    pub value: String,
    /// What to do about it.
    pub remedy: String,
}

impl SpecError {
    pub(super) fn new(key: impl Into<String>, value: impl std::fmt::Display, remedy: impl Into<String>) -> SpecError {
        SpecError { key: key.into(), value: value.to_string(), remedy: remedy.into() }
    }
}
