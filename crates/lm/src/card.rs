//! The README of a saved model: a Hugging Face model card.

use std::fmt::Write;

/// What the README of a saved model says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelCard {
    /// First heading.
    pub title: String,
    /// Tags of the front matter, beside `birthmark`.
    pub tags: Vec<String>,
    /// Model it was trained from, if any.
    pub base_model: Option<String>,
    /// Markdown below the heading.
    pub body: String,
}

impl ModelCard {
    /// The README: YAML front matter (fields as the Hugging Face hub defines them), heading, body.
    pub fn readme(&self) -> String {
        self.readme_of("transformers")
    }

    /// As [`readme`](Self::readme), for what the library `library` loads.
    pub(crate) fn readme_of(&self, library: &str) -> String {
        let mut out = String::from("---\n");
        // Writing to a String cannot fail.
        if let Some(base) = &self.base_model {
            let _ = writeln!(out, "base_model: {}", quoted(base));
        }
        let _ = writeln!(out, "library_name: {library}\npipeline_tag: text-generation\ntags:\n- birthmark");
        for tag in &self.tags {
            let _ = writeln!(out, "- {}", quoted(tag));
        }
        let _ = write!(out, "---\n\n# {}\n", shown(&self.title).replace('\n', " "));
        if !self.body.is_empty() {
            let _ = write!(out, "\n{}\n", shown(self.body.trim_end()));
        }
        out
    }
}

/// `text` without the characters that a terminal would obey: names come from files, and cards are looked at with `cat`.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A JSON string is a YAML scalar, whatever it holds; plain words need no quotes.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._/".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        // YAML 1.1 reads these as booleans or null; `no` is also Norwegian.
        && !["no", "yes", "on", "off", "true", "false", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_string() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_is_fenced_and_quoted() {
        let card = ModelCard {
            title: "A student".into(),
            tags: vec!["no".into()],
            base_model: Some("a: b".into()),
            body: "Trained on answers.".into(),
        };
        let readme = card.readme();
        assert!(readme.starts_with("---\nbase_model: \"a: b\"\nlibrary_name: transformers\n"));
        assert!(readme.contains("\n- birthmark\n- \"no\"\n---\n"));
        assert!(readme.ends_with("---\n\n# A student\n\nTrained on answers.\n"));
        let strange = ModelCard { title: "A\u{1b}[2J\nB".into(), body: "x\u{7}\n\ty".into(), ..card };
        assert!(strange.readme().ends_with("# A\u{fffd}[2J B\n\nx\u{fffd}\n\ty\n"), "{}", strange.readme());
    }
}
