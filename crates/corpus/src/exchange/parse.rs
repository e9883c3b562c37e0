//! One row, from the names and values in it.

use serde_json::{Map, Value};

/// Columns that are read.
pub(super) const READ: [&str; 9] =
    ["prompt", "answer", "prompt_ids", "answer_ids", "messages", "account", "key", "stop", "finish_reason"];

/// Ways to write a row, for messages.
const WAYS: &str = "`prompt` and `answer` (text or token ids), `prompt_ids` and `answer_ids`, or `messages`";

/// A question and its answer, as the file has them.
#[derive(Debug, Clone, PartialEq)]
pub struct ExchangeRow {
    /// What was asked.
    pub prompt: Said,
    /// What was answered: text or ids, as the prompt; text after turns.
    pub answer: Said,
    /// The account it was asked through.
    pub account: Option<u32>,
    /// A label of the key that the server used.
    pub key: Option<String>,
    /// Whether the answer ended by itself rather than at its longest.
    pub ended: Option<bool>,
}

/// How something was put.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// As text.
    Text(String),
    /// As token ids.
    Ids(Vec<u32>),
    /// As the turns of a conversation, the last of them a question.
    Turns(Vec<Turn>),
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Said {
    /// How it was put, in words.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Ids(_) => "token ids",
            Self::Turns(_) => "messages",
        }
    }
}

/// What is wrong with a row, and what to do.
pub(super) struct Flaw(pub String, pub String);

pub(super) fn flaw<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw(what.into(), remedy.into()))
}

/// The row with these members.
pub(super) fn row(members: &Map<String, Value>) -> Result<ExchangeRow, Flaw> {
    // Parquet writes null for what is absent
    let there = |name: &str| members.get(name).filter(|value| !value.is_null());
    let (prompt, answer) = match (there("prompt_ids"), there("prompt"), there("messages")) {
        (Some(prompt), other, _) if other.is_none() || there("answer_ids").is_some() => {
            (said("prompt_ids", prompt)?, answer("answer_ids", there("answer_ids"))?)
        }
        (_, Some(prompt), _) => (said("prompt", prompt)?, answer("answer", there("answer"))?),
        (_, None, Some(messages)) => conversation(messages)?,
        _ => {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "there are none".to_string() } else { format!("there are {}", names.join(", ")) };
            return flaw(format!("no column that holds a prompt ({names})"), format!("give {WAYS}"));
        }
    };
    if prompt.form() != answer.form() && prompt.form() != "messages" {
        let what = format!("the prompt is {} and the answer {}", prompt.form(), answer.form());
        return flaw(what, "write both the same way");
    }
    let account = account(there("account"))?;
    let key = match there("key") {
        None => None,
        Some(Value::String(label)) => Some(label.clone()),
        Some(other) => return flaw(format!("`key` is {}", kind_of(other)), "write a label as text"),
    };
    let ended = match there("stop").or(there("finish_reason")) {
        None => None,
        Some(Value::String(why)) if ["end_token", "stop"].contains(&why.as_str()) => Some(true),
        Some(Value::String(why)) if why == "length" => Some(false),
        Some(other) => return flaw(format!("the answer stopped by {other}"), "write \"end_token\" (or \"stop\"), or \"length\""),
    };
    Ok(ExchangeRow { prompt, answer, account, key, ended })
}

/// The number of an account.
pub(super) fn account(value: Option<&Value>) -> Result<Option<u32>, Flaw> {
    let Some(value) = value else { return Ok(None) };
    match value.as_u64().and_then(|account| u32::try_from(account).ok()) {
        Some(account) => Ok(Some(account)),
        None => flaw(format!("`account` is {value}"), format!("write a whole number from 0 to {}", u32::MAX)),
    }
}

fn answer(name: &str, value: Option<&Value>) -> Result<Said, Flaw> {
    match value {
        Some(value) => said(name, value),
        None => flaw(format!("no `{name}`"), "give every row its answer, or leave the row out"),
    }
}

/// Text, or a list of ids.
pub(super) fn said(name: &str, value: &Value) -> Result<Said, Flaw> {
    let numbers = |values: &[Value]| -> Option<Vec<u32>> {
        values.iter().map(|value| value.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
    };
    match value {
        Value::String(text) => Ok(Said::Text(text.clone())),
        Value::Array(values) => match numbers(values) {
            Some(ids) => Ok(Said::Ids(ids)),
            None => flaw(format!("`{name}` is a list of other things than token ids"), "write whole numbers from 0"),
        },
        other => flaw(format!("`{name}` is {}", kind_of(other)), "write text or a list of token ids"),
    }
}

/// The turns up to the last one of the assistant, and what it says there.
fn conversation(messages: &Value) -> Result<(Said, Said), Flaw> {
    let form = "write a list of { role, content }, both text";
    let Value::Array(messages) = messages else { return flaw(format!("`messages` is {}", kind_of(messages)), form) };
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        let text = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_string);
        match (text("role"), text("content")) {
            (Some(role), Some(content)) => turns.push(Turn { role, content }),
            _ => return flaw("a message has no `role` or no `content` as text", form),
        }
    }
    let Some(at) = turns.iter().rposition(|turn| turn.role == "assistant") else {
        return flaw("no message of the assistant, which would be the answer", "give every row its answer, or leave the row out");
    };
    let answer = turns.swap_remove(at).content;
    turns.truncate(at);
    if turns.is_empty() {
        return flaw("nothing is said before the answer", "begin with a message of the user");
    }
    Ok((Said::Turns(turns), Said::Text(answer)))
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ExchangeRow, String> {
        let Value::Object(members) = serde_json::from_str(text).unwrap() else { panic!("an object") };
        row(&members).map_err(|Flaw(what, remedy)| format!("{what}; {remedy}"))
    }

    #[test]
    fn a_row_is_read_in_each_of_its_forms() {
        let text = parsed(r#"{"prompt":"a","answer":"b","account":3,"key":"k","stop":"length","id":7}"#).unwrap();
        assert_eq!((text.prompt, text.answer), (Said::Text("a".into()), Said::Text("b".into())));
        assert_eq!((text.account, text.key.as_deref(), text.ended), (Some(3), Some("k"), Some(false)));
        for ids in [r#"{"prompt":[1,2],"answer":[3]}"#, r#"{"prompt":"a","answer":"b","prompt_ids":[1,2],"answer_ids":[3]}"#] {
            let ids = parsed(ids).unwrap();
            assert_eq!((ids.prompt, ids.answer, ids.account), (Said::Ids(vec![1, 2]), Said::Ids(vec![3]), None));
        }
        let chat =
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"x"}]}"#;
        let chat = parsed(chat).unwrap();
        assert_eq!(chat.prompt, Said::Turns(vec![Turn { role: "user".into(), content: "q".into() }]));
        assert_eq!(chat.answer, Said::Text("a".into()));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, parts) in [
            (r#"{"prompt":"a"}"#, ["no `answer`", "leave the row out"]),
            (r#"{"prompt":"a","answer":null}"#, ["no `answer`", "leave the row out"]),
            (r#"{"prompt_ids":[1],"answer":"b"}"#, ["no `answer_ids`", "leave the row out"]),
            (r#"{"question":"a","reply":"b"}"#, ["there are question, reply", "`messages`"]),
            (r#"{"prompt":[1],"answer":"b"}"#, ["the prompt is token ids and the answer text", "the same way"]),
            (r#"{"prompt":[1,-2],"answer":[3]}"#, ["`prompt` is a list of other things", "whole numbers"]),
            (r#"{"prompt":"a","answer":"b","account":4294967296}"#, ["`account` is 4294967296", "0 to 4294967295"]),
            (r#"{"prompt":"a","answer":"b","account":1.5}"#, ["`account` is 1.5", "0 to 4294967295"]),
            (r#"{"prompt":"a","answer":"b","key":1}"#, ["`key` is a number", "a label"]),
            (r#"{"prompt":"a","answer":"b","stop":"tired"}"#, ["stopped by \"tired\"", "length"]),
            (r#"{"messages":[{"role":"user","content":"q"}]}"#, ["no message of the assistant", "leave the row out"]),
            (r#"{"messages":[{"role":"assistant","content":"a"}]}"#, ["nothing is said before", "user"]),
            (r#"{"messages":[{"role":"user"}]}"#, ["no `content`", "role"]),
        ] {
            let said = parsed(text).unwrap_err();
            assert!(parts.iter().all(|part| said.contains(part)), "{text}: {said}");
        }
    }
}
