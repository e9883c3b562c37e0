//! How the tokens of a context choose a green list (*On the Reliability of Watermarks*, section 3 and appendix A.1): the authors' own
//! schemes, in our keyed function and in theirs.

use std::sync::Arc;

use oracle::KeyedSet;
use oracle::{LogitsProcessor, Raised, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::Key;
use crate::key::Purpose;
use crate::keyed::MAX_CONTEXT;
use crate::keyed::green::{GreenList, GreenRows};
use crate::keyed::scheme::{FixedLists, pair_input};
use crate::keyed::self_salted::raise_candidates;
use crate::keyed::soft_list::{Alike, Lists};
use crate::keyed::torch::Table;
use crate::keyed::torch_lists::{SeedRule, TorchLists, TorchRows};

/// How a context chooses a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seeding {
    /// All its tokens together (`lefthash`, `simple_1`). Drawn as in PyTorch their sum counts, so that their order does not.
    #[default]
    LeftHash,
    /// As `anchored`, with the token itself as the last of the context's (`selfhash`): a candidate is raised if its own list holds it. The 41
    /// most probable candidates are tried.
    SelfHash,
    /// The one of its tokens with the least keyed hash (`minhash`).
    MinHash,
    /// Its first token (`skipgram`).
    Skipgram,
    /// Its last token, and the one whose keyed hash with that is the least (`anchored_minhash`).
    Anchored,
}

/// Candidates that are tried where a token chooses its list: the authors' loop ends after number 40, counted from 0.
const CANDIDATES: usize = 41;

impl Seeding {
    /// Whether a file need not say it.
    pub(super) fn is_left_hash(&self) -> bool {
        *self == Self::LeftHash
    }

    /// Tokens before the scored one that choose its list, of `width` that do.
    pub(super) fn context_width(self, width: usize) -> usize {
        width - usize::from(self == Self::SelfHash)
    }

    /// Which pairs have one input: in our function, or else in PyTorch's.
    pub(super) fn alike(self, torch: bool) -> Alike {
        match (self, torch) {
            (Self::LeftHash, false) => Alike::None,
            (Self::LeftHash, true) => {
                Alike::Always(|context, token| FixedLists::input(context.iter().map(|id| u128::from(*id)).sum(), token))
            }
            (Self::Skipgram, false) => Alike::Always(|context, token| pair_input(&context[..1], token)),
            (Self::Skipgram, true) => Alike::Always(|context, token| FixedLists::input(context[0].into(), token)),
            (Self::SelfHash | Self::MinHash | Self::Anchored, _) => Alike::UnderKey,
        }
    }

    /// The authors' rule for seeds.
    pub(super) fn rule(self) -> SeedRule {
        match self {
            Self::LeftHash => SeedRule::Sum,
            Self::Skipgram => SeedRule::First(Table::of_the_authors()),
            Self::MinHash => SeedRule::Least(Table::of_the_authors()),
            Self::SelfHash | Self::Anchored => SeedRule::Anchored(Table::of_the_authors()),
        }
    }
}

/// Lists by our keyed function: SipHash of what the seeding leaves of a window.
#[derive(Clone)]
pub(super) struct NativeLists {
    list: GreenList,
    /// Puts tokens in an order.
    order: SipHasher24,
    seeding: Seeding,
}

impl NativeLists {
    pub fn new(key: &Key, gamma: f64, seeding: Seeding) -> Self {
        let order = SipHasher24::new_with_key(&key.sip_key(Purpose::Kind("kgw order")));
        Self { list: GreenList::new(key, Purpose::GreenList, gamma), order, seeding }
    }

    /// The one of `ids` whose keyed hash is least, with that of `anchor`, where there is one.
    fn least(&self, ids: &[TokenId], anchor: Option<TokenId>) -> TokenId {
        let hash = |id: TokenId| match anchor {
            Some(anchor) => self.order.hash(&(u64::from(id) << 32 | u64::from(anchor)).to_le_bytes()),
            None => self.order.hash(&id.to_le_bytes()),
        };
        // equal hashes are those of equal ids, but for one pair in 2^64
        ids.iter().copied().min_by_key(|id| (hash(*id), *id)).unwrap_or_default()
    }

    /// What decides about the last of `window`: some of the tokens before it, and itself. Written to `seen`; its length is returned.
    fn seen(&self, window: &[TokenId], seen: &mut [TokenId; MAX_CONTEXT + 1]) -> usize {
        let (context, token) = (&window[..window.len() - 1], window[window.len() - 1]);
        let width = match self.seeding {
            Seeding::LeftHash => {
                seen[..context.len()].copy_from_slice(context);
                context.len()
            }
            Seeding::SelfHash => {
                seen[0] = self.least(window, Some(token));
                1
            }
            Seeding::MinHash => {
                seen[0] = self.least(context, None);
                1
            }
            Seeding::Skipgram => {
                seen[0] = context[0];
                1
            }
            Seeding::Anchored => {
                seen[1] = context[context.len() - 1];
                seen[0] = self.least(context, Some(seen[1]));
                2
            }
        };
        seen[width] = token;
        width + 1
    }

    fn is_green(&self, window: &[TokenId]) -> bool {
        let mut seen = [0; MAX_CONTEXT + 1];
        let width = self.seen(window, &mut seen);
        self.list.is_green(&seen[..width])
    }
}

impl Lists for NativeLists {
    fn score(&self, windows: &[TokenId], width: usize, scores: &mut [f64]) {
        if self.seeding == Seeding::LeftHash {
            return self.list.score(windows, width, scores);
        }
        let (mut left, mut seen, mut seen_width) = (Vec::with_capacity(windows.len()), [0; MAX_CONTEXT + 1], 1);
        for window in windows.chunks_exact(width) {
            seen_width = self.seen(window, &mut seen);
            left.extend_from_slice(&seen[..seen_width]);
        }
        self.list.score(&left, seen_width, scores);
    }

    fn input(&self, window: &[TokenId]) -> u128 {
        let mut seen = [0; MAX_CONTEXT + 1];
        let width = self.seen(window, &mut seen);
        pair_input(&seen[..width - 1], seen[width - 1])
    }
}

/// Our lists with their rows.
pub(super) struct NativeRows {
    lists: NativeLists,
    rows: GreenRows,
    /// Tokens that are never green.
    special: Vec<TokenId>,
}

/// Lists of either kind with their rows, for whoever generates.
pub(super) enum Rows {
    /// Ours.
    Native(Box<NativeRows>),
    /// The authors'.
    Torch(Box<TorchRows>),
}

impl Rows {
    pub fn native(lists: NativeLists, vocab: usize, special: &[TokenId]) -> Self {
        let rows = GreenRows::new(lists.list.clone(), vocab, special);
        Self::Native(Box::new(NativeRows { lists, rows, special: special.to_vec() }))
    }

    pub fn torch(lists: TorchLists) -> Self {
        Self::Torch(Box::new(TorchRows::new(lists)))
    }

    fn is_green(&self, window: &[TokenId]) -> bool {
        match self {
            Self::Native(own) => !own.special.contains(&window[window.len() - 1]) && own.lists.is_green(window),
            Self::Torch(rows) => rows.is_green(window),
        }
    }

    fn add(&self, context: &[TokenId], bias: f32, logits: &mut [f32]) {
        match self {
            Self::Native(own) if own.lists.seeding == Seeding::LeftHash => own.rows.add(context, bias, logits),
            Self::Native(own) => {
                let (mut window, mut seen) = ([0; MAX_CONTEXT + 1], [0; MAX_CONTEXT + 1]);
                window[..context.len()].copy_from_slice(context);
                let width = own.lists.seen(&window[..=context.len()], &mut seen);
                own.rows.add(&seen[..width - 1], bias, logits);
            }
            Self::Torch(rows) => rows.add(context, bias, logits),
        }
    }
}

/// One token at a time.
impl KeyedSet for Rows {
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool {
        let mut window = [0; MAX_CONTEXT + 1];
        window[..context.len()].copy_from_slice(context);
        window[context.len()] = token;
        self.is_green(&window[..=context.len()])
    }
}

/// Raises green logits. The first answer token is biased too, its context being the end of the prompt, although
/// detection never scores it.
pub(super) struct GreenBias {
    pub name: String,
    pub rows: Arc<Rows>,
    pub delta: f32,
    /// Tokens before the next one that choose its list.
    pub context_width: usize,
    pub seeding: Seeding,
}

impl LogitsProcessor for GreenBias {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        // fewer tokens than a context holds: no list to choose, nothing is raised
        let Some(context) = step.context(self.context_width) else { return };
        match self.seeding {
            Seeding::SelfHash => {
                raise_candidates(context, CANDIDATES, self.delta, row.logits, |window| self.rows.is_green(window));
            }
            _ => self.rows.add(context, self.delta, row.logits),
        }
    }

    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        // which candidates are tried depends on the whole row
        let whole = self.seeding != Seeding::SelfHash;
        Some(Raised { bias: self.delta, set: &*self.rows, context: step.context(self.context_width).filter(|_| whole)? })
    }
}
