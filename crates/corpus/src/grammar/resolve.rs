//! Looks up every name of a spec and checks what its kinds promise.

use super::answers;
use super::error::SpecError;
use super::pattern::{self, Piece};
use super::plan::{KindPlan, Plan, Source, Step, Variable, VariableId, WordId};
use super::spec::GrammarSpec;
use std::collections::{BTreeMap, HashMap};

/// Names being looked up.
struct Resolver<'a> {
    spec: &'a GrammarSpec,
    plan: Plan,
    word_ids: HashMap<String, WordId>,
    lists: BTreeMap<&'a str, usize>,
    tables: BTreeMap<&'a str, usize>,
    phrases: BTreeMap<&'a str, usize>,
    variable_ids: HashMap<(Source, u32), VariableId>,
}

/// Looks up every name of `spec`.
pub(super) fn resolve(spec: &GrammarSpec) -> Result<Plan, SpecError> {
    let plan = Plan {
        opening_words: spec.opening_words,
        refusal: spec.refusal.trim().to_string(),
        words: Vec::new(),
        lists: Vec::new(),
        related: Vec::new(),
        variables: Vec::new(),
        phrases: Vec::new(),
        kinds: Vec::new(),
    };
    let phrases = spec.phrases.keys().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let (word_ids, lists, tables, variable_ids) = Default::default();
    let mut resolver = Resolver { spec, plan, word_ids, lists, tables, phrases, variable_ids };
    resolver.read_lists()?;
    resolver.read_unions()?;
    resolver.read_related()?;
    resolver.read_phrases()?;
    resolver.read_kinds()?;
    resolver.check_numbers()?;
    Ok(resolver.plan)
}

impl<'a> Resolver<'a> {
    fn word_list(&mut self, key: &str, text: &str) -> Result<Vec<WordId>, SpecError> {
        let mut ids = Vec::new();
        for word in text.split_whitespace() {
            if !word.chars().all(char::is_alphanumeric) {
                return Err(SpecError::new(key, format!("`{word}`"), "write words of letters and digits only"));
            }
            let id = *self.word_ids.entry(word.to_string()).or_insert_with(|| {
                self.plan.words.push(word.to_string());
                self.plan.words.len() - 1
            });
            if ids.contains(&id) {
                return Err(SpecError::new(key, format!("`{word}` twice"), "name each word once"));
            }
            ids.push(id);
        }
        if ids.is_empty() {
            return Err(SpecError::new(key, "empty", "give at least one word"));
        }
        Ok(ids)
    }

    fn read_lists(&mut self) -> Result<(), SpecError> {
        for (name, text) in &self.spec.lists {
            let list = self.word_list(&format!("lists.{name}"), text)?;
            self.lists.insert(name, self.plan.lists.len());
            self.plan.lists.push(list);
        }
        Ok(())
    }

    fn read_unions(&mut self) -> Result<(), SpecError> {
        for (name, members) in &self.spec.unions {
            let key = format!("unions.{name}");
            if self.spec.lists.contains_key(name) {
                return Err(SpecError::new(key, "the name of a list", "give the union another name"));
            }
            let mut joined: Vec<WordId> = Vec::new();
            for member in members {
                if !self.spec.lists.contains_key(member) {
                    return Err(SpecError::new(
                        key,
                        format!("`{member}`"),
                        format!("join lists: {}", names(self.spec.lists.keys())),
                    ));
                }
                for &word in &self.plan.lists[self.lists[member.as_str()]] {
                    if joined.contains(&word) {
                        let twice = format!("`{}` twice", self.plan.words[word]);
                        return Err(SpecError::new(key, twice, "join lists that share no word"));
                    }
                    joined.push(word);
                }
            }
            if joined.is_empty() {
                return Err(SpecError::new(key, "empty", "name at least one list"));
            }
            self.lists.insert(name, self.plan.lists.len());
            self.plan.lists.push(joined);
        }
        Ok(())
    }

    fn read_related(&mut self) -> Result<(), SpecError> {
        for (name, rows) in &self.spec.related {
            let mut table = HashMap::new();
            // whole lists first, so that a row of a single word can overrule them
            let (of_lists, of_words): (Vec<_>, Vec<_>) = rows.iter().partition(|(key, _)| self.lists.contains_key(key.as_str()));
            for (of, text) in of_lists.into_iter().chain(of_words) {
                let key = format!("related.{name}.{of}");
                let words = self.word_list(&key, text)?;
                if let Some(&list) = self.lists.get(of.as_str()) {
                    table.extend(self.plan.lists[list].iter().map(|&word| (word, words.clone())));
                } else if let Some(&word) = self.word_ids.get(of) {
                    table.insert(word, words);
                } else {
                    return Err(SpecError::new(key, format!("`{of}`"), "name a word of the lists, or a list"));
                }
            }
            self.tables.insert(name, self.plan.related.len());
            self.plan.related.push(table);
        }
        Ok(())
    }

    fn read_phrases(&mut self) -> Result<(), SpecError> {
        for (name, patterns) in &self.spec.phrases {
            let key = format!("phrases.{name}");
            if self.lists.contains_key(name.as_str()) {
                return Err(SpecError::new(key, "the name of a list", "give the phrase another name"));
            }
            let phrase = self.alternatives(&key, patterns)?;
            for (at, steps) in phrase.iter().enumerate() {
                for step in steps {
                    match step {
                        // phrases are read in the order of their names, so a later one is not there yet
                        Step::Phrase(inner) if *inner >= self.plan.phrases.len() => {
                            let remedy =
                                "use only phrases whose names come earlier in the alphabet, so that none contains itself";
                            return Err(SpecError::new(format!("{key}[{at}]"), format!("`{}`", patterns[at]), remedy));
                        }
                        Step::AnswerStart | Step::AnswerEnd => {
                            return Err(SpecError::new(format!("{key}[{at}]"), "marked with [ ]", "mark answers in kinds only"));
                        }
                        _ => {}
                    }
                }
            }
            self.plan.phrases.push(phrase);
        }
        Ok(())
    }

    fn read_kinds(&mut self) -> Result<(), SpecError> {
        for (at, kind) in self.spec.kinds.iter().enumerate() {
            let key = format!("kinds[{at}]");
            if kind.weight == 0 {
                return Err(SpecError::new(
                    format!("{key}.weight"),
                    0,
                    format!("give kind `{}` a weight of at least 1", kind.name),
                ));
            }
            if kind.parts.is_empty() {
                return Err(SpecError::new(format!("{key}.parts"), "empty", "give at least one part"));
            }
            let mut parts = Vec::new();
            for (part_at, patterns) in kind.parts.iter().enumerate() {
                parts.push(self.alternatives(&format!("{key}.parts[{part_at}]"), patterns)?);
            }
            answers::check(kind, &key, &parts, &self.plan.refusal)?;
            self.plan.kinds.push(KindPlan { weight: u64::from(kind.weight), task: kind.task, parts });
        }
        Ok(())
    }

    fn alternatives(&mut self, key: &str, patterns: &[String]) -> Result<Vec<Vec<Step>>, SpecError> {
        if patterns.is_empty() {
            return Err(SpecError::new(key, "empty", "give at least one pattern"));
        }
        let mut alternatives = Vec::new();
        for (at, text) in patterns.iter().enumerate() {
            let wrong = |remedy: String| SpecError::new(format!("{key}[{at}]"), format!("`{text}`"), remedy);
            let pieces = pattern::parse(text).map_err(wrong)?;
            alternatives.push(pieces.into_iter().map(|piece| self.step(piece)).collect::<Result<_, _>>().map_err(wrong)?);
        }
        Ok(alternatives)
    }

    fn step(&mut self, piece: Piece) -> Result<Step, String> {
        Ok(match piece {
            Piece::Text(text) => Step::Text(text),
            Piece::AnswerStart => Step::AnswerStart,
            Piece::AnswerEnd => Step::AnswerEnd,
            Piece::Slot { name, number: None, .. } => match self.phrases.get(name.as_str()) {
                Some(&phrase) => Step::Phrase(phrase),
                None => Step::Fresh(Source::List(self.list(&name)?)),
            },
            Piece::Slot { name, number: Some(number), related } => {
                let list = self.list(&name)?;
                let of = self.variable(Source::List(list), number);
                match related {
                    None => Step::Bound(of),
                    Some((table, number)) => {
                        let source = Source::Related { of, table: self.table(&table, list)? };
                        number.map_or(Step::Fresh(source), |number| Step::Bound(self.variable(source, number)))
                    }
                }
            }
            Piece::Sum(terms) => {
                let mut resolved = Vec::new();
                for (sign, name, number) in terms {
                    let list = self.list(&name)?;
                    if let Some(&word) = self.plan.lists[list].iter().find(|&&word| self.plan.words[word].parse::<i64>().is_err())
                    {
                        return Err(format!(
                            "`{}` of list `{name}` is no whole number: sum lists of numbers",
                            self.plan.words[word]
                        ));
                    }
                    resolved.push((sign, self.variable(Source::List(list), number)));
                }
                Step::Sum(resolved)
            }
        })
    }

    fn list(&self, name: &str) -> Result<usize, String> {
        self.lists.get(name).copied().ok_or_else(|| {
            let (lists, phrases) = (names(self.lists.keys()), names(self.phrases.keys()));
            format!("there is no `{name}`; lists: {lists}; phrases (never numbered): {phrases}")
        })
    }

    fn table(&self, name: &str, list: usize) -> Result<usize, String> {
        let table =
            *self.tables.get(name).ok_or_else(|| format!("there is no related.{name}; tables: {}", names(self.tables.keys())))?;
        match self.plan.lists[list].iter().find(|&word| !self.plan.related[table].contains_key(word)) {
            Some(&word) => Err(format!("related.{name} has no row for `{}`: add one", self.plan.words[word])),
            None => Ok(table),
        }
    }

    fn variable(&mut self, source: Source, number: u32) -> VariableId {
        *self.variable_ids.entry((source, number)).or_insert_with(|| {
            self.plan.variables.push(Variable { source });
            self.plan.variables.len() - 1
        })
    }

    /// All numbered words of one source are different, so each source needs as many words.
    fn check_numbers(&self) -> Result<(), SpecError> {
        for variable in &self.plan.variables {
            let numbered = self.plan.variables.iter().filter(|other| other.source == variable.source).count();
            let shortest = self.plan.shortest(variable.source);
            if numbered > shortest {
                let (key, name) = match variable.source {
                    Source::List(list) => ("lists", self.lists.iter().find(|(_, at)| **at == list)),
                    Source::Related { table, .. } => ("related", self.tables.iter().find(|(_, at)| **at == table)),
                };
                let name = name.map_or("", |(name, _)| *name);
                let remedy = format!("patterns number {numbered} different words of it: add words or use fewer numbers");
                return Err(SpecError::new(format!("{key}.{name}"), format!("only {shortest} words"), remedy));
            }
        }
        Ok(())
    }
}

/// Names in one line, for messages.
fn names<T: std::fmt::Display>(names: impl Iterator<Item = T>) -> String {
    let joined = names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if joined.is_empty() { "none".to_string() } else { joined }
}
