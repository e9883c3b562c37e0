//! The pictures are written to `target/tmp/figures`, to be looked at.

use std::path::{Path, PathBuf};

use results::{
    Arm, Caption, Figure, LossSeries, Record, Width, effect_figure, heat_figure, judge, loss_figure, survival_figure,
    write_report,
};
use resvg::usvg;

use crate::fixture::{ALPHA, curve, of, quickstart};

fn place() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures")
}

pub fn caption() -> Caption {
    Caption {
        title: "Which marks survive distillation of a small teacher through its API?".into(),
        compute: "fixed steps, 0.4\u{a0}M tokens for each student".into(),
        audit: "400 prompts \u{d7} 48 tokens".into(),
        statistics: "points: p of one test".into(),
    }
}

pub fn judged(mut records: Vec<Record>) -> Vec<Record> {
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

/// The drawing as it is read with the committed fonts.
fn read(figure: &Figure) -> usvg::Tree {
    let mut options = usvg::Options::default();
    for font in ["birthmark-sans-regular.ttf", "birthmark-sans-bold.ttf"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(font);
        options.fontdb_mut().load_font_data(std::fs::read(path).unwrap());
    }
    usvg::Tree::from_str(&figure.svg, &options).unwrap()
}

fn ink(group: &usvg::Group, found: &mut Vec<(String, usvg::Rect)>) {
    for node in group.children() {
        match node {
            usvg::Node::Group(inner) => ink(inner, found),
            usvg::Node::Text(text) => {
                let words: String = text.chunks().iter().map(|chunk| chunk.text().to_string()).collect();
                found.push((words, text.flattened().abs_bounding_box()));
            }
            _ => {}
        }
    }
}

/// Every word is on the page, and no two cover each other.
fn words_stand_apart(figure: &Figure, name: &str) {
    let tree = read(figure);
    let (width, height) = (tree.size().width(), tree.size().height());
    let mut words = Vec::new();
    ink(tree.root(), &mut words);
    assert!(words.len() >= 4, "{name}");
    for (i, (text, here)) in words.iter().enumerate() {
        let on_page = here.left() >= 0.0 && here.top() >= 0.0 && here.right() <= width && here.bottom() <= height;
        assert!(on_page, "{name}: `{text}` leaves the page: {here:?}");
        for (other, there) in &words[..i] {
            let overlap = |a: (f32, f32), b: (f32, f32)| a.1.min(b.1) - a.0.max(b.0);
            let across = overlap((here.left(), here.right()), (there.left(), there.right()));
            let down = overlap((here.top(), here.bottom()), (there.top(), there.bottom()));
            assert!(across < 0.7 || down < 0.7, "{name}: `{text}` covers `{other}`: {here:?} {there:?}");
        }
    }
}

/// The written SVG needs no font: drawn where none is installed it is the PNG.
fn needs_no_font(figure: &Figure, name: &str) {
    let svg = figure.outlined().unwrap();
    assert!(!svg.contains("<text") && !svg.contains("font-family") && !svg.contains("@font-face"), "{name}");
    let tree = usvg::Tree::from_str(&svg, &usvg::Options::default()).unwrap();
    let png = resvg::tiny_skia::Pixmap::decode_png(&figure.png(1.0).unwrap()).unwrap();
    let mut bare = resvg::tiny_skia::Pixmap::new(png.width(), png.height()).unwrap();
    resvg::render(&tree, usvg::Transform::identity(), &mut bare.as_mut());
    let differ = png.pixels().iter().zip(bare.pixels()).filter(|(a, b)| a.red().abs_diff(b.red()) > 64).count();
    assert!(differ as f64 <= 0.002 * png.pixels().len() as f64, "{name}: {differ} pixels differ");
}

/// One page as large as the drawing, whose objects are where the table says, and whose stream holds paths and no text.
fn opens(pdf: &[u8], size: (f64, f64), name: &str) {
    let text = String::from_utf8_lossy(pdf);
    assert!(pdf.starts_with(b"%PDF-1.") && text.trim_end().ends_with("%%EOF"), "{name}");
    let after = |mark: &str| text.rsplit_once(mark).unwrap().1.trim_start().to_string();
    let table: usize = after("startxref").split_whitespace().next().unwrap().parse().unwrap();
    assert!(pdf[table..].starts_with(b"xref"), "{name}");
    let entries = String::from_utf8_lossy(&pdf[table..]).to_string();
    let offsets = entries.lines().filter(|line| line.trim_end().ends_with(" n"));
    for (i, line) in offsets.enumerate() {
        let at: usize = line[..10].parse().unwrap();
        assert!(pdf[at..].starts_with(format!("{} 0 obj", i + 1).as_bytes()), "{name}: object {}", i + 1);
    }
    let page = after("/MediaBox").trim_start_matches('[').split(']').next().unwrap().to_string();
    let page: Vec<f64> = page.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!((page[2] - 0.6 * size.0).abs() < 0.1 && (page[3] - 0.6 * size.1).abs() < 0.1, "{name}: {page:?}");
    let find = |mark: &[u8]| pdf.windows(mark.len()).position(|window| window == mark).unwrap();
    let (begin, end) = (find(b"stream\n") + 7, find(b"\nendstream"));
    let content = miniz_oxide::inflate::decompress_to_vec_zlib(&pdf[begin..end]).unwrap();
    let content = String::from_utf8(content).unwrap();
    assert!(content.lines().filter(|line| line.ends_with(" c")).count() > 100, "{name}: letters are curves");
    assert!(!content.contains("BT\n"), "{name}: no text needs a font");
}

fn check(figure: &Figure, name: &str, labels: &[&str]) {
    let [svg, png, pdf] = figure.write(&place(), name).unwrap();
    let written = std::fs::read_to_string(svg).unwrap();
    for label in labels {
        let label = format!("\n{}\n", label.replace('>', "&gt;"));
        assert!(figure.svg.contains(&label), "{name} lacks `{label}`");
        assert!(written.contains(&label), "{name}: `{label}` is not said in words");
    }
    let (width, height, inked) = look(&std::fs::read(png).unwrap());
    let (w, h) = svg_size(&written);
    assert_eq!((f64::from(width), f64::from(height)), (2.0 * w, 2.0 * h), "{name}");
    assert!(inked > 0.02 && inked < 0.6, "{name}: {inked} of the pixels are inked");
    words_stand_apart(figure, name);
    needs_no_font(figure, name);
    opens(&std::fs::read(pdf).unwrap(), (w, h), name);
}

/// Two columns wide and one.
pub fn both(name: &str, labels: &[&str], draw: impl Fn(Width) -> Figure) {
    check(&draw(Width::Two), name, labels);
    check(&draw(Width::One), &format!("{name}-column"), labels);
}

const EVERYWHERE: [&str; 11] = [
    "queries to the teacher",
    "kgw",
    "secret_sharer",
    "output_agreement",
    "held-out loss, nats/token",
    "300",
    "10\u{a0}k",
    "base",
    "stranger",
    "teacher",
    "control (student of the clean teacher)",
];

#[test]
fn survival_names_everything_it_shows() {
    let records = judged(quickstart(1));
    let own = [
        "\u{3b1} = 0.001",
        "\u{3b1}/4 (Holm)",
        "evidence, \u{2212}log\u{2081}\u{2080} p (asinh)",
        "text",
        "top_logprobs(k=20,post)",
        "rival (student of another teacher)",
        "control that must show the mark (positive)",
        "student by the older test, the count of distinct units",
        "proven from 10\u{a0}k (by the count never)",
        "proven from 300 (by the count from 3\u{a0}k)",
    ];
    both("survival", &[EVERYWHERE.as_slice(), &own].concat(), |width| {
        survival_figure(&records, &caption(), ALPHA, width).unwrap()
    });
    let figure = survival_figure(&records, &caption(), ALPHA, Width::Two).unwrap();
    for phrase in ["audit: 400 prompts \u{d7} 48 tokens", "1 seed", "points: p of one test", "fewer than 3 seeds: no N*"] {
        assert!(figure.svg.contains(phrase), "{phrase}");
    }
    // marks without a count have no pale curve and say nothing of one
    let plain = survival_figure(&judged(curve("kgw", &[(300, -20.0)], 0)), &caption(), ALPHA, Width::Two).unwrap();
    assert!(!plain.svg.contains("older test") && !plain.svg.contains("by the count"));
    // effect stands beside evidence
    assert!(figure.svg.contains("effect: green rate \u{2212} 0.25") && figure.svg.contains("no effect"));
}

#[test]
fn a_mark_of_which_nothing_is_seen_is_one_line() {
    let records = judged(quickstart(1));
    let figure = survival_figure(&records, &caption(), ALPHA, Width::Two).unwrap();
    let line = figure.svg.split("not shown by this audit").nth(1).unwrap().split("</text>").next().unwrap();
    assert!(line.contains("largest effect (keys answered)"), "{line}");
    // no panel for it: its title would be in the size of the others'
    let titles = |figure: &Figure, mark: &str| {
        let mut words = Vec::new();
        ink(read(figure).root(), &mut words);
        words.into_iter().filter(|(text, place)| text.trim() == mark && place.height() > 10.0).count()
    };
    assert_eq!((titles(&figure, "secret_keys"), titles(&figure, "kgw")), (0, 2));
    let shown = |evidence: f64| {
        let mut records = quickstart(1);
        records.iter_mut().filter(|r| r.arm == Arm::Student && r.mark.as_deref() == Some("secret_keys")).for_each(|r| {
            r.log10_p = Some(-evidence);
        });
        let figure = survival_figure(&judged(records), &caption(), ALPHA, Width::Two).unwrap();
        titles(&figure, "secret_keys")
    };
    assert_eq!((shown(0.5), shown(6.0)), (0, 2));
    // nothing but lines
    let records = judged(curve("kgw", &[(300, -0.1), (1_000, -0.2)], 0));
    both("survival-nothing", &["kgw"], |width| survival_figure(&records, &caption(), ALPHA, width).unwrap());
}

#[test]
fn a_false_positive_has_a_sign_of_its_own() {
    let sign = "false positive: a key fires where it must not";
    let mut records = curve("kgw", &[(300, -20.0), (1_000, -30.0)], 0);
    let clean = survival_figure(&judged(records.clone()), &caption(), ALPHA, Width::Two).unwrap();
    assert!(!clean.svg.contains(sign) && !clean.svg.contains("\n!\n"));
    records.iter_mut().filter(|r| r.arm == Arm::Base).for_each(|r| r.log10_p = Some(-5.0));
    let records = judged(records);
    assert_eq!(of(&records, Arm::Base, 0).verdict, Some(results::Verdict::FalsePositive));
    both("survival-false-positive", &[sign, "!"], |width| survival_figure(&records, &caption(), ALPHA, width).unwrap());
}

#[test]
fn seeds_become_a_band() {
    let records = judged(quickstart(3));
    let label = "smallest to largest over seeds, median drawn";
    both("survival-3-seeds", &[label], |width| survival_figure(&records, &caption(), ALPHA, width).unwrap());
    both("effect-3-seeds", &[label], |width| effect_figure(&records, &caption(), ALPHA, width).unwrap());
    let figure = survival_figure(&records, &caption(), ALPHA, Width::One).unwrap();
    assert!(figure.svg.contains("3 seeds") && figure.svg.contains("opacity=\"0.2\""));
    assert!(!survival_figure(&judged(quickstart(1)), &caption(), ALPHA, Width::One).unwrap().svg.contains("opacity=\"0.2\""));
}

#[test]
fn one_small_curve_and_one_budget_are_drawn_too() {
    let records = judged(curve("kgw", &[(300, -0.5), (1_000, -2.0), (3_000, -5.0), (30_000_000, -9.0)], 0));
    both("survival-one-mark", &["30\u{a0}M"], |width| survival_figure(&records, &caption(), ALPHA, width).unwrap());
    let records = judged(curve("kgw", &[(300, -20.0)], 0));
    both("survival-one-budget", &["300"], |width| survival_figure(&records, &Caption::default(), ALPHA, width).unwrap());
    let seeds: Vec<Record> = (0..3).flat_map(|seed| curve("kgw", &[(300, -20.0 - 4.0 * seed as f64)], seed)).collect();
    let records = judged(seeds);
    both("survival-one-budget-3-seeds", &["N* 300"], |width| {
        survival_figure(&records, &Caption::default(), ALPHA, width).unwrap()
    });
}

#[test]
fn effects_have_whiskers_and_their_own_unit() {
    let records = judged(quickstart(1));
    let own = [EVERYWHERE.as_slice(), &["effect: green rate \u{2212} 0.25", "no effect"]].concat();
    both("effect", &own, |width| effect_figure(&records, &caption(), ALPHA, width).unwrap());
}

#[test]
fn marks_and_suspects_are_a_table_of_colours() {
    let own = ["kgw", "secret_sharer", "teacher", "student, 300", "control", "base", "stranger"];
    let records = judged(quickstart(1));
    both("heat", &own, |width| heat_figure(&records, &caption(), width).unwrap());
    let records = judged(quickstart(3));
    both("heat-3-seeds", &own, |width| heat_figure(&records, &caption(), width).unwrap());
    let figure = heat_figure(&records, &caption(), Width::Two).unwrap();
    assert!(figure.svg.contains("median of 3 seeds") && figure.svg.contains("bold: proven in every seed"));
    // names as long as there are, and a suspect that was not measured
    let long = |r: &Record| Record { mark: r.mark.as_ref().map(|mark| format!("vllm_red_green_{mark}")), ..r.clone() };
    let mut records: Vec<Record> = records.iter().map(long).collect();
    records.iter_mut().filter(|r| r.arm == Arm::Stranger).for_each(|r| r.log10_p = None);
    both("heat-long-names", &["vllm_red_green_kgw"], |width| heat_figure(&records, &caption(), width).unwrap());
    assert!(heat_figure(&[], &caption(), Width::Two).unwrap_err().to_string().contains("no suspect"));
}

pub fn curves() -> Vec<LossSeries> {
    let curve = |group: &str, name: &str, arm: Arm, floor: f64, steps: u64| LossSeries {
        arm,
        group: group.into(),
        name: name.into(),
        loss: Some(if arm.is_distilled() { "topk_kl" } else { "cross_entropy" }.into()),
        axes: [].into(),
        points: (0..=50)
            .map(|i| i * steps / 50)
            .map(|s| (s, floor + 4.5 * libm::exp(-6.0 * s as f64 / steps as f64) + 0.05 * libm::sin(s as f64)))
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
fn loss_curves_are_named_at_their_ends_and_say_what_they_measure() {
    let own = [
        "teachers",
        "students, text",
        "clean twin",
        "control 10\u{a0}k",
        "cross-entropy (CE), nats/token",
        "KL divergence, topk_kl, nats/token",
        "step",
    ];
    both("loss", &own, |width| loss_figure(&curves(), "Loss while training", "made up", width).unwrap());
}

#[test]
fn figures_of_other_records_do_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let records = judged(quickstart(1));
    let listed = |stem: &str| {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(stem)).count()
    };
    std::fs::write(dir.path().join("loss-of-mine.svg"), "mine").unwrap();
    write_report(dir.path(), &records, &curves(), &caption(), ALPHA).unwrap();
    assert_eq!((listed("survival"), listed("effect"), listed("loss")), (6, 6, 7));
    write_report(dir.path(), &records, &[], &caption(), ALPHA).unwrap();
    assert_eq!((listed("survival"), listed("loss")), (6, 1));
    let metrics: Vec<Record> = records.into_iter().filter(|record| record.kind == results::Kind::Metric).collect();
    write_report(dir.path(), &metrics, &[], &caption(), ALPHA).unwrap();
    assert_eq!((listed("survival"), listed("effect"), listed("loss")), (0, 0, 1));
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
    let said = |name: &str| {
        let svg = String::from_utf8(files.iter().find(|f| f.0 == *name).unwrap().1.clone()).unwrap();
        svg.split("</desc>").next().unwrap().contains("points: p of one test")
    };
    assert!(said("survival.svg") && !said("loss.svg"), "losses are no tests");
    let mut expected = ["records.jsonl", "summary.csv", "metrics.csv", "separation.csv"].map(String::from).to_vec();
    for ending in ["", "-column"] {
        let figures = ["survival", "effect", "heat", "loss"].into_iter();
        expected.extend(figures.flat_map(|name| ["svg", "png", "pdf"].map(|format| format!("{name}{ending}.{format}"))));
    }
    assert_eq!(names, expected);
    assert!(files == write(b.path()));
}

#[test]
fn nothing_to_draw_is_an_error_in_words() {
    assert!(survival_figure(&[], &caption(), ALPHA, Width::Two).unwrap_err().to_string().contains("no student"));
    assert!(loss_figure(&[], "t", "s", Width::Two).unwrap_err().to_string().contains("no loss curve"));
}
