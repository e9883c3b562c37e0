//! Text that may be shown.

use std::borrow::Cow;

/// `text` with every control character but line ends and tabs written out (`\u{1b}`): a terminal obeys some of them, XML holds few, and
/// words that come from a file or a model may hold any.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unshowable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unshowable(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Whether a terminal could obey `c`, or XML could not hold it.
pub fn is_unshowable(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        let cases = [
            ("plain words,\n\ttabs and \u{e9}\u{4e00}\u{1f600}", "plain words,\n\ttabs and \u{e9}\u{4e00}\u{1f600}"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("a\rb\u{0}\u{7f}", "a\\u{d}b\\u{0}\\u{7f}"),
            // the one-character form of escape and `[`
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{fffe}\u{ffff}\u{fffd}", "\\u{fffe}\\u{ffff}\u{fffd}"),
        ];
        for (text, want) in cases {
            assert_eq!(plain(text), want);
        }
        assert!(matches!(plain("a"), Cow::Borrowed(_)));
    }
}
