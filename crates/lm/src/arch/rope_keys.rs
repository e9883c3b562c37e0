//! What `config.json` says of rotary positions, in both dialects: `rope_theta` and `rope_scaling` (transformers 4), or
//! `rope_parameters` (5).

use oracle::ConfigError;
use serde_json::{Map, Value};

use super::decoder::RopeScaling;
use super::fields::{Fields, positive};

/// What `config.json` says of rotary positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeKeys {
    /// Base of the frequencies.
    pub theta: f64,
    /// Part of a head's components that is turned.
    pub part: f64,
    /// How frequencies are changed.
    pub scaling: Option<RopeScaling>,
}

impl RopeKeys {
    /// Whole heads turned, by unchanged frequencies.
    pub fn of(theta: f64) -> Self {
        Self { theta, part: 1.0, scaling: None }
    }

    /// Components of a head of `head_dim` that are turned.
    ///
    /// # Errors
    /// When none or an odd number is.
    pub fn width(part: f64, head_dim: usize, key: &str) -> Result<usize, ConfigError> {
        let width = (head_dim as f64 * part) as usize;
        let good = part.is_finite() && width >= 2 && width.is_multiple_of(2) && width <= head_dim;
        let remedy =
            || format!("give a part of the head's {head_dim} components that makes an even number: rotary embedding turns pairs");
        if good { Ok(width) } else { Err(ConfigError::new(key, part, remedy())) }
    }
}

impl<'a> Fields<'a> {
    /// Rotary positions; what the keys leave out is as in `default`. `theta_key` and `part_key` are what transformers 4 calls
    /// base and part for the architecture.
    ///
    /// # Errors
    /// When a number is out of range, or a scaling is asked for that is not supported.
    pub fn rope(&self, theta_key: &str, part_key: &str, default: RopeKeys) -> Result<RopeKeys, ConfigError> {
        let mut keys = default;
        if let Some(value) = self.get(theta_key) {
            keys.theta = positive(theta_key, value)?;
        }
        if let Some(value) = self.get(part_key) {
            keys.part = positive(part_key, value)?;
        }
        for key in ["rope_scaling", "rope_parameters"] {
            if let Some(value) = self.get(key) {
                keys = rope_object(key, value, keys)?;
            }
        }
        Ok(keys)
    }
}

/// Reads an object about rotary positions found under `path`; what it leaves out is as in `default`.
///
/// # Errors
/// When it is no object, a number is out of range, or a key or type is not supported.
pub fn rope_object(path: &str, value: &Value, default: RopeKeys) -> Result<RopeKeys, ConfigError> {
    let Some(map) = value.as_object() else { return Err(ConfigError::new(path, value, "give an object or null")) };
    let number = |key: &str| -> Result<Option<f64>, ConfigError> {
        let value = map.get(key).filter(|value| !value.is_null());
        value.map(|value| positive(&format!("{path}.{key}"), value)).transpose()
    };
    let need =
        |key: &str| number(key)?.ok_or_else(|| ConfigError::new(format!("{path}.{key}"), "missing", "give a number above 0"));
    let kind = map.get("rope_type").or_else(|| map.get("type")).filter(|value| !value.is_null());
    let kind_name = kind.map_or(Some("default"), Value::as_str);
    let (scaling, own): (_, &[&str]) = match kind_name {
        Some("default") => (default.scaling, &[]),
        Some("linear") => (Some(RopeScaling::Linear { factor: need("factor")? }), &["factor"]),
        Some("llama3") => {
            let scaling = RopeScaling::Llama3 {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original_max_position_embeddings: need("original_max_position_embeddings")? as usize,
            };
            (Some(scaling), &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"])
        }
        _ => {
            let remedy = "not supported for this architecture, only \"default\", \"linear\" and \"llama3\" are";
            return Err(ConfigError::new(format!("{path}.rope_type"), kind.unwrap_or(&Value::Null), remedy));
        }
    };
    refuse_others(path, map, own)?;
    let scaling = scaling.map(|scaling| check_scaling(path, scaling)).transpose()?;
    let (theta, part) = (number("rope_theta")?, number("partial_rotary_factor")?);
    Ok(RopeKeys { theta: theta.unwrap_or(default.theta), part: part.unwrap_or(default.part), scaling })
}

fn refuse_others(path: &str, map: &Map<String, Value>, own: &[&str]) -> Result<(), ConfigError> {
    const SHARED: &[&str] = &["rope_type", "type", "rope_theta", "partial_rotary_factor"];
    for (key, value) in map {
        if !(value.is_null() || SHARED.contains(&key.as_str()) || own.contains(&key.as_str())) {
            let remedy = "this option is not known for this kind of rotary scaling and could change results; remove it if it does not \
                        concern the model";
            return Err(ConfigError::new(format!("{path}.{key}"), value, remedy));
        }
    }
    Ok(())
}

/// Refuses numbers that make no sense.
///
/// # Errors
/// Naming the key, under `path`.
pub fn check_scaling(path: &str, scaling: RopeScaling) -> Result<RopeScaling, ConfigError> {
    let (RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. }) = scaling;
    if !(factor.is_finite() && factor >= 1.0) {
        return Err(ConfigError::new(format!("{path}.factor"), factor, "give a number from 1 up"));
    }
    if let RopeScaling::Llama3 {
        low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context, ..
    } = scaling
    {
        if !(low.is_finite() && high.is_finite() && low > 0.0 && high > low) {
            let remedy = format!("give a number above low_freq_factor = {low}");
            return Err(ConfigError::new(format!("{path}.high_freq_factor"), high, remedy));
        }
        if context == 0 {
            return Err(ConfigError::new(format!("{path}.original_max_position_embeddings"), context, "give at least 1"));
        }
    }
    Ok(scaling)
}
