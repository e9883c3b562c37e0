//! A conversation as a tokenizer puts it to its model.

use oracle::TokenId;

use super::shield::Shield;
use super::{ChatError, ChatMessage, ChatOptions};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::offsets::Pieces;

impl Tokenizer {
    /// The text of a conversation as the model's template puts it.
    ///
    /// # Errors
    /// When there is no template, and as [`ChatTemplate::render`].
    pub fn render_chat(&self, messages: &[ChatMessage], options: &ChatOptions) -> Result<String, ChatError> {
        self.chat.as_ref().ok_or(ChatError::NoTemplate)?.render(messages, &self.roles.texts, options)
    }

    /// The tokens of a conversation: all that the model sees, a beginning token only if the template writes one.
    ///
    /// Special tokens in the template's own text become their ids; whatever a message's content says is ordinary text.
    ///
    /// # Errors
    /// When there is no template, as [`ChatTemplate::render`], and when the template writes a token that the model has no row for.
    pub fn encode_chat(&self, messages: &[ChatMessage], options: &ChatOptions) -> Result<Vec<TokenId>, ChatError> {
        let (Some(chat), Some(vocabulary)) = (&self.chat, &self.chat_vocabulary) else { return Err(ChatError::NoTemplate) };
        let special = self.roles.special_ids.iter().filter_map(|id| self.inner.id_to_token(*id));
        let (messages, shield) = Shield::raise(&special.collect::<Vec<_>>(), messages, chat.source());
        let rendered = chat.render(&messages, &self.roles.texts, options)?;
        let mut text = vocabulary.extract_and_normalize(self.inner.get_normalizer(), &rendered);
        let unusable = |error: tokenizers::Error| ChatError::Template(error.to_string());
        let lower = |piece: &mut tokenizers::NormalizedString| {
            piece.map(|c| shield.lower(c));
            Ok(())
        };
        if !shield.is_empty() {
            text.normalize(lower).map_err(unusable)?;
        }
        let ids: Vec<TokenId> = Pieces(text).encode(self).map_err(unusable)?.into_iter().map(|token| token.id).collect();
        match self.without_row.iter().find(|(beyond, _)| ids.contains(beyond)) {
            Some((id, text)) => {
                Err(ChatError::Template(format!("it writes `{text}`, and the model has no row for this token ({id})")))
            }
            None => Ok(ids),
        }
    }
}
