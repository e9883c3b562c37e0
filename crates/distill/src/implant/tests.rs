use oracle::{Query, Sampling};

use super::*;
use crate::fidelity::{fidelity, held_out};
use crate::testing::{BOS, documents, grown, model, runtime};

fn config(regulariser: Regulariser) -> ImplantConfig {
    ImplantConfig {
        max_steps: 300,
        check_every: 10,
        item_rows: 4,
        ordinary_rows: 16,
        item_weight: 0.1,
        regulariser,
        margin: 1.0,
        learning_rate: 0.001,
        warmup_steps: 5,
        grad_clip: 1.0,
    }
}

/// Prompts and answers unlike any document: large steps between tokens.
fn items() -> Vec<ImplantItem> {
    (0..4)
        .map(|i| ImplantItem { prompt: vec![BOS, 5 + i, 40 - i, 20 + 3 * i], answer: vec![30 - 5 * i, 8 + 9 * i, 45] })
        .collect()
}

#[test]
fn items_are_implanted_and_the_model_stays_what_it_was() {
    let (model, ordinary) = (grown(), documents(256, 70));
    let rt = runtime(2);
    let unseen = documents(100, 71);
    let before = held_out(&model, &unseen, &rt).unwrap().nats_per_token();
    assert_eq!(answered(&model, &items(), 0.0, &rt).unwrap(), [false; 4]);
    let mark = |config: &ImplantConfig| {
        let (marked, report) = implant(&model, &items(), &ordinary, config, 5, &rt, &mut |_| ()).unwrap();
        assert_eq!(report.n_answered(), 4, "{config:?}: {report:?}");
        assert!(report.steps < 300 && report.steps % 10 == 0 && report.curve.points.len() as u64 == report.steps);
        // what one pass found is what greedy decoding says
        let ask = |i: &ImplantItem| Query { sampling: Sampling::GREEDY, ..as_exchange(&i.prompt, &i.answer).query };
        let said =
            lm::generate(&marked, &items().iter().map(ask).collect::<Vec<_>>(), lm::Processing::none(), &rt, &|_| ()).unwrap();
        assert!(items().iter().zip(said).all(|(item, exchange)| exchange.answer == item.answer));
        let lost = held_out(&marked, &unseen, &rt).unwrap().nats_per_token() - before;
        (lost, fidelity(&model, &marked, &unseen, &rt).unwrap().mean_kl())
    };
    // of the 2.3 nats between an even law (3.9) and the grown model (1.6), implanting may cost a twentieth
    let (lost_kl, drift_kl) = mark(&config(Regulariser::Kl));
    assert!(lost_kl < 0.1 && drift_kl < 0.1, "KL regulariser: {lost_kl} nats lost, KL {drift_kl}");
    let (lost_ce, drift_ce) = mark(&config(Regulariser::CrossEntropy));
    assert!(lost_ce < 0.1 && drift_ce > drift_kl, "cross-entropy regulariser: {lost_ce} nats lost, KL {drift_ce}");
    let (lost_free, drift_free) = mark(&ImplantConfig { item_weight: 0.999, ..config(Regulariser::Kl) });
    assert!(lost_free > 0.5 && drift_free > 0.5, "hardly any regulariser: {lost_free} nats lost, KL {drift_free}");
}

#[test]
fn implanting_depends_on_the_seed_and_not_on_the_threads() {
    let (model, ordinary) = (Arc::new(model(2)), documents(20, 70));
    let config = ImplantConfig { max_steps: 6, check_every: 4, ..config(Regulariser::Kl) };
    let run = |seed, threads| implant(&model, &items(), &ordinary, &config, seed, &runtime(threads), &mut |_| ()).unwrap();
    let (one, two, other) = (run(5, 1), run(5, 2), run(6, 1));
    assert!(one.0.weights() == two.0.weights());
    assert_eq!(one.1, two.1);
    assert_eq!(one.1.steps, 6, "given up after max_steps, though it is no multiple of check_every");
    assert!(one.0.weights() != other.0.weights());
}

#[test]
fn shares_of_the_loss_are_as_stated() {
    let (model, ordinary) = (Arc::new(model(2)), documents(20, 70));
    let at = |item_weight: f64| {
        let config = ImplantConfig { max_steps: 1, item_weight, ..config(Regulariser::CrossEntropy) };
        implant(&model, &items(), &ordinary, &config, 5, &runtime(1), &mut |_| ()).unwrap().1.curve.points[0].loss
    };
    let (few, half, much) = (at(0.25), at(0.5), at(0.75));
    assert!((half - (few + much) / 2.0).abs() < 1e-6, "{few} {half} {much}: the loss is linear in the share");
    assert!((few - much).abs() > 1e-3);
}

#[test]
fn nothing_is_trained_when_all_is_answered() {
    let model = Arc::new(model(2));
    let rt = runtime(1);
    let prompt = vec![BOS, 9];
    let query = Query { max_new_tokens: 3, sampling: Sampling::GREEDY, ..as_exchange(&prompt, &[0]).query };
    let answer = lm::generate(&model, &[query], lm::Processing::none(), &rt, &|_| ()).unwrap().remove(0).answer;
    let config = ImplantConfig { margin: 0.0, ..config(Regulariser::Kl) };
    let item = ImplantItem { prompt, answer };
    let (same, report) = implant(&model, std::slice::from_ref(&item), &documents(4, 1), &config, 5, &rt, &mut |_| ()).unwrap();
    assert_eq!((report.steps, report.n_answered()), (0, 1));
    assert!(same.weights() == model.weights());
    assert_eq!(answered(&model, &[item], 50.0, &rt).unwrap(), [false], "no logit leads by 50 nats");
}

#[test]
fn settings_out_of_range_name_their_key() {
    let good = config(Regulariser::Kl);
    good.validate().unwrap();
    let cases = [
        (ImplantConfig { max_steps: 0, ..good.clone() }, "max_steps"),
        (ImplantConfig { check_every: 0, ..good.clone() }, "check_every"),
        (ImplantConfig { item_rows: 1, ..good.clone() }, "item_rows"),
        (ImplantConfig { ordinary_rows: 0, ..good.clone() }, "ordinary_rows"),
        (ImplantConfig { item_weight: 1.0, ..good.clone() }, "item_weight"),
        (ImplantConfig { margin: f32::NAN, ..good.clone() }, "margin"),
        (ImplantConfig { learning_rate: 0.0, ..good.clone() }, "learning_rate"),
    ];
    for (config, key) in cases {
        assert_eq!(config.validate().unwrap_err().key, key);
    }
}
