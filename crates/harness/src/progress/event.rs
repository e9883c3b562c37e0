//! Progress for programs: one JSON object a line on standard error.

use serde::Serialize;

/// Version of the lines: raised when a field changes its meaning, its name or its unit.
pub const SCHEMA: u32 = 1;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A stage begins.
    Begin,
    /// A stage is under way: once a second at most.
    Progress,
    /// A stage is over.
    End,
    /// How far the whole run is: after each of its steps.
    Run,
    /// Something is said.
    Note,
    /// The command failed: the last line.
    Error,
}

/// One line; absent fields are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event<'a> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What happened.
    pub event: What,
    /// Seconds since the command began to show progress.
    pub at_seconds: f64,
    /// Name of the stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'a str>,
    /// What it counts ("tokens").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'a str>,
    /// How much there is of it; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// How much is done, what an earlier process did included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Seconds that the stage has taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Seconds that are left of it, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_seconds: Option<f64>,
    /// What came of a stage, what is said, or what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    /// Share of the whole run that is done, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_done: Option<f64>,
    /// Seconds that are left of it, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_left_seconds: Option<f64>,
    /// Of an error: the exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}

impl Event<'_> {
    /// `event`, `at_seconds` after the beginning, and nothing else.
    pub fn new(event: What, at_seconds: f64) -> Self {
        let (stage, unit, total, done, seconds, left_seconds) = (None, None, None, None, None, None);
        let (text, run_done, run_left_seconds, exit_code) = (None, None, None, None);
        Self {
            schema: SCHEMA,
            event,
            at_seconds: millis(at_seconds),
            stage,
            unit,
            total,
            done,
            seconds,
            left_seconds,
            text,
            run_done,
            run_left_seconds,
            exit_code,
        }
    }

    /// As one line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Seconds to the millisecond: more is noise.
pub fn millis(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// The line of an error that ended the command.
pub fn error_line(text: &str, exit_code: u8, at_seconds: f64) -> String {
    Event { text: Some(text), exit_code: Some(exit_code), ..Event::new(What::Error, at_seconds) }.line()
}
