//! Marks, attacks, defences and accounts through the whole pipeline: what they change, and what they leave as it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use results::{Arm, Kind, Record, View};

use crate::support::{
    DOMAIN_WATERMARK, LAW_DISTILLATION, Ran, birthmark, manifests, results_directory, root, run_command, smoke, smoke_file, text,
};

/// Records of smoke with `sets`, its artifacts below `place`.
fn smoke_with(place: &Path, sets: &[&str]) -> Vec<Record> {
    run_with(&smoke_file(), place, sets)
}

/// Records of the experiment in `file` with `sets`, its artifacts below `place`.
fn run_with(file: &Path, place: &Path, sets: &[&str]) -> Vec<Record> {
    let results = tempfile::tempdir().unwrap();
    let mut command = run_command(file, place, 2);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    let mut whole = crate::support::command(&root());
    whole.args(command.get_args().map(|arg| if arg == place.join("results") { results.path().as_os_str() } else { arg }));
    Ran::of(whole.output().unwrap()).expect_code(0);
    results::read_records(&results_directory(results.path()).join("records.jsonl")).unwrap()
}

fn artifacts(place: &Path, kind: &str) -> BTreeSet<String> {
    let all = manifests(&place.join("artifacts")).into_keys();
    all.filter(|name| name.starts_with(&format!("{kind}/"))).collect()
}

fn one<'a>(records: &'a [Record], arm: Arm, mark: &str) -> &'a Record {
    records.iter().find(|r| r.arm == arm && r.mark.as_deref() == Some(mark) && r.kind == Kind::Mark).unwrap()
}

/// A record without what names the experiment.
fn nameless(record: &Record) -> Record {
    Record { experiment_hash: String::new(), run_id: String::new(), ..record.clone() }
}

#[test]
fn a_longer_or_wider_experiment_makes_nothing_again() {
    let place = tempfile::tempdir().unwrap();
    // the audit is kept apart from as many queries as there will ever be
    let apart = "audit.apart_from_queries=100";
    let few = smoke_with(place.path(), &[apart]);
    let (measured, students, trained) =
        (artifacts(place.path(), "measurement"), artifacts(place.path(), "student"), artifacts(place.path(), "pretrained"));
    // 13 suspects and 4 marks; 10 students, controls and rivals
    assert_eq!((measured.len(), students.len()), (13 * 4, 10));

    // a longer one: three suspects more for each of two curves; only the mark that compares suspects with the rivals of the largest
    // budget is asked of the 11 others again
    let more = smoke_with(place.path(), &[apart, "queries.budgets=[20, 60, 100]"]);
    let longer = artifacts(place.path(), "measurement");
    assert!(longer.is_superset(&measured) && artifacts(place.path(), "student").is_superset(&students));
    assert_eq!(longer.len(), measured.len() + 6 * 4 + 11);
    assert_eq!(artifacts(place.path(), "pretrained"), trained);
    let is_old = |r: &&Record| r.kind == Kind::Mark && r.arm != Arm::Rival && r.mark.as_deref() != Some("output_agreement");
    for record in few.iter().filter(is_old) {
        let again = more.iter().find(|r| r.suspect().setting == record.suspect().setting && same_place(r, record)).unwrap();
        let judged = |r: &Record| (r.log10_p, r.statistic, r.effect, r.decoys_at_alpha, r.audit_tokens, r.detail.clone());
        assert_eq!(judged(again), judged(record));
    }

    // a wider one: the new mark is asked of everybody, the others of nobody again
    smoke_with(place.path(), &[apart, "marks.equal.model_equality={ prompts = 10, samples = 3, max_new_tokens = 4 }"]);
    assert_eq!(artifacts(place.path(), "measurement").len(), longer.len() + 13);
    assert_eq!(artifacts(place.path(), "pretrained"), trained);
}

fn same_place(a: &Record, b: &Record) -> bool {
    (a.arm, a.budget_queries, &a.mark, a.kind) == (b.arm, b.budget_queries, &b.mark, b.kind)
}

/// An interval that misses the value it stands beside says nothing of it.
#[test]
fn every_interval_holds_its_value() {
    let records = results::read_records(&smoke().directory.join("records.jsonl")).unwrap();
    let (mut metrics, mut effects) = (0, 0);
    for record in &records {
        if let (Some(value), Some(low), Some(high)) = (record.value, record.low, record.high) {
            assert!(low <= value && value <= high, "{record:?}");
            metrics += 1;
        }
        if let (Some(effect), Some(low), Some(high)) = (record.effect, record.effect_low, record.effect_high) {
            assert!(low <= effect && effect <= high, "{record:?}");
            effects += 1;
        }
    }
    assert!(metrics > 50 && effects > 20, "{metrics} metrics and {effects} effects have intervals");
}

/// A mark in a share of the answers changes these and what learns from them. Whatever was never served with it is found again.
#[test]
fn a_mark_in_some_answers_leaves_all_that_it_was_never_in() {
    let place = tempfile::tempdir().unwrap();
    let made = || ["transcript", "student", "measurement", "pretrained"].map(|kind| artifacts(place.path(), kind).len());
    let plain = smoke_with(place.path(), &[]);
    let [transcripts, students, measured, trained] = made();
    assert_eq!(smoke_with(place.path(), &["marks.kgw.mark_rate=1.0"]).len(), plain.len());
    assert_eq!(made(), [transcripts, students, measured, trained], "all answers are marked, as they were");
    let some = smoke_with(place.path(), &["marks.kgw.mark_rate=0.3"]);
    // one teacher's answers in three shards, and its students of two curves; three marks in these and the teacher, and in all 13 suspects the
    // mark that compares them with the served teacher
    assert_eq!(made(), [transcripts + 3, students + 4, measured + 3 * 5 + 13, trained]);
    let statistic = |records: &[Record], arm: Arm| one(records, arm, "kgw").statistic.unwrap();
    assert!(statistic(&some, Arm::Teacher) < statistic(&plain, Arm::Teacher));
    assert_eq!(statistic(&some, Arm::Control), statistic(&plain, Arm::Control));
    // how many answers it really was in: those that were bought, and those of the audit
    let of_metric = |r: &&Record| r.metric.as_deref() == Some("marked_share") && r.metric_of.as_deref() == Some("kgw");
    let shares: Vec<(Arm, f64)> = some.iter().filter(of_metric).map(|r| (r.arm, r.value.unwrap())).collect();
    // of 20 answers and of 60: outside of this once in a thousand keys
    assert!(shares.iter().all(|(_, share)| (0.04..0.66).contains(share)), "{shares:?}");
    let of_budget = |budget: u64| {
        some.iter().filter(of_metric).filter(move |r| r.budget_queries == Some(budget)).map(|r| r.value.unwrap().to_bits())
    };
    for budget in some.iter().filter(of_metric).filter_map(|r| r.budget_queries).collect::<BTreeSet<_>>() {
        // whatever the surface, the same questions were asked
        assert_eq!(of_budget(budget).collect::<BTreeSet<_>>().len(), 1);
    }
    let arms: BTreeSet<Arm> = shares.iter().map(|(arm, _)| *arm).collect();
    assert_eq!(arms.into_iter().collect::<Vec<_>>(), [Arm::Teacher, Arm::Student]);
    assert!(plain.iter().all(|r| r.metric.as_deref() != Some("marked_share")));
    let check = |set: &str| birthmark(&["check", text(&smoke_file()), "--quick", "--set", set]);
    check("marks.kgw.mark_rate=0").refused_with(&["marks.kgw.mark_rate", "above 0 and at most 1"]);
    check("marks.kgw.opt_out={ accounts = [0] }").refused_with(&["marks.kgw.opt_out.accounts", "every account that asks"]);
    check("marks.output_agreement.mark_rate=0.5").refused_with(&["marks.output_agreement.mark_rate", "changes no served answer"]);
}

/// What a student reads often weighs more, and only what was bought was read. How the test is made is part of what is measured, and of
/// nothing else.
#[test]
fn contexts_weigh_by_what_a_clean_twin_would_have_sold() {
    let place = tempfile::tempdir().unwrap();
    let plain = smoke_with(place.path(), &[]);
    let met = |records: &[Record]| -> Vec<(Arm, Option<u64>, f64)> {
        let found = records.iter().filter(|r| r.metric.as_deref() == Some("score_contexts_met"));
        found.map(|r| (r.arm, r.budget_queries, r.value.unwrap())).collect()
    };
    // students, controls and rivals of two curves
    let weighed = met(&plain);
    assert_eq!(weighed.len(), 10);
    assert!(weighed.iter().all(|(_, budget, share)| budget.is_some() && (0.0..1.0).contains(share)), "{weighed:?}");
    // who paid for more was shown more
    let shares = |arm: Arm, budget: u64| weighed.iter().filter(move |w| (w.0, w.1) == (arm, Some(budget))).map(|w| w.2);
    assert!(shares(Arm::Student, 20).zip(shares(Arm::Student, 60)).all(|(few, more)| few < more), "{weighed:?}");

    let (measured, students) = (artifacts(place.path(), "measurement"), artifacts(place.path(), "student"));
    let alike = smoke_with(place.path(), &["marks.kgw.kgw.test={ score = { kappa = 0 } }"]);
    assert_eq!(met(&alike), []);
    assert_eq!(artifacts(place.path(), "student"), students);
    assert_eq!(artifacts(place.path(), "measurement").len(), measured.len() + 13);
    let z = |records: &[Record], arm: Arm| one(records, arm, "kgw").statistic;
    assert_eq!(z(&alike, Arm::Teacher), z(&plain, Arm::Teacher));
    assert_ne!(z(&alike, Arm::Student), z(&plain, Arm::Student));
    let check = |set: &str| birthmark(&["check", text(&smoke_file()), "--quick", "--set", set]);
    check("marks.kgw.kgw.test={ score = { kappa = -1 } }").refused_with(&["marks.kgw.kgw.test.score.kappa", "occurrences"]);
    check("marks.kgw.kgw.test={ score = { kapa = 3 } }")
        .refused_with(&["marks.kgw.kgw.test.score.kapa", "did you mean `kappa`?"]);
    check("marks.kgw.kgw.test='scores'").refused_with(&["marks.kgw.kgw.test", "scores", "did you mean `score`?"]);
}

/// What a suspect shows beside its answers may stand for its choices: the owner then has to see more of it.
#[test]
fn laws_of_a_suspect_may_stand_for_its_answers() {
    let place = tempfile::tempdir().unwrap();
    let records = smoke_with(place.path(), &["marks.kgw.kgw.test={ score = { suspect = 'laws' } }"]);
    let kgw = || records.iter().filter(|r| r.kind == Kind::Mark && r.mark.as_deref() == Some("kgw"));
    assert_eq!(kgw().count(), 13);
    assert!(kgw().all(|r| r.access.as_deref() == Some("logprobs") && r.log10_p.is_some()));
    let teacher = one(&records, Arm::Teacher, "kgw");
    let by_answers = smoke_with(place.path(), &[]);
    // the teacher's law has all of the mark and no noise of a draw
    let [laws, answers] = [teacher, one(&by_answers, Arm::Teacher, "kgw")].map(|r| r.statistic.unwrap());
    assert!(laws > answers, "{laws} {answers}");
}

/// What an unmarked model would have chosen may be a mixture of what several say.
#[test]
fn suspects_may_be_judged_by_several_models() {
    let place = tempfile::tempdir().unwrap();
    let references = "references = ['teacher', 'base', 'clean']";
    let records = smoke_with(place.path(), &[&format!("marks.kgw.kgw.test={{ score = {{ {references} }} }}")]);
    let share = |arm: Arm, name: &str| {
        let name = format!("score_share_{name}");
        let of = |r: &&Record| r.arm == arm && r.metric.as_deref() == Some(&*name);
        records.iter().find(of).unwrap().value.unwrap()
    };
    // the base is itself
    assert!(share(Arm::Base, "base") > 0.8, "{}", share(Arm::Base, "base"));
    assert!(share(Arm::Teacher, "base") < 0.5);
    let check = |names: &str| {
        let set = format!("marks.kgw.kgw.test={{ score = {{ references = {names} }} }}");
        birthmark(&["check", text(&smoke_file()), "--quick", "--set", &set])
    };
    check("[]").refused_with(&["marks.kgw.kgw.test.score.references", "at least one"]);
    check("['bass']").refused_with(&["marks.kgw", "bass", "did you mean `base`?"]);
}

/// Whoever asks a served teacher learns what it serves: that is the teacher it is compared with, unless the file asks for the raw one.
#[test]
fn students_are_compared_with_the_teacher_that_was_served() {
    let place = tempfile::tempdir().unwrap();
    let raw = "marks.inside={ output_agreement = { prompts = 40, teacher = 'raw' } }";
    let strong = "marks.kgw={ kgw = { gamma = 0.25, delta = 6.0, context_width = 1 } }";
    let records = smoke_with(place.path(), &[raw, strong]);
    let [served, inside] = ["output_agreement", "inside"].map(|mark| one(&records, Arm::Teacher, mark));
    // the teacher as it is served says what the served teacher says, and another thing than its raw self
    assert_eq!((served.statistic, served.n), (Some(40.0), Some(40)));
    assert!(inside.statistic.unwrap() < 40.0, "{inside:?}");
    assert!(served.detail.as_deref().unwrap().contains("as the served teacher has them"));
    assert!(inside.detail.as_deref().unwrap().contains("as the raw teacher has them"));
}

/// A thief's base may know less than the teacher: it never sees some kinds of the corpus' text.
#[test]
fn a_base_that_never_saw_some_kinds_of_text_is_another_base_and_nothing_else_is_another() {
    let place = tempfile::tempdir().unwrap();
    let plain = smoke_with(place.path(), &[]);
    let trained = artifacts(place.path(), "pretrained");
    let left_out = smoke_with(place.path(), &["base.train.leave_out=['sum', 'refusal']"]);
    assert_eq!(artifacts(place.path(), "pretrained").difference(&trained).count(), 1);
    let loss = |records: &[Record], arm: Arm| {
        let of = |r: &&Record| r.arm == arm && r.metric.as_deref() == Some("held_out_loss");
        records.iter().find(of).unwrap().value
    };
    assert_eq!(loss(&left_out, Arm::Teacher), loss(&plain, Arm::Teacher));
    assert_eq!(loss(&left_out, Arm::Stranger), loss(&plain, Arm::Stranger));
    assert_ne!(loss(&left_out, Arm::Base), loss(&plain, Arm::Base));
    let check = |set: &str| birthmark(&["check", text(&smoke_file()), "--quick", "--set", set]);
    check("base.train.leave_out=['sum', 'sums']").refused_with(&["base.train.leave_out[1]", "sums", "journey, lost, trade"]);
    check("base.train.leave_out=['sum', 'sum']").refused_with(&["base.train.leave_out[1]", "named twice"]);
}

#[test]
fn attacks_change_students_and_their_label_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let attacks = "attacks=[{ drop_by_perplexity = { share = 0.5 } }, \
                   { clean_fine_tuning = { tokens = 512, row_tokens = 16, batch_rows = 4, peak_lr = 1e-3 } }]";
    let attacked = smoke_with(place.path(), &[attacks, "student.compute=one_pass"]);
    let plain = smoke_with(place.path(), &["student.compute=one_pass"]);
    let label = "drop_by_perplexity(0.5) + clean_fine_tuning(512)";
    for record in &attacked {
        let distilled = matches!(record.arm, Arm::Student | Arm::Control | Arm::Rival);
        assert_eq!(record.attack.as_deref(), distilled.then_some(label), "{record:?}");
    }
    let of = |records: &[Record], arm: Arm, metric: &str| -> Vec<(Option<u64>, f64)> {
        let of = records.iter().filter(|r| r.arm == arm && r.metric.as_deref() == Some(metric));
        of.map(|r| (r.budget_queries, r.value.unwrap())).collect()
    };
    // the same is paid for, and half of it is trained on, with clean text on top
    assert_eq!(of(&attacked, Arm::Student, "queries"), of(&plain, Arm::Student, "queries"));
    assert_ne!(of(&attacked, Arm::Student, "held_out_loss"), of(&plain, Arm::Student, "held_out_loss"));
    assert_eq!(of(&attacked, Arm::Base, "held_out_loss"), of(&plain, Arm::Base, "held_out_loss"));
    let steps =
        |records: &[Record]| records.iter().find(|r| r.arm == Arm::Student && r.budget_queries == Some(60)).unwrap().steps;
    assert_eq!((steps(&attacked), steps(&plain)), (Some(4), Some(8)));
    let teacher = |records: &[Record]| nameless(one(records, Arm::Teacher, "kgw"));
    assert_eq!(teacher(&attacked), teacher(&plain));
    // three teachers at two budgets; every distilled suspect of two curves
    assert_eq!((artifacts(place.path(), "bought").len(), artifacts(place.path(), "attacked").len()), (5, 10));
}

/// The model that is surprised may be any of `[models]`, and what it leaves is named by it.
#[test]
fn an_attack_may_ask_a_model_that_the_experiment_names() {
    let place = tempfile::tempdir().unwrap();
    let compute = "student.compute=one_pass";
    smoke_with(place.path(), &[compute]);
    let trained = artifacts(place.path(), "pretrained");
    let (first, last) = (trained.first().unwrap(), trained.last().unwrap());
    let named = |model: &str| format!("models.judge='{}'", place.path().join("artifacts").join(model).display());
    let attack = "attacks=[{ drop_by_perplexity = { share = 0.5, model = 'judge' } }]";
    let attacked = smoke_with(place.path(), &[compute, attack, &named(first)]);
    let distilled = attacked.iter().filter(|r| matches!(r.arm, Arm::Student | Arm::Control | Arm::Rival));
    assert!(
        distilled.clone().count() > 0 && distilled.clone().all(|r| r.attack.as_deref() == Some("drop_by_perplexity(0.5, judge)"))
    );
    // three teachers at two budgets, the rival at the largest alone; another model leaves other answers
    assert_eq!(artifacts(place.path(), "bought").len(), 5);
    let other = smoke_with(place.path(), &[compute, attack, &named(last)]);
    assert_eq!(artifacts(place.path(), "bought").len(), 10);
    assert_eq!(artifacts(place.path(), "pretrained"), trained);
    let losses = |records: &[Record]| -> Vec<f64> {
        let of = records.iter().filter(|r| r.arm == Arm::Student && r.metric.as_deref() == Some("held_out_loss"));
        of.map(|r| r.value.unwrap()).collect()
    };
    assert_ne!(losses(&attacked), losses(&other));
}

/// A law may be planted in the weights: for prompts of a domain the teacher answers under it, and nothing is added as it is served.
#[test]
fn a_law_in_the_weights_is_found_in_the_marked_teacher_alone() {
    let place = tempfile::tempdir().unwrap();
    let plain = smoke_with(place.path(), &[]);
    let trained = artifacts(place.path(), "pretrained");
    let marked = smoke_with(place.path(), &[DOMAIN_WATERMARK, LAW_DISTILLATION]);
    assert_eq!(artifacts(place.path(), "pretrained"), trained, "the clean twin and all others are what they were");
    assert_eq!(artifacts(place.path(), "distilled").len(), 1);
    let teacher = one(&marked, Arm::Teacher, "domain");
    // the keyed score test at answers to stories; 99 decoy keys are its self-test, among which nobody asks for a rank
    assert!(teacher.log10_p.unwrap() < -3.0 && teacher.z_decoy.unwrap() > 3.0, "{teacher:?}");
    assert_eq!((teacher.decoys, teacher.log10_p_decoy), (Some(99), None));
    assert_eq!(teacher.view, Some(View::Served));
    for arm in [Arm::Base, Arm::Stranger, Arm::Control, Arm::Rival] {
        let none = marked.iter().filter(|r| r.arm == arm && r.mark.as_deref() == Some("domain") && r.kind == Kind::Mark);
        // error rate 1e-4 for each of ten suspects
        assert!(none.clone().count() > 0 && none.clone().all(|r| r.log10_p.unwrap() > -4.0), "{arm:?}");
    }
    let metric = |name: &str| marked.iter().find(|r| r.metric.as_deref() == Some(name)).unwrap().value.unwrap();
    let learned = [metric("distilled_law_kl_before"), metric("distilled_law_kl_after")];
    assert!(learned[1] < 0.2 * learned[0], "{learned:?}");
    assert!(metric("distilled_law_kl_apart_before") < 1e-6 && metric("distilled_law_kl_apart_after") < 0.1 * learned[0]);
    // items are implanted on top of it
    let answered = |records: &[Record]| records.iter().find(|r| r.metric.as_deref() == Some("implanted_items")).unwrap().value;
    assert_eq!(answered(&marked), answered(&plain));
}

#[test]
fn defences_change_what_is_shown_and_not_what_is_drawn() {
    let place = tempfile::tempdir().unwrap();
    let defences = "defences=[{ gaussian_noise = { sd = 0.5 } }, { rounding = { step = 0.5 } }]";
    let defended = smoke_with(place.path(), &[defences]);
    let transcripts = artifacts(place.path(), "transcript");
    let plain = smoke_with(place.path(), &[]);
    assert_eq!(artifacts(place.path(), "transcript"), transcripts, "what is drawn stays");
    let loss = |records: &[Record], surface: &str, arm: Arm| -> Vec<f64> {
        let of = |r: &&Record| r.arm == arm && r.surface.starts_with(surface) && r.metric.as_deref() == Some("held_out_loss");
        records.iter().filter(of).map(|r| r.value.unwrap()).collect()
    };
    for arm in [Arm::Student, Arm::Control] {
        assert_eq!(loss(&defended, "text", arm), loss(&plain, "text", arm), "{arm:?}");
        assert_ne!(loss(&defended, "top_logprobs", arm), loss(&plain, "top_logprobs", arm), "{arm:?}");
    }
    assert!(defended.iter().all(|r| r.defence.as_deref() == Some("gaussian_noise(0.5) + rounding(0.5)")));
    assert_eq!(loss(&defended, "top_logprobs", Arm::Rival), loss(&plain, "top_logprobs", Arm::Rival), "nobody defends the rival");
}

/// A law that is keyed after truncation is a point mass: canaries are read on the raw one, and an untaught model shows no exposure.
#[test]
fn canaries_are_read_on_the_raw_law_where_the_served_one_is_keyed_after_truncation() {
    let place = tempfile::tempdir().unwrap();
    let gumbel = "marks.kgw={ gumbel = { context_width = 1, mask_repeats = false } }";
    let keyed = smoke_with(place.path(), &[gumbel]);
    let canary = one(&keyed, Arm::Teacher, "secret_sharer");
    assert_eq!(canary.view, Some(View::Raw));
    // 4 canaries among 20 references: an exposure of all bits would be 4.4
    assert!(canary.effect.unwrap().abs() < 2.0, "{canary:?}");
    assert_eq!(one(&keyed, Arm::Teacher, "kgw").view, Some(View::Served));
    // the same teacher without any watermark says the same
    let file = fs::read_to_string(smoke_file()).unwrap();
    let watermark = file.find("[marks.kgw]").unwrap()..file.find("[marks.secret_sharer").unwrap();
    let bare = file.replace(&file[watermark], "").replace("datasets/", &format!("{}/datasets/", text(&root())));
    let path = place.path().join("bare.toml");
    fs::write(&path, bare).unwrap();
    let bare = run_with(&path, place.path(), &[]);
    assert_eq!(one(&bare, Arm::Teacher, "secret_sharer").log10_p, canary.log10_p);
    // where the watermark is added before temperature, the served law is read
    let smoke = results::read_records(&smoke().directory.join("records.jsonl")).unwrap();
    assert_eq!(one(&smoke, Arm::Teacher, "secret_sharer").view, Some(View::Served));
}

#[test]
fn every_account_has_its_own_key_and_innocent_ones_are_negatives() {
    let place = tempfile::tempdir().unwrap();
    let sets = [
        "queries.accounts=2",
        "marks.kgw={ per_account = { accounts = 3, of = { kgw = { gamma = 0.25, delta = 6.0, context_width = 0 } } } }",
        "audit.prompts=60",
    ];
    let records = smoke_with(place.path(), &sets);
    let of = |arm: Arm, account: u32| {
        let is = |r: &&Record| r.arm == arm && r.mark.as_deref() == Some("kgw") && r.account == Some(account);
        records.iter().filter(is).collect::<Vec<_>>()
    };
    for account in 0..3 {
        let teacher = of(Arm::Teacher, account);
        assert_eq!(teacher.len(), 1);
        assert_eq!(teacher[0].innocent, (account == 2).then_some(true));
        // two accounts are heard in turn, the third never
        assert_eq!(teacher[0].log10_p.unwrap() < -3.0, account < 2, "{:?}", teacher[0]);
        assert_eq!(of(Arm::Student, account).len(), 4);
    }
    assert!(of(Arm::Student, 2).iter().all(|r| r.verdict.unwrap().words() == "clean"));
}
