//! What kind of characters a text holds, as Python's `str.is...` say.

use super::lexer::is_space;
use super::shown::is_printable;

/// Whether there are letters with a case, all of them small.
pub fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

/// Whether there are letters with a case, all of them capital.
pub fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

/// Whether `text` is what the method `name` asks for; `None` for other methods.
pub fn asked(name: &str, text: &str) -> Option<bool> {
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    Some(match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => text.is_ascii(),
        // digits of other scripts are numeric too, and Python tells them apart by tables that are not here
        "isdecimal" | "isdigit" => all(|c| c.is_ascii_digit() || !c.is_ascii() && c.is_numeric()),
        "isnumeric" => all(char::is_numeric),
        "isidentifier" => {
            let mut chars = text.chars();
            chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
        }
        "islower" => is_lower(text),
        "isupper" => is_upper(text),
        "isprintable" => text.chars().all(is_printable),
        "isspace" => all(is_space),
        "istitle" => {
            let (mut found, mut within) = (false, false);
            for c in text.chars() {
                let (upper, lower) = (c.is_uppercase(), c.is_lowercase());
                if upper && within || lower && !within {
                    return Some(false);
                }
                within = upper || lower;
                found |= within;
            }
            found
        }
        _ => return None,
    })
}

/// Capital first, small behind.
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase())
}

/// Capitals become small and small letters capitals.
pub fn swapped(text: &str) -> String {
    let swap = |c: char| -> String { if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() } };
    text.chars().map(swap).collect()
}

/// A capital at the beginning of each run of letters.
pub fn titled(text: &str) -> String {
    let mut within = false;
    let mut titled = String::with_capacity(text.len());
    for c in text.chars() {
        if within {
            titled.extend(c.to_lowercase())
        } else {
            titled.extend(c.to_uppercase())
        }
        within = c.is_alphabetic();
    }
    titled
}

/// Lines as `str.splitlines` cuts them.
pub fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let ends = |c: char| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends) {
        let n = if rest[at..].starts_with("\r\n") { 2 } else { rest[at..].chars().next().map_or(1, char::len_utf8) };
        lines.push(&rest[..if keep_ends { at + n } else { at }]);
        rest = &rest[at + n..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}
