//! A model's chat template, rendered.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tokenizers::{AddedToken, AddedVocabulary, Tokenizer as Inner};

use super::jinja::{Template, Told};
use super::{ChatMessage, strftime};
use crate::directory::{CHAT_JINJA, CHAT_JSON, SETTINGS};

/// What a template is told beside the messages.
#[derive(Debug, Clone, Default)]
pub struct ChatOptions {
    /// Whether the text ends where the model's answer begins.
    pub add_generation_prompt: bool,
    /// What `strftime_now` shows, in UTC. A template is told of no such function without it, and has a date of its own then.
    pub now: Option<SystemTime>,
    /// Further variables of the template, by name.
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// Why a conversation could not be put to a model. One line each.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The model has no chat template.
    #[error("this model has no chat template (chat_template.jinja, or `chat_template` in tokenizer_config.json)")]
    NoTemplate,
    /// The template itself is broken, or uses what this program does not know.
    #[error("the chat template cannot be used: {0}")]
    Template(String),
    /// The template shows the date, and it was told none.
    #[error("the chat template shows the date (`strftime_now`), and none is stated")]
    NeedsDate,
    /// The template says that these messages are no conversation it knows.
    #[error("the chat template refuses these messages: {0}")]
    Refused(String),
}

/// A model's chat template. It is read when it is first used: a model can be used without its template, whatever that is.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    /// Ready to render, or why it is not.
    read: Arc<OnceLock<Result<Template, String>>>,
}

impl ChatTemplate {
    /// A template from its Jinja source. What is wrong with it shows when it is rendered.
    pub fn new(source: &str) -> Self {
        Self { source: source.into(), read: Arc::default() }
    }

    /// The template among the files of a model directory: `chat_template.jinja`, else `chat_template.json`, else
    /// `tokenizer_config.json`; of several named ones that called `default`, else the first.
    pub(in crate::tokenizer) fn find(files: &BTreeMap<&'static str, String>) -> Option<Self> {
        if let Some(source) = files.get(CHAT_JINJA) {
            return Some(Self::new(source));
        }
        let json = |name: &str| serde_json::from_str::<serde_json::Value>(files.get(name)?).ok();
        [CHAT_JSON, SETTINGS].iter().find_map(|name| {
            let value = json(name)?.get_mut("chat_template")?.take();
            let named = value.as_array().map(|all| all.iter().find(|t| t["name"] == "default").or_else(|| all.first()));
            let source = named.map_or(Some(&value), |first| first.map(|template| &template["template"]))?;
            Some(Self::new(source.as_str()?))
        })
    }

    /// The Jinja source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation. `tokens` are the texts of special tokens by the names templates know (`bos_token` ...).
    ///
    /// # Errors
    /// When the template is broken, asks for what is not there, or refuses the messages.
    pub fn render(
        &self,
        messages: &[ChatMessage],
        tokens: &BTreeMap<String, String>,
        options: &ChatOptions,
    ) -> Result<String, ChatError> {
        let template = self.read.get_or_init(|| Template::parse(&self.source).map_err(|error| error.to_string()));
        let template = template.as_ref().map_err(|why| ChatError::Template(why.clone()))?;
        let json = |name: &str, value: serde_json::Value| (name.to_string(), Told::Json(value));
        let mut told: BTreeMap<String, Told> = tokens.iter().map(|(name, text)| json(name, text.as_str().into())).collect();
        // transformers defines these, and templates ask whether they are none
        told.extend([json("tools", serde_json::Value::Null), json("documents", serde_json::Value::Null)]);
        let message = |message: &ChatMessage| vec![("role", message.role.clone()), ("content", message.content.clone())];
        told.insert("messages".into(), Told::Records(messages.iter().map(message).collect()));
        told.extend([json("add_generation_prompt", options.add_generation_prompt.into())]);
        told.extend(options.extra.iter().map(|(name, value)| json(name, value.clone())));
        let told: Vec<(String, Told)> = told.into_iter().collect();
        let clock = options.now.map(|now| move |format: &str| strftime::strftime(now, format));
        let rendered = template.render(&told, clock.as_ref().map(|clock| clock as _));
        rendered.map_err(|error| match error {
            error if error.raised => ChatError::Refused(error.what.split_whitespace().collect::<Vec<_>>().join(" ")),
            error if options.now.is_none() && error.what == "'strftime_now' is undefined" => ChatError::NeedsDate,
            error => ChatError::Template(error.to_string()),
        })
    }
}

/// What finds the special tokens that a template writes.
pub(in crate::tokenizer) fn vocabulary(inner: &Inner) -> tokenizers::Result<AddedVocabulary> {
    let mut vocabulary = inner.get_added_vocabulary().clone();
    vocabulary.set_encode_special_tokens(false);
    // found as written, before any normalizer, as transformers has it
    let decoder = vocabulary.get_added_tokens_decoder().clone();
    let special = decoder.into_values().filter(|token| token.special && token.normalized);
    let special: Vec<AddedToken> = special.map(|token| AddedToken { normalized: false, ..token }).collect();
    vocabulary.add_special_tokens(special, inner.get_model(), inner.get_normalizer())?;
    Ok(vocabulary)
}
