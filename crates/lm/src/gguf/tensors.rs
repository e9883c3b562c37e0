//! Weights of a GGUF in layout order: llama.cpp's names become ours, blocks become `f32`.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::blocks::even;
use super::config::LLAMA;
use super::header::{Header, TensorInfo};
use super::rope::FACTORS;
use super::source::shown;
use crate::arch::{ModelConfig, Parameter};
use crate::checkpoint::check_finite;
use crate::read::LoadError;

/// Parts of a layer: our name, llama.cpp's.
const PARTS: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Values decoded at once: whole blocks of every type.
const AT_ONCE: usize = 1 << 18;

/// What llama.cpp calls the parameter that transformers calls `name`.
fn name_in_gguf(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".into()),
        "model.norm.weight" => return Some("output_norm.weight".into()),
        "lm_head.weight" => return Some("output.weight".into()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (_, theirs) = PARTS.iter().find(|(ours, _)| *ours == part)?;
    Some(format!("blk.{layer}.{theirs}.{kind}"))
}

/// All weights of the model in `file`, in layout order. Names and shapes are checked before memory is taken for them.
pub(super) fn weights<R: Read + Seek>(
    file: &mut R,
    header: &Header,
    config: &ModelConfig,
    path: &Path,
) -> Result<Vec<f32>, LoadError> {
    let layout = config.layout();
    let found = find(header, layout.parameters(), config, path)?;
    let mut weights = vec![0.0; layout.n_params()];
    for (parameter, info) in layout.parameters().iter().zip(found) {
        // a bias that llama.cpp has and this file has not adds nothing
        let Some(info) = info else { continue };
        let into = &mut weights[parameter.range.clone()];
        read(file, header, info, into, path)?;
        check_finite(path, &name_in_gguf(&parameter.name).unwrap_or_default(), into)?;
        if let Some(heads) = interleaved_heads(config, &parameter.name) {
            separate_halves(into, heads, parameter.shape[1..].iter().product());
        }
    }
    Ok(weights)
}

/// Where each parameter lies, in their order; `None` where it is a bias of zeros.
fn find<'a>(
    header: &'a Header,
    parameters: &[Parameter],
    config: &ModelConfig,
    path: &Path,
) -> Result<Vec<Option<&'a TensorInfo>>, LoadError> {
    let bad =
        |name: &str, why: String| Err(LoadError::Gguf { path: path.into(), why: format!("tensor `{}` {why}", shown(name)) });
    let mut left: BTreeMap<&str, &TensorInfo> = header.tensors.iter().map(|(name, info)| (name.as_str(), info)).collect();
    left.remove(FACTORS);
    let mut found = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        let Some(name) = name_in_gguf(&parameter.name) else {
            return bad(&parameter.name, "has no name in GGUF".into());
        };
        let info = left.remove(name.as_str());
        match info {
            Some(info) if !info.shape.iter().copied().eq(parameter.shape.iter().map(|n| *n as u64)) => {
                return bad(
                    &name,
                    format!(
                        "has shape {:?}, but the metadata asks for {:?}; fetch or convert it again",
                        info.shape, parameter.shape
                    ),
                );
            }
            None if !(config.model_type() == LLAMA && name.ends_with(".bias")) => {
                return bad(&name, format!("of shape {:?} is missing; fetch or convert it again", parameter.shape));
            }
            _ => found.push(info),
        }
    }
    match left.first_key_value() {
        Some((name, info)) => bad(
            name,
            format!("of shape {:?} is not part of the model that the metadata describes; use its safetensors", info.shape),
        ),
        None => Ok(found),
    }
}

/// Reads a tensor into as many values.
pub(super) fn read<R: Read + Seek>(
    file: &mut R,
    header: &Header,
    info: &TensorInfo,
    into: &mut [f32],
    path: &Path,
) -> Result<(), LoadError> {
    let io = |source| LoadError::Io { path: path.into(), source };
    file.seek(SeekFrom::Start(header.data_start + info.offset)).map_err(io)?;
    let (values, bytes) = (info.kind.block_values() as usize, info.kind.block_bytes() as usize);
    let mut buffer = vec![0; into.len().min(AT_ONCE) / values * bytes + 1];
    for part in into.chunks_mut(AT_ONCE) {
        let bytes = even(&mut buffer, part.len() / values * bytes);
        file.read_exact(bytes).map_err(io)?;
        info.kind.decode(bytes, part).map_err(|error| LoadError::Gguf { path: path.into(), why: error.to_string() })?;
    }
    Ok(())
}

/// Number of heads of a product whose rows llama.cpp's converter interleaves for this architecture.
fn interleaved_heads(config: &ModelConfig, name: &str) -> Option<usize> {
    let ModelConfig::Llama(llama) = config else { return None };
    if name.contains(".self_attn.q_proj.") {
        Some(llama.shape.num_attention_heads)
    } else if name.contains(".self_attn.k_proj.") {
        Some(llama.shape.num_key_value_heads)
    } else {
        None
    }
}

/// Within each head, rows 0, 2, 4 ... become the first half and rows 1, 3, 5 ... the second: rotary pairs lie side by side in
/// llama.cpp and half a head apart in transformers. `width` is that of a row.
fn separate_halves(rows: &mut [f32], heads: usize, width: usize) {
    let head = rows.len() / heads;
    let mut before = vec![0.0; head];
    for rows in rows.chunks_exact_mut(head) {
        before.copy_from_slice(rows);
        let half = head / 2 / width;
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            let from = 2 * (i % half) + i / half;
            row.copy_from_slice(&before[from * width..][..width]);
        }
    }
}
