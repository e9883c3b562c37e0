//! Python's `textwrap.wrap` of one line, white space kept as it is.

use std::ops::Range;

/// `line` in lines of at most `width` characters, at least 1.
pub fn wrap(line: &str, width: usize, breaks_words: bool, on_hyphens: bool) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    let mut chunks = chunks(&chars, on_hyphens);
    chunks.reverse();
    let is_blank = |chunk: &Range<usize>| chars[chunk.clone()].iter().all(|c| c.is_whitespace());
    let mut lines: Vec<String> = Vec::new();
    while !chunks.is_empty() {
        // chunks follow each other, so that a line is one range
        let mut row: Vec<Range<usize>> = Vec::new();
        let mut length = 0;
        if !lines.is_empty() && chunks.last().is_some_and(is_blank) {
            chunks.pop();
        }
        while let Some(chunk) = chunks.last().filter(|chunk| length + chunk.len() <= width) {
            length += chunk.len();
            row.extend(chunks.pop());
        }
        if let Some(chunk) = chunks.last().filter(|chunk| chunk.len() > width).cloned() {
            if breaks_words {
                let mut end = chunk.start + (width - length);
                if on_hyphens {
                    let head = &chars[chunk.start..end];
                    let hyphen = head.iter().rposition(|c| *c == '-').filter(|at| head[..*at].iter().any(|c| *c != '-'));
                    end = hyphen.map_or(end, |at| chunk.start + at + 1);
                }
                row.push(chunk.start..end);
                chunks.pop();
                chunks.push(end..chunk.end);
            } else if row.is_empty() {
                row.extend(chunks.pop());
            }
        }
        if row.last().is_some_and(is_blank) {
            row.pop();
        }
        if let (Some(first), Some(last)) = (row.first(), row.last()) {
            lines.push(chars[first.start..last.end].iter().collect());
        }
    }
    lines
}

/// Words, the white space between them, and parts of words up to a hyphen between letters.
fn chunks(chars: &[char], on_hyphens: bool) -> Vec<Range<usize>> {
    let blank = |at: usize| chars[at].is_ascii_whitespace() || chars[at] == '\u{b}';
    let letter = |at: usize| chars.get(at).is_some_and(|c| c.is_alphabetic() || *c == '_');
    let mut chunks = Vec::new();
    let mut begins = 0;
    for (at, c) in chars.iter().enumerate() {
        if at > begins && blank(at) != blank(at - 1) {
            chunks.push(begins..at);
            begins = at;
        }
        if on_hyphens && *c == '-' && at >= 2 && letter(at - 1) && letter(at - 2) && letter(at + 1) && letter(at + 2) {
            chunks.push(begins..at + 1);
            begins = at + 1;
        }
    }
    if begins < chars.len() {
        chunks.push(begins..chars.len());
    }
    chunks
}
