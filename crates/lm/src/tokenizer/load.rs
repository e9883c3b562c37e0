//! Where a tokenizer comes from: the files of a model directory, or a GGUF file and what lies beside it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Tokenizer;
use crate::directory::{
    CHAT_JINJA, CHAT_JSON, CONFIG, GENERATION, SETTINGS, SPECIALS, TOKENIZER, check_file, has_own, read_text,
};
use crate::gguf::{self, Gguf};
use crate::read::LoadError;

impl Tokenizer {
    /// Loads `tokenizer.json` of a directory, and what `tokenizer_config.json`, `special_tokens_map.json`, `config.json` and
    /// `generation_config.json` say about beginning and end, if they are there. The beginning token counts only if the
    /// tokenizer itself puts it before a text or `add_bos_token` says so; of several end tokens the first is
    /// [`eos`](oracle::Codec::eos), and all are special. Truncation and padding that the file may ask for are switched off.
    /// The chat template is that of `chat_template.jinja`, `chat_template.json` or `tokenizer_config.json`.
    ///
    /// Of a GGUF file (see [`gguf::find`]) it is the `tokenizer.json` beside it, else rebuilt from what is inside.
    ///
    /// # Errors
    /// When `tokenizer.json` is missing or broken, cannot be rebuilt, or cannot encode arbitrary text.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        match gguf::find(path)? {
            Some(file) => Self::of_gguf(&Gguf::open(&file)?, &file),
            None => Self::of_directory(path),
        }
    }

    /// As [`load`](Self::load), but `None` where a model has come without any tokenizer.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn find(path: &Path) -> Result<Option<Self>, LoadError> {
        match gguf::find(path)? {
            Some(file) => {
                let gguf = Gguf::open(&file)?;
                let is_there = gguf.has_tokenizer() || file.with_file_name(TOKENIZER).exists();
                is_there.then(|| Self::of_gguf(&gguf, &file)).transpose()
            }
            None => {
                check_file(&path.join(TOKENIZER))?;
                path.join(TOKENIZER).exists().then(|| Self::of_directory(path)).transpose()
            }
        }
    }

    /// The tokenizer of the directory `dir` for the model at `model`, another directory or a GGUF file, which says what begins and ends
    /// a text: an adapter's own beside its base.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_for(dir: &Path, model: &Path) -> Result<Self, LoadError> {
        if dir == model {
            return Self::load(dir);
        }
        match gguf::find(model)? {
            Some(file) => Self::of_files(dir, |found| {
                found.settings.push(Gguf::open(&file)?.token_ids());
                Ok(())
            }),
            None => Self::of_files(dir, |found| found.take_model(model)),
        }
    }

    fn of_directory(dir: &Path) -> Result<Self, LoadError> {
        Self::of_files(dir, |found| found.take_model(dir))
    }

    /// A tokenizer's files in `dir`, and what the model says.
    fn of_files(dir: &Path, model: impl FnOnce(&mut Found) -> Result<(), LoadError>) -> Result<Self, LoadError> {
        let path = dir.join(TOKENIZER);
        let mut found = Found::default();
        let remedy = "a model directory holds config.json, model.safetensors and tokenizer.json";
        found.files.insert(TOKENIZER, read_text(&path, remedy)?);
        found.take(dir, &[CHAT_JINJA, CHAT_JSON, SETTINGS, SPECIALS])?;
        model(&mut found)?;
        Self::assemble(found.files, &found.settings).map_err(|why| LoadError::Tokenizer { path, why })
    }

    fn of_gguf(gguf: &Gguf, file: &Path) -> Result<Self, LoadError> {
        let beside = file.with_file_name(TOKENIZER);
        check_file(&beside)?;
        let mut found = Found::default();
        if beside.exists() {
            found.files.insert(TOKENIZER, read_text(&beside, "")?);
            let dir = file.parent().unwrap_or(Path::new(""));
            found.take(dir, &[CHAT_JINJA, CHAT_JSON, SETTINGS, SPECIALS])?;
            let has_chat = [CHAT_JINJA, CHAT_JSON].iter().any(|name| found.files.contains_key(name));
            let has_settings = found.files.contains_key(SETTINGS);
            let said_there = found.settings.iter().any(|settings| !settings["chat_template"].is_null());
            for (name, text) in gguf.tokenizer_settings() {
                let is_told = if name == CHAT_JINJA { has_chat || said_there } else { has_settings };
                if !is_told {
                    found.insert(file, name, text)?;
                }
            }
            found.settings.push(gguf.token_ids());
            return Self::assemble(found.files, &found.settings).map_err(|why| LoadError::Tokenizer { path: beside, why });
        }
        if !gguf.has_tokenizer() {
            let why = "it holds no tokenizer: put the model's tokenizer.json beside it".into();
            return Err(LoadError::Tokenizer { path: file.into(), why });
        }
        for (name, text) in gguf.tokenizer_files()? {
            found.insert(file, name, text)?;
        }
        found.settings.push(gguf.token_ids());
        let rebuilt = Self::assemble(found.files, &found.settings).and_then(Self::with_ids_as_written);
        rebuilt.map_err(|why| {
            let why = format!("its tokenizer cannot be rebuilt ({why}): put the model's tokenizer.json beside it");
            LoadError::Tokenizer { path: file.into(), why }
        })
    }
}

impl Tokenizer {
    /// Refuses a tokenizer of which the library gave an added token another id than the file does: it goes by its own count.
    fn with_ids_as_written(self) -> Result<Self, String> {
        let json: Value = self.files.get(TOKENIZER).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            let id = token["content"].as_str().and_then(|text| self.inner.token_to_id(text));
            if id.map(u64::from) != token["id"].as_u64() {
                return Err(format!("token {} would not get the id {}", token["content"], token["id"]));
            }
        }
        Ok(self)
    }
}

/// Files of a tokenizer, and what they and the model's say about special tokens, most telling first.
#[derive(Default)]
struct Found {
    files: BTreeMap<&'static str, String>,
    settings: Vec<Value>,
}

impl Found {
    /// Takes those of `names` that are in `dir`.
    fn take(&mut self, dir: &Path, names: &[&'static str]) -> Result<(), LoadError> {
        for name in names {
            let path = dir.join(name);
            if has_own(&path)? {
                self.insert(&path, name, read_text(&path, "")?)?;
            }
        }
        Ok(())
    }

    /// Takes a file; `path` is only named in errors.
    fn insert(&mut self, path: &Path, name: &'static str, text: String) -> Result<(), LoadError> {
        if [SETTINGS, SPECIALS].contains(&name) {
            self.settings.push(parse(path, &text)?);
        }
        self.files.insert(name, text);
        Ok(())
    }

    /// Takes what the model's own files say.
    fn take_model(&mut self, dir: &Path) -> Result<(), LoadError> {
        [CONFIG, GENERATION].into_iter().try_for_each(|name| self.take_settings(dir, name))
    }

    /// Takes what a file of the model says, if it is there.
    fn take_settings(&mut self, dir: &Path, name: &str) -> Result<(), LoadError> {
        let path = dir.join(name);
        check_file(&path)?;
        if path.exists() {
            self.settings.push(parse(&path, &read_text(&path, "")?)?);
        }
        Ok(())
    }
}

fn parse(path: &Path, text: &str) -> Result<Value, LoadError> {
    serde_json::from_str(text).map_err(|error| LoadError::Json { path: path.into(), why: error.to_string() })
}
