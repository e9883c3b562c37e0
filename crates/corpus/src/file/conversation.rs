//! Conversations as data sets publish them: lists of turns, `{ role, content }` or `{ from, value }` (ShareGPT).

use serde_json::Value;

/// Names of the member that says who speaks, and of that which says what, in this order of trying.
pub(super) const SHAPES: [(&str, &str); 2] = [("role", "content"), ("from", "value")];

/// Whether the speaker is the user.
pub(super) fn is_user(speaker: &str) -> bool {
    ["user", "human", "prompter"].iter().any(|user| speaker.eq_ignore_ascii_case(user))
}

/// What the user says first; `None` where nobody says anything as the user.
///
/// # Errors
/// What it is instead of a conversation.
pub(super) fn opening(value: &Value) -> Result<Option<String>, String> {
    let Value::Array(turns) = value else { return Err(kind_of(value).to_string()) };
    for turn in turns {
        let Value::Object(members) = turn else {
            return Err(format!("a list of other things than turns ({})", kind_of(turn)));
        };
        let shape = SHAPES.iter().find(|(speaker, said)| members.contains_key(*speaker) && members.contains_key(*said));
        let Some((speaker, said)) = shape else {
            return Err("a list of other things than turns (each has `role` and `content`, or `from` and `value`)".into());
        };
        if !members[*speaker].as_str().is_some_and(is_user) {
            continue;
        }
        return match &members[*said] {
            Value::String(text) => Ok(Some(text.clone())),
            Value::Null => Ok(None),
            // what is said in several parts, of which some are no text
            Value::Array(parts) => {
                let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
                Ok((!texts.is_empty()).then(|| texts.join("\n")))
            }
            other => Err(format!("a turn whose `{said}` is {}", kind_of(other))),
        };
    }
    Ok(None)
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_turn_of_the_user_is_the_text() {
        let open = |json: &str| opening(&serde_json::from_str(json).unwrap());
        let said = |text: &str| Ok(Some(text.to_string()));
        assert_eq!(
            open(r#"[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"user","content":"r"}]"#),
            said("q")
        );
        assert_eq!(open(r#"[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]"#), said("q"));
        assert_eq!(open(r#"[{"role":"user","content":[{"type":"image"},{"type":"text","text":"q"}]}]"#), said("q"));
        assert_eq!(open(r#"[{"role":"user","content":null}]"#), Ok(None));
        assert_eq!(open(r#"[{"role":"assistant","content":"a"}]"#), Ok(None));
        assert_eq!(open("[]"), Ok(None));
        for (json, part) in [
            ("5", "a number"),
            (r#"{"role":"user"}"#, "an object"),
            (r#"["q"]"#, "other things than turns"),
            (r#"[{"role":"user"}]"#, "`from` and `value`"),
            (r#"[{"role":"user","content":5}]"#, "`content` is a number"),
        ] {
            assert!(open(json).unwrap_err().contains(part), "{json}");
        }
    }
}
