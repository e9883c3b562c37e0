//! Which tokens are never text: beginning, end, and whatever else the files call special.

use std::collections::BTreeMap;

use oracle::TokenId;
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::{AddedToken, Tokenizer as Inner};

/// What `tokenizer_config.json` and `special_tokens_map.json` call a token, without the ending `_token`.
const NAMES: [&str; 7] = ["bos", "eos", "unk", "pad", "cls", "sep", "mask"];

/// Special tokens and their parts.
#[derive(Clone)]
pub(super) struct Roles {
    /// Put before every text.
    pub(super) bos: Option<TokenId>,
    /// Ends an answer; the first, if several do.
    pub(super) eos: Option<TokenId>,
    /// Stands for characters that no other token has.
    pub(super) unknown: Option<TokenId>,
    /// Ascending.
    pub(super) special_ids: Vec<TokenId>,
    /// Texts of tokens by the names that chat templates know them by (`bos_token` ...).
    pub(super) texts: BTreeMap<String, String>,
    /// What its files say and is not so, in words.
    pub(super) notes: Vec<String>,
}

impl Roles {
    /// Reads them from `settings` (the files beside `tokenizer.json`, most telling first) and tells `inner`, which was read
    /// from `json`, about those it does not call special itself.
    pub(super) fn assign(inner: &mut Inner, json: &str, max_id: TokenId, settings: &[Value]) -> tokenizers::Result<Self> {
        // A token is named by its text (or an object around it) in the tokenizer's files, by its id in the model's.
        let text_of = |value: &Value, name: &str| {
            let text = &value[format!("{name}_token")];
            text.as_str().or_else(|| text["content"].as_str()).map(str::to_owned)
        };
        let named = |role: &str| {
            settings.iter().find_map(|value| {
                let by_text = text_of(value, role).and_then(|text| inner.token_to_id(&text));
                by_text.or_else(|| ids(&value[format!("{role}_token_id")]).next()).filter(|id| *id <= max_id)
            })
        };
        let begins = inner.encode_fast("a", true)?.get_ids().first().copied();
        let asked = settings.iter().any(|value| value["add_bos_token"] == true);
        // what puts a token before a text is the tokenizer's own post-processor, and nothing else (transformers 5 too)
        let bos = named("bos").filter(|bos| begins == Some(*bos));
        let mut notes = Vec::new();
        if asked && bos.is_none() {
            let what = "`add_bos_token` is true, but tokenizer.json puts no beginning token before a text: there is none";
            notes.push(what.to_string());
        }
        let eos = named("eos");
        let unknown = unknown_token(inner, json)?;

        let added = inner.get_added_tokens_decoder();
        let mut special_ids: Vec<TokenId> = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        special_ids.extend(bos.iter().chain(&eos));
        special_ids.extend(settings.iter().flat_map(|value| ids(&value["eos_token_id"])).filter(|id| *id <= max_id));
        // Others count only if the tokenizer has set them apart: some models pad with an ordinary word.
        let mut texts = BTreeMap::new();
        for (name, value) in NAMES.iter().flat_map(|name| settings.iter().map(move |value| (name, value))) {
            if let Some(text) = text_of(value, name) {
                special_ids.extend(inner.token_to_id(&text).filter(|id| added.contains_key(id)));
                texts.entry(format!("{name}_token")).or_insert(text);
            }
        }
        let more = settings.iter().filter_map(|value| value["additional_special_tokens"].as_array()).flatten();
        let more = more.filter_map(|token| token.as_str().or_else(|| token["content"].as_str()));
        special_ids.extend(more.filter_map(|text| inner.token_to_id(text)).filter(|id| added.contains_key(id)));
        special_ids.sort_unstable();
        special_ids.dedup();

        let undeclared = special_ids.iter().filter(|id| added.get(id).is_none_or(|token| !token.special)).filter_map(|id| {
            let as_added = added.get(id).map(|token| AddedToken { special: true, ..token.clone() });
            as_added.or_else(|| inner.id_to_token(*id).map(|text| AddedToken::from(text, true)))
        });
        let undeclared: Vec<AddedToken> = undeclared.collect();
        inner.add_special_tokens(undeclared)?;
        Ok(Self { bos, eos, unknown, special_ids, texts, notes })
    }

    /// Ids below `size` that are never text, ascending: special ones, and those of `absent`, which stand for no token.
    pub(super) fn never_text(&self, absent: &[TokenId], size: usize) -> Vec<TokenId> {
        let mut all: Vec<TokenId> = self.special_ids.iter().chain(absent).copied().filter(|id| (*id as usize) < size).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    pub(super) fn is_special(&self, id: TokenId) -> bool {
        self.special_ids.binary_search(&id).is_ok()
    }
}

/// An id or a list of them; none for anything else.
fn ids(value: &Value) -> impl Iterator<Item = TokenId> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().filter_map(Value::as_u64).filter_map(|id| TokenId::try_from(id).ok())
}

/// The token that `inner`, read from `json`, itself puts for what it does not know.
fn unknown_token(inner: &Inner, json: &str) -> tokenizers::Result<Option<TokenId>> {
    let by_text = |text: &str| inner.token_to_id(text);
    Ok(match inner.get_model() {
        ModelWrapper::BPE(model) => model.unk_token.as_deref().and_then(by_text),
        ModelWrapper::WordPiece(model) => by_text(&model.unk_token),
        ModelWrapper::WordLevel(model) => by_text(&model.unk_token),
        // the library keeps this one to itself
        ModelWrapper::Unigram(_) => ids(&serde_json::from_str::<Value>(json)?["model"]["unk_id"]).next(),
    })
}
