use oracle::Oracle;

use super::*;
use crate::testing::{Lab, ToyModel};
use crate::{Chance, KeyedTest, Launcher, Program};

fn lab(plays: &str) -> Lab {
    let config = ProcessConfig { command: vec![plays.into()], ..ProcessConfig::examples().remove(0) };
    Lab::new(&MarkEntry { process: Some(Box::new(config)), ..MarkEntry::default() })
}

const CHANCE: Chance = Chance { decoys: 199, decoy_seed: 5, draws: 9, draw_seed: 9 };

/// The toy that plays KGW is KGW: the same law and the same count under the same key.
#[test]
fn a_program_that_plays_kgw_is_kgw() {
    let kgw = super::super::kgw::KgwConfig::examples().remove(0);
    let by_count = super::super::kgw::KgwConfig { test: KeyedTest::Count, ..kgw.clone() };
    let [built_in, counted] =
        [kgw, by_count].map(|kgw| Lab::new(&MarkEntry { kgw: Some(Box::new(kgw)), ..MarkEntry::default() }));
    let (outside, key) = (lab("green"), Key::decoy(1, 1));
    let [a, b] = [&built_in, &outside].map(|lab| lab.build(&key).unwrap());
    let c = counted.build(&key).unwrap();
    let [served, also] = [built_in.marked(&*a), outside.marked(&*b)];
    let audit = built_in.audit();
    assert_eq!(served.answer(&audit).unwrap(), also.answer(&audit).unwrap());
    for suspect in [&served, &built_in.model(4)] {
        let [a, b] =
            [(&built_in, &a), (&outside, &b)].map(|(lab, mark)| lab.measure(&**mark, suspect, CHANCE).unwrap().remove(0));
        for (number, is) in
            [("count_units", b.evidence.n as f64), ("count_effect", b.evidence.effect), ("count_log10_p", b.evidence.log10_p)]
        {
            assert_eq!(a.metric(number), Some(is), "{number}");
        }
        let counted = counted.measure(&*c, suspect, CHANCE).unwrap().remove(0);
        assert_eq!((counted.max_log10_e_by_query, counted.evidence.log10_e), (b.max_log10_e_by_query, b.evidence.log10_e));
    }
}

#[test]
fn without_a_known_null_decoy_keys_decide() {
    for plays in ["ranked", "text"] {
        let lab = lab(plays);
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let found = |model: &ToyModel| lab.measure(&*mark, model, CHANCE).unwrap().remove(0);
        let marked = found(&lab.marked(&*mark));
        assert!((marked.evidence.log10_p + libm::log10(200f64)).abs() < 1e-9, "{plays}: {marked:?}");
        assert_eq!((marked.evidence.null.kind, marked.decoy_log10_p.len()), (stats::NullKind::Decoys, 199));
        // 20 models that know nothing of it: below 0.01 none but with probability 0.2, below 0.005 fewer
        let p: Vec<f64> = (0..20).map(|seed| found(&lab.model(seed)).evidence.log10_p).collect();
        assert!(p.iter().filter(|p| **p < -1.5).count() <= 3, "{plays}: {p:?}");
        assert!(p.iter().any(|p| *p > -0.5), "{plays}: {p:?}");
        let nothing = lab.judge(&*mark, &lab.model(1), Vec::new(), CHANCE).unwrap().remove(0).evidence;
        assert_eq!((nothing.n, nothing.log10_p, nothing.effect), (0, 0.0, 0.0));
    }
}

fn ratio(plays: &str) -> Lab {
    let config = ProcessConfig { command: vec![plays.into()], ..ProcessConfig::examples().remove(2) };
    Lab::new(&MarkEntry { process: Some(Box::new(config)), ..MarkEntry::default() })
}

/// Against the definition, from the toy's own logits: the law of a marked token is that of the raised logits.
#[test]
fn the_likelihood_ratio_is_that_of_the_two_laws() {
    let (lab, key) = (ratio("loud"), Key::decoy(1, 1));
    let mark = lab.build(&key).unwrap();
    let (marked, plain) = (lab.marked(&*mark), lab.model(1_000));
    let audit = marked.answer(&lab.audit()[..6]).unwrap();
    let found = lab.judge(&*mark, &marked, audit.clone(), CHANCE).unwrap().remove(0);
    let (mut sum, mut tokens) = (0.0, 0);
    let law = |logits: Vec<f32>, token: TokenId| {
        let weights: Vec<f64> = logits.iter().map(|logit| libm::exp(f64::from(*logit))).collect();
        weights[token as usize] / weights.iter().sum::<f64>()
    };
    for item in &audit {
        for at in 1..item.answer.len() {
            let before = [&item.query.prompt[..], &item.answer[..at]].concat();
            let mut raised = plain.logits(&before);
            let step = oracle::Step { query: &item.query, tokens: &before };
            marked.processors[0].process(&step, oracle::Row::alone(&mut raised));
            let token = item.answer[at];
            sum += libm::log(0.5 * law(raised, token) / law(plain.logits(&before), token) + 0.5);
            tokens += 1;
        }
    }
    // laws are kept to 28 bits and summed in another order
    assert!((found.evidence.statistic - sum).abs() < 1e-3 && found.evidence.n == tokens, "{sum}, {found:?}");
    assert!((found.evidence.log10_p + libm::log10(200f64)).abs() < 1e-9, "at the floor of 199 decoys: {found:?}");
    assert_eq!((found.evidence.null.kind, found.decoy_log10_p.len()), (stats::NullKind::Decoys, 199));
    assert_eq!(mark.questions(1).len() + mark.follow_up(&[Seen::Exchanges(Arc::new(audit))]).len(), 2);
}

/// Of a model that shows the mark in one answer of six, the ratio sees more than the count, which throws repeats away.
#[test]
fn a_weak_mark_stands_out_of_the_decoys_by_its_likelihood() {
    let (by_ratio, by_count, key) = (ratio("green"), lab("green"), Key::decoy(1, 2));
    let [a, b] = [&by_ratio, &by_count].map(|lab| lab.build(&key).unwrap());
    let queries: Vec<_> = (0..240).map(|i| oracle::Query { seed: i, ..by_ratio.audit()[i as usize % 40].clone() }).collect();
    let (marked, plain) = (by_ratio.marked(&*a), by_ratio.model(1_000));
    let [marked, plain] = [&marked, &plain].map(|model| model.answer(&queries).unwrap());
    let mixed: Vec<_> = (0..240).map(|at| if at % 6 == 0 { marked[at].clone() } else { plain[at].clone() }).collect();
    let suspect = by_ratio.model(1_000);
    let of = |lab: &Lab, mark: &dyn Mark| lab.judge(mark, &suspect, mixed.clone(), CHANCE).unwrap().remove(0);
    let (found, counted) = (of(&by_ratio, &*a), of(&by_count, &*b));
    assert_eq!(found.metric("count_log10_p"), Some(counted.evidence.log10_p));
    assert!(found.evidence.z_decoy.unwrap() > counted.evidence.z_decoy.unwrap() + 1.0, "{found:?} {counted:?}");
    // without the raw teacher's laws there is no test
    let answers = [Seen::Exchanges(Arc::new(mixed))];
    let case = Case { suspect: &answers, teacher: None, references: &[], second: &[], contexts: None, chance: CHANCE };
    assert!(a.judge(&case).unwrap_err().to_string().contains("laws of the raw teacher"));
}

/// Answers what `hello` needs, and then what it was given.
struct Liar {
    describe: serde_json::Value,
    then: serde_json::Value,
    asked: std::sync::atomic::AtomicU64,
}

impl Program for Liar {
    fn identity(&self) -> String {
        String::new()
    }

    fn ask(&self, request: &serde_json::Value) -> Result<serde_json::Value, MarkError> {
        self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut answer = if request["ask"] == "hello" { self.describe.clone() } else { self.then.clone() };
        if answer.get("id").is_none() {
            answer["id"] = request["id"].clone();
        }
        Ok(answer)
    }

    fn refusal(&self, what: &str, instead: &str) -> MarkError {
        MarkError::Program(format!("{what}; {instead}"))
    }
}

struct Starts(Arc<Liar>);

impl Launcher for Starts {
    fn launch(&self, _command: &[String], _timeout: Duration) -> Result<Arc<dyn Program>, MarkError> {
        Ok(self.0.clone())
    }
}

fn liar(describe: serde_json::Value, then: serde_json::Value) -> (Arc<Liar>, Result<Arc<dyn Mark>, MarkError>) {
    let liar = Arc::new(Liar { describe, then, asked: Default::default() });
    let (lab, key) = (lab("green"), Key::decoy(1, 1));
    let launcher = Starts(liar.clone());
    let mark = lab.entry.build(&Owner { launcher: Some(&launcher), ..Owner::new(&key, &lab.codec) });
    (liar, mark)
}

fn set() -> serde_json::Value {
    json!({"version": 1, "name": "x", "kind": "keyed_set", "delta": 1.0, "context_width": 1, "null": "decoys", "unit": "pairs"})
}

#[test]
fn descriptions_that_cannot_be_are_refused() {
    let changed = |field: &str, value: serde_json::Value| {
        let mut describe = set();
        describe[field] = value;
        describe
    };
    for (field, value, word) in [
        ("version", json!(2), "version"),
        ("kind", json!("sets"), "PROTOCOL.md"),
        ("kind", json!("bias"), "delta"),
        ("delta", json!(0.0), "delta"),
        ("delta", json!(1e300), "delta"),
        ("context_width", json!(6), "context_width"),
        ("name", json!("two\nlines"), "name"),
        ("null", json!({"law": "binomial", "rate": 1.0}), "rate"),
        ("null", json!({"law": "normal"}), "PROTOCOL.md"),
        ("id", json!(7), "id"),
        ("error", json!("no GPU"), "no GPU"),
    ] {
        let error = liar(changed(field, value), json!({})).1.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(word) && !error.contains('\n'), "{field}: {error}");
    }
    let mut text = set();
    text["unit"] = json!("text");
    text["null"] = json!({"law": "exponential"});
    assert!(liar(text, json!({})).1.err().unwrap().to_string().contains("decoys"));
    assert!(liar(set(), json!({})).1.is_ok());
}

/// The first wrong law ends it: nothing is changed or asked after it, and whoever serves it is told.
#[test]
fn laws_that_cannot_be_are_refused() {
    let bias = json!({"version": 1, "name": "x", "kind": "bias", "context_width": 1, "null": "decoys", "unit": "pairs"});
    for (describe, law) in [
        (set(), json!([[3, 512]])),
        (set(), json!([[-1]])),
        (set(), json!(["00"])),
        (set(), json!(["é".repeat(64)])),
        (set(), json!([])),
        (set(), json!([[3], [4]])),
        (set(), json!({"3": 1})),
        (bias.clone(), json!([[3, 4]])),
        (bias.clone(), json!([[[3, 1e300]]])),
        (bias, json!([[[3, null]]])),
    ] {
        let (liar, mark) = liar(describe, json!({ "laws": law }));
        let Planting::Law(planted) = mark.unwrap().planting().remove(0) else { panic!("no law") };
        let mut logits = vec![0.0; 512];
        for _ in 0..3 {
            let query = oracle::Query::greedy(0, vec![1, 5], 1);
            planted.process(&oracle::Step { query: &query, tokens: &query.prompt }, oracle::Row::alone(&mut logits));
        }
        assert_eq!(logits, [0.0; 512]);
        let failure = planted.failure().unwrap();
        assert!(failure.contains("laws"), "{failure}");
        assert_eq!(liar.asked.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
}

#[test]
fn a_bitmap_is_a_list_and_special_tokens_stay_out() {
    let row = |law: serde_json::Value| {
        let (liar, mark) = liar(set(), json!({ "laws": [law] }));
        let Planting::Law(planted) = mark.unwrap().planting().remove(0) else { panic!("no law") };
        let mut logits = vec![0.0; 512];
        for _ in 0..3 {
            let query = oracle::Query::greedy(0, vec![1, 5], 1);
            planted.process(&oracle::Step { query: &query, tokens: &query.prompt }, oracle::Row::alone(&mut logits));
        }
        assert_eq!(planted.failure(), None);
        assert_eq!(liar.asked.load(std::sync::atomic::Ordering::Relaxed), 2, "one context is asked once");
        logits
    };
    let bitmap = format!("0a01{}80", "00".repeat(61));
    let raised = row(json!(bitmap));
    assert_eq!(raised, row(json!([1, 3, 8, 511])));
    assert_eq!((raised[1], raised[3], raised[8], raised[511], raised.iter().sum::<f32>()), (0.0, 3.0, 3.0, 3.0, 9.0));
}

#[test]
fn scores_that_cannot_be_are_refused() {
    for (null, scores) in [
        (json!({"law": "binomial", "rate": 0.5}), json!([0.5])),
        (json!({"law": "exponential"}), json!([-1.0])),
        (json!("decoys"), json!(["1"])),
        (json!("decoys"), json!([1, 2, 3])),
        (json!("decoys"), json!(7)),
    ] {
        let mut describe = set();
        describe["null"] = null;
        let lab = lab("green");
        let mark = liar(describe, json!({ "scores": scores })).1.unwrap();
        let answers = lab.model(4).answer(&lab.audit()[..2]).unwrap();
        let error = lab.judge(&*mark, &lab.model(4), answers, CHANCE).unwrap_err();
        assert!(matches!(error, MarkError::Program(_)) && error.to_string().contains("scores"), "{error}");
    }
}
