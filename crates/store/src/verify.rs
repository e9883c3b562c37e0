//! The two ends of an artifact's life on disk: sealed by a manifest, and looked at byte by byte before it is used.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::artifact::Artifact;
use crate::atomic::sync_dir;
use crate::key::Key;
use crate::manifest::{FileEntry, MANIFEST_FORMAT, Manifest};
use crate::place::Place;
use crate::stamp::Seen;
use crate::{Hash, StoreError, canonical_json};

const MANIFEST: &str = "manifest.json";

/// What lies in a directory, sorted.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let wrong = |e| StoreError::io(dir, "list the directory", e);
    let mut paths =
        fs::read_dir(dir).map_err(wrong)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    paths.sort();
    Ok(paths)
}

/// What [`verify`] met.
pub(crate) enum Verified {
    /// Finished; with each of its files as it was read.
    Ready(Artifact, Vec<(PathBuf, Seen)>),
    Missing,
    Damaged {
        /// What is wrong, naming the file.
        reason: String,
    },
}

/// Flushes every file, then writes the manifest, which makes the directory complete. Returns it and its files as they were read.
pub(crate) fn seal(dir: &Path, kind: &str, key: &Key) -> Result<(Manifest, Vec<Seen>), StoreError> {
    let mut found = Vec::new();
    collect(dir, "", &mut found)?;
    if found.is_empty() {
        return Err(StoreError::NotAFile { path: dir.to_path_buf(), reason: "an artifact holds one file at least" });
    }
    let (files, seen) = found.into_iter().unzip();
    let manifest =
        Manifest { format: MANIFEST_FORMAT, kind: kind.to_string(), revision: key.revision, inputs: key.inputs.clone(), files };
    crate::write_atomic(&dir.join(MANIFEST), &canonical_json(&manifest)?)?;
    Ok((manifest, seen))
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<(FileEntry, Seen)>) -> Result<(), StoreError> {
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
            let seen = Seen::read(&path)?;
            files.push((FileEntry { name, bytes: seen.bytes, sha256: seen.sha256 }, seen));
        } else {
            return Err(refuse("an artifact holds plain files and directories only"));
        }
    }
    sync_dir(dir)
}

/// Looks for the finished artifact of `key` at `place`, reading every byte of it.
pub(crate) fn verify(place: &Place, kind: &str, key: &Key, hash: Hash) -> Result<Verified, StoreError> {
    let damaged =
        |name: &str, what: &str| Ok(Verified::Damaged { reason: format!("{}: {what}", place.done.join(name).display()) });
    if !place.done.exists() {
        return Ok(Verified::Missing);
    }
    let path = place.done.join(MANIFEST);
    let text = match crate::read_plain(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return damaged(MANIFEST, "is missing"),
        Err(e) if e.kind() == ErrorKind::InvalidInput => return damaged(MANIFEST, "is not a file"),
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
    if manifest.files.is_empty() {
        return damaged(MANIFEST, "names no file");
    }
    let mut all = Vec::with_capacity(manifest.files.len());
    for entry in &manifest.files {
        if !entry.is_inside() {
            return damaged(MANIFEST, &format!("names a file outside its directory, `{}`", entry.name));
        }
        let path = place.done.join(&entry.name);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return damaged(&entry.name, "is missing");
            }
            Err(e) => return Err(StoreError::io(&path, "look at it", e)),
        };
        if !metadata.is_file() {
            return damaged(&entry.name, &format!("is {}", crate::kind_in_words(&metadata)));
        }
        if metadata.len() != entry.bytes {
            return damaged(&entry.name, &format!("has {} bytes instead of {}", metadata.len(), entry.bytes));
        }
        let seen = Seen::read(&path)?;
        if seen.sha256 != entry.sha256 {
            return damaged(&entry.name, "has changed since it was written (SHA-256 differs)");
        }
        all.push((path, seen));
    }
    refuse_unnamed(&place.done, "", &manifest.files)?;
    Ok(Verified::Ready(Artifact::new(place.done.clone(), hash, manifest), all))
}

/// Refuses a file that the manifest does not name: nothing vouches for it, and readers of the directory would take it for a part. It is not
/// damage that could be repaired, since it may be somebody's own.
fn refuse_unnamed(dir: &Path, prefix: &str, named: &[FileEntry]) -> Result<(), StoreError> {
    for path in entries(dir)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // what desktops leave everywhere is no part of anything
        if name.starts_with('.') || (prefix.is_empty() && name == MANIFEST) {
            continue;
        }
        let name = format!("{prefix}{name}");
        let kind = fs::symlink_metadata(&path).map_err(|e| StoreError::io(&path, "look at it", e))?.file_type();
        if kind.is_dir() {
            refuse_unnamed(&path, &format!("{name}/"), named)?;
        } else if !named.iter().any(|entry| entry.name == name) {
            return Err(StoreError::Unnamed { path });
        }
    }
    Ok(())
}
