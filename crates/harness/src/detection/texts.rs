//! Texts of a file in the tokens of a tokenizer.

use corpus::{JudgedText, Said};
use distill::cut_text;
use lm::Tokenizer;
use oracle::{Codec, Exchange, Query, Sampling, Stop, TokenId};

/// Texts in tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Texts {
    /// Each with its prompt, where that is known.
    pub exchanges: Vec<Exchange>,
    /// Texts that began with their own prompt, which was cut off.
    pub cut: u64,
    /// Texts that name their account.
    pub with_account: u64,
    /// Texts that were ids, which are what a server drew; others are what the tokenizer makes of text.
    pub ids: u64,
}

impl Texts {
    /// Adds a text.
    ///
    /// # Errors
    /// As (what, remedy), when ids are not the tokenizer's, or the prompt is a conversation.
    pub fn push(&mut self, text: JudgedText, tokenizer: &Tokenizer) -> Result<(), (String, String)> {
        let unasked = text.prompt.unwrap_or(Said::Ids(Vec::new()));
        let (prompt, answer) = match (unasked, text.said) {
            (Said::Text(prompt), Said::Text(said)) => {
                let rest = said.strip_prefix(prompt.as_str()).filter(|_| !prompt.is_empty());
                self.cut += u64::from(rest.is_some());
                let answer = rest.unwrap_or(&said);
                // as they were said, one after the other: a token that straddles both counts as prompt
                cut_text(tokenizer, &format!("{prompt}{answer}"), prompt.len())
            }
            (prompt, said) => {
                self.ids += u64::from(matches!(said, Said::Ids(_)));
                let (prompt, said) = (ids(prompt, tokenizer)?, ids(said, tokenizer)?);
                let rest = said.strip_prefix(prompt.as_slice()).filter(|_| !prompt.is_empty());
                self.cut += u64::from(rest.is_some());
                let answer = rest.map_or_else(|| said.clone(), <[TokenId]>::to_vec);
                (prompt, answer)
            }
        };
        self.with_account += u64::from(text.account.is_some());
        let ended = tokenizer.eos().is_some_and(|end| answer.last() == Some(&end));
        let stop = if ended { Stop::EndToken } else { Stop::Length };
        let (index, account) = (self.exchanges.len() as u64, text.account.unwrap_or(0));
        let query = Query { account, sampling: Sampling::PLAIN, ..Query::greedy(index, prompt, answer.len()) };
        self.exchanges.push(Exchange { query, answer, stop });
        Ok(())
    }
}

/// All of `texts`, each a whole text without prompt.
///
/// # Errors
/// As [`Texts::push`].
pub fn in_tokens(texts: impl IntoIterator<Item = String>, tokenizer: &Tokenizer) -> Result<Texts, (String, String)> {
    let mut all = Texts::default();
    for text in texts {
        all.push(JudgedText { said: Said::Text(text), prompt: None, account: None }, tokenizer)?;
    }
    Ok(all)
}

fn ids(said: Said, tokenizer: &Tokenizer) -> Result<Vec<TokenId>, (String, String)> {
    match said {
        Said::Text(text) => Ok(tokenizer.encode(&text)),
        Said::Ids(ids) => {
            let size = tokenizer.vocab_size();
            match ids.iter().find(|id| **id as usize >= size) {
                None => Ok(ids),
                Some(id) => Err((
                    format!("token id {id}, the tokenizer has {size}"),
                    "name the tokenizer of the model that wrote it".into(),
                )),
            }
        }
        Said::Turns(_) => Err(("the prompt is a conversation".into(), "write it as text or token ids".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::train_bpe((0..200).map(|i| format!("The cat saw {i} birds. It was a day.")), 300).unwrap()
    }

    fn row(said: Said, prompt: Option<Said>) -> JudgedText {
        JudgedText { said, prompt, account: Some(3) }
    }

    #[test]
    fn prompts_stand_apart_and_are_cut_where_a_text_begins_with_them() {
        let tokenizer = tokenizer();
        let text = |text: &str| Said::Text(text.to_string());
        let mut texts = Texts::default();
        texts.push(row(text(" saw 7 birds."), Some(text("The cat"))), &tokenizer).unwrap();
        texts.push(row(text("The cat saw 7 birds."), Some(text("The cat"))), &tokenizer).unwrap();
        texts.push(row(Said::Ids(vec![5, 6, 7, 8]), Some(Said::Ids(vec![5, 6]))), &tokenizer).unwrap();
        texts.push(row(Said::Ids(vec![7, 8]), None), &tokenizer).unwrap();
        let said: Vec<String> = texts.exchanges.iter().take(2).map(|one| tokenizer.decode(&one.answer)).collect();
        assert_eq!(said, [" saw 7 birds.", " saw 7 birds."]);
        assert_eq!(texts.exchanges[0].query.prompt, texts.exchanges[1].query.prompt);
        assert_eq!((&texts.exchanges[2].answer[..], &texts.exchanges[3].answer[..]), (&[7, 8][..], &[7, 8][..]));
        assert_eq!((texts.cut, texts.with_account, texts.ids), (2, 4, 2));
        assert_eq!(texts.exchanges[3].query.account, 3);
        let (what, remedy) = texts.push(row(Said::Ids(vec![300]), None), &tokenizer).unwrap_err();
        assert!(what.contains("token id 300, the tokenizer has 300") && remedy.contains("tokenizer"), "{what}");
        assert_eq!(in_tokens(["a".to_string(), String::new()], &tokenizer).unwrap().exchanges.len(), 2);
    }
}
