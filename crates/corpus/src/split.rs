use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// A disjoint stream of texts: a prompt of one split never occurs in another.
///
/// A grammar keeps them apart by the document's opening words ([`crate::GrammarSpec::opening_words`]): a hash of the opening,
/// which depends on no seed, says in which split a document may appear. A file is shared out record by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// What teachers are trained on.
    Train,
    /// What the loss of a model is measured on.
    HeldOut,
    /// What a thief asks the teacher.
    Prompts,
    /// What an owner asks a suspect.
    Audit,
    /// Checkable tasks.
    Tasks,
    /// For whatever else must not meet the others; `Other(n)` and `Other(m)` are disjoint unless n = m modulo
    /// [`OTHER_CLASSES`].
    Other(u8),
}

/// How many mutually disjoint [`Split::Other`] there are.
pub const OTHER_CLASSES: u8 = 8;

/// Every split but the others.
pub(crate) const NAMED: [Split; 5] = [Split::Train, Split::HeldOut, Split::Prompts, Split::Audit, Split::Tasks];

/// Shares of the splits in sixteenths; what is left over belongs to [`Split::Other`]. Prompts get as much as training, because
/// a file of prompts has to last for the largest budget.
const SHARES: [(Split, u64); 5] =
    [(Split::Train, 5), (Split::Prompts, 5), (Split::HeldOut, 2), (Split::Audit, 2), (Split::Tasks, 1)];

/// Sum of all shares.
const SHARES_IN_ALL: u64 = 16;

/// One of `16 x OTHER_CLASSES` equal parts of all texts; each belongs to one split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class(u64);

impl Class {
    /// The class of the text at `position` of a shuffled sequence, or with hash `position`.
    pub(crate) fn of(position: u64) -> Class {
        Class(position % (SHARES_IN_ALL * u64::from(OTHER_CLASSES)))
    }

    /// Whether texts of this class may appear in `split`.
    pub(crate) fn belongs_to(self, split: Split) -> bool {
        let mut sixteenth = self.0 % SHARES_IN_ALL;
        for (named, share) in SHARES {
            if sixteenth < share {
                return split == named;
            }
            sixteenth -= share;
        }
        matches!(split, Split::Other(n) if u64::from(n % OTHER_CLASSES) == self.0 / SHARES_IN_ALL)
    }
}

/// The class of a document that begins with `text`, from its first `words` runs of letters and digits; `None` when `text`
/// does not hold so many to their end.
pub(crate) fn class_of_opening(text: &str, words: usize) -> Option<Class> {
    let opening: Vec<&str> = runs(text).take(words).collect();
    // parts of a document are joined by spaces, so that a run at the end of `text` is complete
    (opening.len() == words).then(|| class_of(opening.into_iter()))
}

/// The class of a whole document shorter than an opening.
pub(crate) fn class_of_words(text: &str) -> Class {
    class_of(runs(text))
}

fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn class_of<'a>(words: impl Iterator<Item = &'a str>) -> Class {
    // the key is fixed: the class must be the same under every seed, so that grammars of two seeds stay disjoint as well
    let mut hasher = SipHasher24::new_with_keys(0x6f70_656e_696e_6773, 0x6b65_6570_6170_6172);
    for word in words {
        hasher.write(word.as_bytes());
        hasher.write_u8(b' ');
    }
    Class::of(hasher.finish())
}

/// The random stream of item `index` for one split and purpose under `seed`.
pub(crate) fn stream(seed: u64, split: Split, purpose: u64, index: u64) -> ChaCha8Rng {
    let code = match split {
        Split::Train => 0,
        Split::HeldOut => 1,
        Split::Prompts => 2,
        Split::Audit => 3,
        Split::Tasks => 4,
        Split::Other(n) => 5 + u64::from(n),
    };
    // split and purpose go into the seed, so that the index keeps all 64 bits of the stream number
    let mut hasher = SipHasher24::new_with_keys(seed, 0);
    hasher.write(&code.to_le_bytes());
    hasher.write(&purpose.to_le_bytes());
    let mut rng = ChaCha8Rng::seed_from_u64(hasher.finish());
    rng.set_stream(index);
    rng
}

/// A whole number below `n`, from 64 bits of the stream; the bias of at most n / 2^64 is far below anything measured.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// The numbers `0..n` in an order drawn by `seed` (Fisher-Yates).
pub(crate) fn shuffle(n: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for at in (1..n).rev() {
        order.swap(at, below(&mut rng, at as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_belongs_to_exactly_one_split() {
        let others = (0..OTHER_CLASSES).map(Split::Other);
        let splits: Vec<Split> = SHARES.iter().map(|(split, _)| *split).chain(others).collect();
        let mut counts = vec![0; splits.len()];
        for class in 0..128 {
            let owners: Vec<usize> = (0..splits.len()).filter(|&at| Class::of(class).belongs_to(splits[at])).collect();
            assert_eq!(owners.len(), 1, "class {class} belongs to {owners:?}");
            counts[owners[0]] += 1;
        }
        assert_eq!(counts[..5], [40, 40, 16, 16, 8]);
        assert!(counts[5..].iter().all(|&count| count == 1));
    }

    #[test]
    fn punctuation_does_not_change_the_class() {
        let plain = class_of_opening("one two three four", 3);
        assert_eq!(plain, class_of_opening("one, two (three). five", 3));
        assert_ne!(class_of_opening("ab c", 2), class_of_opening("a bc", 2));
        assert_eq!(class_of_opening("one two", 3), None);
        assert_eq!(class_of_opening("one two", 2), Some(class_of_words("one, two.")));
    }
}
