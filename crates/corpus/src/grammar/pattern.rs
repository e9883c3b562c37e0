//! The language of patterns: text with `{slots}` and one `[answer]`.
//!
//! ```text
//! {thing}          a word of the list, drawn again each time; or, if it names a phrase, one of its patterns
//! {thing#1}        word number 1 of that list in this document: the same wherever it is, another one than {thing#2}
//! {name#1.they}    a word that goes with word number 1, by the table `related.they`
//! {job#1.tool#1}   the same, remembered under its own number
//! {=a#1+b#1-c#1}   the value of that sum over lists of whole numbers
//! [ ... ]          what a checkable task expects as the beginning of the answer
//! ```

/// One piece of a pattern, names not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Slot { name: String, number: Option<u32>, related: Option<(String, Option<u32>)> },
    Sum(Vec<(Sign, String, u32)>),
    AnswerStart,
    AnswerEnd,
}

/// Sign of a term of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// Splits a pattern into pieces; the error says what is wrong, to follow the pattern in a message.
pub(super) fn parse(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}', '[', ']']) {
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_string()));
        }
        let (mark, after) = rest[at..].split_at(1); // the four marks are one byte each
        rest = after;
        match mark {
            "[" => pieces.push(Piece::AnswerStart),
            "]" => pieces.push(Piece::AnswerEnd),
            "{" => {
                let end = rest.find(['{', '}']).filter(|&end| rest[end..].starts_with('}')).ok_or("close the slot with `}`")?;
                pieces.push(parse_slot(&rest[..end])?);
                rest = &rest[end + 1..];
            }
            _ => return Err("open the slot with `{`".to_string()),
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_string()));
    }
    let mut unmarked = pieces.iter().filter(|piece| !matches!(piece, Piece::AnswerStart | Piece::AnswerEnd)).peekable();
    while let (Some(piece), Some(next)) = (unmarked.next(), unmarked.peek()) {
        // two words run together could be read in two ways, and counting prompts relies on one
        if !matches!(piece, Piece::Text(_)) && !matches!(next, Piece::Text(_)) {
            return Err("put a space or a punctuation mark between two slots".to_string());
        }
    }
    Ok(pieces)
}

fn parse_slot(slot: &str) -> Result<Piece, String> {
    if let Some(sum) = slot.strip_prefix('=') {
        return parse_sum(sum).map(Piece::Sum);
    }
    let (source, related) = match slot.split_once('.') {
        None => (slot, None),
        Some((source, related)) => (source, Some(parse_numbered(related)?)),
    };
    let (name, number) = parse_numbered(source)?;
    if related.is_some() && number.is_none() {
        return Err(format!("number the word that `{slot}` goes with, as in `{{{name}#1.{}}}`", &slot[source.len() + 1..]));
    }
    Ok(Piece::Slot { name, number, related })
}

fn parse_numbered(text: &str) -> Result<(String, Option<u32>), String> {
    let (name, number) = match text.split_once('#') {
        None => (text, None),
        Some((name, number)) => match number.parse::<u32>() {
            Ok(number) => (name, Some(number)),
            Err(_) => return Err(format!("write a whole number after `#` in `{text}`")),
        },
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("name a list in `{{{text}}}` with letters, digits and `_`"));
    }
    Ok((name.to_string(), number))
}

fn parse_sum(sum: &str) -> Result<Vec<(Sign, String, u32)>, String> {
    let mut terms = Vec::new();
    let mut rest = sum;
    let mut sign = Sign::Plus;
    loop {
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        match parse_numbered(&rest[..end])? {
            (name, Some(number)) => terms.push((sign, name, number)),
            (name, None) => return Err(format!("number the word `{name}` in the sum, as in `{{={name}#1+{name}#2}}`")),
        }
        if end == rest.len() {
            return Ok(terms);
        }
        sign = if rest[end..].starts_with('+') { Sign::Plus } else { Sign::Minus };
        rest = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_split_into_pieces() {
        let slot = |name: &str, number, related| Piece::Slot { name: name.to_string(), number, related };
        let cases: [(&str, Vec<Piece>); 5] = [
            ("plain", vec![Piece::Text("plain".to_string())]),
            ("{a} {b#2}", vec![slot("a", None, None), Piece::Text(" ".to_string()), slot("b", Some(2), None)]),
            (
                "{a#1.t} {a#1.t#3}",
                vec![
                    slot("a", Some(1), Some(("t".to_string(), None))),
                    Piece::Text(" ".to_string()),
                    slot("a", Some(1), Some(("t".to_string(), Some(3)))),
                ],
            ),
            ("[{a#1}].", vec![Piece::AnswerStart, slot("a", Some(1), None), Piece::AnswerEnd, Piece::Text(".".to_string())]),
            (
                "{=a#1+b#2-a#3}",
                vec![Piece::Sum(vec![
                    (Sign::Plus, "a".to_string(), 1),
                    (Sign::Plus, "b".to_string(), 2),
                    (Sign::Minus, "a".to_string(), 3),
                ])],
            ),
        ];
        for (pattern, pieces) in cases {
            assert_eq!(parse(pattern).as_ref(), Ok(&pieces), "{pattern}");
        }
    }

    #[test]
    fn mistakes_in_patterns_are_named() {
        for (pattern, said) in [
            ("{a", "close the slot"),
            ("{a {b}", "close the slot"),
            ("a}", "open the slot"),
            ("{}", "name a list"),
            ("{a b}", "name a list"),
            ("{a#x}", "whole number"),
            ("{a.t}", "number the word"),
            ("{=a+b}", "number the word"),
            ("{=a#1+}", "name a list"),
            ("{a}[{b}]", "between two slots"),
        ] {
            let error = parse(pattern).unwrap_err();
            assert!(error.contains(said), "{pattern}: {error}");
        }
    }
}
