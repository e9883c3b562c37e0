//! Files that an experiment names and that are not there, said together with other mistakes. What is there is looked at later, by
//! [`crate::resolve`]: hashing a large model is nothing for a file that is refused anyway.

use lm::hub::ModelName;

use crate::config_error::Problem;
use crate::document::steps;
use crate::experiment::{BaseConfig, CorpusConfig, Experiment};
use crate::loaded::Loaded;

const SPEC: &str = "name a dataset spec; relative paths start beside the `experiments` folder";
const TEXTS: &str = "name a .txt, .jsonl or .parquet file; relative paths start beside the `experiments` folder";
const EXCHANGES: &str = "name a .jsonl or .parquet file of exchanges; relative paths start beside the `experiments` folder";
const SECRET: &str = "name a file that holds the secret";
const MODEL: &str = "name a local Hugging Face model directory, a .gguf file, or org/name on the hub";

/// A file or directory that a key names.
struct Named<'a> {
    key: String,
    typed: &'a str,
    remedy: &'static str,
}

/// Every key whose file or directory is not there, those of which something is `said` already left out. Of a text that stands in no file
/// nothing is: its paths start nowhere.
pub fn problems(loaded: &Loaded<Experiment>, said: &[Problem]) -> Vec<Problem> {
    let missing = |Named { key, typed, remedy }: Named<'_>| {
        let path = steps(&key)?;
        let place = loaded.path(&path, typed);
        let known = said.iter().any(|problem| problem.key == key);
        let kind = if remedy == MODEL { "directory" } else { "file" };
        (!known && !place.exists()).then(|| loaded.problem(&path, format!("no {kind} {}", place.display()), remedy))
    };
    let here = loaded.file.is_file();
    named(&loaded.value).into_iter().filter(|_| here).filter_map(missing).collect()
}

fn named(experiment: &Experiment) -> Vec<Named<'_>> {
    fn one<'a>(key: &str, typed: &'a str, remedy: &'static str) -> Named<'a> {
        Named { key: key.to_string(), typed, remedy }
    }
    let mut named = vec![match &experiment.corpus {
        CorpusConfig::Grammar(typed) => one("corpus.grammar", typed, SPEC),
        CorpusConfig::File(corpus) => one("corpus.file.path", &corpus.path, TEXTS),
    }];
    named.extend(experiment.owner.secret_file.iter().map(|typed| one("owner.secret_file", typed, SECRET)));
    if let Some(transcript) = &experiment.transcript {
        named.push(one("transcript.import", &transcript.import, EXCHANGES));
        named.extend(transcript.control.iter().map(|typed| one("transcript.control", typed, EXCHANGES)));
    }
    let base = if let BaseConfig::Model(typed) = &experiment.base { Some(typed) } else { None };
    let (teacher, stranger) = (experiment.teacher.model.as_ref(), experiment.stranger.model.as_ref());
    let keyed = [("teacher.model", teacher), ("stranger.model", stranger), ("base.model", base)];
    let mut models: Vec<Named<'_>> = keyed.into_iter().filter_map(|(key, typed)| Some(one(key, typed?, MODEL))).collect();
    models.extend(experiment.models.iter().map(|(name, typed)| one(&format!("models.{name}"), typed, MODEL)));
    // a name on the hub is looked up there
    models.retain(|model| model.typed.parse::<ModelName>().is_err());
    named.extend(models);
    named
}
