use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::MarkError;

/// Starts outside programs. This crate does no input or output: whoever builds marks brings one.
pub trait Launcher: Send + Sync {
    /// Starts `command`, a program and its arguments, which has `timeout` for each answer.
    ///
    /// # Errors
    /// [`MarkError::Program`] when it cannot be started.
    fn launch(&self, command: &[String], timeout: Duration) -> Result<Arc<dyn Program>, MarkError>;
}

/// A running program: one conversation, one request at a time. It ends when this is dropped.
pub trait Program: Send + Sync {
    /// Names the content of the program, so that an edited one is another.
    fn identity(&self) -> String;

    /// Sends one JSON object and waits for the next one that comes back.
    ///
    /// # Errors
    /// [`MarkError::Program`] when none comes back in time, [`MarkError::Oracle`] when the work was stopped from outside.
    fn ask(&self, request: &Value) -> Result<Value, MarkError>;

    /// The error that it did `what` (a verb and more, in a few words), and what to do instead. Names mark and command.
    fn refusal(&self, what: &str, instead: &str) -> MarkError;
}

/// Numbered requests to a program, each of which has its answer.
pub struct Conversation {
    program: Arc<dyn Program>,
    next: AtomicU64,
}

/// Most characters of an answer that an error shows.
const SHOWN: usize = 60;

impl Conversation {
    /// A conversation that begins.
    pub fn new(program: Arc<dyn Program>) -> Self {
        Self { program, next: AtomicU64::new(0) }
    }

    /// Names the content of the program.
    pub fn identity(&self) -> String {
        self.program.identity()
    }

    /// What the program says to the request called `ask`, whose other fields are in `fields`.
    ///
    /// # Errors
    /// When it says nothing, answers another request, or says that it cannot.
    pub fn ask(&self, ask: &str, fields: Value) -> Result<Value, MarkError> {
        let mut request = fields;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        request["id"] = json!(id);
        request["ask"] = json!(ask);
        let answer = self.program.ask(&request)?;
        if answer.get("id") != Some(&json!(id)) {
            let what = format!("answered {} to request {id} (`{ask}`)", shown(&answer));
            return Err(self.refusal(&what, &format!("answer each request once, with its own \"id\": {id}")));
        }
        match answer.get("error") {
            Some(error) => Err(self.refusal(&format!("said to `{ask}`: {}", shown(error)), "put that right in the program")),
            None => Ok(answer),
        }
    }

    /// `what` the program did, and what it should do instead.
    pub fn refusal(&self, what: &str, instead: &str) -> MarkError {
        self.program.refusal(what, instead)
    }
}

/// A JSON value, shortened for people.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    format!("{}…", text.chars().take(SHOWN).collect::<String>())
}
