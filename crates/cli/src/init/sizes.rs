//! How much of everything a first experiment asks: as much as the model's context and the texts allow, and little enough for minutes.

use corpus::{FileTexts, Split, Texts};
use lm::Tokenizer;
use oracle::Codec;

/// What somebody brings.
#[derive(Default)]
pub struct Own {
    /// Texts.
    pub texts: Option<FileTexts>,
    /// Tokens that the model holds, where it is here.
    pub context: Option<usize>,
    /// Its tokenizer.
    pub tokenizer: Option<Tokenizer>,
}

/// Amounts of a first experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Tokens that the small models trained here hold.
    pub context: usize,
    /// Tokens of a training row.
    pub row_tokens: usize,
    /// Tokens of text that each query and audit prompt opens with.
    pub prompt_tokens: usize,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// Query budgets.
    pub budgets: Vec<u64>,
    /// Prompts of the audit.
    pub audit_prompts: u64,
    /// Prompts of output agreement; 0 where the texts are too few for it.
    pub agreement_prompts: u64,
    /// Held-out documents.
    pub held_out: u64,
    /// Exchanges in a batch.
    pub batch_rows: u64,
    /// Entries of a tokenizer trained here.
    pub vocab_size: usize,
    /// Documents that it is trained on.
    pub tokenizer_documents: u64,
}

/// Longest answer where nothing forbids it.
const ANSWER: usize = 48;
/// Bytes of text that a prompt should hold, so that prompts differ.
const PROMPT_BYTES: usize = 36;
/// Shortest context in which something can be asked.
const LEAST_CONTEXT: usize = 32;
/// Texts of which the tokenizer's share of bytes is read off.
const SAMPLE: u64 = 64;

impl Sizes {
    /// What suits `own`.
    ///
    /// # Errors
    /// What is too small, and what to do.
    pub fn of(own: &Own) -> Result<Self, String> {
        let context = own.context.unwrap_or(128).min(128);
        if context < LEAST_CONTEXT {
            return Err(format!(
                "--model: it holds {context} tokens, and a prompt with its answer takes {LEAST_CONTEXT}; name one that holds more"
            ));
        }
        let prompt_tokens = prompt_tokens(own).min(context / 2);
        let max_new_tokens = ANSWER.min(context - prompt_tokens - 1);
        let there = |split: Split| own.texts.as_ref().and_then(|texts| texts.len(split)).unwrap_or(u64::MAX);
        let most = there(Split::Prompts).min(1000);
        let budgets = if most >= 40 { vec![most * 3 / 10, most] } else { vec![most] };
        // what opens as a query does is left out, and agreement takes its prompts behind the audit's
        let audit = there(Split::Audit);
        let agreement_prompts = (audit / 16).min(400);
        let whole: usize = own.texts.as_ref().map_or(usize::MAX, bytes);
        Ok(Self {
            context,
            row_tokens: context.min(64),
            prompt_tokens,
            max_new_tokens,
            audit_prompts: (audit / 4).clamp(1, 200),
            agreement_prompts: if agreement_prompts < 50 { 0 } else { agreement_prompts },
            held_out: there(Split::HeldOut).clamp(1, 100),
            batch_rows: (budgets[0] / 4).clamp(4, 16),
            budgets,
            vocab_size: if whole < 200_000 { 320 } else { 1024 },
            tokenizer_documents: there(Split::Train).clamp(1, 20_000),
        })
    }
}

/// Bytes of the texts that a tokenizer is trained on.
fn bytes(texts: &FileTexts) -> usize {
    let documents = texts.len(Split::Train).unwrap_or(0).min(20_000);
    (0..documents).map(|index| texts.document(Split::Train, index).len()).sum()
}

/// Tokens that hold enough text for prompts to differ: more of a tokenizer that knows few words.
fn prompt_tokens(own: &Own) -> usize {
    let (Some(tokenizer), Some(texts)) = (&own.tokenizer, &own.texts) else {
        return if own.tokenizer.is_some() || own.texts.is_some() { 16 } else { 8 };
    };
    let documents = texts.len(Split::Prompts).unwrap_or(0).min(SAMPLE);
    let (mut bytes, mut tokens) = (0, 0);
    for index in 0..documents {
        let mut text = texts.document(Split::Prompts, index);
        text.truncate(text.floor_char_boundary(1000));
        (bytes, tokens) = (bytes + text.len(), tokens + tokenizer.encode(&text).len());
    }
    (PROMPT_BYTES * tokens).div_ceil(bytes.max(1)).clamp(8, 48)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_follow_from_context_and_texts() {
        let plain = Sizes::of(&Own::default()).unwrap();
        assert_eq!((plain.context, plain.prompt_tokens, plain.max_new_tokens), (128, 8, 48));
        assert_eq!((plain.budgets.clone(), plain.audit_prompts, plain.agreement_prompts), (vec![300, 1000], 200, 400));
        let short = Sizes::of(&Own { context: Some(40), ..Own::default() }).unwrap();
        assert!(short.prompt_tokens + short.max_new_tokens < 40 && short.row_tokens == 40, "{short:?}");
        assert!(Sizes::of(&Own { context: Some(16), ..Own::default() }).unwrap_err().contains("holds 16 tokens"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("few.txt");
        std::fs::write(&path, (0..20).map(|n| format!("Text number {n} says little.\n\n")).collect::<String>()).unwrap();
        let texts = Some(corpus::from_file(&path, "text", 0).unwrap());
        let few = Sizes::of(&Own { texts, ..Own::default() }).unwrap();
        assert!(few.budgets.len() == 1 && few.audit_prompts >= 1 && few.agreement_prompts == 0 && few.batch_rows >= 4, "{few:?}");
    }
}
