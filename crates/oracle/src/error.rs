/// Why an oracle did not answer.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// The surface does not show what was asked for.
    #[error("a `{surface}` oracle shows no {asked}; serve a surface that does (for example `{instead}`)")]
    NotShown {
        /// Name of the surface asked.
        surface: String,
        /// What was asked for, in words.
        asked: &'static str,
        /// A surface that would show it.
        instead: &'static str,
    },
    /// The work was stopped from outside (a signal); what was finished before is kept.
    #[error("stopped before it was finished")]
    Cancelled,
    /// What changes the model's law, and was given from outside, did not do its work.
    #[error("{0}")]
    Processor(String),
    /// The model behind the oracle failed.
    #[error("{0}")]
    Model(String),
}
