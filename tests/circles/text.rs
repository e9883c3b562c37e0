//! Rust source as a list of words and signs, without comments and, where wanted, without literals and test code.

/// The words and signs of a source: identifiers, `::`, and single other characters.
pub fn tokens(source: &str) -> Vec<String> {
    tokens_and_literals(source).into_iter().filter(|token| !is_literal(token)).collect()
}

/// Whether a token is a string or character, with its prefix and quotes.
pub fn is_literal(token: &str) -> bool {
    token.len() > 1 && token.contains(['"', '\''])
}

/// The same with strings and characters, each one token with its prefix and quotes.
pub fn tokens_and_literals(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if let Some(end) = comment_end(&chars, i) {
            i = end;
        } else if let Some(end) = literal_end(&chars, i) {
            found.push(chars[i..end].iter().collect());
            i = end;
        } else if c == '_' || c.is_alphanumeric() {
            let end = (i..chars.len()).find(|k| chars[*k] != '_' && !chars[*k].is_alphanumeric()).unwrap_or(chars.len());
            found.push(chars[i..end].iter().collect());
            i = end;
        } else if c == ':' && chars.get(i + 1) == Some(&':') {
            found.push("::".to_string());
            i += 2;
        } else {
            if !c.is_whitespace() {
                found.push(c.to_string());
            }
            i += 1;
        }
    }
    found
}

fn comment_end(chars: &[char], at: usize) -> Option<usize> {
    match (chars[at], chars.get(at + 1)) {
        ('/', Some('/')) => Some((at..chars.len()).find(|k| chars[*k] == '\n').unwrap_or(chars.len())),
        ('/', Some('*')) => {
            let (mut depth, mut i) = (1, at + 2);
            while i < chars.len() && depth > 0 {
                match (chars[i], chars.get(i + 1)) {
                    ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
                    ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
            }
            Some(i)
        }
        _ => None,
    }
}

/// The end of the string, raw string or character that begins here, whatever its prefix; a lifetime is not one.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    if !matches!(chars[at], '"' | '\'' | 'b' | 'c' | 'r') {
        return None;
    }
    let starts_word = at == 0 || (chars[at - 1] != '_' && !chars[at - 1].is_alphanumeric());
    let prefix = if starts_word { ["br", "b", "r", "c"].into_iter().find(|p| begins(chars, at, p)).unwrap_or("") } else { "" };
    let start = at + prefix.len();
    let hashes = if prefix.ends_with('r') { chars[start..].iter().take_while(|c| **c == '#').count() } else { 0 };
    match chars.get(start + hashes)? {
        '"' if prefix.ends_with('r') => {
            let close: String = format!("\"{}", "#".repeat(hashes));
            let body = start + hashes + 1;
            Some((body..chars.len()).find(|k| begins(chars, *k, &close)).map_or(chars.len(), |k| k + close.len()))
        }
        '"' => Some(quoted_end(chars, start + 1, '"')),
        '\'' if hashes == 0 && (chars.get(start + 1) == Some(&'\\') || chars.get(start + 2) == Some(&'\'')) => {
            Some(quoted_end(chars, start + 1, '\''))
        }
        _ => None,
    }
}

fn begins(chars: &[char], at: usize, word: &str) -> bool {
    word.chars().enumerate().all(|(k, c)| chars.get(at + k) == Some(&c))
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The same without items marked `#[cfg(test)]`, and the names of the modules that are marked so and stand in other files.
pub fn without_tests(tokens: Vec<String>) -> (Vec<String>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut i = 0;
    while i < tokens.len() {
        if !tokens[i..].iter().take(MARK.len()).eq(MARK) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i += MARK.len();
        let start = i;
        let mut depth = 0;
        while i < tokens.len() {
            match tokens[i].as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            i += 1;
            if depth == 0 && (tokens[i - 1] == ";" || tokens[i - 1] == "}") && !is_open_use(&tokens[start..i]) {
                break;
            }
        }
        if let [.., word, name, end] = &tokens[start..i]
            && word == "mod"
            && end == ";"
        {
            modules.push(name.clone());
        }
    }
    (kept, modules)
}

/// Whether these are a `use` with braces that has not come to its semicolon.
fn is_open_use(item: &[String]) -> bool {
    item.iter().any(|token| token == "use") && !item.iter().any(|token| token == "fn" || token == ";" || token == "mod")
}
