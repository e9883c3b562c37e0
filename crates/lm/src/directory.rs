//! The files of a model directory: names that several readers share, reading a text, writing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::pointer;
use crate::read::LoadError;

pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const SETTINGS: &str = "tokenizer_config.json";
pub(crate) const SPECIALS: &str = "special_tokens_map.json";
/// Files that may hold a chat template, the first of them before the one in `tokenizer_config.json`.
pub(crate) const CHAT_JINJA: &str = "chat_template.jinja";
pub(crate) const CHAT_JSON: &str = "chat_template.json";
/// Files of the model that name the tokens of a text's beginning and end.
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const GENERATION: &str = "generation_config.json";

/// Refuses what is no plain file before somebody opens it: a pipe would be waited for. That nothing at all is there is left to whoever opens
/// it, but a link to nothing is something.
pub(crate) fn check_file(path: &Path) -> Result<(), LoadError> {
    let refuse = |what: String| Err(LoadError::NotAFile { path: path.into(), what });
    let is_link = || std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) if metadata.is_dir() => refuse("is a directory, not a file".into()),
        Ok(_) => refuse("is a pipe, a socket or a device, not a file".into()),
        Err(error) if error.kind() == ErrorKind::NotFound && is_link() => refuse("is a symbolic link to nothing".into()),
        Err(error) if is_link() => refuse(format!("is a symbolic link that cannot be followed ({error})")),
        Err(_) => Ok(()),
    }
}

/// Whether a file is there that may be read and written again with the model: one of the directory's own, a link to a file of the same name
/// elsewhere (another model's), or one into the store of a hub's cache. Any other link may lead to what is nobody else's business.
pub(crate) fn has_own(path: &Path) -> Result<bool, LoadError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(false) };
    check_file(path)?;
    if !metadata.is_symlink() {
        return Ok(true);
    }
    let io = |source| LoadError::Io { path: path.into(), source };
    let target = path.canonicalize().map_err(io)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).canonicalize().map_err(io)?;
    let inside = target.starts_with(&dir) || target.file_name() == path.file_name();
    let in_cache = cache_blobs(&dir).is_some_and(|blobs| target.parent() == Some(&*blobs));
    if inside || in_cache { Ok(true) } else { Err(LoadError::LinkedAway { path: path.into(), target }) }
}

/// Where the hub's cache keeps the content of the files of a snapshot, `models--a--b/snapshots/COMMIT`.
fn cache_blobs(snapshot: &Path) -> Option<PathBuf> {
    let snapshots = snapshot.parent().filter(|parent| parent.file_name() == Some("snapshots".as_ref()))?;
    snapshots.parent()?.join("blobs").canonicalize().ok()
}

/// Reads a text file of a model directory.
pub(crate) fn read_text(path: &Path, remedy: &str) -> Result<String, LoadError> {
    check_file(path)?;
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => LoadError::Missing { path: path.into(), remedy: remedy.into() },
        ErrorKind::InvalidData => LoadError::Json { path: path.into(), why: "it is not UTF-8 text".into() },
        _ => LoadError::Io { path: path.into(), source },
    })?;
    pointer::refuse(path, text.as_bytes())?;
    Ok(text)
}

/// Writes one file of a model directory.
pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("{}: writing", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_within_a_model_to_another_and_into_a_cache_only() {
        let root = tempfile::tempdir().unwrap();
        let place = |path: &str| root.path().join(path);
        for dir in ["model/chat", "other", "cache/models--a--b/snapshots/1234", "cache/models--a--b/blobs"] {
            fs::create_dir_all(place(dir)).unwrap();
        }
        for file in ["secret", "model/chat/t", "other/chat_template.jinja", "cache/models--a--b/blobs/abcd"] {
            fs::write(place(file), "x").unwrap();
        }
        let link = |at: &str, to: &Path| {
            let _ = fs::remove_file(place(at));
            symlink(to, place(at)).unwrap();
            has_own(&place(at))
        };
        let ours = "model/chat_template.jinja";
        assert!(!has_own(&place(ours)).unwrap());
        for good in [place("model/chat/t"), place("other/chat_template.jinja"), "chat/t".into()] {
            assert!(link(ours, &good).unwrap(), "{}", good.display());
        }
        let cached = "cache/models--a--b/snapshots/1234/chat_template.jinja";
        assert!(link(cached, Path::new("../../blobs/abcd")).unwrap());
        for (at, to) in [(ours, place("secret")), (ours, place("cache/models--a--b/blobs/abcd")), (cached, place("secret"))] {
            let error = link(at, &to).unwrap_err().to_string();
            assert!(error.contains(at) && error.contains("is no file of this model"), "{error}");
        }
        // through another link, which bears the right name
        symlink(place("secret"), place("model/chat/chat_template.jinja")).unwrap();
        assert!(link(ours, Path::new("chat/chat_template.jinja")).is_err());
        assert!(link(ours, Path::new("nowhere")).unwrap_err().to_string().contains("a symbolic link to nothing"));
        assert!(link(ours, Path::new("chat_template.jinja")).unwrap_err().to_string().contains("cannot be followed"));
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("config.json");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (path, what) in [(&*pipe, "a pipe"), (dir.path(), "a directory")] {
            let error = read_text(path, "").unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        assert!(matches!(read_text(&dir.path().join("none"), "fetch it"), Err(LoadError::Missing { .. })));
    }
}
