//! Which texts are known to be unmarked.

/// Words of a label that say unmarked, in small letters.
pub const UNMARKED: [&str; 9] = ["0", "0.0", "false", "no", "unmarked", "human", "clean", "plain", "negative"];

/// Words of a label that say marked, in small letters.
pub const MARKED: [&str; 9] = ["1", "1.0", "true", "yes", "marked", "generated", "watermarked", "machine", "positive"];

/// How labels are read.
#[derive(Debug, Clone, Copy)]
pub enum Labels<'a> {
    /// By the words above, in capitals or not.
    Words,
    /// This one says unmarked, every other marked.
    Unmarked(&'a str),
}

impl Labels<'_> {
    /// Whether `label` says marked; `None` where it is no such word.
    pub fn marked(self, label: &str) -> Option<bool> {
        let label = label.trim();
        match self {
            Self::Unmarked(_) if label.is_empty() => None,
            Self::Unmarked(word) => Some(label != word.trim()),
            Self::Words => {
                let word = label.to_lowercase();
                let is = |words: &[&str]| words.contains(&word.as_str());
                if is(&UNMARKED) { Some(false) } else { is(&MARKED).then_some(true) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_words_are_known_and_others_refused() {
        for (label, marked) in
            [("0", false), (" Human ", false), ("FALSE", false), ("1", true), ("Generated", true), ("yes", true)]
        {
            assert_eq!(Labels::Words.marked(label), Some(marked), "{label}");
        }
        for label in ["", "2", "gpt"] {
            assert_eq!(Labels::Words.marked(label), None, "{label}");
        }
        assert!(UNMARKED.iter().all(|word| !MARKED.contains(word)));
        let own = Labels::Unmarked("wiki");
        assert_eq!([own.marked("wiki"), own.marked("gpt"), own.marked(" ")], [Some(false), Some(true), None]);
    }
}
