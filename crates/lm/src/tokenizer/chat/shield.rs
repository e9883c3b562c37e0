//! Keeps what a message says from being read as a special token.
//!
//! A rendered conversation is one text, in which the tokenizer looks for special tokens. Before rendering, one character of
//! every place in a message that could be (a part of) a special token is changed for a stand-in that occurs nowhere else; once
//! the special tokens are cut out, the stand-ins are changed back. The template sees messages of the same length, equal but for
//! those characters, so that it can trim, compare and cut them as ever.

use std::collections::{BTreeMap, BTreeSet};

use super::ChatMessage;

/// The stand-ins of one conversation.
pub(super) struct Shield {
    /// What each stands for.
    stand_ins: BTreeMap<char, char>,
}

impl Shield {
    /// `messages` with stand-ins, and what these stand for.
    pub(super) fn raise(special: &[String], messages: &[ChatMessage], template: &str) -> (Vec<ChatMessage>, Self) {
        let mut shield = Self { stand_ins: BTreeMap::new() };
        let places: Vec<BTreeSet<usize>> = messages.iter().map(|message| places(special, &message.content)).collect();
        if places.iter().all(BTreeSet::is_empty) {
            return (messages.to_vec(), shield);
        }
        let taken = |c: char| template.contains(c) || messages.iter().any(|m| m.content.contains(c) || m.role.contains(c));
        // code points that Unicode keeps out of texts, then the last plane of private ones
        let mut free = ('\u{fdd0}'..='\u{fdef}').chain('\u{100000}'..='\u{10fffd}').filter(|c| !taken(*c));
        let mut chosen: BTreeMap<char, char> = BTreeMap::new();
        let mut stand_in = |c: char| *chosen.entry(c).or_insert_with(|| free.next().unwrap_or(c));
        let shielded = messages.iter().zip(&places).map(|(message, places)| {
            let content = message.content.char_indices().map(|(at, c)| if places.contains(&at) { stand_in(c) } else { c });
            ChatMessage { content: content.collect(), role: message.role.clone() }
        });
        let shielded = shielded.collect();
        shield.stand_ins = chosen.into_iter().map(|(c, stand_in)| (stand_in, c)).collect();
        (shielded, shield)
    }

    /// Whether nothing needed a stand-in.
    pub(super) fn is_empty(&self) -> bool {
        self.stand_ins.is_empty()
    }

    /// The character that `c` stands for, or itself.
    pub(super) fn lower(&self, c: char) -> char {
        self.stand_ins.get(&c).copied().unwrap_or(c)
    }
}

/// Bytes of `content` at which a character must go, so that no special token can be found there, whatever stands around it:
/// the first of each special token in it, and the first or last character where one could reach across an end of it (of the
/// content as given, or trimmed).
fn places(special: &[String], content: &str) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    let trimmed = content.trim();
    let start = content.len() - content.trim_start().len();
    for token in special {
        places.extend(starts(content, token));
        for (text, at) in [(content, 0), (trimmed, start)] {
            let last = text.char_indices().next_back();
            let Some((last, _)) = last else { continue };
            let mut cuts = token.char_indices().skip(1).map(|(cut, _)| token.split_at(cut));
            if token.contains(text) || cuts.clone().any(|(_, tail)| text.starts_with(tail)) {
                places.insert(at);
            }
            if cuts.any(|(head, _)| text.ends_with(head)) {
                places.insert(at + last);
            }
        }
    }
    places
}

/// Where `token` starts in `content`, occurrences that overlap included.
fn starts(content: &str, token: &str) -> Vec<usize> {
    let Some(first) = token.chars().next() else { return Vec::new() };
    content.match_indices(first).map(|(at, _)| at).filter(|at| content[*at..].starts_with(token)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_special_is_changed_and_changed_back() {
        let special = ["<|end|>".to_string(), "</s>".to_string()];
        for (content, changed) in [
            ("hello", ""),
            ("a < b and c > d", ""),
            ("stop<|end|>now", "<"),
            ("</s></s>", "<<"),
            ("> quoted", ">"),
            ("  |> flows", "|"),
            ("is 3 <", "<"),
            ("trailing </ \n", "/"),
            ("end", "e"),
            ("\u{fdd0}</s>\u{fdd0}", "<"),
            ("", ""),
            ("  ", ""),
        ] {
            let (messages, shield) = Shield::raise(&special, &[ChatMessage::user(content)], "");
            let shown = &messages[0].content;
            let gone: String = content.chars().zip(shown.chars()).filter(|(a, b)| a != b).map(|(a, _)| a).collect();

            assert_eq!(gone, changed, "{content:?}");
            assert_eq!(shown.chars().map(|c| shield.lower(c)).collect::<String>(), content);
            assert!(special.iter().all(|token| !shown.contains(token)), "{content:?}");
            for (before, after) in [("<|", "|>"), ("<", "s>"), ("<|en", ""), ("", "s>"), ("</", "")] {
                let whole = format!("{before}{}{after}", shown.trim());
                let alone = format!("{before}\u{fdd1}{after}");
                let found = |text: &str| special.iter().map(|token| text.matches(token.as_str()).count()).sum::<usize>();
                assert_eq!(found(&whole), found(&alone), "{whole:?}");
            }
        }
    }
}
