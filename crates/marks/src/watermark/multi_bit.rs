//! A payload of several bits in the answers: each context carries one of its symbols. Yoo, Ahn and Kwak, *Advancing Beyond Identification:
//! Multi-bit Watermark for Large Language Models*, NAACL 2024 (arXiv 2308.00221), position allocation on the green list of Kirchenbauer
//! et al. 2023. Methods a6.
//!
//! Every pair of context and token has a keyed colour, each of the colours equally likely; every context has a keyed place in the payload,
//! and raises the tokens of the colour that the payload has there. A hit is a token of the colour that the claimed payload asks for: under a
//! random key hits of distinct pairs are independent with the probability 1 / colours whatever the payload, so the p of a claimed payload
//! is exact. The payload is also read without being told, as the colour that stands out at each place.

use std::sync::Arc;

use oracle::{ConfigError, KeyedSet, LogitsProcessor, Raised, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{Bernoulli, Null};

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::green_scheme::check_green;
use crate::keyed::scheme::units_of;
use crate::keyed::siphash::{self, SipState};
use crate::keyed::{Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer, Skipped};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs, Owner, identity};

const KIND: &str = "multi_bit";

/// Most bits of a payload.
const MOST_BITS: usize = 256;

/// Parameters of the multi-bit watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiBitConfig {
    /// The bits that answers carry, as 0 and 1, for example "1011001110001111": at most 256, a whole number of symbols.
    pub payload: String,
    /// Colours of tokens, 2, 4, 8 or 16: a symbol has 1 to 4 bits, and a share 1 / colours of the vocabulary is raised.
    pub colours: u32,
    /// Added to the logits of raised tokens before temperature, nats; a temperature above 1 weakens it.
    pub delta: f64,
    /// Number of tokens before the next one that choose its symbol and colours, 1 to 5.
    pub context_width: usize,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MultiBitConfig {
    fn bits_of_a_symbol(&self) -> usize {
        self.colours.trailing_zeros() as usize
    }

    /// The payload, first bit first.
    fn symbols(&self) -> Vec<u32> {
        let bits: Vec<u32> = self.payload.chars().map(|bit| u32::from(bit == '1')).collect();
        bits.chunks(self.bits_of_a_symbol().max(1)).map(|bits| bits.iter().fold(0, |symbol, bit| symbol << 1 | bit)).collect()
    }
}

impl MarkConfig for MultiBitConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark multi_bit",
            source: "Yoo et al., Advancing Beyond Identification: Multi-bit Watermark for LLMs, NAACL 2024, arXiv 2308.00221",
            summary: "green lists that carry a payload: each context raises the colour of one of its symbols",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if ![2, 4, 8, 16].contains(&self.colours) {
            return Err(ConfigError::new("colours", self.colours, "use 2, 4, 8 or 16"));
        }
        let (bits, symbol) = (self.payload.len(), self.bits_of_a_symbol());
        let refused = |remedy: String| Err(ConfigError::new("payload", format!("{:?}", self.payload), remedy));
        if let Some(other) = self.payload.chars().find(|bit| !matches!(bit, '0' | '1')) {
            return refused(format!("write bits as 0 and 1, for example \"10110011\", without {other:?}"));
        }
        if bits == 0 || bits > MOST_BITS {
            return refused(format!("write 1 to {MOST_BITS} bits"));
        }
        if bits % symbol != 0 {
            return refused(format!("a symbol of {} colours has {symbol} bits: write a multiple of {symbol}", self.colours));
        }
        if self.context_width == 0 {
            return Err(ConfigError::new("context_width", 0, "use at least 1 token: the context chooses the symbol"));
        }
        check_green(1.0 / f64::from(self.colours), self.delta, self.context_width)?;
        self.test.validate()
    }

    fn needs(&self) -> Needs {
        self.test.needs(self.context_width)
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let rules = Rules::new(self.context_width, self.dedup, &**owner.codec);
        let carries = Carries { symbols: self.symbols().into(), bits: self.bits_of_a_symbol() as u32 };
        // how text is scored changes nothing that is drawn
        let name = identity(&Self { dedup: Dedup::default(), ..self.planted() }, owner.key);
        let set = Raises { colours: carries.under(owner.key), special: rules.special.clone() };
        let bias = Arc::new(Bias { name, set, delta: self.delta as f32, context_width: self.context_width });
        Ok(Arc::new(Keyed::new(MultiBit { rules, carries, bias }, owner.key).judged_by(&self.test)))
    }

    fn examples() -> Vec<Self> {
        let (dedup, test) = (Dedup::Pairs, KeyedTest::default());
        vec![Self { payload: "1011001110001111".into(), colours: 4, delta: 2.0, context_width: 1, dedup, test }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let payloads = [r#""""#, r#""101""#, r#""1012""#].map(|value| ("payload", value));
        let others = [("colours", "3"), ("colours", "32"), ("delta", "0.0"), ("context_width", "0"), ("context_width", "6")];
        payloads.into_iter().chain(others).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: KeyedTest::default(), ..self.clone() }
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }
}

/// A payload.
#[derive(Debug, Clone)]
struct Carries {
    symbols: Arc<[u32]>,
    /// Of a symbol.
    bits: u32,
}

impl Carries {
    fn under(&self, key: &Key) -> Colours {
        let places = SipState::new(&key.sip_key(Purpose::Kind("multi_bit places")));
        Colours { carries: self.clone(), colours: SipState::new(&key.sip_key(Purpose::Kind(KIND))), places }
    }

    fn rate(&self) -> f64 {
        1.0 / f64::from(1_u32 << self.bits)
    }

    /// A draw's colour: its first bits.
    fn colour(&self, draw: u32) -> u32 {
        draw >> (32 - self.bits)
    }
}

/// A payload under a key.
struct Colours {
    carries: Carries,
    /// Draws colours of pairs.
    colours: SipState,
    /// Draws places of contexts.
    places: SipState,
}

impl Colours {
    /// Which symbol a context carries.
    fn place(&self, context: &[TokenId]) -> usize {
        let mut draw = [0];
        siphash::windows(self.places, context, context.len(), &mut draw);
        ((u64::from(draw[0]) * self.carries.symbols.len() as u64) >> 32) as usize
    }

    /// The place of each unit's context, and its colour.
    fn each(&self, windows: &[TokenId], width: usize, seen: &mut dyn FnMut(usize, usize, u32)) {
        let mut draws = vec![0; windows.len() / width];
        siphash::windows(self.colours, windows, width, &mut draws);
        for (unit, (window, draw)) in windows.chunks_exact(width).zip(draws).enumerate() {
            seen(unit, self.place(&window[..width - 1]), self.carries.colour(draw));
        }
    }
}

struct MultiBit {
    rules: Rules,
    carries: Carries,
    bias: Arc<Bias>,
}

impl Scheme for MultiBit {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        Box::new(Bernoulli { rate: self.carries.rate() })
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (colours, width) = (self.carries.under(key), self.rules.context_width + 1);
        Box::new(move |windows, scores| {
            colours.each(windows, width, &mut |unit, place, colour| {
                scores[unit] = f64::from(u8::from(colours.carries.symbols[place] == colour));
            });
        })
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.bias.clone()
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.0} of {} scored units have the payload's colour", evidence.statistic, evidence.n)
    }

    /// The payload that is read: at each place the colour of the largest weighted count. A place without any weight is read as no bit, each
    /// of which counts as half an error.
    fn further(&self, key: &Key, windows: &[TokenId], weights: &[f64]) -> Vec<Metric> {
        let (symbols, colours) = (&self.carries.symbols, 1_usize << self.carries.bits);
        let mut sums = vec![0.0; symbols.len() * colours];
        let mut met = vec![false; symbols.len()];
        self.carries.under(key).each(windows, self.rules.context_width + 1, &mut |unit, place, colour| {
            let weight = weights.get(unit).copied().unwrap_or(1.0);
            sums[place * colours + colour as usize] += weight;
            met[place] |= weight != 0.0;
        });
        let mut wrong = 0.0;
        for ((sums, symbol), met) in sums.chunks(colours).zip(&**symbols).zip(&met) {
            let read = (0..colours).reduce(|best, colour| if sums[colour] > sums[best] { colour } else { best }).unwrap_or(0);
            let errors = (read as u32 ^ symbol).count_ones();
            wrong += if *met { f64::from(errors) } else { 0.5 * f64::from(self.carries.bits) };
        }
        let bits = f64::from(self.carries.bits) * symbols.len() as f64;
        let read = met.iter().filter(|met| **met).count() as f64;
        vec![Metric::new("payload_bit_error", wrong / bits, "1"), Metric::new("payload_symbols_read", read, "symbols")]
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }
}

/// 1 for a candidate of the payload's colour, else 0.
impl KeyedValues for MultiBit {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        self.scorer(key)(&units_of(context, candidates), out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bernoulli(self.carries.rate(), lambda, weight)
    }

    fn effect_unit(&self) -> &'static str {
        "share of tokens of the payload's colour above the unmarked teacher's"
    }
}

/// Tokens of the colour that the payload has at the context's place.
struct Raises {
    colours: Colours,
    special: Vec<TokenId>,
}

impl Raises {
    fn symbol(&self, context: &[TokenId]) -> u32 {
        self.colours.carries.symbols[self.colours.place(context)]
    }
}

impl KeyedSet for Raises {
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool {
        if self.special.contains(&token) {
            return false;
        }
        let mut draw = [0];
        siphash::windows(self.colours.colours, &[context, &[token]].concat(), context.len() + 1, &mut draw);
        self.colours.carries.colour(draw[0]) == self.symbol(context)
    }
}

/// Raises the logits of the payload's colour. The first answer token is raised too, its context being the end of the prompt, although
/// detection never scores it.
struct Bias {
    name: String,
    set: Raises,
    delta: f32,
    context_width: usize,
}

impl LogitsProcessor for Bias {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        // fewer tokens than a context holds: nothing is raised
        let Some(context) = step.context(self.context_width) else { return };
        let (symbol, carries) = (self.set.symbol(context), &self.set.colours.carries);
        let mut draws = vec![0; row.logits.len()];
        siphash::all_tokens(self.set.colours.colours, context, &mut draws);
        let special: Vec<(usize, f32)> =
            self.set.special.iter().filter_map(|&token| Some((token as usize, *row.logits.get(token as usize)?))).collect();
        for (logit, draw) in row.logits.iter_mut().zip(draws) {
            *logit += if carries.colour(draw) == symbol { self.delta } else { 0.0 };
        }
        special.into_iter().for_each(|(token, logit)| row.logits[token] = logit);
    }

    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        Some(Raised { bias: self.delta, set: &self.set, context: step.context(self.context_width)? })
    }
}

#[cfg(test)]
mod tests;
