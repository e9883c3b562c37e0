//! A key of its own for every account, so that a proven student also says who asked: any mark of the drawn law, built once for
//! each account under a key derived from the owner's. Methods m3.
//!
//! Accounts are tested one by one, each with its own p; with many of them the smallest is small by chance, and whoever reads it
//! corrects for their number.

use std::sync::Arc;

use oracle::{Access, CompanionId, ConfigError, Exchange, LogitsProcessor, Raised, Row, Stage, Step, TokenId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::inner::{Inner, inside, law_of_audit};
use crate::{
    AnyKey, Bed, Case, Chance, Claim, ContextCounts, Detection, Detector, Family, Finding, FollowUp, Key, Mark, MarkConfig,
    MarkEntry, MarkError, MarkInfo, Needs, Owner, Phase, Planting, Question, Seen,
};

const KIND: &str = "per_account";

/// Most accounts.
const MAX_ACCOUNTS: u32 = 4096;

/// Parameters of per-account keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerAccountConfig {
    /// Number of accounts that have a key, 1 to 4096: those numbered from 0. Any other account is served unmarked.
    pub accounts: u32,
    /// The mark that each account gets under its own key: any that plants one change of the law and asks the audit only.
    pub of: Box<MarkEntry>,
}

impl MarkConfig for PerAccountConfig {
    /// As the inner mark has it, beside name, label and source.
    fn info(&self) -> MarkInfo {
        let inner = self.of.config().map(|config| config.info()).ok();
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: inner.map_or(Access::Text, |info| info.needs),
            claim: inner.map_or(Claim::Distillation, |info| info.claim),
            planted: true,
            compares: inner.is_some_and(|info| info.compares),
            key_label: "watermark per_account",
            source: "this project, 2026; the mark inside has a source of its own",
            summary: "any mark of the drawn law under a key of its own for every account",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_ACCOUNTS).contains(&self.accounts) {
            let instead = format!("use 1 to {MAX_ACCOUNTS} accounts, for example 8");
            return Err(ConfigError::new("accounts", self.accounts, instead));
        }
        self.of.validate().map_err(inside)?;
        let inner = self.of.config().map_err(inside)?;
        let name = inner.info().name;
        if self.of.stack {
            return Err(ConfigError::new("of.stack", true, "write stack = true beside per_account instead"));
        }
        if let Some(rate) = self.of.mark_rate {
            return Err(ConfigError::new("of.mark_rate", rate, "write mark_rate beside per_account instead"));
        }
        if self.of.opt_out.is_some() {
            return Err(ConfigError::new("of.opt_out", "given", "write opt_out beside per_account instead"));
        }
        if name == KIND || inner.needs().phase != Phase::Service {
            return Err(ConfigError::new("of", name, "use a mark that changes the law of the served teacher, for example kgw"));
        }
        if inner.needs().served_key {
            return Err(ConfigError::new("of", name, "leave out the server's key: each account has one of its own"));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        let inner = self.of.config().map(|config| config.needs()).unwrap_or_default();
        Needs { phase: Phase::Service, accounts: self.accounts, ..inner }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let (mut marks, mut laws) = (Vec::new(), Vec::new());
        for account in 0..self.accounts {
            let key = owner.key.of_account(account);
            let Inner { mark, law } = law_of_audit(&self.of, &Owner { key: &key, ..*owner })?;
            laws.push(law);
            marks.push(mark);
        }
        Ok(Arc::new(PerAccount { law: Arc::new(LawOfAccount { laws }), marks, key: owner.key.clone() }))
    }

    fn examples() -> Vec<Self> {
        let of = |entry| Box::new(entry);
        let kgw = super::kgw::KgwConfig::examples().into_iter().next().map(Box::new);
        let gumbel = super::gumbel::GumbelConfig::examples().into_iter().next().map(Box::new);
        vec![
            Self { accounts: 3, of: of(MarkEntry { kgw, ..MarkEntry::default() }) },
            Self { accounts: 2, of: of(MarkEntry { gumbel, ..MarkEntry::default() }) },
        ]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let kgw = r#"{"kgw": {"gamma": 0.0, "delta": 2.0, "context_width": 1}}"#;
        let stacked = r#"{"stack": true, "kgw": {"gamma": 0.25, "delta": 2.0, "context_width": 1}}"#;
        let nested = r#"{"per_account": {"accounts": 2, "of": {"unigram": {"gamma": 0.5, "delta": 2.0}}}}"#;
        let not_served = r#"{"output_agreement": {"prompts": 20}}"#;
        let of = ["{}", kgw, stacked, nested, not_served].map(|value| ("of", value));
        [("accounts", "0"), ("accounts", "4097")].into_iter().chain(of).collect()
    }

    fn small(&self) -> Self {
        Self { accounts: self.accounts, of: Box::new(self.of.small()) }
    }

    fn planted(&self) -> Self {
        Self { accounts: self.accounts, of: Box::new(self.of.planted()) }
    }

    /// Around the count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        let kgw = super::kgw::KgwConfig::timed().into_iter().nth(1).map(|(_, config)| Box::new(config));
        vec![(String::new(), Self { accounts: 3, of: Box::new(MarkEntry { kgw, ..MarkEntry::default() }) })]
    }

    fn bed(&self) -> Bed {
        self.of.config().map(|config| config.bed()).unwrap_or_default()
    }
}

struct PerAccount {
    /// By account.
    marks: Vec<Arc<dyn Mark>>,
    /// Theirs derive from it.
    key: Key,
    law: Arc<LawOfAccount>,
}

impl PerAccount {
    /// The inner mark, where it judges all keys at once.
    fn inner(&self) -> Option<&dyn AnyKey> {
        self.marks.first()?.any_key()
    }

    /// The second round's answers of each account.
    fn second_of<'a>(&self, case: &Case<'a>) -> Result<Vec<&'a [Seen]>, MarkError> {
        let mut left = case.second;
        let own = |mark: &Arc<dyn Mark>| {
            let (own, rest) = left.split_at_checked(mark.follow_up(case.suspect).len())?;
            left = rest;
            Some(own)
        };
        let seen: Option<Vec<&[Seen]>> = self.marks.iter().map(own).collect();
        seen.ok_or_else(|| MarkError::unmeasurable(KIND, "answers to the second round are missing"))
    }
}

impl Mark for PerAccount {
    fn planting(&self) -> Vec<Planting> {
        vec![Planting::Law(self.law.clone())]
    }

    /// The audit.
    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![Question::Audit]
    }

    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        match self.inner() {
            Some(_) => self.marks[0].follow_up(first),
            None => self.marks.iter().flat_map(|mark| mark.follow_up(first)).collect(),
        }
    }

    fn contexts(&self, first: &[Seen]) -> Option<ContextCounts> {
        self.marks.first()?.contexts(first)
    }

    /// One finding for each account, in their order, without further numbers, which name no account. All accounts have the same decoy
    /// keys, so only the first is judged with them: the others are ranked among its decoy statistics, and its finding alone lists
    /// them. Where the inner mark can, all keys are judged at once: what no key enters is computed once.
    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        if self.inner().is_some() {
            return self.judge_under(case, std::slice::from_ref(&self.key));
        }
        let second = self.second_of(case)?;
        let judge = |account: usize, decoys: usize| {
            let chance = Chance { decoys, ..case.chance };
            let mut found = self.marks[account].judge(&Case { second: second[account], chance, ..*case })?;
            found.iter_mut().for_each(|found| found.account = Some(account as u32));
            Ok::<_, MarkError>(found)
        };
        let mut all = judge(0, case.chance.decoys)?;
        let decoys: Vec<Vec<f64>> = all.iter().map(|found| found.decoy_statistics.clone()).collect();
        let others: Vec<Vec<Finding>> = (1..self.marks.len())
            .into_par_iter()
            .map(|account| {
                let mut found = judge(account, 0)?;
                for (found, decoys) in found.iter_mut().zip(&decoys) {
                    found.evidence = found
                        .evidence
                        .clone()
                        .with_decoys(decoys)
                        .map_err(|error| MarkError::unmeasurable(KIND, error.to_string()))?;
                }
                Ok(found)
            })
            .collect::<Result<_, MarkError>>()?;
        all.extend(others.into_iter().flatten());
        Ok(all)
    }

    fn any_key(&self) -> Option<&dyn AnyKey> {
        self.inner().map(|_| self as &dyn AnyKey)
    }

    fn detector(&self) -> Option<&dyn Detector> {
        self.marks.first()?.detector().map(|_| self as &dyn Detector)
    }
}

/// Each account's texts under its own key; texts of accounts beyond the last that has a key are left out.
impl Detector for PerAccount {
    fn detect(&self, texts: &[Exchange], chance: Chance) -> Result<Vec<Detection>, MarkError> {
        let mut all = Vec::new();
        for (account, mark) in (0..).zip(&self.marks) {
            let places: Vec<usize> = (0..texts.len()).filter(|&at| texts[at].query.account == account).collect();
            let Some(detector) = mark.detector().filter(|_| !places.is_empty()) else { continue };
            let own: Vec<Exchange> = places.iter().map(|&at| texts[at].clone()).collect();
            for found in detector.detect(&own, chance)? {
                let texts = found.texts.iter().map(|&at| places[at]).collect();
                all.push(Detection { account: Some(account), texts, ..found });
            }
        }
        Ok(all)
    }
}

impl AnyKey for PerAccount {
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let accounts = 0..self.marks.len() as u32;
        let all: Vec<Key> = keys.iter().flat_map(|key| accounts.clone().map(|account| key.of_account(account))).collect();
        let mut found = self.inner().map_or(Ok(Vec::new()), |mark| mark.judge_under(case, &all))?;
        for (account, found) in accounts.cycle().zip(&mut found) {
            found.account = Some(account);
            found.metrics.clear();
        }
        Ok(found)
    }
}

/// The inner law of the account that asks. An account beyond the last that has a key is served unmarked.
struct LawOfAccount {
    /// By account, at least one.
    laws: Vec<Arc<dyn LogitsProcessor>>,
}

impl LawOfAccount {
    fn of(&self, step: &Step<'_>) -> Option<&dyn LogitsProcessor> {
        self.laws.get(step.query.account as usize).map(|law| &**law)
    }
}

impl LogitsProcessor for LawOfAccount {
    /// The first inner law says of which key and parameters all others are.
    fn name(&self) -> String {
        format!("{} laws by account: {}", self.laws.len(), self.laws[0].name())
    }

    fn stage(&self) -> Stage {
        self.laws[0].stage()
    }

    fn companions(&self) -> &[CompanionId] {
        self.laws[0].companions()
    }

    fn changes_greedy(&self) -> bool {
        self.laws[0].changes_greedy()
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        if let Some(law) = self.of(step) {
            law.process(step, row);
        }
    }

    fn failure(&self) -> Option<String> {
        self.laws.iter().find_map(|law| law.failure())
    }

    fn chosen(&self, step: &Step<'_>, logits: &[f32]) -> Option<TokenId> {
        self.of(step)?.chosen(step, logits)
    }

    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        self.of(step)?.raised(step)
    }
}

#[cfg(test)]
mod tests {
    use oracle::{Oracle, Query};

    use super::*;
    use crate::Chance;
    use crate::testing::Lab;

    fn lab(accounts: u32) -> Lab {
        let config = PerAccountConfig { accounts, ..PerAccountConfig::examples().remove(0) };
        Lab::new(&MarkEntry { per_account: Some(Box::new(config)), ..MarkEntry::default() })
    }

    const CHANCE: Chance = Chance { decoys: 99, decoy_seed: 5, draws: 9, draw_seed: 9 };

    #[test]
    fn each_account_is_found_in_what_it_was_served_and_no_other() {
        let lab = lab(3);
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let marked = lab.marked(&*mark);
        for asks in 0..4 {
            let queries: Vec<Query> = lab.audit().into_iter().map(|query| Query { account: asks, ..query }).collect();
            let answers = marked.answer(&queries).unwrap();
            let found = lab.judge(&*mark, &marked, answers.clone(), CHANCE).unwrap();
            assert_eq!(found.iter().map(|found| found.account).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
            for (account, found) in (0..).zip(&found) {
                // error rate 1e-4 for each of nine accounts that did not ask
                let proven = found.evidence.log10_p < -4.0;
                assert_eq!(proven, account == asks, "{account} where {asks} asks: {found:?}");
            }
            if asks == 3 {
                assert_eq!(answers, lab.model(1_000).answer(&queries).unwrap(), "an account without a key is served unmarked");
            }
        }
    }

    /// The shared decoys give every account what it would have got on its own.
    #[test]
    fn decoys_are_computed_once_and_rank_every_account() {
        let (lab, key) = (lab(3), Key::decoy(1, 1));
        let mark = lab.build(&key).unwrap();
        let suspect = lab.model(4);
        let found = lab.measure(&*mark, &suspect, CHANCE).unwrap();
        assert_eq!(found.iter().map(|found| found.decoy_log10_p.len()).collect::<Vec<_>>(), [99, 0, 0]);
        let inner = Lab::new(&lab.entry.per_account.as_ref().unwrap().of);
        for (account, found) in (0..).zip(&found) {
            let alone = inner.build(&key.of_account(account)).unwrap();
            assert_eq!(found.evidence, inner.measure(&*alone, &suspect, CHANCE).unwrap()[0].evidence);
        }
    }

    #[test]
    fn raised_tokens_are_those_of_the_account() {
        let lab = lab(2);
        let Planting::Law(law) = lab.build(&Key::decoy(1, 1)).unwrap().planting().remove(0) else { panic!("no law") };
        let row = |account| {
            let query = Query { account, ..Query::greedy(0, vec![1, 7], 1) };
            let step = Step { query: &query, tokens: &query.prompt };
            let mut logits = vec![0.0; 512];
            law.process(&step, Row::alone(&mut logits));
            let raised = law.raised(&step);
            let told = |token| raised.filter(|raised| raised.contains(token)).map_or(0.0, |raised| raised.bias);
            assert_eq!(logits, (0..512).map(told).collect::<Vec<f32>>());
            logits
        };
        assert!(row(0) != row(1));
        assert_eq!(row(2), [0.0; 512]);
    }
}
