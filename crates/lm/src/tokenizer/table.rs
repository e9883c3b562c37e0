//! A tokenizer beside a model's table of tokens: ids without a row, and rows without a token.

use std::path::Path;

use oracle::TokenId;
use tokenizers::AddedToken;

use super::Tokenizer;
use crate::directory::TOKENIZER;
use crate::read::LoadError;

impl Tokenizer {
    /// The same for a model whose table of tokens has `rows` rows; `path` is only named in the error.
    ///
    /// Tokens that were added beyond the table (an image's, padding) are never asked for: no text and no template yields them, what
    /// looks like one is ordinary text, and [`Self::size`] ends with the last id that has a token and a row.
    ///
    /// # Errors
    /// When a token without a row is one of the vocabulary that texts are cut into, or begins every text: the two do not belong
    /// together.
    pub fn for_rows(mut self, rows: usize, path: &Path) -> Result<Self, LoadError> {
        if self.size <= rows {
            return Ok(self);
        }
        let refused = |why: String| Err(LoadError::Tokenizer { path: path.into(), why });
        let added = self.inner.get_added_tokens_decoder();
        let beyond = (rows..self.size).map(|id| id as TokenId).filter(|id| !self.absent.contains(id));
        let mut without_row = Vec::new();
        for id in beyond {
            let Some(token) = added.get(&id) else {
                return refused(format!(
                    "the tokenizer has ids up to {}, but the model's `vocab_size` is {rows}: they do not belong together",
                    self.size - 1
                ));
            };
            without_row.push((id, token.content.clone()));
        }
        let needed = [("begins every text", self.roles.bos), ("stands for unknown characters", self.roles.unknown)];
        for (what, id) in needed {
            if let Some((id, text)) = without_row.iter().find(|(beyond, _)| Some(*beyond) == id) {
                return refused(format!(
                    "`{text}` (id {id}) {what}, but the model's `vocab_size` is {rows}: they do not belong together"
                ));
            }
        }
        let ordinary: Vec<AddedToken> = without_row
            .iter()
            .filter_map(|(id, _)| added.get(id).filter(|token| !token.special))
            .map(|token| AddedToken { special: true, ..token.clone() })
            .collect();
        if let Err(error) = self.inner.add_special_tokens(ordinary) {
            return refused(format!("not a tokenizer this program can read: {error}"));
        }
        self.roles.special_ids.extend(without_row.iter().map(|(id, _)| *id));
        self.roles.special_ids.sort_unstable();
        self.roles.special_ids.dedup();
        self.roles.eos = self.roles.eos.filter(|id| (*id as usize) < rows);
        self.absent.retain(|id| (*id as usize) < rows);
        let last = (0..rows as TokenId).rev().find(|id| self.absent.binary_search(id).is_err());
        self.size = last.map_or(0, |last| last as usize + 1);
        self.absent.retain(|id| (*id as usize) < self.size);
        self.never_text = self.roles.never_text(&self.absent, self.size);
        let shown: Vec<String> = without_row.iter().take(3).map(|(id, text)| format!("`{text}` ({id})")).collect();
        let more = if without_row.len() > 3 { ", ..." } else { "" };
        self.notes.push(format!(
            "{} token(s) of {} have no row in the model's table of {rows} and can never be asked for: {}{more}",
            without_row.len(),
            path.display(),
            shown.join(", ")
        ));
        self.without_row = without_row;
        Ok(self)
    }

    /// The same for tables of at most `rows` rows, where that leaves every text as it is (see [`Self::for_rows`]); else as it was. Models of
    /// one tokenizer may differ in the added tokens that they have rows for.
    #[must_use]
    pub fn within(self, rows: usize) -> Self {
        if self.size <= rows {
            return self;
        }
        self.clone().for_rows(rows, Path::new(TOKENIZER)).unwrap_or(self)
    }

    /// One more than the largest id that has a token and, [for a model](Self::for_rows), a row.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Ids below [`Self::size`] that stand for no token, ascending.
    pub fn absent(&self) -> &[TokenId] {
        &self.absent
    }

    /// Ids and texts of tokens that the model has no row for, ascending.
    pub fn without_row(&self) -> &[(TokenId, String)] {
        &self.without_row
    }

    /// What its user should know of it, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
