//! The hash of `records.jsonl` in `manifest.json`: whether records are what a run wrote.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Hash;

use crate::stages::save_json;

/// Records of a results directory.
pub(super) const RECORDS: &str = "records.jsonl";
/// Who made them; holds the seal.
pub(super) const MANIFEST: &str = "manifest.json";
/// Its key.
const SEAL: &str = "records_sha256";

/// What the seal of a results directory says of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seal {
    /// They are what a run wrote.
    Whole,
    /// They were changed since.
    Broken,
    /// There is none: an earlier version wrote them, or they came without their manifest.
    Absent,
}

impl Seal {
    /// Of the records in `directory`.
    pub(super) fn of(directory: &Path) -> Self {
        let sealed = read(directory).and_then(|manifest| manifest.get(SEAL)?.as_str()?.parse::<Hash>().ok());
        match (sealed, now(directory)) {
            (None, _) => Self::Absent,
            (Some(sealed), Some(now)) if sealed == now => Self::Whole,
            (Some(_), _) => Self::Broken,
        }
    }

    /// What a reader must know, one line; `None` where all is well.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Broken => Some(
                "records.jsonl is not what the run wrote (its SHA-256 is not the one that was kept beside it): it was changed by hand, or a run \
                 was stopped while it wrote; the same `birthmark run`, and `birthmark report` after it, put it right",
            ),
            Self::Absent => Some(
                "records.jsonl is not sealed (an earlier version wrote it, or its manifest.json is not there), so nobody can tell whether it was \
                 changed by hand; `birthmark run` of its experiment seals it",
            ),
        }
    }
}

/// Seals the records in `directory`, which have just been written.
pub(super) fn seal(directory: &Path) -> anyhow::Result<()> {
    let seal = now(directory).map(|now| json!(now));
    save(directory, read(directory).unwrap_or_else(|| json!({})), seal)
}

/// Writes `manifest`, with the seal that is there: nothing was written that it would have to hold for.
pub(super) fn save_manifest(directory: &Path, manifest: Value) -> anyhow::Result<()> {
    let seal = read(directory).and_then(|known| known.get(SEAL).cloned());
    save(directory, manifest, seal)
}

fn save(directory: &Path, manifest: Value, seal: Option<Value>) -> anyhow::Result<()> {
    let known = read(directory);
    let mut sealed = manifest;
    if let (Some(entries), Some(seal)) = (sealed.as_object_mut(), seal) {
        entries.insert(SEAL.into(), seal);
    }
    if known.as_ref() == Some(&sealed) { Ok(()) } else { save_json(&directory.join(MANIFEST), &sealed) }
}

fn read(directory: &Path) -> Option<Value> {
    serde_json::from_slice(&store::read_plain(&directory.join(MANIFEST)).ok()?).ok().filter(Value::is_object)
}

fn now(directory: &Path) -> Option<Hash> {
    Some(store::hash_bytes(&store::read_plain(&directory.join(RECORDS)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_breaks_with_any_change_and_is_put_right_by_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(dir.path().join(RECORDS), text).unwrap();
        write("{}\n");
        assert_eq!(Seal::of(dir.path()), Seal::Absent);
        save_manifest(dir.path(), json!({ "threads": 1 })).unwrap();
        assert_eq!(Seal::of(dir.path()), Seal::Absent);
        seal(dir.path()).unwrap();
        save_manifest(dir.path(), json!({ "threads": 2 })).unwrap();
        assert_eq!(Seal::of(dir.path()), Seal::Whole);
        write("{ }\n");
        assert_eq!(Seal::of(dir.path()), Seal::Broken);
        save_manifest(dir.path(), json!({ "threads": 2 })).unwrap();
        assert_eq!(Seal::of(dir.path()), Seal::Broken, "a manifest alone seals nothing");
        seal(dir.path()).unwrap();
        assert_eq!(Seal::of(dir.path()), Seal::Whole);
        assert_eq!(read(dir.path()).unwrap()["threads"], 2, "the rest stays");
        std::fs::remove_file(dir.path().join(RECORDS)).unwrap();
        assert_eq!(Seal::of(dir.path()), Seal::Broken);
        for manifest in ["", "[]", "{\"records_sha256\": 3}"] {
            std::fs::write(dir.path().join(MANIFEST), manifest).unwrap();
            assert_eq!(Seal::of(dir.path()), Seal::Absent);
        }
    }
}
