//! Models by name: where a typed model lies.

mod settings;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use lm::hub::{self, HubError, HubEvent, HubSettings, ModelName, Snapshot};
use lm::lora;

use crate::exit::{UsageError, WillBeFetched};
pub use crate::found::{FoundModel, Origin, Said};
use crate::progress::{Bar, Progress, count};
pub use settings::settings;

/// Most adapters on one another.
const MOST_ADAPTERS: usize = 8;

/// Finds models that are typed as directories or as `org/name[@revision]`. The environment is looked at when the first name
/// is met.
pub struct Models<'a> {
    fetching: Option<(&'a Progress, &'a AtomicBool)>,
    /// A branch may move while we look: within one process it stands for one commit.
    found: RefCell<BTreeMap<ModelName, Snapshot>>,
}

impl<'a> Models<'a> {
    /// Fetches what is not in the cache.
    pub fn fetching(progress: &'a Progress, cancelled: &'a AtomicBool) -> Self {
        Self { fetching: Some((progress, cancelled)), found: RefCell::default() }
    }

    /// Only looks in the cache.
    pub fn cached() -> Self {
        Self { fetching: None, found: RefCell::default() }
    }

    /// The directory of the model that was typed as `typed`, which as a path is `path`. What exists on this machine wins; what
    /// neither exists nor has the form of a name is given back for whoever opens it to refuse. An adapter's base is found too:
    /// `base` as it was typed, or what the adapter says.
    ///
    /// # Errors
    /// As [`HubError`] when the hub does not give it, as [`UsageError`] when the environment is set up wrongly or an adapter's
    /// base is nowhere.
    pub fn find(&self, path: &Path, typed: &str, base: Option<&str>) -> anyhow::Result<FoundModel> {
        self.upon_base(self.find_with(path, typed, hub::fetch)?, base, hub::fetch, 0)
    }

    /// As [`find`](Self::find), but of a model on the hub only the configuration is fetched.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_config(&self, path: &Path, typed: &str, base: Option<&str>) -> anyhow::Result<FoundModel> {
        self.upon_base(self.find_with(path, typed, hub::fetch_config)?, base, hub::fetch_config, 0)
    }

    /// The same with its base, if it is an adapter.
    fn upon_base(&self, found: FoundModel, given: Option<&str>, fetch: Fetch, depth: usize) -> anyhow::Result<FoundModel> {
        let shown = found.directory.display().to_string();
        if !lora::is_adapter(&found.directory)? {
            return match given {
                Some(base) => Err(UsageError(format!("--base {base}: {shown} is no adapter and has no base; drop it")).into()),
                None => Ok(found),
            };
        }
        if depth == MOST_ADAPTERS {
            return Err(UsageError(format!("{shown}: an adapter on {depth} others; is it its own base?")).into());
        }
        let said = lora::read_config(&found.directory)?;
        if let Some(file) = lone_tokenizer_file(&found.directory) {
            let remedy = "copy the base's tokenizer.json beside it, or take it away";
            return Err(UsageError(format!("{shown}: the adapter brings {file} without tokenizer.json; {remedy}")).into());
        }
        let place = match (given, &said.base) {
            (Some(base), _) => (PathBuf::from(base), base.to_string()),
            (None, Some(base)) => {
                // written beside the adapter, or where somebody stood
                let beside = found.directory.join(base);
                let path = if beside.exists() { beside } else { PathBuf::from(base) };
                let pinned = said.revision.as_ref().filter(|_| !base.contains('@')).map(|revision| format!("{base}@{revision}"));
                (path, pinned.unwrap_or_else(|| base.clone()))
            }
            (None, None) => {
                let remedy = "write a directory or org/name there (model commands take --base too)";
                let key = "`base_model_name_or_path` is missing";
                return Err(UsageError(format!("{}: {key}; {remedy}", found.directory.join(lora::CONFIG).display())).into());
            }
        };
        let (path, typed) = place;
        let base =
            self.find_with(&path, &typed, fetch).map_err(|error| error.context(format!("the base of the adapter {shown}")))?;
        if !base.directory.exists() {
            let whose = match given {
                Some(_) => format!("--base {typed}"),
                None => format!("{}: `base_model_name_or_path` is \"{typed}\"", found.directory.join(lora::CONFIG).display()),
            };
            let remedy = "write the place of the model that the adapter belongs to there (model commands take --base too)";
            return Err(UsageError(format!("{whose}: neither a directory here nor org/name on a hub; {remedy}")).into());
        }
        let base = self.upon_base(base, None, fetch, depth + 1)?;
        Ok(FoundModel { base: Some(Box::new(base)), ..found })
    }

    /// Whether finding it may take a download.
    pub fn may_fetch(&self, path: &Path, typed: &str) -> bool {
        self.fetching.is_some() && !path.exists() && typed.parse::<ModelName>().is_ok()
    }

    fn find_with(&self, path: &Path, typed: &str, fetch: Fetch) -> anyhow::Result<FoundModel> {
        let local = FoundModel { directory: path.to_path_buf(), origin: None, base: None };
        if path.exists() {
            return Ok(local);
        }
        let name: ModelName = match typed.parse() {
            Ok(name) => name,
            // a repository is named rightly, a revision is not: no directory was meant
            Err(error) if typed.split_once('@').is_some_and(|(name, _)| name.parse::<ModelName>().is_ok()) => {
                return Err(error.into());
            }
            Err(_) => return Ok(local),
        };
        let snapshot = self.found.borrow().get(&name).cloned();
        let snapshot = match snapshot {
            Some(snapshot) => snapshot,
            None => self.look_up(&name, fetch)?,
        };
        let (repository, revision) = (name.repository().to_string(), name.revision().to_string());
        let origin = Some(Origin { name: repository, revision, commit: snapshot.commit.clone() });
        let directory = snapshot.directory.clone();
        self.found.borrow_mut().insert(name, snapshot);
        Ok(FoundModel { directory, origin, base: None })
    }

    fn look_up(&self, name: &ModelName, fetch: Fetch) -> anyhow::Result<Snapshot> {
        let settings = settings(&|key| std::env::var_os(key))?;
        let Some((progress, cancelled)) = self.fetching else {
            return hub::cached(&settings, name).ok_or_else(|| {
                let (repository, revision) = (name.repository(), name.revision());
                let there = format!("neither a directory here nor whole in the cache {}", settings.cache.display());
                let remedy = format!("to have it now: hf download {repository} --revision {revision}");
                if settings.offline {
                    let fetcher = "HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set, so `birthmark run` will not fetch it";
                    return UsageError(format!("{name} is {there}; {fetcher}; {remedy}")).into();
                }
                let fetcher = format!("`birthmark run` will fetch it from {}", settings.endpoint);
                WillBeFetched(format!("{name} is {there}; {fetcher}; {remedy}")).into()
            });
        };
        let mut shown = Shown { progress, bar: None, name };
        let snapshot = match fetch(&settings, name, &mut |event| shown.see(event), cancelled) {
            Ok(snapshot) => snapshot,
            // what has the form of a name may have been meant as a path
            Err(error) if error.is_input() => {
                let typed = name.repository();
                return Err(anyhow::Error::new(error).context(format!("no directory {typed} here, and on the hub")));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(bar) = shown.bar.take() {
            bar.finish(&format!("commit {} in {}", snapshot.commit, settings.cache.display()));
        }
        Ok(snapshot)
    }
}

type Fetch = fn(&HubSettings, &ModelName, &mut dyn FnMut(HubEvent<'_>), &AtomicBool) -> Result<Snapshot, HubError>;

/// A download on standard error.
struct Shown<'a> {
    progress: &'a Progress,
    bar: Option<Bar>,
    name: &'a ModelName,
}

impl Shown<'_> {
    fn see(&mut self, event: HubEvent<'_>) {
        match event {
            HubEvent::Begins { files, bytes, here } => {
                let missing = bytes.saturating_sub(here);
                if missing > 0 {
                    let whole = format!("{} bytes in {files} files", count(bytes as f64));
                    self.progress.note(&format!("fetching {}: {whole}, {} of them to come", self.name, count(missing as f64)));
                    let bar = self.progress.stage(format!("fetching {}", self.name.repository()), bytes, "bytes");
                    bar.skip(here);
                    self.bar = Some(bar);
                }
            }
            HubEvent::Received(n) => {
                if let Some(bar) = &self.bar {
                    bar.inc(n);
                }
            }
            HubEvent::Notice(text) => self.progress.warn(text),
        }
    }
}

/// A file of an adapter's that would count only beside a `tokenizer.json` of its own.
fn lone_tokenizer_file(dir: &Path) -> Option<&'static str> {
    let there = |name: &&str| dir.join(name).exists();
    let lone = ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"].into_iter().find(there);
    lone.filter(|_| !dir.join("tokenizer.json").exists())
}
