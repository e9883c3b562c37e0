use super::*;
use crate::keyed::score::prefixes::Prefixes;
use crate::keyed::score::weighted::WeightedSum;
use crate::testing::Lab;
use crate::watermark::kgw::KgwConfig;
use crate::{Case, Chance, Choices, ContextCounts, Finding, KeyedTest, MarkEntry, Planting, ScoreTest};

/// Whether `hits` of 2,000 are what a rate of `alpha` gives: error rate 1e-4 on each side by the normal bound, and one more.
fn nominal(hits: usize, alpha: f64) -> bool {
    let (mean, sd) = (2000.0 * alpha, (2000.0 * alpha * (1.0 - alpha)).sqrt());
    (hits as f64 - mean).abs() <= 3.8 * sd + 1.0
}

/// Under 2,000 keys that had no part in `sum` the approximation has the nominal rates, and the bound stays below them.
fn keeps_the_level(sum: &WeightedSum, values: &Values, what: &str) {
    let law = sum.law(values);
    let mut scores = Vec::new();
    let mut under = |index| sum.under(&values.scorer(&Key::decoy(6, index)), &mut scores);
    let found: Vec<[f64; 2]> = (0..2_000)
        .map(&mut under)
        .map(|s| if law.z(s) < 0.5 { [0.0; 2] } else { [law.log10_p(s), sum.log10_bound(&law, s)] })
        .collect();
    for alpha in [0.1, 0.01, 0.001] {
        let [approximate, bounded] = [0, 1].map(|which| found.iter().filter(|p| p[which] <= libm::log10(alpha)).count());
        assert!(nominal(approximate, alpha), "{what}, {alpha}: {approximate}");
        assert!(bounded as f64 <= 2000.0 * alpha, "{what}, {alpha}: {bounded}");
    }
}

/// Answers of models that know no key, under 2,000 keys: the approximation has the nominal rates, the bound stays below them, whether every
/// token counts alike, every distinct input, or what the weights choose.
#[test]
fn models_without_a_key_keep_the_level_at_both_ends_of_the_weighting() {
    let rules = rules(1);
    let reference = peaked(50);
    // one has the reference's own law, one a broader one
    let models = [peaked(50), peaked(51), peaked(52), ToyModel { sharpness: 4.0, ..peaked(53) }];
    for (model, values) in
        models.iter().flat_map(|model| [Values::Green, Values::Exponential, Values::Bits].map(|values| (model, values)))
    {
        let answers = answers(model, 60);
        let laws = laws(&reference, &answers, &rules);
        let references = [&laws[..]];
        let said = judged_by(&answers, &references, &rules, &values);
        let tally = tallied(&said);
        assert!(tally.tokens > 1_000, "{}", tally.tokens);
        for shrinkage in [Some(0.0), Some(1e6), None] {
            let sum = WeightedSum::of(&tally, &said, shrinkage);
            keeps_the_level(&sum, &values, &format!("{values:?}, model {}, {shrinkage:?}", model.seed));
        }
    }
}

/// A list of fixed size is no set of independent values: its bound still holds, and its approximation is right.
#[test]
fn a_list_of_fixed_size_keeps_the_level() {
    let entry = MarkEntry::examples().into_iter().find(|entry| entry.unigram.is_some()).unwrap();
    let lab = Lab::new(&entry);
    let keys: Vec<Key> = (0..2_000).map(|index| Key::decoy(8, index)).collect();
    for seed in 0..2 {
        let model = lab.model(seed);
        let found = lab.judge_under(&keys, &model, model.answer(&lab.audit()).unwrap(), Chance::default()).unwrap();
        for alpha in [0.1, 0.01, 0.001] {
            let at_most = |p: &dyn Fn(&Finding) -> f64| found.iter().filter(|found| p(found) <= libm::log10(alpha)).count();
            let approximate = at_most(&|found| found.metric("score_log10_p").unwrap());
            assert!(nominal(approximate, alpha), "{seed}, {alpha}: {approximate}");
            let bounded = at_most(&|found| found.evidence.log10_p);
            assert!(bounded as f64 <= 2000.0 * alpha, "{seed}, {alpha}: {bounded}");
        }
    }
}

/// Of a model that shows the mark in one answer of eight, the score proves what the count of distinct units does not.
#[test]
fn a_weak_mark_shows_in_the_score_before_the_count() {
    let kgw = KgwConfig::of_width(1);
    let entry = MarkEntry { kgw: Some(Box::new(kgw)), ..MarkEntry::default() };
    let codec: Arc<dyn oracle::Codec> = Arc::new(ToyCodec::new(VOCAB));
    let reference = peaked(60);
    let (mut scores, mut counts) = (Vec::new(), Vec::new());
    for index in 0..5 {
        let key = Key::decoy(4, index);
        let mark = entry.build(&crate::Owner::new(&key, &codec)).unwrap();
        let [Planting::Law(law)] = &mark.planting()[..] else { panic!("no law") };
        let marked = answers(&ToyModel { processors: vec![law.clone()], ..peaked(60) }, 400);
        let plain = answers(&peaked(60), 400);
        let mixed: Vec<Exchange> =
            (0..400).map(|item| if item % 8 == 0 { marked[item].clone() } else { plain[item].clone() }).collect();
        let suspect = [Seen::Exchanges(Arc::new(mixed))];
        let asked = Asked { answers: &reference, laws: &reference, audit: &|| Ok(Arc::default()), marked: &no_texts };
        let second: Vec<Seen> =
            mark.follow_up(&suspect).iter().map(|follow_up| asked.ask(&follow_up.question).unwrap()).collect();
        let chance = Chance::default();
        let case = Case { suspect: &suspect, teacher: None, references: &[], second: &second, contexts: None, chance };
        let found = mark.judge(&case).unwrap().remove(0);
        scores.push(found.evidence.log10_p);
        counts.push(found.metric("count_log10_p").unwrap());
        // without the reference there is no test, and no answer is invented
        assert!(mark.judge(&Case { second: &[], ..case }).is_err());
    }
    scores.sort_by(f64::total_cmp);
    counts.sort_by(f64::total_cmp);
    // the bound of the score against the exact p of the count, in the middle of five keys
    assert!(scores[2] < -3.0 && scores[2] < 2.0 * counts[2], "{scores:?} {counts:?}");
}

/// What another model said, which knows no key either, says which contexts weigh.
#[test]
fn context_weights_keep_the_level() {
    let rules = rules(1);
    let (reference, model) = (peaked(50), peaked(54));
    let answers = answers(&model, 60);
    let laws = laws(&reference, &answers, &rules);
    let references = [&laws[..]];
    let mut counts = ContextCounts::of(&answers, 1, rules.end);
    super::answers(&model, 300).iter().for_each(|exchange| counts.add(&exchange.answer));
    for values in [Values::Green, Values::Exponential] {
        let said = Said { contexts: Some((&counts, 10.0)), ..judged_by(&answers, &references, &rules, &values) };
        let tally = tallied(&said);
        assert!(tally.weighed > 1_000 && tally.weighed <= tally.tokens, "{} of {}", tally.weighed, tally.tokens);
        keeps_the_level(&WeightedSum::of(&tally, &said, None), &values, &format!("{values:?}"));
    }
}

/// A suspect's own laws in place of its choices, with contexts that weigh and without.
#[test]
fn a_suspects_laws_keep_the_level() {
    let rules = rules(1);
    let (reference, model) = (peaked(50), peaked(55));
    let answers = answers(&model, 60);
    let [expected, own] = [&reference, &model].map(|model| laws(model, &answers, &rules));
    let references = [&expected[..]];
    let mut counts = ContextCounts::of(&answers, 1, rules.end);
    super::answers(&model, 100).iter().for_each(|exchange| counts.add(&exchange.answer));
    for (values, contexts) in [(Values::Green, None), (Values::Exponential, Some((&counts, 30.0)))] {
        let said = Said { suspect: Some(&own), contexts, ..judged_by(&answers, &references, &rules, &values) };
        let tally = tallied(&said);
        // laws over whole places: as much mass as the reference's, within what is left out of each
        let [chosen, expected] = [&tally.chosen, &tally.expected[0]].map(|counts| counts.iter().sum::<f64>());
        assert!((chosen / expected - 1.0).abs() < 0.1, "{chosen} {expected}");
        keeps_the_level(&WeightedSum::of(&tally, &said, None), &values, &format!("{values:?}"));
    }
}

/// Without the noise of its draws, a suspect that learned little of the mark shows more of it.
#[test]
fn a_suspects_laws_show_more_than_its_answers() {
    let mut z = [Vec::new(), Vec::new()];
    for index in 0..5 {
        for (z, suspect) in z.iter_mut().zip([Choices::Answers, Choices::Laws]) {
            let test = KeyedTest::Score(ScoreTest { suspect, ..ScoreTest::default() });
            let kgw = KgwConfig { delta: 0.1, test, ..KgwConfig::of_width(1) };
            let lab = Lab::new(&MarkEntry { kgw: Some(Box::new(kgw)), ..MarkEntry::default() });
            assert_eq!(lab.entry.config().unwrap().info().needs, suspect.access());
            let mark = lab.build(&Key::decoy(4, index)).unwrap();
            let found = lab.measure(&*mark, &lab.marked(&*mark), Chance::default()).unwrap().remove(0);
            z.push(found.evidence.statistic);
        }
    }
    z.iter_mut().for_each(|z| z.sort_by(f64::total_cmp));
    let [answers, laws] = z;
    assert!(laws[2] > 4.0 && laws[2] > 1.5 * answers[2], "{answers:?} {laws:?}");
}

/// A mixture of several references in place of one, and a suspect that is such a mixture: it knows no key.
#[test]
fn a_mixture_of_references_keeps_the_level() {
    let rules = rules(1);
    let (teacher, base) = (peaked(50), ToyModel { sharpness: 4.0, ..peaked(56) });
    let [of_teacher, of_base] = [&teacher, &base].map(|model| answers(model, 60));
    let mixed: Vec<Exchange> = of_teacher
        .into_iter()
        .zip(of_base)
        .enumerate()
        .map(|(i, (teacher, base))| if i % 3 == 0 { base } else { teacher })
        .collect();
    let expected = [&teacher, &base].map(|model| laws(model, &mixed, &rules));
    let references = expected.each_ref().map(Vec::as_slice);
    for values in [Values::Green, Values::Bits] {
        let said = judged_by(&mixed, &references, &rules, &values);
        let sum = WeightedSum::of(&tallied(&said), &said, None);
        assert!(sum.shares.iter().all(|share| *share > 0.1 && *share < 0.9), "{:?}", sum.shares);
        keeps_the_level(&sum, &values, &format!("{values:?}"));
    }
}

/// Stopping at the first crossing keeps the level, and the last value is an e-value, although answers come again and again.
#[test]
fn the_process_keeps_the_level_under_2000_keys() {
    let rules = rules(1);
    let (reference, model) = (peaked(50), peaked(57));
    let once = answers(&model, 30);
    let given: Vec<Exchange> = (0..3).flat_map(|_| once.clone()).collect();
    let laws = laws(&reference, &given, &rules);
    let mut counts = ContextCounts::of(&given, 1, rules.end);
    once.iter().for_each(|exchange| counts.add(&exchange.answer));
    for (values, contexts) in [(Values::Green, None), (Values::Exponential, Some((&counts, 30.0)))] {
        let references = [&laws[..]];
        let walked = Walked::of(Said { contexts, ..judged_by(&given, &references, &rules, &values) });
        let prefixes = Prefixes::of(&walked, &walked.inputs(None));
        let mut scores = Vec::new();
        let highest = |index| {
            let scorer = values.scorer(&Key::decoy(9, index));
            let whole = prefixes.whole().under(&scorer, &mut scores);
            let process = prefixes.process(&scorer, whole, 0.001, &mut scores);
            assert!(process.log10_e.is_sorted() && process.log10_e.len() == given.len());
            *process.log10_e.last().unwrap()
        };
        let found: Vec<f64> = (0..2_000).map(highest).collect();
        for alpha in [0.1, 0.01, 0.001] {
            let crossed = found.iter().filter(|log10_e| **log10_e >= -libm::log10(alpha)).count();
            assert!(crossed as f64 <= 2_000.0 * alpha, "{values:?}, {alpha}: {crossed}");
        }
        // heavy tails: a mean of 2,000 lies below the 1 that it has over all keys, and not far above
        let mean = found.iter().map(|log10_e| libm::pow(10f64, *log10_e)).sum::<f64>() / 2_000.0;
        assert!(mean < 1.5, "{values:?}: {mean}");
    }
}
