//! The two ends of an artifact's life on disk: sealed by a manifest, and looked at byte by byte before it is used.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::artifact::{Artifact, Found};
use crate::atomic::sync_dir;
use crate::key::Key;
use crate::manifest::{FileEntry, MANIFEST_FORMAT, Manifest};
use crate::place::Place;
use crate::{Hash, StoreError, canonical_json, sha256_file};

const MANIFEST: &str = "manifest.json";

/// What lies in a directory, sorted.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let wrong = |e| StoreError::io(dir, "list the directory", e);
    let mut paths =
        fs::read_dir(dir).map_err(wrong)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    paths.sort();
    Ok(paths)
}

/// Flushes every file, then writes the manifest, which makes the directory complete.
pub(crate) fn seal(dir: &Path, kind: &str, key: &Key) -> Result<Manifest, StoreError> {
    let mut files = Vec::new();
    collect(dir, "", &mut files)?;
    let manifest =
        Manifest { format: MANIFEST_FORMAT, kind: kind.to_string(), revision: key.revision, inputs: key.inputs.clone(), files };
    crate::write_atomic(&dir.join(MANIFEST), &canonical_json(&manifest)?)?;
    Ok(manifest)
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<FileEntry>) -> Result<(), StoreError> {
    for path in entries(dir)? {
        let refuse = |reason| StoreError::NotAFile { path: path.clone(), reason };
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| refuse("its name is not UTF-8"))?;
        let name = format!("{prefix}{name}");
        if name == MANIFEST {
            return Err(refuse("an artifact's own files may not be called manifest.json"));
        }
        let kind = fs::symlink_metadata(&path).map_err(|e| StoreError::io(&path, "look at it", e))?.file_type();
        if kind.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if kind.is_file() {
            let file = File::open(&path).map_err(|e| StoreError::io(&path, "open it", e))?;
            file.sync_all().map_err(|e| StoreError::io(&path, "flush it to the disk", e))?;
            let (sha256, bytes) = sha256_file(&path)?;
            files.push(FileEntry { name, bytes, sha256 });
        } else {
            return Err(refuse("an artifact holds plain files and directories only"));
        }
    }
    sync_dir(dir)
}

/// Looks for the finished artifact of `key` at `place`, reading every byte of it.
pub(crate) fn verify(place: &Place, kind: &str, key: &Key, hash: Hash) -> Result<Found, StoreError> {
    let damaged = |name: &str, what: &str| Ok(Found::Damaged { reason: format!("{}: {what}", place.done.join(name).display()) });
    if !place.done.exists() {
        return Ok(Found::Missing);
    }
    let path = place.done.join(MANIFEST);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return damaged(MANIFEST, "is missing"),
        Err(e) => return Err(StoreError::io(&path, "read it", e)),
    };
    let value: Value = match serde_json::from_slice(&text) {
        Ok(value) => value,
        Err(_) => return damaged(MANIFEST, "is not JSON"),
    };
    // looked at before the rest: another version may have other fields
    if value.get("format") != Some(&MANIFEST_FORMAT.into()) {
        return damaged(MANIFEST, &format!("is not of format {MANIFEST_FORMAT}"));
    }
    let files = match serde_json::from_value::<Manifest>(value) {
        Ok(manifest) => manifest.files,
        Err(e) => return damaged(MANIFEST, &format!("is not a manifest ({e})")),
    };
    // as bytes, not as values: a parsed float may be one unit in the last place off, and any flipped bit shows
    let manifest =
        Manifest { format: MANIFEST_FORMAT, kind: kind.to_string(), revision: key.revision, inputs: key.inputs.clone(), files };
    if canonical_json(&manifest)? != text {
        return damaged(MANIFEST, "is not the manifest of what its directory's name stands for");
    }
    for entry in &manifest.files {
        if !entry.is_inside() {
            return damaged(MANIFEST, &format!("names a file outside its directory, `{}`", entry.name));
        }
        let path = place.done.join(&entry.name);
        let bytes = match fs::metadata(&path) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return damaged(&entry.name, "is missing"),
            Err(e) => return Err(StoreError::io(&path, "look at it", e)),
        };
        if bytes != entry.bytes {
            return damaged(&entry.name, &format!("has {bytes} bytes instead of {}", entry.bytes));
        }
        if sha256_file(&path)?.0 != entry.sha256 {
            return damaged(&entry.name, "has changed since it was written (SHA-256 differs)");
        }
    }
    Ok(Found::Ready(Artifact::new(place.done.clone(), hash, manifest)))
}
