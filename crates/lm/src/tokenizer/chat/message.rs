//! What is said in a conversation.

use serde::Serialize;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatMessage {
    /// Who speaks, as the template names it: `system`, `user`, `assistant`. The caller's word, not the speaker's: some
    /// templates make special tokens of it.
    pub role: String,
    /// What is said; never read as special tokens.
    pub content: String,
}

impl ChatMessage {
    /// A question to the model.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".into(), content: content.into() }
    }
}
