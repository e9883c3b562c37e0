//! Numbers and quotations as Python writes them.

use super::error::{Result, fail};

/// A number in a template.
pub enum Number {
    Int(i128),
    Float(f64),
}

/// The number that `text` begins with, and its bytes.
pub fn number(text: &str) -> Result<(Number, usize)> {
    let bytes = text.as_bytes();
    let digits = |from: usize, is: &dyn Fn(u8) -> bool| {
        let mut at = from;
        while at < bytes.len() && (is(bytes[at]) || bytes[at] == b'_' && at > from && bytes.get(at + 1).is_some_and(|b| is(*b))) {
            at += 1;
        }
        at
    };
    let decimal = |b: u8| b.is_ascii_digit();
    let clean = |part: &str| part.replace('_', "");
    let radix = match bytes.get(1).map(u8::to_ascii_lowercase) {
        Some(b'x') if bytes[0] == b'0' => Some(16),
        Some(b'o') if bytes[0] == b'0' => Some(8),
        Some(b'b') if bytes[0] == b'0' => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let end = digits(2, &|b| char::from(b).is_digit(radix));
        if end > 2 {
            return match i128::from_str_radix(&clean(&text[2..end]), radix) {
                Ok(n) => Ok((Number::Int(n), end)),
                Err(_) => fail("a number is too large"),
            };
        }
    }
    let whole = digits(0, &decimal);
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1, &decimal);
    }
    if bytes.get(end).is_some_and(|b| b.eq_ignore_ascii_case(&b'e')) {
        let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(signed, &decimal);
        if exponent > signed {
            end = exponent;
        }
    }
    if end > whole {
        return match clean(&text[..end]).parse() {
            Ok(x) => Ok((Number::Float(x), end)),
            Err(_) => fail(format!("{} is no number", &text[..end])),
        };
    }
    // `0123` is 0 and then 123, as Jinja's pattern has it; no template means that
    match clean(&text[..whole]).parse() {
        Ok(n) => Ok((Number::Int(n), whole)),
        Err(_) => fail("a number is too large"),
    }
}

/// Bytes of the quotation that `text` begins with, both marks included.
pub fn quoted(text: &str) -> Option<usize> {
    let mark = text.chars().next()?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// What stands between the marks, with Python's escapes read.
pub fn unescaped(text: &str) -> Result<String> {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        read.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(letter) = rest.chars().next() else {
            read.push('\\');
            break;
        };
        let after = &rest[letter.len_utf8()..];
        let coded = |digits: usize| -> Result<(char, usize)> {
            let code = after.get(..digits).and_then(|code| u32::from_str_radix(code, 16).ok());
            match code.and_then(char::from_u32) {
                Some(c) => Ok((c, digits)),
                None => fail(format!("truncated or invalid \\{letter} escape")),
            }
        };
        let (c, used) = match letter {
            'n' => ('\n', 0),
            't' => ('\t', 0),
            'r' => ('\r', 0),
            'a' => ('\u{7}', 0),
            'b' => ('\u{8}', 0),
            'f' => ('\u{c}', 0),
            'v' => ('\u{b}', 0),
            '\\' | '\'' | '"' => (letter, 0),
            '0'..='7' => {
                let n = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let code = u32::from_str_radix(&rest[..n], 8).unwrap_or_default();
                (char::from_u32(code).unwrap_or_default(), n - 1)
            }
            'x' => coded(2)?,
            'u' => coded(4)?,
            'U' => coded(8)?,
            'N' => return fail("names of characters (\\N) are not known here"),
            '\n' => {
                rest = after;
                continue;
            }
            _ => {
                read.push('\\');
                (letter, 0)
            }
        };
        read.push(c);
        rest = &after[used..];
    }
    read.push_str(rest);
    Ok(read)
}
