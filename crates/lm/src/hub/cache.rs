//! The cache directory, laid out as the hub's Python library lays it out, so that both find what the other fetched.
//!
//! `models--org--name/` holds `refs/<revision>` (the commit it stood for when last asked), `blobs/<etag>` (contents),
//! `snapshots/<commit>/<file>` (links to them) and `.no_exist/<commit>/<file>` (empty, for files the model does not have);
//! locks lie in `.locks/models--org--name/`.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hf_hub::{Cache, CacheRepo, Repo};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::files::{self, Part, Wanted};
use super::name::is_commit;
use super::{HubError, ModelName};
use crate::checkpoint;

/// How often a lock that another holds is looked at again.
const LOCK_EVERY: Duration = Duration::from_millis(100);

/// One model's folder in a cache.
pub(super) struct Folder {
    name: ModelName,
    root: PathBuf,
    locks: PathBuf,
    repo: CacheRepo,
}

impl Folder {
    pub(super) fn new(cache: &Path, name: &ModelName) -> Self {
        let repo = Repo::model(name.repository().to_string());
        let folder = repo.folder_name();
        Self {
            name: name.clone(),
            root: cache.join(&folder),
            locks: cache.join(".locks").join(&folder),
            repo: Cache::new(cache.to_path_buf()).repo(repo),
        }
    }

    /// Its name in the cache, `models--org--name`.
    pub(super) fn file_name(&self) -> String {
        self.root.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where the files of a commit lie.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// What came so far of a blob, under the name that Python's library gave it when it still resumed downloads.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{etag}.incomplete"))
    }

    fn reference(&self) -> PathBuf {
        self.root.join("refs").join(self.name.revision())
    }

    fn absence(&self, commit: &str, file: &str) -> PathBuf {
        self.root.join(".no_exist").join(commit).join(file)
    }

    /// Names of all files at a commit, where newer versions of Python's library have noted them (`trees/<commit>.json`).
    fn listed(&self, commit: &str) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Tree {
            format_version: u64,
            files: BTreeMap<String, IgnoredAny>,
        }
        let path = self.root.join("trees").join(format!("{commit}.json"));
        let text = path.is_file().then(|| fs::read(&path).ok()).flatten()?;
        // of another version, or damaged: no more than a note is lost
        let tree: Tree = serde_json::from_slice(&text).ok()?;
        (tree.format_version == 1).then(|| tree.files.into_keys().collect())
    }

    /// The commit that the revision is, or was when the server was last asked.
    pub(super) fn commit(&self) -> Option<String> {
        if self.name.is_pinned() {
            return Some(self.name.revision().to_string());
        }
        let path = self.reference();
        let text = path.is_file().then(|| fs::read_to_string(&path).ok()).flatten()?;
        Some(text.trim().to_string()).filter(|commit| is_commit(commit))
    }

    /// Notes which commit the revision is. Written aside and renamed: a reader sees the old one or the new one.
    pub(super) fn set_commit(&self, commit: &str) -> Result<(), HubError> {
        let path = self.reference();
        if self.name.is_pinned() || fs::read_to_string(&path).is_ok_and(|known| known == commit) {
            return Ok(());
        }
        make_parent(&path)?;
        let aside = beside(&path);
        fs::write(&aside, commit).map_err(HubError::io(&aside, "write it"))?;
        fs::rename(&aside, &path).map_err(HubError::io(&path, "put it in place"))
    }

    /// Notes that the model has no such file at this commit.
    pub(super) fn set_absent(&self, commit: &str, file: &str) -> Result<(), HubError> {
        let path = self.absence(commit, file);
        make_parent(&path)?;
        File::create(&path).map(drop).map_err(HubError::io(&path, "make it"))
    }

    /// Whether `part` of the model is here at this commit, every shard of the weights included.
    ///
    /// Little in the layout says whether a snapshot is whole. `strict` asks for every file that is wanted where the files of
    /// the commit are known, and else for the tokenizer's files too, unless the model is known to have none; small optional
    /// files that came with neither are not missed.
    pub(super) fn holds(&self, commit: &str, part: Part, strict: bool) -> bool {
        let directory = self.snapshot(commit);
        let has = |file: &str| directory.join(file).is_file();
        let absent = |file: &str| self.absence(commit, file).is_file();
        if part == Part::Config {
            return has(files::CONFIG) || has(files::ADAPTER[0]);
        }
        let weights = || checkpoint::shards(&directory).is_ok_and(|shards| shards.iter().all(|shard| shard.is_file()));
        let adapter = || files::ADAPTER.iter().all(|file| has(file)) && (!has(files::CONFIG) || absent(checkpoint::SINGLE));
        let settled = !strict
            || match self.listed(commit).map(|listed| Wanted::of(&self.name, &listed, part)) {
                Some(Ok(wanted)) => wanted.files.iter().all(|file| has(file)),
                _ => files::TOKENIZER.iter().all(|file| has(file) || absent(file)),
            };
        settled && (has(files::CONFIG) && weights() || adapter())
    }

    /// Takes the lock of one blob, which Python's library takes too; it is freed when dropped. `waits` is told once if another
    /// holds it.
    pub(super) fn lock(&self, etag: &str, cancelled: &AtomicBool, waits: impl FnOnce()) -> Result<File, HubError> {
        let mut waits = Some(waits);
        let path = self.locks.join(format!("{etag}.lock"));
        make_parent(&path)?;
        let file = File::options().create(true).append(true).open(&path).map_err(HubError::io(&path, "make it"))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                // some network file systems have no locks; Python's library goes on without them too
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(HubError::io(&path, "lock it")(error)),
            }
            if let Some(waits) = waits.take() {
                waits();
            }
            if cancelled.load(Ordering::Relaxed) {
                return Err(HubError::Cancelled(self.name.clone()));
            }
            std::thread::sleep(LOCK_EVERY);
        }
    }

    /// Makes the file of a commit from its blob.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let pointer = self.snapshot(commit).join(file);
        make_parent(&pointer)?;
        // a link to a blob that somebody removed
        if fs::symlink_metadata(&pointer).is_ok() && !pointer.exists() {
            fs::remove_file(&pointer).map_err(HubError::io(&pointer, "remove it"))?;
        }
        link_or_copy(&self.blob(etag), &Path::new("../../blobs").join(etag), &pointer, symlink)
    }
}

/// Links `pointer` to `target` (relative to it); where that is refused, copies `blob`.
fn link_or_copy(
    blob: &Path,
    target: &Path,
    pointer: &Path,
    link: impl Fn(&Path, &Path) -> io::Result<()>,
) -> Result<(), HubError> {
    match link(target, pointer) {
        Ok(()) => Ok(()),
        // another process was as quick
        Err(_) if pointer.exists() => Ok(()),
        Err(_) => {
            let aside = beside(pointer);
            fs::copy(blob, &aside).map_err(HubError::io(&aside, "copy to it"))?;
            fs::rename(&aside, pointer).map_err(HubError::io(pointer, "put it in place"))
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, pointer: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, pointer)
}

#[cfg(windows)]
fn symlink(target: &Path, pointer: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, pointer)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _pointer: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A path in the same directory that no other process and no other thread writes.
fn beside(path: &Path) -> PathBuf {
    use std::sync::atomic::AtomicU64;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub(super) fn make_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(HubError::io(parent, "make the directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_links_are_refused_the_content_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (blob, pointer) = (dir.path().join("blob"), dir.path().join("file"));
        fs::write(&blob, "content").unwrap();
        let refused = |_: &Path, _: &Path| Err(io::ErrorKind::PermissionDenied.into());
        link_or_copy(&blob, Path::new("blob"), &pointer, refused).unwrap();
        assert!(!fs::symlink_metadata(&pointer).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&pointer).unwrap(), "content");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), &"a/b".parse().unwrap());
        let commit = "c".repeat(40);
        let pointer = folder.snapshot(&commit).join("config.json");
        make_parent(&pointer).unwrap();
        symlink(Path::new("../../blobs/gone"), &pointer).unwrap();
        make_parent(&folder.blob("new")).unwrap();
        fs::write(folder.blob("new"), "{}").unwrap();
        folder.link(&commit, "config.json", "new").unwrap();
        assert_eq!(fs::read_to_string(&pointer).unwrap(), "{}");
        assert_eq!(fs::read_link(&pointer).unwrap(), Path::new("../../blobs/new"));
    }

    #[test]
    fn a_held_lock_is_waited_for_until_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), &"a/b".parse().unwrap());
        let held = folder.lock("x", &AtomicBool::new(false), || panic!("nobody holds it")).unwrap();
        let mut waited = false;
        let cancelled = folder.lock("x", &AtomicBool::new(true), || waited = true);
        assert!(waited && matches!(cancelled, Err(HubError::Cancelled(_))));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| folder.lock("x", &AtomicBool::new(false), || {}).map(drop));
            std::thread::sleep(LOCK_EVERY);
            drop(held);
            waiting.join().unwrap().unwrap();
        });
        assert!(dir.path().join(".locks/models--a--b/x.lock").is_file());
    }
}
