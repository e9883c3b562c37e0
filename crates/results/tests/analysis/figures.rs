//! The pictures are written to `target/tmp/figures`, to be looked at.

use std::path::{Path, PathBuf};

use results::{Arm, Caption, Figure, LossSeries, Record, effect_figure, judge, loss_figure, survival_figure, write_report};

use crate::fixture::{ALPHA, curve, grid, quickstart};

fn place() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures")
}

fn caption() -> Caption {
    Caption {
        title: "Which marks survive distillation of a small teacher through its API?".into(),
        compute: "fixed steps, 0.4\u{a0}M tokens for each student".into(),
        audit: "400 prompts \u{d7} 48 tokens".into(),
        statistics: "statistics 1".into(),
    }
}

fn judged(mut records: Vec<Record>) -> Vec<Record> {
    judge(&mut records, ALPHA).unwrap();
    records
}

/// Width, height, and the share of pixels that are not white.
fn look(png: &[u8]) -> (u32, u32, f64) {
    let picture = resvg::tiny_skia::Pixmap::decode_png(png).unwrap();
    let inked = picture.pixels().iter().filter(|p| p.red() < 250 || p.green() < 250 || p.blue() < 250).count();
    (picture.width(), picture.height(), inked as f64 / picture.pixels().len() as f64)
}

fn svg_size(svg: &str) -> (f64, f64) {
    let number = |name: &str| svg.split_once(name).unwrap().1.split('"').next().unwrap().parse().unwrap();
    (number("width=\""), number("height=\""))
}

fn without_words(svg: &str) -> String {
    let mut rest = svg;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("<text ") {
        kept.push_str(before);
        rest = after.split_once("</text>").unwrap().1;
    }
    kept + rest
}

fn check(figure: &Figure, name: &str, labels: &[&str]) {
    let [_, png] = figure.write(&place(), name).unwrap();
    for label in labels {
        assert!(figure.svg.contains(&format!("\n{}\n", label.replace('>', "&gt;"))), "{name} lacks `{label}`");
    }
    let (width, height, inked) = look(&std::fs::read(png).unwrap());
    let (w, h) = svg_size(&figure.svg);
    assert_eq!((f64::from(width), f64::from(height)), (2.0 * w, 2.0 * h), "{name}");
    assert!(inked > 0.02 && inked < 0.6, "{name}: {inked} of the pixels are inked");
    // the words are there as ink, not only as SVG text: without them the picture is paler
    let figure_without_words = Figure { svg: without_words(&figure.svg) };
    let (_, _, silent) = look(&figure_without_words.png(2.0).unwrap());
    assert!(inked > silent + 0.005, "{name}: {inked} inked, {silent} without words");
    // text must not fall off the page: its anchor at least is on it
    for text in figure.svg.split("<text ").skip(1) {
        let at = |name: &str| -> f64 { text.split_once(name).unwrap().1.split('"').next().unwrap().parse().unwrap() };
        assert!((0.0..=w * 10.0).contains(&at("x=\"")) && (0.0..=h * 10.0).contains(&at(" y=\"")), "{name}: {text}");
    }
}

const EVERYWHERE: [&str; 12] = [
    "Which marks survive distillation of a small teacher through its API?",
    "queries to the teacher",
    "kgw",
    "secret_sharer",
    "secret_keys",
    "output_agreement",
    "300",
    "10\u{a0}k",
    "base",
    "stranger",
    "teacher",
    "control (student of the clean teacher)",
];

#[test]
fn survival_names_everything_it_shows() {
    let figure = survival_figure(&judged(quickstart(1)), &caption(), ALPHA).unwrap();
    let own = [
        "\u{3b1} = 0.001",
        "evidence, \u{2212}log\u{2081}\u{2080} p (asinh scale)",
        "text",
        "top_logprobs(k=20,post)",
        "rival (other teacher)",
        "N*: proven from here on",
        ">\u{a0}10\u{a0}k",
    ];
    check(&figure, "survival", &[EVERYWHERE.as_slice(), &own].concat());
    let subtitle = "compute: fixed steps, 0.4\u{a0}M tokens for each student  \u{b7}  audit: 400 prompts \u{d7} 48 tokens  \u{b7}  1 seed  \u{b7}  statistics 1";
    assert!(figure.svg.contains(subtitle));
}

#[test]
fn seeds_become_a_band() {
    let figure = survival_figure(&judged(quickstart(3)), &caption(), ALPHA).unwrap();
    check(&figure, "survival-3-seeds", &["range over seeds, median drawn"]);
    assert!(figure.svg.contains("3 seeds"));
}

#[test]
fn one_small_curve_and_one_budget_are_drawn_too() {
    let records = judged(curve("kgw", &[(300, -0.5), (1_000, -2.0), (3_000, -5.0), (30_000_000, -9.0)], 0));
    check(&survival_figure(&records, &caption(), ALPHA).unwrap(), "survival-one-mark", &["30\u{a0}M"]);
    let records = judged(curve("kgw", &[(300, -20.0)], 0));
    check(&survival_figure(&records, &Caption::default(), ALPHA).unwrap(), "survival-one-budget", &["300"]);
}

#[test]
fn effects_have_whiskers_and_their_own_unit() {
    let figure = effect_figure(&judged(quickstart(1)), &caption()).unwrap();
    check(&figure, "effect", &[EVERYWHERE.as_slice(), &["green rate \u{2212} 0.25", "no effect"]].concat());
    check(&effect_figure(&judged(quickstart(3)), &caption()).unwrap(), "effect-3-seeds", &[]);
}

fn curves() -> Vec<LossSeries> {
    let curve = |group: &str, name: &str, arm: Arm, floor: f64, steps: u64| LossSeries {
        arm,
        group: group.into(),
        name: name.into(),
        axes: [].into(),
        points: (0..=50)
            .map(|i| i * steps / 50)
            .map(|s| (s, floor + 4.5 * (-6.0 * s as f64 / steps as f64).exp() + 0.05 * (s as f64).sin()))
            .collect(),
    };
    let mut all = vec![
        curve("teachers", "teacher", Arm::Teacher, 2.1, 3900),
        curve("teachers", "clean twin", Arm::CleanTeacher, 2.12, 3900),
        curve("teachers", "other teacher", Arm::Stranger, 2.3, 2340),
        curve("teachers", "base", Arm::Base, 2.9, 780),
    ];
    for surface in ["text", "top_logprobs(k=20,post)"] {
        for (i, budget) in ["300", "1\u{a0}k", "3\u{a0}k", "10\u{a0}k"].into_iter().enumerate() {
            for arm in [Arm::Student, Arm::Control] {
                all.push(curve(
                    &format!("students, {surface}"),
                    &format!("{} {budget}", arm.name()),
                    arm,
                    2.9 - 0.15 * i as f64,
                    781,
                ));
            }
        }
    }
    all
}

#[test]
fn loss_curves_are_named_at_their_ends() {
    let figure = loss_figure(&curves(), "Loss while training", "made up").unwrap();
    check(&figure, "loss", &["teachers", "students, text", "clean twin", "control 10\u{a0}k", "loss, nats/token", "step"]);
}

#[test]
fn a_report_writes_all_files_and_writes_them_equally_twice() {
    let records = judged(quickstart(1));
    let write = |dir: &Path| {
        let files = write_report(dir, &records, &curves(), &caption(), ALPHA).unwrap().files;
        files.iter().map(|f| (f.file_name().unwrap().to_owned(), std::fs::read(f).unwrap())).collect::<Vec<_>>()
    };
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = write(a.path());
    let names: Vec<_> = files.iter().map(|f| f.0.to_str().unwrap()).collect();
    let expected =
        ["records.jsonl", "summary.csv", "survival.svg", "survival.png", "effect.svg", "effect.png", "loss.svg", "loss.png"];
    assert_eq!(names, expected);
    assert!(files == write(b.path()));
}

#[test]
fn twelve_grid_points_are_twelve_curves_that_can_be_told_apart() {
    let records = judged(grid());
    let labels: Vec<String> =
        ["1", "2", "5", "10"].iter().flat_map(|delta| [1, 2, 4].map(|width| format!("delta={delta}, width={width}"))).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let figure = survival_figure(&records, &caption(), ALPHA).unwrap();
    check(&figure, "survival-grid", &[labels.as_slice(), &["kgw", "secret_sharer"]].concat());
    // in the legend curves stand in the order of their numbers, and each has its marker and dash
    let order: Vec<usize> = labels.iter().map(|label| figure.svg.find(&format!("\n{label}\n")).unwrap()).collect();
    assert!(order.is_sorted(), "{order:?}");
    check(&effect_figure(&records, &caption()).unwrap(), "effect-grid", &labels);

    // one point of a grid looks like no grid
    let at_one: Vec<Record> = quickstart(1).into_iter().map(|r| Record { axes: grid()[0].axes.clone(), ..r }).collect();
    let plain = survival_figure(&judged(quickstart(1)), &caption(), ALPHA).unwrap();
    assert!(survival_figure(&judged(at_one), &caption(), ALPHA).unwrap() == plain);
}

#[test]
fn grid_points_are_named_beside_their_loss_curves() {
    let at = |value: &'static str| {
        curves().into_iter().map(move |c| LossSeries { axes: [("student.layers".into(), value.into())].into(), ..c })
    };
    let both: Vec<LossSeries> = at("2").chain(at("4")).collect();
    let figure = loss_figure(&both, "Loss while training", "made up").unwrap();
    check(&figure, "loss-grid", &["teacher, layers=2", "control 10\u{a0}k, layers=4"]);
    let one: Vec<LossSeries> = at("2").collect();
    assert!(loss_figure(&one, "t", "s").unwrap() == loss_figure(&curves(), "t", "s").unwrap());
}

#[test]
fn nothing_to_draw_is_an_error_in_words() {
    assert!(survival_figure(&[], &caption(), ALPHA).unwrap_err().to_string().contains("no student"));
    assert!(loss_figure(&[], "t", "s").unwrap_err().to_string().contains("no loss curve"));
}
