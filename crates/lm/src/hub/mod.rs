//! Models from a Hugging Face hub: found in the cache that Python's library shares, or fetched into it.
//!
//! Nothing is fetched unless [`fetch`] or [`fetch_config`] is called with settings that are not offline, and nothing else in
//! this workspace touches the network. Weights are taken as safetensors only; every file is checked against the checksum by
//! which the hub names it.

mod cache;
mod checksum;
mod download;
mod error;
mod event;
mod files;
mod name;
mod server;
mod settings;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::{ModelConfig, checkpoint, directory};
use cache::Folder;
use download::Downloads;
use files::{Part, Wanted};
use server::Server;

pub use error::HubError;
pub use event::HubEvent;
pub use name::{ModelName, NameError};
pub use settings::HubSettings;

/// A model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `…/models--org--name/snapshots/<commit>`: a model directory.
    pub directory: PathBuf,
    /// The commit that the revision is, or was when the server last answered.
    pub commit: String,
}

/// The model as it is in the cache, or `None` when it is not there whole. Asks no server.
pub fn cached(settings: &HubSettings, name: &ModelName) -> Option<Snapshot> {
    in_cache(&Folder::new(&settings.cache, name), Part::Whole, false)
}

/// Finds a model in the cache or fetches it there.
///
/// A commit that is in the cache is used without asking anybody. For a branch or tag the server is asked which commit it is;
/// when it cannot be reached, the commit it was last is used and a [`HubEvent::Notice`] says so. What a cancelled or broken
/// download leaves is taken up by the next. A configuration that [`ModelConfig`] refuses is refused before any weight is fetched.
///
/// # Errors
/// See [`HubError`].
pub fn fetch(
    settings: &HubSettings,
    name: &ModelName,
    progress: &mut dyn FnMut(HubEvent<'_>),
    cancelled: &AtomicBool,
) -> Result<Snapshot, HubError> {
    obtain(settings, name, Part::Whole, progress, cancelled)
}

/// As [`fetch`], of `config.json` (an adapter's `adapter_config.json`) alone: the directory may hold nothing else.
///
/// # Errors
/// See [`HubError`].
pub fn fetch_config(
    settings: &HubSettings,
    name: &ModelName,
    progress: &mut dyn FnMut(HubEvent<'_>),
    cancelled: &AtomicBool,
) -> Result<Snapshot, HubError> {
    obtain(settings, name, Part::Config, progress, cancelled)
}

/// What the cache has of a model, for the revision as last known.
fn in_cache(folder: &Folder, part: Part, strict: bool) -> Option<Snapshot> {
    let commit = folder.commit().filter(|commit| folder.holds(commit, part, strict))?;
    Some(Snapshot { directory: folder.snapshot(&commit), commit })
}

fn obtain(
    settings: &HubSettings,
    name: &ModelName,
    part: Part,
    progress: &mut dyn FnMut(HubEvent<'_>),
    cancelled: &AtomicBool,
) -> Result<Snapshot, HubError> {
    let folder = Folder::new(&settings.cache, name);
    let known = in_cache(&folder, part, false);
    if let Some(snapshot) =
        known.clone().filter(|_| settings.offline || in_cache(&folder, part, true).is_some() && name.is_pinned())
    {
        return Ok(snapshot);
    }
    let not_cached =
        |why: String| HubError::NotCached { name: name.clone(), why, folder: folder.file_name(), cache: settings.cache.clone() };
    if settings.offline {
        return Err(not_cached("HF_HUB_OFFLINE is set".into()));
    }
    let server = Server::new(settings, name)?;
    let listing = match (server.listing(), known) {
        (Ok(listing), _) => listing,
        (Err(HubError::Unreachable { endpoint, why }), Some(snapshot)) => {
            let commit = &snapshot.commit;
            progress(HubEvent::Notice(&format!(
                "{endpoint} cannot be reached ({why}): using {name} as it is in the cache, commit {commit}"
            )));
            return Ok(snapshot);
        }
        (Err(HubError::Unreachable { endpoint, why }), None) => {
            return Err(not_cached(format!("{endpoint} cannot be reached ({why})")));
        }
        (Err(error), _) => return Err(error),
    };
    let commit = &listing.commit;
    if !folder.holds(commit, part, true) {
        let wanted = Wanted::of(name, &listing.files, part)?;
        for file in &wanted.absent {
            folder.set_absent(commit, file)?;
        }
        let mut downloads = Downloads { server: &server, folder: &folder, name, commit, progress, cancelled };
        download(&mut downloads, &wanted)?;
    }
    // a revision that stands for a whole model keeps standing for it while only a newer configuration is here
    if part == Part::Whole || folder.commit().is_none() {
        folder.set_commit(commit)?;
    }
    Ok(Snapshot { directory: folder.snapshot(commit), commit: commit.clone() })
}

/// Brings everything that is wanted, the shards named by the index last.
fn download(downloads: &mut Downloads<'_>, wanted: &Wanted) -> Result<(), HubError> {
    let commit = downloads.commit;
    let mut files: Vec<(String, server::FileMeta)> = Vec::new();
    for file in &wanted.files {
        files.push((file.to_string(), downloads.server.meta(commit, file)?));
    }
    if let Some((config, meta)) = files.iter().find(|(file, _)| file == files::CONFIG).cloned() {
        downloads.file(&config, &meta)?;
        let path = downloads.folder.snapshot(commit).join(config);
        let remedy = "fetch the model again";
        ModelConfig::parse(&directory::read_text(&path, remedy)?, &path)?;
    }
    if let Some((index, meta)) = files.iter().find(|(file, _)| file == checkpoint::INDEX).cloned() {
        downloads.file(&index, &meta)?;
        for shard in checkpoint::shards(&downloads.folder.snapshot(commit))? {
            let shard = shard.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !shard.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                let why = format!("`weight_map` names \"{}\", which is no file name of the hub's", shard.escape_debug());
                return Err(crate::LoadError::Json { path: downloads.folder.snapshot(commit).join(index), why }.into());
            }
            let meta = downloads.server.meta(commit, &shard)?;
            files.push((shard, meta));
        }
    }
    let bytes = files.iter().map(|(_, meta)| meta.bytes).sum();
    let here = files.iter().map(|(file, meta)| downloads.here(file, meta)).sum();
    (downloads.progress)(HubEvent::Begins { files: files.len(), bytes, here });
    files.iter().try_for_each(|(file, meta)| downloads.file(file, meta))
}
