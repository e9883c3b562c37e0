//! The mark that is looked for, as it was typed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use marks::server::Server;
use marks::{Key, Mark, MarkEntry, Owner, ServedKey};
use oracle::Codec;
use serde::Deserialize;

use crate::exit::UsageError;
use crate::secret::OwnerSecret;

/// A mark under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its name, which enters the label of its key.
    pub name: String,
    /// What it is.
    pub entry: MarkEntry,
}

impl Wanted {
    /// Reads a line of TOML as in an experiment's `[marks]`: `KIND = { ... }`, or `NAME = { KIND = { ... } }` (`NAME.KIND = { ... }`) where the
    /// mark has a name of its own.
    ///
    /// # Errors
    /// When it is no such line, or its values cannot be.
    pub fn parse(line: &str) -> Result<Self, UsageError> {
        let refused = |what: String| UsageError(format!("--mark {}: {what}", line.trim()));
        let example =
            "write one mark as in an experiment's [marks]: KIND = { KEY = VALUE, ... } (`birthmark list marks` names the kinds)";
        let table: toml::Table = toml::from_str(line).map_err(|error| {
            let said = error.message().trim().replace('\n', ", ");
            refused(format!("not valid TOML: {said}; {example}"))
        })?;
        let (name, value) = match table.iter().collect::<Vec<_>>()[..] {
            [(name, value)] => (name.clone(), value.clone()),
            ref several => return Err(refused(format!("{} keys instead of one; {example}", several.len()))),
        };
        let is_kind = |name: &str| MarkEntry::KINDS.contains(&name);
        let beside = |key: &str| ["stack", "mark_rate", "opt_out"].contains(&key);
        // a table whose only key is a kind holds a mark under a name, even one that is called as a kind is
        let named = value
            .as_table()
            .is_some_and(|inner| inner.keys().any(|key| is_kind(key)) && inner.keys().all(|key| is_kind(key) || beside(key)));
        let entry = if named { value } else { toml::Value::Table(table) };
        if !named && !is_kind(&name) {
            return Err(refused(format!("no mark is called `{name}`; {example}")));
        }
        let entry = MarkEntry::deserialize(entry).map_err(|error| refused(error.message().trim().replace('\n', ", ")))?;
        entry.validate().map_err(|error| refused(error.to_string()))?;
        Ok(Self { name, entry })
    }

    /// The mark that `server` serves under the configuration in the file `path`, which `flag` named.
    ///
    /// # Errors
    /// When the file cannot be read, is no JSON, or configures no mark that is known.
    pub fn served(server: Server, flag: &str, path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if let Some(why) = store::why_no_file(path) {
            return Err(UsageError(format!("{flag} {shown}: {why}; name the server's configuration, a JSON file")).into());
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("{flag} {shown}: cannot be read"))?;
        let config = serde_json::from_str(&text)
            .map_err(|error| UsageError(format!("{flag} {shown}: not JSON: {error}; give it as the server has it")))?;
        let entry = MarkEntry::served_by(server, &config).map_err(|error| UsageError(format!("{flag} {shown}: {error}")))?;
        Ok(Self { name: entry.config()?.info().name.to_string(), entry })
    }

    /// The mark as it may be shown: a key that a server already has stands as a word.
    ///
    /// # Errors
    /// When the entry gives no kind.
    pub fn shown(&self) -> anyhow::Result<serde_json::Value> {
        let mut shown = serde_json::to_value(&self.entry)?;
        if self.entry.config()?.needs().served_key {
            hide(&mut shown);
        }
        Ok(shown)
    }

    /// Its key under `secret` in the repetition `seed`, as an experiment derives it.
    ///
    /// # Errors
    /// When the entry gives no kind.
    pub fn key(&self, secret: &OwnerSecret, seed: u64) -> Result<Key, oracle::ConfigError> {
        Ok(secret.key_of_mark(&self.name, &self.entry.config()?.info(), seed))
    }

    /// The mark under `key`.
    ///
    /// # Errors
    /// When it does not show in texts alone, or does not fit the vocabulary.
    pub fn build(&self, key: &Key, codec: &Arc<dyn Codec>) -> anyhow::Result<Arc<dyn Mark>> {
        let info = self.entry.config()?.info();
        let alone =
            || UsageError(format!("--mark: `{}` is not looked for in texts alone; `birthmark audit` asks a model", info.name));
        let needs = self.entry.config()?.needs();
        if needs.phase != marks::Phase::Service || !needs.changes_drawn_law || !needs.files.is_empty() {
            return Err(alone().into());
        }
        let mark = self.entry.build(&Owner::new(key, codec))?;
        if mark.detector().is_none() { Err(alone().into()) } else { Ok(mark) }
    }
}

fn hide(shown: &mut serde_json::Value) {
    for (name, value) in shown.as_object_mut().into_iter().flatten() {
        if ServedKey::FIELDS.contains(&name.as_str()) {
            *value = "redacted".into();
        } else {
            hide(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_has_the_name_of_its_kind_or_its_own() {
        let fields = "gamma = 0.25, delta = 2.0, context_width = 1";
        let plain = Wanted::parse(&format!("kgw = {{ {fields} }}")).unwrap();
        assert_eq!(plain.name, "kgw");
        for line in [
            format!("mine = {{ kgw = {{ {fields} }} }}"),
            format!("mine.kgw = {{ {fields} }}"),
            format!("[mine.kgw]\n{}", fields.replace(", ", "\n")),
            format!("mine = {{ mark_rate = 0.2, opt_out = {{ accounts = [1] }}, kgw = {{ {fields} }} }}"),
        ] {
            let named = Wanted::parse(&line).unwrap();
            assert_eq!((named.name.as_str(), &named.entry.alone()), ("mine", &plain.entry), "{line}");
        }
        assert_eq!(Wanted::parse(&format!("kgw.kgw = {{ {fields} }}")).unwrap(), plain);
        let secret = OwnerSecret::public("s", None);
        let mine = Wanted { name: "mine".into(), ..plain.clone() };
        assert_eq!(plain.key(&secret, 1).unwrap(), secret.derive("watermark", 1));
        assert_eq!(mine.key(&secret, 2).unwrap(), secret.derive("watermark mine", 2));
    }

    #[test]
    fn a_servers_own_key_is_not_shown() {
        for line in [
            "vllm_gumbel = { key = 90817263, context_width = 4, deduplicate_contexts = \"single_turn\" }",
            "kgw = { gamma = 0.25, delta = 2.0, context_width = 1, torch = { hash_key = 90817263 } }",
            "hf_synthid = { ngram_len = 5, keys = [90817263, 1, 2] }",
        ] {
            let shown = Wanted::parse(line).unwrap().shown().unwrap().to_string();
            assert!(!shown.contains("90817263") && shown.contains("redacted"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_mark_is_refused_in_one_line() {
        for (line, parts) in [
            ("kgw", &["not valid TOML", "KIND"][..]),
            ("", &["0 keys instead of one"]),
            ("a = 1\nb = 2", &["2 keys instead of one"]),
            ("green = { gamma = 0.5 }", &["no mark is called `green`", "birthmark list marks"]),
            ("kgw = { gamma = 0.25, delta = 2.0 }", &["context_width"]),
            ("kgw = { gamma = 0.25, delta = 2.0, context_width = 1, width = 3 }", &["width"]),
            ("kgw = { gamma = 1.5, delta = 2.0, context_width = 1 }", &["`kgw.gamma` is 1.5"]),
        ] {
            let said = Wanted::parse(line).unwrap_err().0;
            assert!(
                said.starts_with("--mark ") && parts.iter().all(|part| said.contains(part)) && !said.contains('\n')
                    || line.contains('\n'),
                "{line}: {said}"
            );
        }
    }
}
