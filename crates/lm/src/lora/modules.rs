use std::ops::Range;

use fancy_regex::{Regex, RegexBuilder};
use oracle::ConfigError;

use super::config::{AdapterConfig, Layers, Modules};
use crate::arch::ModelConfig;

/// Longest regular expression that is compiled.
const LONGEST_PATTERN: usize = 1 << 16;
/// Most steps back that matching one name may take, where a pattern looks around.
const MOST_STEPS: usize = 10_000;
/// Most bytes of a compiled pattern.
const LARGEST_PATTERN: usize = 1 << 20;

/// A matrix that an adapter may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Name of its weight without `.weight`.
    pub name: String,
    /// What transformers 5 calls it in memory, where that is another name.
    pub alias: Option<String>,
    /// Place of its weight in the flat vector.
    pub weight: Range<usize>,
    pub inputs: usize,
    pub outputs: usize,
    /// The weight is (inputs, outputs) instead of (outputs, inputs).
    pub transposed: bool,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A product inside a block.
    Product,
    /// The embedding table: what its rows are chosen by is what goes in.
    Table,
    /// The product that gives logits.
    Head,
}

/// All modules of a model: the table, the products of the blocks, the head. A tied head is one, with the table's weight.
pub(super) fn modules(model: &ModelConfig) -> Vec<Module> {
    let (layout, arch) = (model.layout(), model.arch());
    let decoder = arch.decoder();
    let weight = |name: &str| layout.get(name).map(|parameter| parameter.range.clone()).unwrap_or_default();
    let bare = |name: &str| name.strip_suffix(".weight").unwrap_or(name).to_string();
    let (vocab, hidden) = (decoder.vocab_size, decoder.hidden_size);
    let table = Module {
        name: bare(decoder.embedding.tokens),
        alias: None,
        weight: weight(decoder.embedding.tokens),
        inputs: vocab,
        outputs: hidden,
        transposed: true,
        kind: Kind::Table,
    };
    let held_as = if decoder.head.tied { decoder.embedding.tokens } else { decoder.head.name };
    let head = Module {
        name: bare(decoder.head.name),
        alias: arch.renamed("lm_head.weight").map(|_| "lm_head".to_string()),
        weight: weight(held_as),
        inputs: hidden,
        outputs: vocab,
        transposed: false,
        kind: Kind::Head,
    };
    let products = decoder.products().into_iter().map(|product| Module {
        name: product.name.clone(),
        alias: None,
        weight: weight(&format!("{}.weight", product.name)),
        inputs: product.inputs,
        outputs: product.outputs,
        transposed: product.transposed,
        kind: Kind::Product,
    });
    [table].into_iter().chain(products).chain([head]).collect()
}

/// A module that is adapted.
pub(super) struct Chosen {
    pub module: Module,
    pub rank: usize,
    pub alpha: f64,
}

/// The modules that `config` adapts, as peft chooses them, with their ranks and alphas.
pub(super) fn choose(config: &AdapterConfig, model: &ModelConfig) -> Result<Vec<Chosen>, ConfigError> {
    let all = modules(model);
    let named = |test: &dyn Fn(&str) -> Result<bool, ConfigError>, module: &Module| -> Result<bool, ConfigError> {
        Ok(test(&module.name)? || module.alias.as_deref().map(test).transpose()?.unwrap_or(false))
    };
    let targets = Test::new("target_modules", &config.targets)?;
    let exclude = config.exclude.as_ref().map(|exclude| Test::new("exclude_modules", exclude)).transpose()?;
    let layers = config.layers.as_ref().map(InLayers::new).transpose()?;
    let saved = |name: &str| config.modules_to_save.iter().any(|save| is_saved(name, save));
    let mut chosen = Vec::new();
    for module in &all {
        let test = |name: &str| -> Result<bool, ConfigError> {
            if saved(name) || exclude.as_ref().map(|exclude| exclude.is(name, module.kind)).transpose()?.unwrap_or(false) {
                return Ok(false);
            }
            Ok(targets.is(name, module.kind)? && layers.as_ref().map(|layers| layers.hold(name)).transpose()?.unwrap_or(true))
        };
        if named(&test, module)? {
            chosen.push(Chosen { module: module.clone(), rank: config.rank, alpha: config.alpha });
        }
    }
    if chosen.is_empty() {
        let remedy = format!("none of the model's modules is meant; it has {}", ends(model).join(", "));
        return Err(ConfigError::new("target_modules", words(&config.targets), remedy));
    }
    let head = model.arch().decoder().head;
    if let Some(tied) = chosen.iter().find(|chosen| head.tied && chosen.module.kind != Kind::Product) {
        let remedy =
            "the model's table of tokens is also its last product, of which an adapter changes one side only; not supported";
        return Err(ConfigError::new("target_modules", &tied.module.name, remedy));
    }
    // a pattern at a time, so that no more than one is held compiled
    let first = |patterns: &[(String, usize)], key: &str| -> Result<Vec<Option<usize>>, ConfigError> {
        let mut found = vec![None; chosen.len()];
        for (pattern, index) in patterns {
            let regex = compiled(key, &format!(r"\A(?:.*\.)?(?:{pattern})\z"), pattern)?;
            for (found, chosen) in found.iter_mut().zip(&chosen).filter(|(found, _)| found.is_none()) {
                let fits = |name: &str| fits(&regex, name, key, pattern);
                if named(&fits, &chosen.module)? {
                    *found = Some(*index);
                }
            }
        }
        Ok(found)
    };
    let numbered = |names: Vec<&String>| names.into_iter().cloned().zip(0..).collect::<Vec<_>>();
    let ranks = first(&numbered(config.rank_pattern.iter().map(|(name, _)| name).collect()), "rank_pattern")?;
    let alphas = first(&numbered(config.alpha_pattern.iter().map(|(name, _)| name).collect()), "alpha_pattern")?;
    for ((chosen, rank), alpha) in chosen.iter_mut().zip(ranks).zip(alphas) {
        chosen.rank = rank.map_or(config.rank, |at| config.rank_pattern[at].1);
        chosen.alpha = alpha.map_or(config.alpha, |at| config.alpha_pattern[at].1);
    }
    Ok(chosen)
}

/// The last parts of the names of what may be adapted, each once.
pub fn ends(model: &ModelConfig) -> Vec<String> {
    let tied = model.arch().decoder().head.tied;
    let mut ends: Vec<String> = Vec::new();
    for module in modules(model).into_iter().filter(|module| module.kind == Kind::Product || !tied) {
        let end = module.name.rsplit('.').next().unwrap_or(&module.name).to_string();
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends
}

/// Whether `end` is the name or stands at its end behind a dot.
pub(super) fn ends_with(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether the dotted `name` is, or lies in, a module whose name ends with `end`: in the middle of a word too, as peft has it for
/// `modules_to_save`.
pub(super) fn is_saved(name: &str, end: &str) -> bool {
    let stops = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
    stops.into_iter().any(|at| name[..at].ends_with(end))
}

fn words(modules: &Modules) -> String {
    match modules {
        Modules::Named(names) => names.join(", "),
        Modules::Pattern(pattern) => format!("{pattern:?}"),
        Modules::AllLinear => "all-linear".into(),
    }
}

/// Whether a module is one of some.
enum Test<'a> {
    Named(&'a [String]),
    Pattern(Regex, &'static str, &'a str),
    AllLinear,
}

impl<'a> Test<'a> {
    fn new(key: &'static str, modules: &'a Modules) -> Result<Self, ConfigError> {
        Ok(match modules {
            Modules::Named(names) => Self::Named(names),
            Modules::Pattern(pattern) => Self::Pattern(compiled(key, &format!(r"\A(?:{pattern})\z"), pattern)?, key, pattern),
            Modules::AllLinear => Self::AllLinear,
        })
    }

    fn is(&self, name: &str, kind: Kind) -> Result<bool, ConfigError> {
        match self {
            Self::Named(names) => Ok(names.iter().any(|end| ends_with(name, end))),
            Self::Pattern(regex, key, pattern) => fits(regex, name, key, pattern),
            Self::AllLinear => Ok(kind == Kind::Product),
        }
    }
}

/// Whether a module is in one of some layers: the first number in its name that stands where a layer's does.
struct InLayers<'a> {
    layers: &'a Layers,
    before: Vec<Regex>,
}

impl<'a> InLayers<'a> {
    fn new(layers: &'a Layers) -> Result<Self, ConfigError> {
        const KEY: &str = "layers_pattern";
        let before = match &layers.before[..] {
            [] => vec![compiled(KEY, r"\A.*?\.[^.]*\.(?P<number>\d+)\.", "")?],
            patterns if patterns.len() > 16 => {
                return Err(ConfigError::new(KEY, format!("{} patterns", patterns.len()), "give at most 16"));
            }
            patterns => patterns
                .iter()
                .map(|pattern| compiled(KEY, &format!(r"(?:\A|\A.*?\.)(?:{pattern})\.(?P<number>\d+)\."), pattern))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self { layers, before })
    }

    fn hold(&self, name: &str) -> Result<bool, ConfigError> {
        for regex in &self.before {
            let found = regex.captures(name).map_err(|error| ConfigError::new("layers_pattern", error, "give a simpler one"))?;
            if let Some(number) = found.and_then(|found| found.name("number").map(|number| number.as_str().parse::<u64>())) {
                return Ok(number.is_ok_and(|number| self.layers.numbers.contains(&number)));
            }
        }
        Ok(false)
    }
}

/// A regular expression, `typed` under `key`, in the frame that says what it must fit.
fn compiled(key: &str, framed: &str, typed: &str) -> Result<Regex, ConfigError> {
    let wrong = |why: String| {
        ConfigError::new(
            key,
            format!("{typed:?}"),
            format!("not a usable regular expression, or too large a one: {why}; give a simpler one"),
        )
    };
    if framed.len() > LONGEST_PATTERN {
        return Err(ConfigError::new(key, format!("a pattern of {} bytes", typed.len()), "give a shorter one"));
    }
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .backtrack_limit(MOST_STEPS)
            .delegate_size_limit(LARGEST_PATTERN)
            .delegate_dfa_size_limit(LARGEST_PATTERN)
            .build()
            .map_err(|error| wrong(error.to_string().replace('\n', " ")))
    };
    // by itself first: brackets that close the frame's would mean something else
    build(typed)?;
    build(framed)
}

fn fits(regex: &Regex, name: &str, key: &str, typed: &str) -> Result<bool, ConfigError> {
    regex.is_match(name).map_err(|error| {
        let why = error.to_string().replace('\n', " ");
        ConfigError::new(key, format!("{typed:?}"), format!("matching `{name}` takes too long ({why}); give a simpler one"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(config: &AdapterConfig) -> Result<Vec<(String, usize)>, ConfigError> {
        // two layers, tied
        let model = ModelConfig::examples().remove(0);
        Ok(choose(config, &model)?.into_iter().map(|chosen| (chosen.module.name, chosen.rank)).collect())
    }

    fn config(targets: Modules) -> AdapterConfig {
        AdapterConfig::plain(2, 1.0, targets, false)
    }

    fn named(names: &[&str]) -> Modules {
        Modules::Named(names.iter().map(|name| name.to_string()).collect())
    }

    #[test]
    fn modules_are_chosen_by_ends_patterns_and_layers() {
        let names = |config: &AdapterConfig| chosen(config).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let q = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"];
        assert_eq!(names(&config(named(&["q_proj"]))), q);
        assert_eq!(names(&config(named(&["layers.1.self_attn.q_proj", "oj", "c_attn"]))), q[1..]);
        assert_eq!(names(&config(Modules::Pattern(r".*(?<!k)q_proj|nothing".into()))), q);
        assert_eq!(names(&config(Modules::AllLinear)).len(), 14, "seven products a layer, and not the last");
        let layers = |before: &[&str]| {
            let before = before.iter().map(|pattern| pattern.to_string()).collect();
            AdapterConfig { layers: Some(Layers { numbers: vec![1, 7], before }), ..config(named(&["q_proj"])) }
        };
        assert_eq!(names(&layers(&[])), q[1..]);
        assert_eq!(names(&layers(&["h", "layers"])), q[1..]);
        assert!(chosen(&layers(&["h"])).is_err());
        let without = AdapterConfig { exclude: Some(Modules::Pattern(".*0.*".into())), ..config(named(&["q_proj"])) };
        assert_eq!(names(&without), q[1..]);
        let saved = AdapterConfig { modules_to_save: vec!["self_attn".into()], ..config(named(&["q_proj", "up_proj"])) };
        assert_eq!(names(&saved), ["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"]);
        let ranks = vec![("0.self_attn.q_proj".to_string(), 5), ("q_proj".into(), 6), ("self_attn.q_proj".into(), 7)];
        let ranked = AdapterConfig { rank_pattern: ranks, ..config(named(&["q_proj", "k_proj"])) };
        assert_eq!(chosen(&ranked).unwrap().iter().map(|(_, rank)| *rank).collect::<Vec<_>>(), [5, 2, 6, 2]);
    }

    #[test]
    fn what_cannot_be_chosen_is_refused_by_name() {
        let refused = |config: &AdapterConfig, expected: &str| {
            let error = chosen(config).unwrap_err().to_string();
            assert!(error.contains(expected), "expected {expected} in {error}");
        };
        refused(
            &config(named(&["c_attn"])),
            "`target_modules` is c_attn: none of the model's modules is meant; it has q_proj, k_proj",
        );
        refused(
            &config(named(&["lm_head", "q_proj"])),
            "`target_modules` is lm_head: the model's table of tokens is also its last",
        );
        refused(&config(named(&["embed_tokens"])), "`target_modules` is model.embed_tokens");
        refused(&config(Modules::Pattern("(q_proj".into())), "not a usable regular expression");
        refused(&config(Modules::Pattern("a)|(?:.*".into())), "not a usable regular expression");
        refused(&config(Modules::Pattern("((a{1000}){1000}){1000}".into())), "not a usable regular expression");
        refused(&config(Modules::Pattern("(".repeat(60_000))), "not a usable regular expression");
        refused(&config(Modules::Pattern("x".repeat(70_000))), "a pattern of 70000 bytes: give a shorter one");
        refused(&config(Modules::Pattern(r"(.*.*.*.*.*.*.*)(?!x)\1y".into())), "takes too long");
        let ranked = AdapterConfig { rank_pattern: vec![("[".into(), 1)], ..config(named(&["q_proj"])) };
        refused(&ranked, "`rank_pattern` is \"[\": not a usable regular expression");
    }
}
