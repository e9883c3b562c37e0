//! Weights on disk: reading checkpoints into the flat vector, and writing them.
//!
//! Checkpoints are mapped, and every value is copied or converted from the mapping into the flat vector, once.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use safetensors::Dtype;
use safetensors::tensor::View;

use crate::arch::{Arch, Layout};
use crate::directory::{self, read_text};
use crate::header::{Entry, Header, is_pickle};
use crate::mapped::Mapped;
use crate::pointer::refuse_pointer;
use crate::read::LoadError;
use crate::wrapped::{some_of, unwrapped};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Endings of files that hold pickles.
const PICKLE_ENDINGS: &[&str] = &["bin", "pt", "pth", "ckpt", "pkl", "pickle"];

/// Refuses a `dir` that is not a directory, saying what would be right.
pub(crate) fn check_directory(dir: &Path) -> Result<(), LoadError> {
    let remedy = "give a directory with config.json, model.safetensors and tokenizer.json, or a .gguf file";
    let metadata = std::fs::metadata(dir).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing { path: dir.into(), remedy: remedy.into() },
        _ => LoadError::Io { path: dir.into(), source },
    })?;
    if metadata.is_dir() {
        return Ok(());
    }
    directory::check_file(dir)?;
    refuse_pointer(dir)?;
    let mut start = Vec::new();
    let file = File::open(dir).map_err(|source| LoadError::Io { path: dir.into(), source })?;
    let _ = file.take(9).read_to_end(&mut start);
    if has_pickle_ending(dir) || is_pickle(&start) {
        return Err(LoadError::Pickle { path: dir.into() });
    }
    Err(LoadError::NotADirectory { path: dir.into(), remedy: remedy.into() })
}

/// Refuses a directory whose only weights are pickles; called before anything else is asked of it.
pub(crate) fn refuse_pickles(dir: &Path) -> Result<(), LoadError> {
    if dir.join(SINGLE).exists() || dir.join(INDEX).exists() {
        return Ok(());
    }
    let entries = std::fs::read_dir(dir).map_err(|source| LoadError::Io { path: dir.into(), source })?;
    let mut pickles: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| has_pickle_ending(path)).collect();
    pickles.sort();
    match pickles.into_iter().next() {
        Some(path) => Err(LoadError::Pickle { path }),
        None => Ok(()),
    }
}

/// Whether a file's name says that it holds pickles.
pub(crate) fn has_pickle_ending(path: &Path) -> bool {
    path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| PICKLE_ENDINGS.contains(&ending))
}

/// Tensors of a checkpoint by name: the shard and the entry there.
type Tensors = BTreeMap<String, (usize, Entry)>;

/// All weights of a directory in layout order, and what was left out or read under another name, a sentence each. Names, shapes and
/// types are checked before memory is taken for them.
pub(crate) fn load_weights(dir: &Path, arch: &dyn Arch, layout: &Layout) -> Result<(Vec<f32>, Vec<String>), LoadError> {
    let paths = shards(dir)?;
    let mut shards = Vec::with_capacity(paths.len());
    let mut found = Tensors::new();
    for (i, path) in paths.iter().enumerate() {
        let (shard, tensors) = Shard::open(path)?;
        for (name, entry) in tensors {
            if found.insert(name.clone(), (i, entry)).is_some() {
                return Err(LoadError::Tensor { path: path.clone(), name, why: "is in an earlier shard too".into() });
            }
        }
        shards.push(shard);
    }
    let mut notes = Vec::new();
    let found = our_names(&paths[0], found, arch, layout, &mut notes)?;
    let found = check_names(&paths[0], found, arch, layout, &mut notes)?;

    let mut weights = vec![0.0; layout.n_params()];
    for parameter in layout.parameters() {
        let Some((shard, entry)) = found.get(&parameter.name) else { continue };
        shards[*shard].read(&parameter.name, entry, &mut weights[parameter.range.clone()])?;
    }
    for (name, (shard, entry)) in &found {
        let Some(parameter) = arch.tied_to(name).and_then(|held_as| layout.get(held_as)) else { continue };
        let mut copy = vec![0.0; parameter.range.len()];
        shards[*shard].read(name, entry, &mut copy)?;
        let same = copy.iter().zip(&weights[parameter.range.clone()]).all(|(a, b)| a.to_bits() == b.to_bits());
        if !same {
            let why = format!("differs from `{}`, which config.json ties it to (tie_word_embeddings)", parameter.name);
            return Err(LoadError::Tensor { path: shards[*shard].path.into(), name: name.clone(), why });
        }
    }
    Ok((weights, notes))
}

/// What peft puts before the names of a model's own tensors.
pub(crate) const PEFT_PREFIX: &str = "base_model.model.";

/// Names as we have them: a checkpoint of the model without its output product leaves out their beginning, one of a wrapped model has more
/// in them, and of a tied pair a file may hold the output product alone.
fn our_names(
    path: &Path,
    found: Tensors,
    arch: &dyn Arch,
    layout: &Layout,
    notes: &mut Vec<String>,
) -> Result<Tensors, LoadError> {
    let decoder = arch.decoder();
    let known = |name: &str| layout.get(name).is_some() || arch.is_buffer(name) || name == decoder.head.name;
    let ours = |name: &str| {
        if let Some(ours) = arch.renamed(name).filter(|ours| !found.contains_key(*ours)) {
            return Some(ours.to_string());
        }
        let longer = format!("{}{name}", arch.base_prefix());
        if known(name) { Some(name.to_string()) } else { (known(&longer) && !found.contains_key(&longer)).then_some(longer) }
    };
    let mut named = Tensors::new();
    let mut wrapped: Vec<(&str, &str)> = Vec::new();
    for (name, tensor) in &found {
        let inside = || {
            let (bare, wrapper) = unwrapped(name).unwrap_or((name.clone(), PEFT_PREFIX));
            let bare = bare.strip_prefix(PEFT_PREFIX).unwrap_or(&bare).to_string();
            ours(&bare).filter(|ours| !found.contains_key(ours)).map(|ours| (ours, wrapper))
        };
        let ours = match ours(name) {
            Some(ours) => ours,
            None => match inside() {
                Some((ours, wrapper)) => {
                    wrapped.push((wrapper, name));
                    ours
                }
                None => name.clone(),
            },
        };
        if named.insert(ours, tensor.clone()).is_some() {
            return Err(LoadError::Tensor { path: path.into(), name: name.clone(), why: "is there under two names".into() });
        }
    }
    if let Some((wrapper, _)) = wrapped.first() {
        notes.push(format!(
            "{}: {} tensor(s) carry the name `{}` of a wrapped module, under which transformers finds none of them; they are read without \
             it: {}",
            path.display(),
            wrapped.len(),
            wrapper.trim_end_matches('.'),
            some_of(wrapped.iter().map(|(_, name)| *name))
        ));
    }
    let table = decoder.embedding.tokens;
    if decoder.head.tied
        && !named.contains_key(table)
        && let Some(head) = named.remove(decoder.head.name)
    {
        named.insert(table.into(), head);
    }
    Ok(named)
}

/// The files that hold the weights; at least one.
pub(crate) fn shards(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let index = dir.join(INDEX);
    let single = dir.join(SINGLE);
    if single.exists() || !index.exists() {
        return Ok(vec![single]);
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bad = |why: String| LoadError::Json { path: index.clone(), why };
    let Index { weight_map } =
        serde_json::from_str(&read_text(&index, "fetch the whole checkpoint")?).map_err(|error| bad(error.to_string()))?;
    let mut names: Vec<String> = weight_map.into_values().collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err(bad("`weight_map` is empty".into()));
    }
    for name in &names {
        // An index must not lead out of the directory.
        if Path::new(name).file_name().is_none_or(|file| file != name.as_str()) {
            return Err(bad(format!("`weight_map` names `{name}`, which is not a plain file name")));
        }
        if has_pickle_ending(Path::new(name)) {
            return Err(LoadError::Pickle { path: dir.join(name) });
        }
    }
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

/// The tensors that the model has, all of them and as it has them; others that cannot be part of it are left out.
fn check_names(
    path: &Path,
    found: Tensors,
    arch: &dyn Arch,
    layout: &Layout,
    notes: &mut Vec<String>,
) -> Result<Tensors, LoadError> {
    let error = |name: &str, why: String| Err(LoadError::Tensor { path: path.into(), name: name.into(), why });
    let mut expected = HashMap::with_capacity(layout.parameters().len());
    for parameter in layout.parameters() {
        expected.insert(parameter.name.as_str(), parameter);
        if !found.contains_key(&parameter.name) {
            return error(&parameter.name, format!("of shape {:?} is missing", parameter.shape));
        }
    }
    let head = arch.decoder().head.name.rsplit_once('.').map_or("", |(module, _)| module);
    // what has the name of a part of the model would change what it computes
    let inside = |name: &str| {
        let beginning = format!("{}{}.", arch.base_prefix(), name.split('.').next().unwrap_or_default());
        let shortened = layout.parameters().iter().any(|parameter| parameter.name.starts_with(&beginning));
        name.starts_with(arch.base_prefix()) || name.starts_with(head) || shortened || name.contains("lora_")
    };
    let mut kept = Tensors::new();
    let mut left_out = Vec::new();
    for (name, (shard, entry)) in found {
        let parameter = expected.get(name.as_str()).copied().or_else(|| arch.tied_to(&name).and_then(|name| layout.get(name)));
        let Some(parameter) = parameter else {
            if arch.is_buffer(&name) {
                continue;
            }
            if inside(&name) {
                return error(&name, format!("of shape {:?} is not part of the model that config.json describes", entry.shape));
            }
            left_out.push(name);
            continue;
        };
        if !entry.shape.iter().copied().eq(parameter.shape.iter().map(|n| *n as u64)) {
            return error(&name, format!("has shape {:?}, but config.json asks for {:?}", entry.shape, parameter.shape));
        }
        if !is_read(&entry.dtype) {
            return error(&name, format!("has type {}; only F32, F16 and BF16 are read", entry.dtype));
        }
        kept.insert(name, (shard, entry));
    }
    if !left_out.is_empty() {
        notes.push(format!(
            "{}: {} tensor(s) belong to no part of the language model and are left out: {}",
            path.display(),
            left_out.len(),
            some_of(left_out.iter().map(String::as_str))
        ));
    }
    Ok(kept)
}

/// Whether tensors of this type are read.
pub(crate) fn is_read(dtype: &str) -> bool {
    matches!(dtype, "F32" | "F16" | "BF16")
}

/// A mapped safetensors file.
pub(crate) struct Shard<'a> {
    pub path: &'a Path,
    mapped: Mapped,
    data_start: u64,
}

impl<'a> Shard<'a> {
    /// Opens a file: what it holds, by name.
    pub fn open(path: &'a Path) -> Result<(Self, BTreeMap<String, Entry>), LoadError> {
        let (file, header) = Header::open(path)?;
        let mapped = Mapped::new(path, file, header.file_bytes)?;
        Ok((Self { path, mapped, data_start: header.data_start }, header.tensors))
    }

    /// Reads the tensor `name`, whose shape and type have been checked; every value of it must be a number.
    pub fn read(&self, name: &str, entry: &Entry, into: &mut [f32]) -> Result<(), LoadError> {
        let [start, end] = entry.data_offsets.map(|offset| self.data_start + offset);
        let bytes = self.mapped.bytes(start..end)?;
        match entry.dtype.as_str() {
            "F32" => convert(bytes, into, |b: [u8; 4]| f32::from_le_bytes(b)),
            "BF16" => convert(bytes, into, |b: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
            _ => convert(bytes, into, |b: [u8; 2]| f16_to_f32(u16::from_le_bytes(b))),
        }
        check_finite(self.path, name, into)
    }
}

/// Refuses weights that are infinite or no numbers: whatever is computed with them is none either.
pub(crate) fn check_finite(path: &Path, name: &str, values: &[f32]) -> Result<(), LoadError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => {
            let why = format!("{} at {index} of its {} values", values[index], values.len());
            Err(LoadError::NotFinite { path: path.into(), name: name.into(), why })
        }
    }
}

pub(crate) fn convert<const N: usize>(bytes: &[u8], into: &mut [f32], one: impl Fn([u8; N]) -> f32) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (value, chunk) in into.iter_mut().zip(chunks) {
        *value = one(*chunk);
    }
}

/// IEEE 754 half precision to single; exact.
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let fraction = u32::from(bits & 0x3ff);
    match exponent {
        // Zero and subnormals are whole multiples of 2^-24, which f32 holds exactly.
        0 => f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

struct F32View<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

impl View for F32View<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}

/// Writes `model.safetensors`.
pub(crate) fn save_weights(dir: &Path, layout: &Layout, weights: &[f32]) -> anyhow::Result<()> {
    let tensors = layout.parameters().iter().map(|p| (p.name.clone(), &p.shape[..], &weights[p.range.clone()]));
    save_tensors(&dir.join(SINGLE), tensors)
}

/// Writes named tensors (shape, values) with the metadata `format: pt` that transformers asks for.
pub(crate) fn save_tensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, &'a [usize], &'a [f32])>,
) -> anyhow::Result<()> {
    let views = tensors.into_iter().map(|(name, shape, values)| (name, F32View { shape, values }));
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(views, Some(metadata)).with_context(|| format!("{}: laying out", path.display()))?;
    std::fs::write(path, bytes).with_context(|| format!("{}: writing", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_agrees_with_candle_on_every_bit_pattern() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let device = crate::Device::cpu();
        let reference = candle_core::Tensor::from_raw_buffer(&bytes, candle_core::DType::F16, &[65536], device.candle()).unwrap();
        let reference = reference.to_dtype(candle_core::DType::F32).unwrap().to_vec1::<f32>().unwrap();
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (f16_to_f32(bits), reference[bits as usize]);
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{bits:#06x}: {ours} {theirs}");
        }
    }
}
