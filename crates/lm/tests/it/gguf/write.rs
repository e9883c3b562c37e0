//! Writing GGUF files, right ones and wrong ones: the files that `tests/fixtures/gguf` has, with one thing changed.

use std::path::{Path, PathBuf};

use lm::gguf::{Header, Value};

/// A file in parts.
#[derive(Clone)]
pub struct Parts {
    pub version: u32,
    pub keys: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
}

/// A tensor, its shape as the file has it (innermost first).
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf").join(name)
}

impl Parts {
    /// A model's metadata without weights.
    pub fn of_keys(keys: Vec<(&str, Value)>) -> Self {
        let keys = keys.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        Self { version: 3, keys, tensors: Vec::new() }
    }

    /// The parts of a fixture.
    pub fn read(name: &str) -> Self {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let header = Header::read(&bytes[..], bytes.len() as u64).unwrap();
        let keys = header.metadata.under("").map(|(key, value)| (key.to_string(), value.clone())).collect();
        let number = |name| match name {
            "F32" => 0,
            "F16" => 1,
            "Q4_0" => 2,
            "Q8_0" => 8,
            "Q4_K" => 12,
            "Q6_K" => 14,
            "BF16" => 30,
            other => panic!("{other}"),
        };
        let tensors = header.tensors.iter().map(|(name, info)| {
            let start = (header.data_start + info.offset) as usize;
            let shape = info.shape.iter().rev().copied().collect();
            let data = bytes[start..start + info.bytes as usize].to_vec();
            Tensor { name: name.clone(), shape, kind: number(info.kind.name()), data }
        });
        Self { version: 3, keys, tensors: tensors.collect() }
    }

    /// The same with another value of `key`, or without it.
    pub fn with(mut self, key: &str, value: impl Into<Option<Value>>) -> Self {
        self.keys.retain(|(known, _)| known != key);
        self.keys.extend(value.into().map(|value| (key.to_string(), value)));
        self
    }

    /// The same with a tensor changed.
    pub fn with_tensor(mut self, name: &str, change: impl FnOnce(&mut Tensor)) -> Self {
        change(self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap());
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let alignment = self.keys.iter().find(|(key, _)| key == "general.alignment");
        let alignment = alignment.and_then(|(_, value)| value.as_count()).unwrap_or(32).max(1) as usize;
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            text(&mut out, key.as_bytes());
            out.extend(number_of(value).to_le_bytes());
            write(&mut out, value);
        }
        let mut offset = 0_usize;
        for tensor in &self.tensors {
            text(&mut out, tensor.name.as_bytes());
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset = (offset + tensor.data.len()).next_multiple_of(alignment);
        }
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(alignment), 0);
            out.extend(&tensor.data);
        }
        out
    }

    /// The file in a directory of its own.
    pub fn save(&self) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, self.bytes()).unwrap();
        (dir, path)
    }
}

pub fn words(texts: &[&str]) -> Value {
    Value::List(texts.iter().map(|text| Value::Text(text.to_string())).collect())
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

/// The widest type of its sort, but for the 32-bit numbers that readers expect.
fn number_of(value: &Value) -> u32 {
    match value {
        Value::Unsigned(number) if u32::try_from(*number).is_ok() => 4,
        Value::Unsigned(_) => 10,
        Value::Signed(_) => 11,
        Value::Single(_) => 6,
        Value::Double(_) => 12,
        Value::Bool(_) => 7,
        Value::Text(_) | Value::Bytes(_) => 8,
        Value::List(_) => 9,
    }
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Unsigned(number) => match u32::try_from(*number) {
            Ok(number) => out.extend(number.to_le_bytes()),
            Err(_) => out.extend(number.to_le_bytes()),
        },
        Value::Signed(number) => out.extend(number.to_le_bytes()),
        Value::Single(number) => out.extend(number.to_le_bytes()),
        Value::Double(number) => out.extend(number.to_le_bytes()),
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Text(value) => text(out, value.as_bytes()),
        Value::Bytes(value) => text(out, value),
        Value::List(list) => {
            out.extend(list.first().map_or(4, number_of).to_le_bytes());
            out.extend((list.len() as u64).to_le_bytes());
            list.iter().for_each(|value| write(out, value));
        }
    }
}
