//! The fused Llama against the plain f64 one, finite differences, and itself.

mod reference;

use kernels::llama::{Decoder, LlamaShape, PackedWeights, StepWeights, Workspace, for_each_logits, loss_and_gradient};
use kernels::vectors::{Width, with_limit};
use reference::{Targets, ids, params, shapes};

/// A bigger shape that fills whole panels, spans several tiles and a long inner dimension.
fn wide() -> LlamaShape {
    LlamaShape {
        vocab: 301,
        hidden: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        ffn: 250,
        tied: true,
        norm_eps: 1e-5,
        rope_theta: 10_000.0,
    }
}

/// Heads in number and width no multiple of what the decoder takes together, and an odd vocabulary.
fn broad() -> LlamaShape {
    LlamaShape { vocab: 53, hidden: 24, heads: 6, kv_heads: 3, head_dim: 48, ffn: 20, ..wide() }
}

fn scores(shape: &LlamaShape, params: &[f32], ids: &[u32], time: usize, workspace: &mut Workspace) -> Vec<f32> {
    let mut all = vec![f32::NAN; ids.len() * shape.vocab];
    let mut last = None;
    let mut sink = |position: usize, logits: &mut [f32]| {
        assert!(last.is_none_or(|before| before < position), "ascending positions");
        last = Some(position);
        all[position * shape.vocab..][..shape.vocab].copy_from_slice(logits);
    };
    for_each_logits(&PackedWeights::new(shape, params), ids, ids.len() / time, time, &|_| true, &mut sink, workspace);
    all
}

fn targets(shape: &LlamaShape, m: usize, seed: u64, skip: usize) -> Targets {
    let weights = (0..m).map(|at| if at % skip == skip - 1 { 0.0 } else { 0.25 + (at % 3) as f32 }).collect();
    Targets { targets: ids(shape, m, seed), weights }
}

#[test]
fn forward_meets_the_plain_reference() {
    let mut workspace = Workspace::new();
    for (shape, time) in shapes().into_iter().zip([1, 9, 17, 5]).chain([(wide(), 1), (wide(), 40)]) {
        let params = params(&shape, 1);
        let exact: Vec<f64> = params.iter().map(|&p| f64::from(p)).collect();
        for rows in [1, 3] {
            let ids = ids(&shape, rows * time, 2);
            let want = reference::logits(&shape, &exact, &ids, time);
            let got = scores(&shape, &params, &ids, time, &mut workspace);
            for (got, want) in got.iter().zip(&want) {
                // f32 round-off through two blocks of logits of order 1.
                assert!((f64::from(*got) - want).abs() < 1e-5 * (1.0 + want.abs()), "{shape:?}: {got} for {want}");
            }
        }
    }
}

/// Central differences of the f64 reference over the parameters `which` picks, against the fused gradient.
fn check_gradient(shape: &LlamaShape, rows: usize, time: usize, stride: usize, workspace: &mut Workspace) {
    let params = params(shape, 3);
    let ids = ids(shape, rows * time, 4);
    let targets = targets(shape, rows * time, 5, if rows * time > 3 { 4 } else { 100 });
    let mut grad = vec![f32::NAN; shape.n_params()];
    let loss =
        loss_and_gradient(shape, &params, &StepWeights::new(shape, &params), &ids, rows, time, &targets, &mut grad, workspace);
    let mut exact: Vec<f64> = params.iter().map(|&p| f64::from(p)).collect();
    let value = |exact: &[f64]| reference::cross_entropy(&reference::logits(shape, exact, &ids, time), shape.vocab, &targets);
    let want = value(&exact);
    assert!((loss - want).abs() < 1e-5 * want, "{shape:?}: loss {loss} for {want}");
    for (name, range, _) in shape.layout() {
        let size = (grad[range.clone()].iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / range.len() as f64).sqrt();
        for at in range.step_by(stride) {
            let (kept, step) = (exact[at], 1e-4);
            exact[at] = kept + step;
            let above = value(&exact);
            exact[at] = kept - step;
            let below = value(&exact);
            exact[at] = kept;
            let (got, want) = (f64::from(grad[at]), (above - below) / (2.0 * step));
            // 1e-4 of the tensor's root mean square: f32 round-off; differences in f64 are good to 1e-7.
            assert!(
                (got - want).abs() < 1e-4 * (size + want.abs()) + 1e-6,
                "{shape:?} {rows}x{time} {name}[{at}]: {got} for {want}"
            );
        }
    }
}

#[test]
fn gradient_of_every_parameter_meets_finite_differences() {
    let mut workspace = Workspace::new();
    for shape in shapes() {
        check_gradient(&shape, 1, 1, 1, &mut workspace);
        check_gradient(&shape, 2, 3, 1, &mut workspace);
        check_gradient(&shape, 1, 7, 5, &mut workspace);
    }
    check_gradient(&wide(), 3, 13, 2_777, &mut workspace);
}

#[test]
fn narrower_vectors_pass_the_same_tests() {
    for width in [Width::Scalar, Width::Avx2] {
        with_limit(width, || {
            forward_meets_the_plain_reference();
            shapes().iter().for_each(|shape| check_gradient(shape, 2, 9, 23, &mut Workspace::new()));
            bits_of_a_scored_row_do_not_depend_on_company_or_padding();
            decoding_step_by_step_gives_the_bits_of_the_full_forward();
        });
    }
}

#[test]
fn every_width_gives_the_same_bits() {
    let mut all = shapes();
    all.extend([wide(), broad()]);
    for (shape, (rows, time)) in all.iter().zip([(2, 9), (1, 17), (3, 5), (2, 33)].into_iter().cycle()) {
        let (params, ids, targets) = (params(shape, 6), ids(shape, rows * time, 7), targets(shape, rows * time, 8, 5));
        let step = |width| {
            with_limit(width, || {
                let mut gradient = vec![0.0; shape.n_params()];
                let loss = loss_and_gradient(
                    shape,
                    &params,
                    &StepWeights::new(shape, &params),
                    &ids,
                    rows,
                    time,
                    &targets,
                    &mut gradient,
                    &mut Workspace::new(),
                );
                (loss.to_bits(), gradient.iter().map(|g: &f32| g.to_bits()).collect::<Vec<u32>>())
            })
        };
        let widest = step(Width::Widest);
        for width in [Width::Avx2, Width::Scalar] {
            assert!(step(width) == widest, "{shape:?} {rows}x{time}: {width:?}");
        }
    }
}

#[test]
fn gradient_of_a_sum_over_rows_is_the_sum_of_gradients() {
    // More positions than one head tile and one inner block hold.
    let shape = wide();
    let (rows, time) = (12, 40);
    let (params, ids, targets) = (params(&shape, 6), ids(&shape, rows * time, 7), targets(&shape, rows * time, 8, 5));
    let mut workspace = Workspace::new();
    let mut whole = vec![0.0; shape.n_params()];
    let loss = loss_and_gradient(
        &shape,
        &params,
        &StepWeights::new(&shape, &params),
        &ids,
        rows,
        time,
        &targets,
        &mut whole,
        &mut workspace,
    );
    let (mut sum, mut total) = (vec![0.0_f64; shape.n_params()], 0.0);
    for row in 0..rows {
        let at = row * time..(row + 1) * time;
        let part = Targets { targets: targets.targets[at.clone()].to_vec(), weights: targets.weights[at.clone()].to_vec() };
        let mut grad = vec![0.0; shape.n_params()];
        total += loss_and_gradient(
            &shape,
            &params,
            &StepWeights::new(&shape, &params),
            &ids[at],
            1,
            time,
            &part,
            &mut grad,
            &mut workspace,
        );
        sum.iter_mut().zip(&grad).for_each(|(sum, g)| *sum += f64::from(*g));
    }
    assert!((loss - total).abs() < 1e-9 * total);
    for (name, range, _) in shape.layout() {
        let size = (sum[range.clone()].iter().map(|g| g * g).sum::<f64>() / range.len() as f64).sqrt();
        for at in range {
            assert!(
                (f64::from(whole[at]) - sum[at]).abs() < 2e-5 * (size + sum[at].abs()),
                "{name}[{at}]: {} for {}",
                whole[at],
                sum[at]
            );
        }
    }
}

#[test]
fn nothing_scored_gives_a_zero_gradient() {
    for shape in shapes() {
        let (params, ids) = (params(&shape, 9), ids(&shape, 6, 10));
        let targets = Targets { targets: vec![0; 6], weights: vec![0.0; 6] };
        let mut grad = vec![f32::NAN; shape.n_params()];
        let loss = loss_and_gradient(
            &shape,
            &params,
            &StepWeights::new(&shape, &params),
            &ids,
            2,
            3,
            &targets,
            &mut grad,
            &mut Workspace::new(),
        );
        assert!(loss == 0.0 && grad.iter().all(|&g| g == 0.0));
    }
}

#[test]
fn the_same_step_gives_the_same_bits_in_a_used_workspace() {
    let shape = wide();
    let (params, ids, targets) = (params(&shape, 11), ids(&shape, 70, 12), targets(&shape, 70, 13, 3));
    let run = |workspace: &mut Workspace| {
        let mut grad = vec![0.0; shape.n_params()];
        let loss =
            loss_and_gradient(&shape, &params, &StepWeights::new(&shape, &params), &ids, 2, 35, &targets, &mut grad, workspace);
        (loss.to_bits(), grad.iter().map(|g| g.to_bits()).collect::<Vec<_>>())
    };
    let fresh = run(&mut Workspace::new());
    let mut used = Workspace::new();
    check_gradient(&shapes()[1], 3, 50, 997, &mut used);
    assert!(fresh == run(&mut used) && fresh == run(&mut used));
}

#[test]
fn bits_of_a_scored_row_do_not_depend_on_company_or_padding() {
    let mut workspace = Workspace::new();
    for shape in shapes().into_iter().chain([wide()]) {
        let (params, time, rows) = (params(&shape, 14), 21, 9);
        let ids = ids(&shape, rows * time, 15);
        let all = scores(&shape, &params, &ids, time, &mut workspace);
        for group in [1, 2, 4] {
            for from in (0..rows).step_by(group) {
                let to = (from + group).min(rows);
                let part = scores(&shape, &params, &ids[from * time..to * time], time, &mut workspace);
                assert!(part == all[from * time * shape.vocab..to * time * shape.vocab], "{shape:?}: rows {from}..{to} alone");
            }
        }
        for cut in [1, 2, 16, 20] {
            let part = scores(&shape, &params, &ids[..cut], cut, &mut workspace);
            assert!(part == all[..cut * shape.vocab], "{shape:?}: first {cut} tokens of row 0 without the rest");
        }
    }
}

#[test]
fn only_wanted_positions_are_computed_and_their_bits_stay() {
    let shape = wide();
    let (params, ids) = (params(&shape, 16), ids(&shape, 60, 17));
    let mut workspace = Workspace::new();
    let all = scores(&shape, &params, &ids, 20, &mut workspace);
    let mut seen = Vec::new();
    let mut sink = |position: usize, logits: &mut [f32]| {
        assert!(logits[..] == all[position * shape.vocab..][..shape.vocab]);
        seen.push(position);
    };
    for_each_logits(&PackedWeights::new(&shape, &params), &ids, 3, 20, &|position| position % 7 == 2, &mut sink, &mut workspace);
    assert_eq!(seen, (0..60).filter(|position| position % 7 == 2).collect::<Vec<_>>());
}

#[test]
fn decoding_step_by_step_gives_the_bits_of_the_full_forward() {
    let mut workspace = Workspace::new();
    for shape in shapes().into_iter().chain([wide(), broad()]) {
        let params = params(&shape, 18);
        let (rows, time, v) = (7, 45, shape.vocab);
        let ids = ids(&shape, rows * time, 19);
        let want = scores(&shape, &params, &ids, time, &mut workspace);
        let weights = PackedWeights::new(&shape, &params);
        let mut decoder = Decoder::new(&shape, rows + 2, time);
        // Slots in another order than rows, prompts of different lengths, one of them empty, and a slot with a past.
        let slot = |row: usize| (row * 4 + 3) % (rows + 2);
        decoder.prefill(&weights, slot(2), &[0, 1, 2]);
        decoder.reset(slot(2));
        let prompt = |row: usize| row * 5;
        let prompts: Vec<(usize, &[u32])> = (1..rows).map(|row| (slot(row), &ids[row * time..][..prompt(row)])).collect();
        decoder.prefill_batch(&weights, &prompts);
        loop {
            let live: Vec<usize> = (0..rows).filter(|&row| decoder.len(slot(row)) < time).collect();
            if live.is_empty() {
                break;
            }
            let slots: Vec<usize> = live.iter().map(|&row| slot(row)).collect();
            let at: Vec<usize> = live.iter().map(|&row| row * time + decoder.len(slot(row))).collect();
            let tokens: Vec<u32> = at.iter().map(|&at| ids[at]).collect();
            let mut logits = vec![0.0; live.len() * v];
            decoder.step(&weights, &slots, &tokens, &mut logits);
            for (&at, logits) in at.iter().zip(logits.chunks_exact(v)) {
                assert!(logits == &want[at * v..][..v], "{shape:?}: position {at}");
            }
        }
    }
}

#[test]
fn one_slot_of_one_token_gives_the_bits_of_the_full_forward() {
    for shape in shapes().into_iter().chain([wide(), broad()]) {
        let params = params(&shape, 21);
        let mut decoder = Decoder::new(&shape, 1, 1);
        let mut logits = vec![0.0; shape.vocab];
        decoder.step(&PackedWeights::new(&shape, &params), &[0], &[5], &mut logits);
        assert!(logits == scores(&shape, &params, &[5], 1, &mut Workspace::new()), "{shape:?}");
    }
}

#[test]
fn advised_rows_shrink_as_slots_grow_and_stay_in_their_range() {
    let shape = LlamaShape { hidden: 128, layers: 4, heads: 4, kv_heads: 4, head_dim: 32, ..wide() };
    let advised: Vec<usize> = [0, 1, 32, 48, 64, 100_000].iter().map(|&time| Decoder::advised_rows(&shape, time)).collect();
    assert!(advised.iter().all(|rows| rows % 8 == 0 && (16..=64).contains(rows)), "{advised:?}");
    assert!(advised.is_sorted_by(|a, b| a >= b) && advised[0] > advised[5], "{advised:?}");
    let big = LlamaShape { vocab: 32_000, hidden: 288, ..shape };
    assert!(Decoder::advised_rows(&big, 48) >= 32, "weights from memory are shared by more rows");
}

#[test]
fn layout_covers_the_slice_in_the_stated_order() {
    let shape = &shapes()[1];
    let layout = shape.layout();
    let mut end = 0;
    for (name, range, dims) in &layout {
        assert_eq!((range.start, range.len()), (end, dims.iter().product()), "{name}");
        end = range.end;
    }
    assert_eq!(end, shape.n_params());
    assert_eq!(layout[0].0, "model.embed_tokens.weight");
    assert_eq!((layout[3].0.as_str(), &layout[3].2), ("model.layers.0.self_attn.k_proj.weight", &vec![12, 12]));
    assert_eq!(layout.last().map(|l| (l.0.as_str(), l.2.clone())), Some(("lm_head.weight", vec![37, 12])));
}

#[test]
#[should_panic(expected = "slot 0 is full")]
fn a_full_slot_is_refused() {
    let shape = &shapes()[0];
    let weights = PackedWeights::new(shape, &params(shape, 20));
    Decoder::new(shape, 1, 2).prefill(&weights, 0, &[1, 2, 3]);
}
