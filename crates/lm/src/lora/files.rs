use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oracle::ConfigError;

use super::config::AdapterConfig;
use super::modules::is_saved;
use super::shape::AdapterShape;
use crate::arch::{Layout, ModelConfig};
use crate::card::ModelCard;
use crate::checkpoint::{self, Shard};
use crate::directory::{self, write};
use crate::header::Entry;
use crate::model::Model;
use crate::read::LoadError;
use crate::tokenizer::Tokenizer;

/// What an adapter is, in its directory.
pub const CONFIG: &str = "adapter_config.json";
/// Its tensors there.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// Its tensors as a pickle, which is never read.
const PICKLE: &str = "adapter_model.bin";
/// What peft puts before the name of every module.
const PREFIX: &str = "base_model.model.";
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
        Self { config: config.clone(), shape: shape.clone(), values, replaced: Vec::new() }
    }

    /// Reads `adapter_config.json` and `adapter_model.safetensors` of a directory, an adapter for a model of `base`. Names,
    /// shapes and types are checked before memory is taken for them; every tensor is used.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(dir: &Path, base: &ModelConfig) -> Result<Self, LoadError> {
        let config = read_config(dir)?;
        let shape = AdapterShape::new(&config, base).map_err(|error| LoadError::Config { path: dir.join(CONFIG), error })?;
        let path = weights_of(dir)?;
        let (shard, tensors) = Shard::open(&path)?;
        let wanted = Wanted::new(&config, &shape, base, &path)?;
        let mut goes: BTreeMap<String, (Goes, Entry)> = BTreeMap::new();
        for (name, entry) in tensors {
            let (ours, place) = wanted.place(&name, &entry)?;
            if goes.insert(ours, (place, entry)).is_some() {
                return Err(wanted.wrong(&name, "is there under two names"));
            }
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
                    replaced.push((range.clone(), whole));
                }
            }
        }
        Ok(Self { config, shape: Arc::new(shape), values, replaced })
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
        base.with_weights(weights)
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
            let [a, b] = names(&pair.module, pair.table);
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

/// Names of a pair's tensors after the prefix.
fn names(module: &str, table: bool) -> [String; 2] {
    if table {
        [format!("{module}.lora_embedding_A"), format!("{module}.lora_embedding_B")]
    } else {
        [format!("{module}.lora_A.weight"), format!("{module}.lora_B.weight")]
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
    fn new(config: &AdapterConfig, shape: &AdapterShape, base: &'a ModelConfig, path: &'a Path) -> Result<Self, LoadError> {
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
            let [a, b] = names(&pair.module, pair.table);
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
                let error = ConfigError::new("modules_to_save", module, "the model has no such module");
                return Err(LoadError::Config { path: path.with_file_name(CONFIG), error });
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

    /// Our name of a tensor of the file, and where it goes.
    fn place(&self, name: &str, entry: &Entry) -> Result<(String, Goes), LoadError> {
        let refuse = |why: &str| Err(self.wrong(name, why));
        let Some(inner) = name.strip_prefix(PREFIX) else {
            return refuse(&format!("does not begin with `{PREFIX}`, as an adapter's names do"));
        };
        if inner.ends_with(".lora_magnitude_vector") || inner.ends_with(".lora_magnitude_vector.weight") {
            return refuse("is of a DoRA, which is not supported");
        }
        let Some((ours, range, shape, goes)) = self.candidates(inner).into_iter().find_map(|ours| self.find(ours)) else {
            return refuse(&format!("of shape {:?} is not asked for", entry.shape));
        };
        if !entry.shape.iter().copied().eq(shape.iter().map(|n| *n as u64)) {
            return refuse(&format!("has shape {:?}, but shape {shape:?} is asked for", entry.shape));
        }
        if !checkpoint::is_read(&entry.dtype) {
            return refuse(&format!("has type {}; only F32, F16 and BF16 are read", entry.dtype));
        }
        Ok((ours, goes(range)))
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
        let (module, parameter) = ours.split_once(".base_layer.")?;
        let whole = format!("{module}.{parameter}");
        let found = self.layout.get(&whole).filter(|_| self.adapted.contains(module))?;
        Some((whole, found.range.clone(), found.shape.clone(), Goes::Instead))
    }
}
