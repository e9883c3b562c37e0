//! A model's chat template, rendered.

use std::collections::BTreeMap;
use std::time::SystemTime;

use minijinja::{Environment, ErrorKind, Value};
use tokenizers::{AddedToken, AddedVocabulary, Tokenizer as Inner};

use super::{ChatMessage, jinja, strftime};
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
    /// The template says that these messages are no conversation it knows.
    #[error("the chat template refuses these messages: {0}")]
    Refused(String),
}

/// A model's chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    /// Ready to render, or why it is not: a model can be used without its template.
    environment: Result<Environment<'static>, String>,
}

/// Name of the template in its environment.
const NAME: &str = "chat_template";

impl ChatTemplate {
    /// A template from its Jinja source. What is wrong with it shows when it is rendered.
    pub fn new(source: &str) -> Self {
        Self { source: source.into(), environment: jinja::environment(NAME, source).map_err(|error| jinja::one_line(&error)) }
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
        let environment = self.environment.as_ref().map_err(|why| ChatError::Template(why.clone()))?;
        let template = environment.get_template(NAME).map_err(|error| ChatError::Template(jinja::one_line(&error)))?;
        let mut context: BTreeMap<String, Value> = BTreeMap::new();
        for (name, text) in tokens {
            context.insert(name.clone(), Value::from(text));
        }
        // transformers defines these, and templates ask whether they are none
        context.insert("tools".into(), Value::from(()));
        context.insert("documents".into(), Value::from(()));
        context.insert("messages".into(), Value::from_serialize(messages));
        context.insert("add_generation_prompt".into(), Value::from(options.add_generation_prompt));
        if let Some(now) = options.now {
            context.insert("strftime_now".into(), Value::from_function(move |format: &str| strftime::strftime(now, format)));
        }
        for (name, value) in &options.extra {
            context.insert(name.clone(), Value::from_serialize(value));
        }
        template.render(context).map_err(|error| match jinja::refusal(&error) {
            Some(why) => ChatError::Refused(why),
            None if error.kind() == ErrorKind::OutOfFuel => ChatError::Template("it does not come to an end".into()),
            None => ChatError::Template(jinja::one_line(&error)),
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
