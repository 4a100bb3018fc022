//! Traces: writing and reading is exact, a replay gives the recorded tokens, and every damaged file is refused.
//! The page uses the same format.
#![cfg(feature = "cli")]

mod common;

use common::small::{advance, pipeline, settings, tokens};
use common::{Engine, device, tolerance};
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::{DecodeState, Decoding, Order, OrderKind, Settings};
use marscope_core::trace::{ReplayError, Trace, replay};
use pollster::block_on;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// Runs `decoding` to its end and records it.
fn record(pipeline: &Pipeline, mut decoding: Decoding) -> Trace {
    let mut trace = Trace::begin(pipeline, &decoding, 6).unwrap();
    loop {
        let before = decoding.state().clone();
        let Some(iteration) = advance(&mut decoding) else { return trace };
        trace.push(&before, &iteration).unwrap();
    }
}

fn whole(pipeline: &Pipeline) -> Trace {
    let decoding = pipeline.decode(&[(Some(2), 6)], OrderKind::Random, settings(4, 5), None).unwrap();
    record(pipeline, decoding.keeping_steps(1))
}

/// A trace that starts from a picture that was not decoded.
fn edited(pipeline: &Pipeline) -> Trace {
    let tokens = tokens((0..16 * 9).map(|i| (i as f32).sin()).collect());
    let start = DecodeState { iteration: 2, tokens, masked: (0..16).map(|token| token % 3 == 0).collect() };
    let order = Order::Positions((0..16).rev().collect());
    record(pipeline, pipeline.decode(&[(None, 6)], order, settings(6, 5), Some(start)).unwrap().keeping_steps(2))
}

fn json(trace: &Trace) -> Value {
    serde_json::from_str(&trace.to_json().unwrap()).unwrap()
}

fn refusal(value: &Value) -> String {
    Trace::read(value.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_file_is_as_the_format_says() {
    let pipeline = pipeline(&Engine::Cpu);
    let trace = whole(&pipeline);
    let value = json(&trace);
    assert_eq!((&value["format"], &value["version"]), (&json!("marscope-trace"), &json!(1)));
    assert_eq!(value["model"], json!({ "name": "test", "parameters": pipeline.parameters() }));
    assert_eq!(
        value["settings"],
        json!({
            "label": 2, "seed": 6, "cfg": 2.0, "cfgSchedule": "linear", "iterations": 4, "steps": 5, "temperature": 1.0,
        })
    );
    assert_eq!((&value["start"], value["order"].as_array().unwrap().len()), (&Value::Null, 16));
    let last = &value["iterations"][3];
    assert_eq!((&last["iteration"], &last["timesteps"]), (&json!(3), &json!([999, 749, 500, 250, 0, 0])));
    assert_eq!(last["alphaBar"][5], json!(1.0));
    let masked = last["maskBefore"].as_array().unwrap().iter().filter(|entry| **entry == json!(1)).count();
    assert_eq!(masked, last["tokens"].as_array().unwrap().len());
    // 16 tokens of 9 numbers of 4 bytes, 4 characters for 3 bytes.
    assert_eq!(last["before"].as_str().unwrap().len(), 16 * 9 * 4 / 3 * 4);
    assert!(last["ms"]["backbone"].is_number() && last["ms"]["head"].is_number());
    // Nothing is known before the first iteration: zeros all the way.
    assert!(value["iterations"][0]["before"].as_str().unwrap().bytes().all(|byte| byte == b'A'));

    let value = json(&edited(&pipeline));
    assert_eq!((&value["settings"]["label"], &value["start"]["iteration"]), (&Value::Null, &json!(2)));
    // sin(0) is masked and so 0; sin(9) comes first of what is known: 0x3ed30132.
    assert_eq!(value["start"]["masked"][0], json!(1));
    let start = value["start"]["tokens"].as_str().unwrap();
    assert_eq!(&start[48..53], "MgHTP");
}

#[test]
fn what_is_written_is_read_back() {
    let pipeline = pipeline(&Engine::Cpu);
    for trace in [whole(&pipeline), edited(&pipeline)] {
        assert!(Trace::read(trace.to_json().unwrap().as_bytes()).unwrap() == trace);
    }
}

#[test]
fn what_is_replayed_is_what_was_recorded() {
    let recorded_on = pipeline(&Engine::Cpu);
    let pipeline = pipeline(&device());
    for trace in [whole(&recorded_on), edited(&recorded_on)] {
        let again = block_on(replay(&pipeline, &trace)).unwrap();
        assert!(f64::from(again.difference) < tolerance(1e-6), "{}", again.difference);
        let recorded: usize = trace.iterations.iter().map(|iteration| iteration.tokens.len()).sum();
        assert_eq!((again.compared, again.tokens.count()), (recorded, 16));
    }
}

#[test]
fn history_is_not_computed_again() {
    let pipeline = pipeline(&Engine::Cpu);
    let mut decoding = pipeline.decode(&[(Some(2), 6)], OrderKind::Random, settings(4, 5), None).unwrap();
    let mut trace = whole(&pipeline);
    advance(&mut decoding);
    advance(&mut decoding);
    let fork = Trace::begin(&pipeline, &decoding, 6).unwrap();
    trace.start = fork.start;
    for iteration in &mut trace.iterations[..2] {
        iteration.trajectory.fill(0.5);
    }
    let trace = Trace::read(trace.to_json().unwrap().as_bytes()).unwrap();
    let again = block_on(replay(&pipeline, &trace)).unwrap();
    assert!(again.difference < 1e-6, "{}", again.difference);
    assert_eq!(again.compared, trace.iterations[2..].iter().map(|iteration| iteration.tokens.len()).sum::<usize>());
}

#[test]
fn a_replay_tells_what_differs() {
    let pipeline = pipeline(&Engine::Cpu);
    let good = whole(&pipeline);
    let mut off = good.clone();
    *off.iterations[1].trajectory.last_mut().unwrap() += 0.25;
    assert!((block_on(replay(&pipeline, &off)).unwrap().difference - 0.25).abs() < 1e-3);
    let mut other = good.clone();
    other.settings.seed = 7;
    assert!(block_on(replay(&pipeline, &other)).unwrap().difference > 0.01);

    let mut swapped = good.clone();
    swapped.order.reverse();
    assert!(matches!(block_on(replay(&pipeline, &swapped)), Err(ReplayError::Tokens { iteration: 0, .. })));
    let mut shorter = good.clone();
    shorter.settings.sampling.iterations = 3;
    assert!(block_on(replay(&pipeline, &shorter)).is_err());
    let mut foreign = good.clone();
    foreign.model.parameters += 1;
    assert!(block_on(replay(&pipeline, &foreign)).unwrap_err().to_string().contains("give its weights as --model"));
    let mut labelled = good.clone();
    labelled.settings.label = Some(3);
    assert!(block_on(replay(&pipeline, &labelled)).unwrap_err().to_string().contains("label 3"));
    let empty = Trace { iterations: Vec::new(), ..good };
    assert!(matches!(block_on(replay(&pipeline, &empty)), Err(ReplayError::Empty)));
}

#[test]
fn spoiled_files_say_what_is_wrong() {
    let pipeline = pipeline(&Engine::Cpu);
    let (whole, edited) = (json(&whole(&pipeline)), json(&edited(&pipeline)));
    let spoiled = |good: &Value, at: &str, with: Value| {
        let mut value = good.clone();
        *value.pointer_mut(at).unwrap_or_else(|| panic!("no {at}")) = with;
        refusal(&value)
    };
    let cases = [
        ("/format", json!("other"), "not a marscope trace"),
        ("/version", json!(2), "of version 2"),
        ("/version", json!("1"), "of version \"1\""),
        ("/order/0", whole["order"][1].clone(), "order is not each position once"),
        ("/order", json!([]), "order is not each position once"),
        ("/order", json!([0]), "4 iterations over 1 tokens"),
        ("/settings/seed", json!(1u64 << 53), "from 0 to 2^53 - 1"),
        ("/settings/seed", json!(-1), "cannot be read"),
        ("/settings/cfg", json!(1e300), "cfg is inf: give a number from 0 to 20"),
        ("/settings/temperature", json!(-1e300), "temperature is -inf: give a number from 0 to 2"),
        ("/settings/iterations", json!(0), "0 iterations over 16 tokens"),
        ("/settings/iterations", json!(3), "an iteration 3 of 3"),
        ("/settings/cfgSchedule", json!("cubic"), "cubic"),
        ("/iterations/1/iteration", json!(2), "iteration 2 stands where 1 belongs"),
        ("/iterations/0/iteration", json!(1), "begin with 1, and it starts at 0"),
        ("/iterations/1/tokens", json!([]), "iteration 1 has no tokens"),
        ("/iterations/1/tokens/0", whole["iterations"][0]["tokens"][0].clone(), "which is not masked"),
        ("/iterations/3/tokens/0", whole["iterations"][3]["tokens"][1].clone(), "a token twice"),
        ("/iterations/1/tokens/0", json!(16), "token 16, which is not masked"),
        ("/iterations/1/maskBefore", json!([1]), "1 mask entries for 16 tokens"),
        ("/iterations/1/maskBefore/0", json!(2), "more than 0 and 1"),
        ("/iterations/1/cfg", json!(-1e300), "cfg of iteration 1"),
        ("/iterations/1/timesteps", json!([0]), "1 timesteps and 6 values"),
        ("/iterations/1/alphaBar/0", json!(1.5), "not between 0 and 1"),
        ("/iterations/1/trajectory", json!("AAAAAA=="), "trajectory of iteration 1 has 1 numbers"),
        ("/iterations/1/trajectory", json!("no base64"), "base64"),
        ("/iterations/1/trajectory", json!("AAAA"), "3 bytes"),
        ("/iterations/1/before", json!("AADAfw=="), "NaN is not finite"),
        ("/iterations/1/before", json!("AAAAAA=="), "1 numbers, which 16 tokens do not share"),
        ("/iterations/1/before", json!(""), "0 numbers"),
        ("/iterations/1/ms", json!({}), "backbone"),
        ("/iterations/1/ms/head", json!(1e300), "time of iteration 1"),
    ];
    for (at, with, expected) in cases {
        let message = spoiled(&whole, at, with);
        assert!(message.contains(expected), "{at}: {message}");
    }
    for (at, with, expected) in [
        ("/start/iteration", json!(6), "starts before iteration 6 of 6"),
        ("/start/iteration", json!(1), "begin with 2, and it starts at 1"),
        ("/start/masked", json!([0]), "its start has 1 mask entries"),
        ("/start/masked/3", json!(7), "more than 0 and 1"),
        ("/start/tokens", Value::String("AAAA".repeat(64)), "its tokens are of several sizes"),
        ("/start/tokens", json!(3), "cannot be read"),
    ] {
        let message = spoiled(&edited, at, with);
        assert!(message.contains(expected), "{at}: {message}");
    }
    for name in ["format", "version", "model", "settings", "order", "start", "iterations"] {
        let mut value = whole.clone();
        value.as_object_mut().unwrap().remove(name);
        assert!(!refusal(&value).is_empty(), "{name}");
    }
    let mut value = whole;
    value["settings"].as_object_mut().unwrap().remove("label");
    assert!(refusal(&value).contains("label"), "a class is null or a number, and never left out");
}

#[test]
fn what_a_trace_has_no_room_for_is_refused() {
    let pipeline = pipeline(&Engine::Cpu);
    let begin = |images: &[_], settings: Settings, seed| {
        let decoding = pipeline.decode(images, OrderKind::Random, settings, None).unwrap();
        Trace::begin(&pipeline, &decoding, seed).unwrap_err().to_string()
    };
    let one = [(Some(0), 1)];
    let ddim = Settings { steps: "ddim10".into(), ..settings(4, 5) };
    assert!(begin(&one, ddim, 1).contains("not 'ddim10'"));
    assert!(begin(&one, settings(4, 5), 1 << 53).contains("2^53"));
    assert!(begin(&[(Some(0), 1), (None, 2)], settings(4, 5), 1).contains("one image"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if common::on_gpu() { 4 } else { 400 }))]

    #[test]
    fn no_damage_panics(changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4), cut in prop::option::of(any::<Index>())) {
        static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let pipeline = pipeline(&Engine::Cpu);
            edited(&pipeline).to_json().unwrap().into_bytes()
        });
        let mut bytes = GOOD.clone();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(trace) = Trace::read(&bytes) {
            prop_assert!(Trace::read(trace.to_json().unwrap().as_bytes()).unwrap() == trace);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        prop_assert!(Trace::read(&bytes).is_err());
    }
}
