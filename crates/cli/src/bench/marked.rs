use std::sync::Arc;

use marks::{Key, Mark, MarkEntry, Owner, Planting};
use oracle::{Codec, LogitsProcessor, TokenId};

/// A mark whose cost is measured.
pub(super) struct Timed {
    /// Its kind.
    pub(super) kind: &'static str,
    /// What tells it from others of its kind.
    pub(super) words: String,
    /// The mark.
    pub(super) mark: Arc<dyn Mark>,
    /// So many most probable tokens answers are drawn from, as its authors do; 0 is all.
    pub(super) top_k: usize,
    /// What it does to the drawn law.
    pub(super) law: Arc<dyn LogitsProcessor>,
}

/// Every registered mark that changes the drawn law by nothing but one processor, in each configuration worth timing, over a
/// vocabulary of `vocab` ids; of some `kinds` alone where there are any.
pub(super) fn timed(vocab: usize, kinds: &[String]) -> anyhow::Result<Vec<Timed>> {
    let (key, codec): (_, Arc<dyn Codec>) = (Key::decoy(1, 0), Arc::new(Ids(vocab)));
    let mut all = Vec::new();
    for (words, entry) in MarkEntry::timed() {
        let config = entry.config()?;
        let (kind, needs, top_k) = (config.info().name, config.needs(), config.published_top_k());
        let is_asked = kinds.is_empty() || kinds.iter().any(|asked| asked == kind);
        if !is_asked || !needs.changes_drawn_law || needs.teacher || needs.neutral_prompts > 0 {
            continue;
        }
        let mark = entry.build(&Owner::new(&key, &codec))?;
        let planting = mark.planting();
        if let [Planting::Law(law)] = &planting[..] {
            all.push(Timed { kind, words, top_k, law: law.clone(), mark });
        }
    }
    Ok(all)
}

/// A vocabulary without words or special tokens.
struct Ids(usize);

impl Codec for Ids {
    fn encode(&self, _text: &str) -> Vec<TokenId> {
        Vec::new()
    }

    fn decode(&self, _ids: &[TokenId]) -> String {
        String::new()
    }

    fn vocab_size(&self) -> usize {
        self.0
    }

    fn bos(&self) -> Option<TokenId> {
        None
    }

    fn eos(&self) -> Option<TokenId> {
        None
    }

    fn special_ids(&self) -> &[TokenId] {
        &[]
    }
}
