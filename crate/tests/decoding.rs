//! The decoding loop: the same result on every device and in every run, forks, and an error for every invalid setting.

mod common;

use std::sync::Arc;

use common::small::{advance, finish, numbers, numbers_mut, pipeline, reference, settings, tokens, trajectory};
use common::{Engine, burn_device, device, on_gpu, relative_error, tolerance};
use marscope_core::diffusion::Solver;
use marscope_core::sampler::{DecodeState, Decoding, Order, OrderKind, SampleError, Settings};
use marscope_core::tokenizer::to_byte;
use proptest::prelude::*;

#[test]
fn same_picture_on_every_device() {
    let draw = |device: &Engine| {
        let pipeline = pipeline(device);
        finish(pipeline.decode(&[(Some(1), 7), (None, 8)], OrderKind::Random, settings(4, 6), None).unwrap())
    };
    let (here, reference) = (draw(&device()), draw(&Engine::Burn(burn_device())));
    let most = here.iter().zip(&reference).map(|(&a, &b)| to_byte(a).abs_diff(to_byte(b))).max().unwrap();
    assert!(most <= 2, "a pixel differs by {most} of 255");
    let spread = reference.iter().copied().fold(0.0f32, |most, v| most.max(v.abs()));
    assert!(spread > 0.1, "the picture is empty: nothing was compared");
}

#[test]
fn a_fork_goes_on_as_its_origin() {
    let pipeline = pipeline(&device());
    let mut origin = pipeline.decode(&[(Some(0), 3)], OrderKind::Spiral, settings(5, 4), None).unwrap();
    advance(&mut origin);
    advance(&mut origin);
    let fork = origin.clone();
    let known = origin.tokens().clone();
    assert_eq!(finish(origin), finish(fork.clone()));
    assert_eq!(*fork.tokens(), known, "finishing one must not move the other");
}

#[test]
fn a_start_without_edits_goes_on_as_its_parent() {
    let pipeline = pipeline(&device());
    let mut parent =
        pipeline.decode(&[(Some(0), 3)], OrderKind::Random, settings(7, 4), None).unwrap().keeping_steps(1);
    for _ in 0..3 {
        advance(&mut parent);
    }
    let order = Order::Positions(parent.images()[0].order.clone());
    let start = Some(parent.state().clone());
    let mut fork = pipeline.decode(&[(Some(0), 3)], order, settings(7, 4), start).unwrap().keeping_steps(1);
    assert_eq!(fork.iterations(), 7);
    while let Some(event) = advance(&mut parent) {
        let same = advance(&mut fork).unwrap();
        assert_eq!((same.iteration, &same.rows), (event.iteration, &event.rows));
        assert_eq!((same.cfg, trajectory(&same)), (event.cfg, trajectory(&event)));
    }
    assert!(fork.done());
    assert_eq!(fork.state(), parent.state());
}

#[test]
fn a_given_order_is_followed() {
    let pipeline = pipeline(&device());
    let order: Vec<usize> = (0..16).map(|rank| (5 * rank + 3) % 16).collect();
    let given = Order::Positions(order.clone());
    let mut decoding = pipeline.decode(&[(None, 1)], given, settings(16, 2), None).unwrap();
    let mut found = Vec::new();
    while let Some(event) = advance(&mut decoding) {
        found.extend(event.rows.iter().map(|&(_, token)| token));
    }
    assert_eq!(found, order);
    for wrong in [vec![], vec![0; 16], (0..17).collect(), (1..17).collect()] {
        let error = pipeline.decode(&[(None, 1)], Order::Positions(wrong), settings(4, 4), None).err();
        assert!(matches!(error, Some(SampleError::Order { tokens: 16 })));
    }
    let read = |json: &str| serde_json::from_str::<Order>(json);
    assert_eq!(read("\"spiral\"").unwrap(), OrderKind::Spiral.into());
    assert_eq!(read("[1, 0]").unwrap(), Order::Positions(vec![1, 0]));
    assert!(read("\"backwards\"").unwrap_err().to_string().contains("random, raster, spiral"));
}

#[test]
fn stopped_leaves_everything_as_it_was() {
    let pipeline = pipeline(&device());
    let start = || pipeline.decode(&[(Some(2), 4)], OrderKind::Center, settings(4, 6), None).unwrap();
    let whole = finish(start());
    let mut decoding = start();
    // The GPU pipeline makes an iteration in one submission, which nothing stops once it has begun.
    let asks = if common::in_one_submission() { 1 } else { 6 };
    for steps in [0, 1, 5].into_iter().filter(|&steps| steps < asks) {
        let before = decoding.state().clone();
        let mut asked = 0;
        let stopped = pollster::block_on(decoding.advance_while(&mut async || {
            asked += 1;
            asked <= steps
        }));
        assert!(matches!(stopped, Err(SampleError::Stopped)));
        assert_eq!((asked, decoding.state()), (steps + 1, &before));
        let mut asked = 0;
        pollster::block_on(decoding.advance_while(&mut async || {
            asked += 1;
            true
        }))
        .unwrap();
        assert_eq!(asked, asks, "once before every diffusion step, or once before all of them");
    }
    assert_eq!(finish(decoding), whole);
}

#[test]
fn images_with_equally_many_masked_go_on_together() {
    let pipeline = pipeline(&device());
    let start = |masked: &[usize]| DecodeState {
        iteration: 2,
        tokens: tokens((0..16 * 9).map(|i| (i as f32).sin()).collect()),
        masked: (0..16).map(|token| masked.contains(&token)).collect(),
    };
    let (first, second) = (start(&[0, 1, 2, 9, 15]), start(&[3, 4, 5, 6, 8]));
    let both = DecodeState {
        iteration: 2,
        tokens: tokens([numbers(&first.tokens), numbers(&second.tokens)].concat()),
        masked: [&first.masked[..], &second.masked].concat(),
    };
    let decode =
        |images: &[_], start| finish(pipeline.decode(images, OrderKind::Random, settings(4, 3), Some(start)).unwrap());
    let together = decode(&[(Some(0), 5), (Some(1), 6)], both.clone());
    let apart = [decode(&[(Some(0), 5)], first), decode(&[(Some(1), 6)], second)].concat();
    let error = common::relative_error(&together, &apart.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
    assert!(error < common::tolerance(1e-4), "{error}");

    let mut uneven = both;
    uneven.masked[16 + 3] = false;
    let plans = [(Some(0), 5), (Some(1), 6)];
    let error = pipeline.decode(&plans, OrderKind::Random, settings(4, 3), Some(uneven)).err().unwrap().to_string();
    assert!(error.contains("image 1 has 4 masked tokens and image 0 has 5"), "{error}");
}

#[test]
fn starts_that_do_not_fit_are_refused() {
    let pipeline = pipeline(&Engine::Cpu);
    let try_with = |change: &dyn Fn(&mut DecodeState)| {
        let mut start = DecodeState { iteration: 1, tokens: tokens(vec![0.5; 16 * 9]), masked: vec![false; 16] };
        start.masked[7] = true;
        change(&mut start);
        let decoding = pipeline.decode(&[(None, 0)], OrderKind::Raster, settings(4, 4), Some(start));
        decoding.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(try_with(&|_| ()), "");
    assert_eq!(try_with(&|start| numbers_mut(&mut start.tokens)[7 * 9] = f32::NAN), "", "what is masked is not read");
    assert!(try_with(&|start| numbers_mut(&mut start.tokens)[8 * 9] = f32::NAN).contains("token 8"));
    assert!(try_with(&|start| numbers_mut(&mut start.tokens)[0] = f32::INFINITY).contains("token 0"));
    assert!(
        try_with(&|start| numbers_mut(&mut start.tokens).truncate(9)).contains("have 9 numbers; this model's have 144")
    );
    assert!(try_with(&|start| start.masked.push(false)).contains("17 mask entries; this model's have 16"));
    assert!(try_with(&|start| start.iteration = 4).contains("no iteration 4 to go on from: give 0 to 3"));
    assert!(
        try_with(&|start| *start = DecodeState { iteration: 0, tokens: tokens(vec![]), masked: vec![] })
            .contains("0 mask")
    );
}

#[test]
fn an_image_does_not_depend_on_its_company() {
    let pipeline = pipeline(&device());
    let alone = finish(pipeline.decode(&[(Some(2), 11)], OrderKind::Random, settings(4, 4), None).unwrap());
    let both =
        finish(pipeline.decode(&[(Some(0), 10), (Some(2), 11)], OrderKind::Random, settings(4, 4), None).unwrap());
    let error = common::relative_error(&both[alone.len()..], &alone.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
    assert!(error < common::tolerance(1e-4), "{error}");
}

#[test]
fn settings_out_of_range_are_named() {
    let pipeline = pipeline(&Engine::Cpu);
    let try_with = |change: &dyn Fn(&mut Settings), label| {
        let mut settings = settings(4, 4);
        change(&mut settings);
        pipeline.decode(&[(label, 0)], OrderKind::Raster, settings, None).err().map(|error| error.to_string()).unwrap()
    };
    assert!(try_with(&|_| (), Some(3)).contains("label 3 is not one of the 3 classes"));
    assert!(try_with(&|s| s.iterations = 0, None).contains("give 1 to 16"));
    assert!(try_with(&|s| s.iterations = 17, None).contains("give 1 to 16"));
    assert!(try_with(&|s| s.steps = "1".into(), None).contains("at least 2"));
    assert!(try_with(&|s| s.late_steps = Some(1), None).contains("at least 2"));
    assert!(try_with(&|s| s.cfg_every = 0, None).contains("give 1 to 16"));
    let list = |s: &mut Settings| (s.late_steps, s.steps) = (Some(4), "ddim10".into());
    assert!(try_with(&list, None).contains("must be a number such as 50"));
    assert!(try_with(&|s| s.cfg = f32::NAN, None).contains("cfg is NaN"));
    assert!(try_with(&|s| s.temperature = -1.0, None).contains("temperature is -1"));
    let mut plan = pipeline.decode(&[(None, 0)], OrderKind::Raster, settings(4, 4), None).unwrap().images().to_vec();
    plan[0].order[0] = 1;
    let noise = Arc::new(marscope_core::sampler::SeededNoise::new([0]));
    let error = Decoding::new(pipeline.network.clone(), settings(4, 4), plan, noise, None).err();
    assert!(matches!(error, Some(SampleError::Order { tokens: 16 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if on_gpu() { 2 } else { 24 }))]

    /// Whatever the settings: every token once, in the order's sequence, and what is known never changes.
    #[test]
    fn every_token_comes_once_and_stays(iterations in 1usize..=16, seed: u64, stride in 0usize..4) {
        let pipeline = pipeline(&device());
        let decoding = pipeline.decode(&[(Some(0), seed)], OrderKind::Random, settings(iterations, 3), None).unwrap();
        let mut decoding = decoding.keeping_steps(stride);
        let order = decoding.images()[0].order.clone();
        let dim = pipeline.config.model.token_dim();
        let mut known: Vec<usize> = Vec::new();
        while let Some(event) = {
            let before = decoding.tokens().clone();
            let event = advance(&mut decoding);
            for &token in &known {
                prop_assert_eq!(&numbers(&before)[token * dim..][..dim], &numbers(decoding.tokens())[token * dim..][..dim]);
            }
            event
        } {
            let mut expected = order[known.len()..order.len() - event.mask_length].to_vec();
            expected.sort_unstable();
            let drawn: Vec<usize> = event.rows.iter().map(|&(_, token)| token).collect();
            prop_assert_eq!(&drawn, &expected);
            prop_assert_eq!(trajectory(&event).frames.len(), trajectory(&event).taken.len() * drawn.len() * dim);
            prop_assert_eq!(*trajectory(&event).taken.last().unwrap(), 3);
            known.extend(drawn);
            let still = decoding.masked().iter().filter(|&&masked| masked).count();
            prop_assert_eq!(still, event.mask_length);
        }
        known.sort_unstable();
        prop_assert!(known.into_iter().eq(0..16));
        prop_assert!(decoding.done());
    }

    /// From wherever it starts: what is known stays to the bit, the rest comes in the order's sequence until all is known.
    #[test]
    fn any_start_is_finished_and_kept(
        masked in prop::collection::vec(any::<bool>(), 16),
        iterations in 1usize..=16,
        at in 0.0f64..1.0,
        seed: u64,
    ) {
        let pipeline = pipeline(&device());
        let dim = pipeline.config.model.token_dim();
        let iteration = (iterations as f64 * at) as usize;
        let given: Vec<f32> = (0..16 * dim).map(|i| (i as f32 * 0.7).cos()).collect();
        let start = DecodeState { iteration, tokens: tokens(given.clone()), masked: masked.clone() };
        let mut decoding = pipeline.decode(&[(Some(1), seed)], OrderKind::Random, settings(iterations, 2), Some(start)).unwrap();
        let mut left: Vec<usize> = decoding.images()[0].order.iter().copied().filter(|&token| masked[token]).collect();
        prop_assert_eq!(decoding.done(), left.is_empty());
        let mut next = iteration;
        while let Some(event) = advance(&mut decoding) {
            prop_assert_eq!(event.iteration, next);
            next += 1;
            let mut expected: Vec<usize> = left.drain(..event.rows.len()).collect();
            expected.sort_unstable();
            prop_assert!(!expected.is_empty());
            prop_assert_eq!(event.rows.iter().map(|&(_, token)| token).collect::<Vec<_>>(), expected);
            prop_assert_eq!(left.len(), event.mask_length);
            for token in (0..16).filter(|&token| !masked[token]) {
                prop_assert_eq!(&numbers(decoding.tokens())[token * dim..][..dim], &given[token * dim..][..dim]);
            }
        }
        prop_assert!(left.is_empty() && decoding.done());
        prop_assert_eq!(decoding.iterations(), next);
        prop_assert!(next <= iterations);
        prop_assert!(decoding.masked().iter().all(|&masked| !masked));
    }
}

#[test]
fn later_iterations_take_fewer_steps() {
    let pipeline = pipeline(&device());
    let asked = Settings { late_steps: Some(3), ..settings(5, 11) };
    let decoding = pipeline.decode(&[(Some(1), 4)], OrderKind::Random, asked, None).unwrap();
    let mut decoding = decoding.keeping_steps(1);
    let budget: Vec<usize> = decoding.budget().collect();
    assert_eq!(budget, [11, 9, 7, 5, 3]);
    for steps in budget {
        assert_eq!(decoding.next_steps(), Some(steps));
        let event = advance(&mut decoding).unwrap();
        assert_eq!(*trajectory(&event).taken.last().unwrap(), steps);
        assert_eq!(trajectory(&event).frames.len(), (steps + 1) * event.rows.len() * 9);
    }
    assert_eq!(decoding.next_steps(), None);
}

#[test]
fn without_noise_temperature_does_nothing() {
    let pipeline = pipeline(&device());
    let draw = |solver, temperature| {
        let asked = Settings { solver, temperature, ..settings(3, 6) };
        finish(pipeline.decode(&[(Some(1), 4)], OrderKind::Random, asked, None).unwrap())
    };
    for solver in [Solver::Ddim, Solver::Dpm] {
        assert_eq!(draw(solver, 1.0), draw(solver, 0.3));
    }
    assert_ne!(draw(Solver::Ddpm, 1.0), draw(Solver::Ddpm, 0.3));
    assert_ne!(draw(Solver::Ddim, 1.0), draw(Solver::Dpm, 1.0));
}

#[test]
fn what_guidance_adds_is_used_again() {
    let (pipeline, model) = (pipeline(&device()), reference());
    let decode = |cfg_every| {
        let asked = Settings { cfg_every, ..settings(5, 4) };
        pipeline.decode(&[(Some(1), 4), (Some(0), 5)], OrderKind::Random, asked, None).unwrap().keeping_z()
    };
    let (mut sparse, mut each) = (decode(2), decode(1));
    let width = pipeline.config.model.decoder_embed_dim;
    let close = |a: &[f32], b: &[f32]| {
        let expected: Vec<f64> = b.iter().map(|&value| f64::from(value)).collect();
        relative_error(a, &expected) < tolerance(1e-5)
    };
    // z of every token of both images under `labels`, in plain Burn.
    let all = |state: &DecodeState, labels: &[Option<usize>]| -> Vec<f32> {
        let z = model.forward(numbers(&state.tokens), &state.masked, labels).z;
        z.into_data().convert::<f32>().try_into_vec().unwrap()
    };
    let at = |z: &[f32], &(image, token): &(usize, usize)| z[(image * 16 + token) * width..][..width].to_vec();

    let start = sparse.state().clone();
    let (first, exact) = (advance(&mut sparse).unwrap(), advance(&mut each).unwrap());
    assert!(close(first.z.as_ref().unwrap(), exact.z.as_ref().unwrap()), "the first iteration runs both branches");

    let next = sparse.state().clone();
    let second = advance(&mut sparse).unwrap();
    let z = second.z.as_ref().unwrap();
    let (with, without) = z.split_at(second.rows.len() * width);
    let (labels, none) = ([Some(1), Some(0)], [None, None]);
    let (before, before_none, now) = (all(&start, &labels), all(&start, &none), all(&next, &labels));
    for (row, place) in second.rows.iter().enumerate() {
        assert!(close(&with[row * width..][..width], &at(&now, place)), "the conditional branch runs each time");
        let old = at(&before, place).into_iter().zip(at(&before_none, place));
        let expected: Vec<f32> =
            at(&now, place).iter().zip(old).map(|(z, (with, without))| z - (with - without)).collect();
        assert!(close(&without[row * width..][..width], &expected), "the unconditional one is made up");
    }

    let next = sparse.state().clone();
    let third = advance(&mut sparse).unwrap();
    let without = &third.z.as_ref().unwrap()[third.rows.len() * width..];
    let fresh = all(&next, &none);
    let expected: Vec<f32> = third.rows.iter().flat_map(|place| at(&fresh, place)).collect();
    assert!(close(without, &expected), "every second iteration runs it again");
}
