//! Rows of a file as texts in which somebody looks for a mark.

use std::path::Path;

use serde_json::{Map, Value};

use super::parse::{Flaw, account, flaw, said};
use super::rows::{Rows, Wanted};
use super::{ExchangeError, Place, Said};

/// Columns that are read.
const READ: [&str; 7] = ["ids", "answer_ids", "text", "answer", "prompt_ids", "prompt", "account"];

/// Columns that hold the text itself: ids before text, as they are what a server drew.
const TEXTS: [&str; 4] = ["ids", "answer_ids", "text", "answer"];

/// What to write, for messages.
const WAYS: &str = "write `ids` (token ids) or `text`, and where they are known `prompt_ids` or `prompt`, and `account`";

const WANTED: Wanted = Wanted { columns: &READ, needed: &TEXTS, holds: "a text", remedy: WAYS, give: "texts" };

/// A text to be judged, as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedText {
    /// The text itself, without its prompt: text or ids.
    pub said: Said,
    /// What was asked, where it is known.
    pub prompt: Option<Said>,
    /// The account that asked, where it is known.
    pub account: Option<u32>,
}

/// The rows of a file as they are read.
pub struct JudgedTexts {
    rows: Rows,
    read: u64,
}

/// Opens a `.jsonl` or `.parquet` file of texts. A row holds `ids` (or `answer_ids`) or `text` (or `answer`), and may hold `prompt_ids` or
/// `prompt`, and `account`. Other columns are not read.
///
/// # Errors
/// When it is neither, cannot be read, or is empty.
pub fn judged_texts(path: &Path) -> Result<JudgedTexts, ExchangeError> {
    Ok(JudgedTexts { rows: Rows::open(path, WANTED)?, read: 0 })
}

impl JudgedTexts {
    fn advance(&mut self) -> Result<Option<(Place, JudgedText)>, ExchangeError> {
        let Some((place, members)) = self.rows.next()? else {
            let none = self.read == 0;
            return if none { Err(ExchangeError::file(self.rows.path(), "it has no rows", "give texts")) } else { Ok(None) };
        };
        self.read += 1;
        let path = self.rows.path();
        let text = text(&members).map_err(|Flaw(what, remedy)| ExchangeError::row(path, place, what, remedy))?;
        Ok(Some((place, text)))
    }
}

impl Iterator for JudgedTexts {
    type Item = Result<(Place, JudgedText), ExchangeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

fn text(members: &Map<String, Value>) -> Result<JudgedText, Flaw> {
    // Parquet writes null for what is absent
    let first = |names: &[&'static str]| {
        let there = |name: &&'static str| Some((*name, members.get(*name).filter(|value| !value.is_null())?));
        names.iter().find_map(there)
    };
    let Some((name, value)) = first(&TEXTS) else {
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        let names = if names.is_empty() { "there are none".to_string() } else { format!("there are {}", names.join(", ")) };
        return flaw(format!("no column that holds a text ({names})"), WAYS);
    };
    let prompt = first(&["prompt_ids", "prompt"]).map(|(name, value)| said(name, value)).transpose()?;
    Ok(JudgedText { said: said(name, value)?, prompt, account: account(first(&["account"]).map(|(_, value)| value))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<JudgedText, String> {
        let Value::Object(members) = serde_json::from_str(line).unwrap() else { panic!("an object") };
        text(&members).map_err(|Flaw(what, remedy)| format!("{what}; {remedy}"))
    }

    #[test]
    fn ids_come_before_text_and_a_prompt_may_be_either() {
        let both = parsed(r#"{"text":"a","ids":[1,2],"prompt_ids":[3],"prompt":"q","account":7,"n":1}"#).unwrap();
        let (said, prompt) = (Said::Ids(vec![1, 2]), Some(Said::Ids(vec![3])));
        assert_eq!(both, JudgedText { said, prompt, account: Some(7) });
        let plain = parsed(r#"{"text":"a","ids":null,"prompt":"q"}"#).unwrap();
        assert_eq!((plain.said, plain.prompt), (Said::Text("a".into()), Some(Said::Text("q".into()))));
        assert_eq!(parsed(r#"{"answer":"b"}"#).unwrap().prompt, None);
        assert_eq!(parsed(r#"{"answer_ids":[]}"#).unwrap().said, Said::Ids(vec![]));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (line, parts) in [
            (r#"{"story":"a"}"#, ["there are story", "`ids`"]),
            (r#"{"ids":[1,-1]}"#, ["`ids` is a list of other things", "whole numbers"]),
            (r#"{"text":5}"#, ["`text` is a number", "token ids"]),
            (r#"{"text":"a","account":-1}"#, ["`account` is -1", "0 to 4294967295"]),
        ] {
            let said = parsed(line).unwrap_err();
            assert!(parts.iter().all(|part| said.contains(part)), "{line}: {said}");
        }
    }
}
