use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oracle::ConfigError;

use super::config::AdapterConfig;
use super::modules::is_saved;
use super::names;
use super::shape::AdapterShape;
use crate::arch::{Layout, ModelConfig};
use crate::card::ModelCard;
use crate::checkpoint::{self, PEFT_PREFIX as PREFIX, Shard};
use crate::directory::{self, write};
use crate::header::Entry;
use crate::model::Model;
use crate::read::LoadError;
use crate::tokenizer::Tokenizer;
use crate::wrapped::some_of;

/// What an adapter is, in its directory.
pub const CONFIG: &str = "adapter_config.json";
/// Its tensors there.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// Its tensors as a pickle, which is never read.
const PICKLE: &str = "adapter_model.bin";
/// Longest `adapter_config.json` that is read.
const LONGEST_CONFIG: u64 = 1 << 20;

/// Whether a directory holds an adapter and no whole model.
///
/// # Errors
/// When it holds both: it cannot be known which of them is meant.
pub fn is_adapter(dir: &Path) -> Result<bool, LoadError> {
    if !dir.join(CONFIG).is_file() {
        return Ok(false);
    }
    let whole = [checkpoint::SINGLE, checkpoint::INDEX].into_iter().find(|file| dir.join(file).exists());
    match whole.filter(|_| dir.join(WEIGHTS).exists() || dir.join(PICKLE).exists()) {
        Some(file) => Err(LoadError::TwoModels { path: dir.into(), whole: file.into() }),
        None => Ok(whole.is_none()),
    }
}

/// Reads the `adapter_config.json` of a directory.
///
/// # Errors
/// When it is not there, not valid, or asks for something that is not supported.
pub fn read_config(dir: &Path) -> Result<AdapterConfig, LoadError> {
    let path = dir.join(CONFIG);
    if let Ok(metadata) = std::fs::metadata(&path)
        && metadata.len() > LONGEST_CONFIG
    {
        let why = format!("it has {} bytes, more than the {LONGEST_CONFIG} that are read", metadata.len());
        return Err(LoadError::Json { path, why });
    }
    AdapterConfig::parse(&directory::read_text(&path, "an adapter's directory holds adapter_config.json")?, &path)
}

/// An adapter with its values.
#[derive(Debug, Clone)]
pub struct Adapter {
    config: AdapterConfig,
    shape: Arc<AdapterShape>,
    values: Vec<f32>,
    /// Parameters of the model that the adapter brings whole: place in the flat vector, and values.
    replaced: Vec<(Range<usize>, Vec<f32>)>,
    /// What was met in reading it.
    notes: Vec<String>,
}

/// Where a tensor of the file goes.
enum Goes {
    Pair(Range<usize>),
    Instead(Range<usize>),
}

impl Adapter {
    /// An adapter of these values, in the order of its shape.
    ///
    /// # Panics
    /// When the values are not as many as the shape says.
    pub fn new(config: &AdapterConfig, shape: &Arc<AdapterShape>, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), shape.n_params(), "as many values as the shape has");
        Self { config: config.clone(), shape: shape.clone(), values, replaced: Vec::new(), notes: Vec::new() }
    }

    /// Reads `adapter_config.json` and `adapter_model.safetensors` of a directory, an adapter for a model of `base`. Names,
    /// shapes and types are checked before memory is taken for them. Tensors are found under the names that peft and transformers know,
    /// and under those that wrapped modules and other adapters' names make of them, which both drop without a word: the
    /// [merged](Self::merged) model's notes name them, and those that belong to no part of the model and are left out.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(dir: &Path, base: &ModelConfig) -> Result<Self, LoadError> {
        let config = read_config(dir)?;
        let shape = AdapterShape::new(&config, base).map_err(|error| LoadError::Config { path: dir.join(CONFIG), error })?;
        let path = weights_of(dir)?;
        let (shard, tensors) = Shard::open(&path)?;
        let mut notes = config.notes();
        let wanted = Wanted::new(&config, &shape, base, &path, &mut notes)?;
        let mut goes: BTreeMap<String, (Goes, Entry)> = BTreeMap::new();
        let (mut renamed, mut left_out) = (Vec::new(), Vec::new());
        for (name, entry) in tensors {
            let Some(Placed { ours, goes: place, dropped_for }) = wanted.place(&name, &entry)? else {
                left_out.push(name);
                continue;
            };
            if goes.insert(ours, (place, entry)).is_some() {
                return Err(wanted.wrong(&name, "is there under two names"));
            }
            renamed.extend(dropped_for.map(|part| (part, name)));
        }
        if let Some((part, _)) = renamed.first() {
            notes.push(format!(
                "{}: {} tensor(s) have `{part}` in their names, for which peft drops them without a word and leaves the base as it is; they \
                 are read without it: {}",
                path.display(),
                renamed.len(),
                some_of(renamed.iter().map(|(_, name)| name.as_str()))
            ));
        }
        if !left_out.is_empty() {
            notes.push(format!(
                "{}: {} tensor(s) belong to no part of the language model and are left out, as peft does: {}",
                path.display(),
                left_out.len(),
                some_of(left_out.iter().map(String::as_str))
            ));
        }
        if let Some((name, (_, shape))) = wanted.needed.iter().find(|(name, _)| !goes.contains_key(*name)) {
            return Err(wanted.wrong(&format!("{PREFIX}{name}"), &format!("of shape {shape:?} is missing")));
        }
        let (mut values, mut replaced) = (vec![0.0; shape.n_params()], Vec::new());
        for (name, (place, entry)) in &goes {
            match place {
                Goes::Pair(range) => shard.read(name, entry, &mut values[range.clone()])?,
                Goes::Instead(range) => {
                    let mut whole = vec![0.0; range.len()];
                    shard.read(name, entry, &mut whole)?;
                    // a tied pair may come under both its names
                    if replaced.iter().any(|(known, values): &(Range<usize>, Vec<f32>)| known == range && *values != whole) {
                        return Err(wanted.wrong(name, "differs from the one that the base ties it to"));
                    }
                    replaced.push((range.clone(), whole));
                }
            }
        }
        let idle = |range: &Range<usize>| values[range.clone()].iter().all(|value| *value == 0.0);
        let nothing = shape.pairs().iter().all(|pair| idle(&pair.a) || idle(&pair.b));
        if nothing && replaced.is_empty() {
            notes.push(format!("{}: one matrix of every pair is 0: this adapter changes nothing", path.display()));
        }
        Ok(Self { config, shape: Arc::new(shape), values, replaced, notes })
    }

    /// `base` with the adapter in its weights.
    ///
    /// # Panics
    /// When the adapter was read for a model of another layout.
    pub fn merged(&self, base: &Model) -> Model {
        let mut weights = base.weights().to_vec();
        for (range, values) in &self.replaced {
            weights[range.clone()].copy_from_slice(values);
        }
        self.shape.merge(&self.values, &mut weights);
        base.with_weights(weights).with_notes(self.notes.iter().cloned())
    }

    /// What its configuration says.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Which parameters it has.
    pub fn shape(&self) -> &AdapterShape {
        &self.shape
    }

    /// Writes a directory that peft loads: `adapter_config.json`, `adapter_model.safetensors`, the tokenizer's files and a
    /// `README.md`. `base` and `revision` lead to the model that it belongs to.
    ///
    /// # Errors
    /// When a file cannot be written; the `std::io::Error` is in the chain. When it is no adapter of one rank and alpha for
    /// all its targets, which is all that is made here.
    pub fn save(
        &self,
        dir: &Path,
        base: &str,
        revision: Option<&str>,
        tokenizer: Option<&Tokenizer>,
        card: &ModelCard,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(self.config.is_plain() && self.replaced.is_empty(), "only an adapter of one rank and alpha is written");
        std::fs::create_dir_all(dir)?;
        let config =
            AdapterConfig { base: Some(base.to_string()), revision: revision.map(str::to_string), ..self.config.clone() };
        let pairs = self.shape.pairs();
        let json = config.json(pairs.iter().all(|pair| pair.transposed && !pair.table));
        write(dir, CONFIG, format!("{json:#}\n").as_bytes())?;
        let shapes: Vec<[[usize; 2]; 2]> =
            pairs.iter().map(|pair| [[pair.rank, pair.inputs], [pair.outputs, pair.rank]]).collect();
        let tensors = pairs.iter().zip(&shapes).flat_map(|(pair, shapes)| {
            let [a, b] = names::of_pair(&pair.module, pair.table);
            let named = |name: String, shape, range: &Range<usize>| (format!("{PREFIX}{name}"), shape, range.clone());
            [named(a, &shapes[0][..], &pair.a), named(b, &shapes[1][..], &pair.b)]
        });
        checkpoint::save_tensors(&dir.join(WEIGHTS), tensors.map(|(name, shape, range)| (name, shape, &self.values[range])))?;
        if let Some(tokenizer) = tokenizer {
            tokenizer.save(dir)?;
        }
        write(dir, "README.md", card.readme_of("peft").as_bytes())
    }
}

/// The tensors of a directory's adapter.
fn weights_of(dir: &Path) -> Result<PathBuf, LoadError> {
    let path = dir.join(WEIGHTS);
    let pickle = dir.join(PICKLE);
    match (path.exists(), pickle.exists()) {
        (true, _) => Ok(path),
        (false, true) => Err(LoadError::Pickle { path: pickle }),
        (false, false) => Err(LoadError::Missing { path, remedy: "fetch the whole adapter".into() }),
    }
}

/// A tensor of the file that has its place.
struct Placed {
    /// Our name of it.
    ours: String,
    goes: Goes,
    /// The part of its name for which peft does not find it.
    dropped_for: Option<String>,
}

/// What an adapter's file must hold and may hold.
struct Wanted<'a> {
    path: &'a Path,
    base: &'a ModelConfig,
    /// Shapes and places by name after the prefix.
    needed: BTreeMap<String, (Range<usize>, Vec<usize>)>,
    /// Parameters that `modules_to_save` makes the file bring.
    instead: BTreeSet<String>,
    layout: Layout,
    adapted: BTreeSet<String>,
}

impl<'a> Wanted<'a> {
    fn new(
        config: &AdapterConfig,
        shape: &AdapterShape,
        base: &'a ModelConfig,
        path: &'a Path,
        notes: &mut Vec<String>,
    ) -> Result<Self, LoadError> {
        let layout = base.layout();
        let mut wanted = Self {
            path,
            base,
            needed: BTreeMap::new(),
            instead: BTreeSet::new(),
            adapted: shape.pairs().iter().map(|pair| pair.module.clone()).collect(),
            layout,
        };
        for pair in shape.pairs() {
            let [a, b] = names::of_pair(&pair.module, pair.table);
            wanted.needed.insert(a, (pair.a.clone(), vec![pair.rank, pair.inputs]));
            wanted.needed.insert(b, (pair.b.clone(), vec![pair.outputs, pair.rank]));
        }
        let (arch, tied) = (base.arch(), base.arch().decoder().head.tied);
        for module in &config.modules_to_save {
            let held = |name: &str| is_saved(name.rsplit_once('.').map_or(name, |(module, _)| module), module);
            let table = arch.decoder().embedding.tokens;
            if tied && (held(arch.decoder().head.name) || held(table)) {
                let remedy =
                    "the model's table of tokens is also its last product, of which an adapter brings one; not supported";
                let error = ConfigError::new("modules_to_save", module, remedy);
                return Err(LoadError::Config { path: path.with_file_name(CONFIG), error });
            }
            let parameters: Vec<_> = wanted.layout.parameters().iter().filter(|p| held(&p.name)).cloned().collect();
            if parameters.is_empty() {
                notes.push(format!(
                    "`modules_to_save` names {module}, which the language model does not have: left out, as peft does"
                ));
            }
            for parameter in parameters {
                wanted.instead.insert(parameter.name.clone());
                wanted.needed.insert(parameter.name, (parameter.range, parameter.shape));
            }
        }
        Ok(wanted)
    }

    fn wrong(&self, name: &str, why: &str) -> LoadError {
        LoadError::Adapter { path: self.path.into(), name: name.into(), why: why.into() }
    }

    /// Our name of a tensor of the file, and where it goes; `None` for one that belongs to no part of the model.
    fn place(&self, name: &str, entry: &Entry) -> Result<Option<Placed>, LoadError> {
        let refuse = |why: &str| Err(self.wrong(name, why));
        let (bare, dropped_for) = names::bare(name);
        if bare.contains(".lora_magnitude_vector") {
            return refuse("is of a DoRA, which is not supported");
        }
        let plain = name.strip_prefix(PREFIX).unwrap_or(name);
        let found = |inner: &str| self.candidates(inner).into_iter().find_map(|ours| self.find(ours));
        let (found, dropped_for) = match found(plain) {
            Some(found) => (Some(found), None),
            None => (found(&bare), dropped_for),
        };
        let Some((ours, range, shape, goes)) = found else {
            if bare.contains(".lora_") {
                return refuse(&format!("of shape {:?} is not asked for", entry.shape));
            }
            return Ok(None);
        };
        if !entry.shape.iter().copied().eq(shape.iter().map(|n| *n as u64)) {
            return refuse(&format!("has shape {:?}, but shape {shape:?} is asked for", entry.shape));
        }
        if !checkpoint::is_read(&entry.dtype) {
            return refuse(&format!("has type {}; only F32, F16 and BF16 are read", entry.dtype));
        }
        Ok(Some(Placed { ours, goes: goes(range), dropped_for }))
    }

    /// What we may call it: under its own name, with what checkpoints of the model without its last product leave out, and
    /// under the name in checkpoints of what transformers names otherwise in memory.
    fn candidates(&self, inner: &str) -> Vec<String> {
        let arch = self.base.arch();
        let mut all = vec![inner.to_string(), format!("{}{inner}", arch.base_prefix())];
        if let (Some(rest), Some(ours)) = (inner.strip_prefix("lm_head."), arch.renamed("lm_head.weight")) {
            all.push(format!("{}.{rest}", ours.strip_suffix(".weight").unwrap_or(ours)));
        }
        all
    }

    #[expect(clippy::type_complexity, reason = "a row of a table")]
    fn find(&self, ours: String) -> Option<(String, Range<usize>, Vec<usize>, fn(Range<usize>) -> Goes)> {
        if let Some((range, shape)) = self.needed.get(&ours).cloned() {
            let goes = if self.instead.contains(&ours) { Goes::Instead } else { Goes::Pair };
            return Some((ours, range, shape, goes));
        }
        // peft writes the weight below an adapted table or last product too: texts of new tokens may have been added
        if let Some((module, parameter)) = ours.split_once(".base_layer.") {
            let whole = format!("{module}.{parameter}");
            let found = self.layout.get(&whole).filter(|_| self.adapted.contains(module))?;
            return Some((whole, found.range.clone(), found.shape.clone(), Goes::Instead));
        }
        // and a whole table where the vocabulary was changed, which it then puts in the base's place
        let held_as = self.base.arch().tied_to(&ours).unwrap_or(&ours);
        let module = held_as.rsplit_once('.').map_or("", |(module, _)| module);
        let found = self.layout.get(held_as).filter(|_| !self.adapted.contains(module))?;
        let (range, shape) = (found.range.clone(), found.shape.clone());
        Some((ours, range, shape, Goes::Instead))
    }
}
