//! Where a token may be scored. A prompt cannot be scored by mistake: what is scored is a [`Unit`], only a [`Place`] makes one, and only
//! [`Rules`] make places, of answers alone.

use std::borrow::Cow;

use oracle::{Exchange, TokenId};

use super::rules::Rules;

/// A place of an answer whose context lies in that answer before its end, or is filled up before its beginning (methods 0.2a).
///
/// Nothing else makes one, and it knows no prompt:
///
/// ```compile_fail
/// fn of_a_prompt<'a>(rules: &'a marks::Rules, query: &'a oracle::Query) -> Option<marks::Place<'a>> {
///     rules.place(&query.prompt, 3)
/// }
/// ```
///
/// ```compile_fail
/// fn by_hand<'a>(rules: &'a marks::Rules, prompt: &'a [oracle::TokenId]) -> marks::Place<'a> {
///     marks::Place { rules, answer: prompt, at: 3, plain: true }
/// }
/// ```
///
/// ```
/// fn of_an_answer<'a>(rules: &'a marks::Rules, exchange: &'a oracle::Exchange) -> Option<marks::Place<'a>> {
///     rules.place(exchange, 3)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    rules: &'a Rules,
    answer: &'a [TokenId],
    at: usize,
    /// Whether its context holds no special token.
    plain: bool,
}

impl<'a> Place<'a> {
    /// Which token of the answer it is, from 0.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What the answer says there.
    pub fn token(&self) -> TokenId {
        self.answer[self.at]
    }

    /// The tokens before it that choose its draw.
    pub fn context(&self) -> Cow<'a, [TokenId]> {
        // a place is only made where there is one
        self.rules.context(self.answer, self.at).unwrap_or_default()
    }

    /// The unit of what the answer says there; none where token or context are no text.
    pub fn said(&self) -> Option<Unit<'a>> {
        let width = self.rules.context_width;
        match self.at.checked_sub(width) {
            Some(start) => self.scores(self.token()).then(|| Unit(Cow::Borrowed(&self.answer[start..=self.at]))),
            None => self.predicted(self.token()),
        }
    }

    /// The unit of what a model says there in place of the answer (methods f1); none where token or context are no text.
    pub fn predicted(&self, token: TokenId) -> Option<Unit<'a>> {
        self.scores(token).then(|| Unit(Cow::Owned([&*self.context(), &[token]].concat())))
    }

    fn scores(&self, token: TokenId) -> bool {
        self.plain && self.rules.is_text(token)
    }
}

/// A context and the token scored after it, as a [`Place`] made it.
///
/// ```compile_fail
/// fn by_hand(prompt: &[oracle::TokenId]) -> marks::Unit<'_> {
///     marks::Unit(prompt.into())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit<'a>(Cow<'a, [TokenId]>);

impl Unit<'_> {
    /// The context, then the token.
    pub fn window(&self) -> &[TokenId] {
        &self.0
    }
}

impl Rules {
    /// Place `at` of the answer of `exchange`; none where its context begins before an answer that is not padded, holds a special token or
    /// lies behind the end.
    pub fn place<'a>(&'a self, exchange: &'a Exchange, at: usize) -> Option<Place<'a>> {
        let answer = &exchange.answer[..];
        let context = answer.get(self.first_of_context(at)?..at)?;
        let plain = !context.iter().any(|token| self.is_special(*token));
        let open = self.end.is_none_or(|end| !answer[..at].contains(&end));
        (plain && open && at < answer.len()).then_some(Place { rules: self, answer, at, plain })
    }

    /// Every place of the answer of `exchange` before its end that has a context, in order; those whose context is no text too, which have
    /// no units.
    pub fn places<'a>(&'a self, exchange: &'a Exchange) -> impl Iterator<Item = Place<'a>> {
        let answer = &exchange.answer[..];
        // tokens before the one at hand since the last special one
        let mut since = if self.padded { self.context_width } else { 0 };
        let text = answer.iter().enumerate().take_while(|(_, token)| Some(**token) != self.end);
        text.filter_map(move |(at, &token)| {
            let plain = since >= self.context_width;
            since = if self.is_special(token) { 0 } else { since + 1 };
            self.first_of_context(at).map(|_| Place { rules: self, answer, at, plain })
        })
    }

    /// The places of `exchange` whose context comes for the first time in prompt and answer together: elsewhere a model copies what came
    /// after it before, and with it the mark of a marked text (methods f1).
    pub fn fresh_places<'a>(&'a self, exchange: &'a Exchange) -> impl Iterator<Item = Place<'a>> {
        let (prompt, width) = (&exchange.query.prompt, self.context_width);
        let mut met: std::collections::HashSet<Vec<TokenId>> = prompt.windows(width.max(1)).map(<[TokenId]>::to_vec).collect();
        if !self.padded {
            // contexts that begin in the prompt and end in the answer
            let tail = &prompt[prompt.len() - prompt.len().min(width.saturating_sub(1))..];
            let head = &exchange.answer[..exchange.answer.len().min(width.saturating_sub(1))];
            met.extend([tail, head].concat().windows(width.max(1)).map(<[TokenId]>::to_vec));
        }
        self.places(exchange).filter(move |place| met.insert(place.context().into_owned()))
    }

    /// Where the context of place `at` begins in the answer; none where that is before an answer that is not padded.
    fn first_of_context(&self, at: usize) -> Option<usize> {
        if self.padded { Some(at.saturating_sub(self.context_width)) } else { at.checked_sub(self.context_width) }
    }
}
