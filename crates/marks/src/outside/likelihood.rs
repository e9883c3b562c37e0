//! The keyed likelihood ratio: how much likelier a suspect's tokens are where some of them were drawn under a key's law (methods l, m).
//!
//! For a mark without a value for every (context, candidate). Over the scored tokens x of the suspect's answers it sums
//!
//! ln((1 - e) q_key(x) + e q(x)) - ln q(x),
//!
//! where q is the raw teacher's law along the answers, q_key the same law changed under the key, and e, stated beforehand, the share of
//! tokens that were drawn without the mark. With q_key(x) = q(x) e^b(x) / Z and Z = sum of q(v) e^b(v), a term is ln((1 - e) e^b(x) / Z + e).
//! No law of that sum is known; keys are exchangeable, and the rank among decoy keys is exact whatever repeats.

use std::collections::BTreeMap;

use oracle::{Exchange, TokenId};

use super::Outside;
use crate::keyed::Candidates;
use crate::{Key, Reduced};

/// One scored token.
struct Place<'a> {
    token: TokenId,
    /// What is kept of the raw law there. What is left of its mass gets no change.
    law: &'a [f64],
}

/// Scored tokens of answers, by the context that chooses their law.
pub struct Places<'a> {
    by_context: BTreeMap<&'a [TokenId], Vec<Place<'a>>>,
    tokens: u64,
}

impl<'a> Places<'a> {
    /// Those of `answers`, along which the raw laws are `laws`: every token of text whose context lies in the answer.
    pub fn of(outside: &Outside, answers: &'a [Exchange], laws: &'a [Reduced]) -> Self {
        let (rules, mut places) = (outside.rules(), Self { by_context: BTreeMap::new(), tokens: 0 });
        for (exchange, laws) in answers.iter().zip(laws) {
            let answer = &exchange.answer;
            for at in 0..answer.len().min(laws.len()) {
                if rules.place(exchange, at).and_then(|place| place.said()).is_some() {
                    let context = &answer[at - rules.context_width..at];
                    places.by_context.entry(context).or_default().push(Place { token: answer[at], law: laws.at(at) });
                    places.tokens += 1;
                }
            }
        }
        places
    }

    /// Scored tokens.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The sum under `key`, nats, with the share `unmarked` of tokens that were drawn without the mark; 0 once something went wrong.
    pub fn log_ratio(&self, outside: &Outside, key: &Key, unmarked: f64) -> f64 {
        let contexts: Vec<&[TokenId]> = self.by_context.keys().copied().collect();
        let mut total = 0.0;
        // most tokens are raised by nothing or by one and the same delta
        let mut last = (0.0, 1.0);
        outside.each_change(key, &contexts, &mut |at, change| {
            for Place { token, law } in &self.by_context[contexts[at]] {
                let mut raised = |id: TokenId| {
                    let raise = change.raises(id, outside.delta());
                    if raise == 0.0 {
                        return 1.0;
                    }
                    if raise != last.0 {
                        last = (raise, libm::exp(raise));
                    }
                    last.1
                };
                let known = law.iter().map(|kept| Candidates::unpacked(*kept));
                let mass = 1.0 + known.map(|(id, p)| p * (raised(id) - 1.0)).sum::<f64>();
                total += libm::log((1.0 - unmarked) * raised(*token) / mass.max(f64::MIN_POSITIVE) + unmarked);
            }
        });
        total
    }
}
