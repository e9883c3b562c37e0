//! Chat templates: how a conversation is put to a model that was tuned on conversations.
//!
//! A template is Jinja as transformers sets it up (`apply_chat_template`): see [`jinja`]. What a template writes may
//! be special tokens, what a message says never is: see [`shield`].

mod encode;
mod jinja;
mod message;
mod shield;
mod strftime;
mod template;

pub use message::ChatMessage;
pub(super) use template::vocabulary;
pub use template::{ChatError, ChatOptions, ChatTemplate};
