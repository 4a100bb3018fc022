//! Traces: what is written is read back to the bit, what is replayed is what was recorded, and no file does any harm.
//! The format is the page's too.
#![cfg(feature = "cli")]

mod common;

use common::small::{advance, engine, settings};
use common::{device, tolerance};
use marscope::engine::Engine;
use marscope::network::Device;
use marscope::sampler::{Decoding, Order, OrderKind, Settings, Standing};
use marscope::trace::{ReplayError, Trace, replay};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// What `decoding` goes through from where it stands.
fn record(engine: &Engine, mut decoding: Decoding) -> Trace {
    let mut trace = Trace::begin(engine, &decoding, 6).unwrap();
    loop {
        let before = decoding.standing().clone();
        let Some(iteration) = advance(&mut decoding) else { return trace };
        trace.push(&before, &iteration);
    }
}

fn whole(engine: &Engine) -> Trace {
    record(engine, engine.decode(&[(Some(2), 6)], OrderKind::Random, settings(4, 5), None).unwrap())
}

/// From a picture that nobody decoded.
fn edited(engine: &Engine) -> Trace {
    let tokens = (0..16 * 9).map(|i| (i as f32).sin()).collect();
    let start = Standing { iteration: 2, tokens, masked: (0..16).map(|token| token % 3 == 0).collect() };
    let order = Order::Positions((0..16).rev().collect());
    let settings = Settings { stride: 2, ..settings(6, 5) };
    record(engine, engine.decode(&[(None, 6)], order, settings, Some(start)).unwrap())
}

fn json(trace: &Trace) -> Value {
    serde_json::from_str(&trace.to_json().unwrap()).unwrap()
}

fn refusal(value: &Value) -> String {
    Trace::read(value.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_file_is_as_the_format_says() {
    let engine = engine(&Device::Cpu);
    let trace = whole(&engine);
    let value = json(&trace);
    assert_eq!((&value["format"], &value["version"]), (&json!("marscope-trace"), &json!(1)));
    assert_eq!(value["model"], json!({ "name": "test", "parameters": engine.parameters() }));
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

    let value = json(&edited(&engine));
    assert_eq!((&value["settings"]["label"], &value["start"]["iteration"]), (&Value::Null, &json!(2)));
    // sin(0) is masked and so 0; sin(9) comes first of what is known: 0x3ed30132.
    assert_eq!(value["start"]["masked"][0], json!(1));
    let start = value["start"]["tokens"].as_str().unwrap();
    assert_eq!(&start[48..53], "MgHTP");
}

#[test]
fn what_is_written_is_read_back() {
    let engine = engine(&Device::Cpu);
    for trace in [whole(&engine), edited(&engine)] {
        assert!(Trace::read(trace.to_json().unwrap().as_bytes()).unwrap() == trace);
    }
}

#[test]
fn what_is_replayed_is_what_was_recorded() {
    let recorded_on = engine(&Device::Cpu);
    let engine = engine(&device());
    for trace in [whole(&recorded_on), edited(&recorded_on)] {
        let again = replay(&engine, &trace).unwrap();
        assert!(f64::from(again.difference) < tolerance(1e-6), "{}", again.difference);
        let recorded: usize = trace.iterations.iter().map(|iteration| iteration.tokens.len()).sum();
        assert_eq!((again.tokens, again.image.len()), (recorded, 144));
    }
}

#[test]
fn history_is_not_computed_again() {
    let engine = engine(&Device::Cpu);
    let mut decoding = engine.decode(&[(Some(2), 6)], OrderKind::Random, settings(4, 5), None).unwrap();
    let mut trace = whole(&engine);
    advance(&mut decoding);
    advance(&mut decoding);
    let fork = Trace::begin(&engine, &decoding, 6).unwrap();
    trace.start = fork.start;
    for iteration in &mut trace.iterations[..2] {
        iteration.trajectory.fill(0.5);
    }
    let trace = Trace::read(trace.to_json().unwrap().as_bytes()).unwrap();
    let again = replay(&engine, &trace).unwrap();
    assert!(again.difference < 1e-6, "{}", again.difference);
    assert_eq!(again.tokens, trace.iterations[2..].iter().map(|iteration| iteration.tokens.len()).sum::<usize>());
}

#[test]
fn a_replay_tells_what_differs() {
    let engine = engine(&Device::Cpu);
    let good = whole(&engine);
    let mut off = good.clone();
    *off.iterations[1].trajectory.last_mut().unwrap() += 0.25;
    assert!((replay(&engine, &off).unwrap().difference - 0.25).abs() < 1e-3);
    let mut other = good.clone();
    other.settings.seed = 7;
    assert!(replay(&engine, &other).unwrap().difference > 0.01);

    let mut swapped = good.clone();
    swapped.order.reverse();
    assert!(matches!(replay(&engine, &swapped), Err(ReplayError::Tokens { iteration: 0, .. })));
    let mut shorter = good.clone();
    shorter.settings.iterations = 3;
    assert!(replay(&engine, &shorter).is_err());
    let mut foreign = good.clone();
    foreign.model.parameters += 1;
    assert!(replay(&engine, &foreign).unwrap_err().to_string().contains("give its weights as --model"));
    let mut labelled = good.clone();
    labelled.settings.label = Some(3);
    assert!(replay(&engine, &labelled).unwrap_err().to_string().contains("label 3"));
    let empty = Trace { iterations: Vec::new(), ..good };
    assert!(matches!(replay(&engine, &empty), Err(ReplayError::Empty)));
}

#[test]
fn spoiled_files_say_what_is_wrong() {
    let engine = engine(&Device::Cpu);
    let (whole, edited) = (json(&whole(&engine)), json(&edited(&engine)));
    let spoiled = |good: &Value, at: &str, with: Value| {
        let mut value = good.clone();
        *value.pointer_mut(at).unwrap_or_else(|| panic!("no {at}")) = with;
        refusal(&value)
    };
    let cases = [
        ("/format", json!("other"), "no marscope trace"),
        ("/version", json!(2), "of version 2"),
        ("/version", json!("1"), "of version \"1\""),
        ("/order/0", whole["order"][1].clone(), "order is not each position once"),
        ("/order", json!([]), "order is not each position once"),
        ("/order", json!([0]), "4 iterations over 1 tokens"),
        ("/settings/seed", json!(1u64 << 53), "over 2^53 - 1"),
        ("/settings/seed", json!(-1), "cannot be read"),
        ("/settings/cfg", json!(1e300), "cfg is not finite"),
        ("/settings/temperature", json!(-1e300), "temperature is not finite"),
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
    let engine = engine(&Device::Cpu);
    let begin = |images: &[_], settings: Settings, seed| {
        let decoding = engine.decode(images, OrderKind::Random, settings, None).unwrap();
        Trace::begin(&engine, &decoding, seed).unwrap_err().to_string()
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
            let engine = engine(&Device::Cpu);
            edited(&engine).to_json().unwrap().into_bytes()
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
