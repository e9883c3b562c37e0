//! What is wrong with a line of JSON.

/// What `error` says of a text of one line, without the line, which its reader counts.
pub(crate) fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("{what} at column {}", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_named_and_no_line() {
        let error = serde_json::from_str::<serde_json::Value>("{\"text\": ").unwrap_err();
        assert_eq!(said(&error), "EOF while parsing a value at column 9");
    }
}
