/// What is wrong with a grammar, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` = {value}: {mend}")]
pub struct SpecError {
    /// Where in the spec, as in `kinds[2].parts[0][1]`.
    pub key: String,
    /// The offending value.
    pub value: String,
    /// What to do about it.
    pub mend: String,
}

impl SpecError {
    pub(super) fn new(key: impl Into<String>, value: impl std::fmt::Display, mend: impl Into<String>) -> SpecError {
        SpecError { key: key.into(), value: value.to_string(), mend: mend.into() }
    }
}
