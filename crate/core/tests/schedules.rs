//! What the page computes on its own before it has an engine: step budgets, mask lengths, orders. It is held to what this
//! package computes by one table of hashes, which the page's tests read (`www/src/state/schedules.test.ts`).
//! `MARSCOPE_WRITE_FIXTURES=1 cargo test -p marscope-core --test schedules` writes the table anew.

use std::path::Path;

use marscope_core::sampler::OrderKind;
use marscope_core::sampler::budget::steps_in;
use marscope_core::sampler::mask::mask_lengths;
use marscope_core::sampler::order::order;
use marscope_core::sampler::settings::STEPS;
use serde_json::json;

/// The most tokens and iterations that are compared: those of the released weights.
const MOST: usize = 256;

/// FNV-1a over whole numbers, in 32 bits: what JavaScript multiplies exactly too.
fn hash(values: impl IntoIterator<Item = usize>) -> u32 {
    values.into_iter().fold(0x811c_9dc5, |hash, value| (hash ^ value as u32).wrapping_mul(0x0100_0193))
}

fn budget(early: usize, late: usize, iterations: usize) -> impl Iterator<Item = usize> {
    (0..iterations).map(move |iteration| steps_in(early, late, iteration, iterations))
}

#[test]
fn the_pages_table_is_fresh() {
    // The line through two numbers of steps moves with both: from the fewest to every other, and back, says it all.
    let least = *STEPS.start();
    let lines = |iterations| {
        hash(STEPS.flat_map(|steps| budget(steps, least, iterations).chain(budget(least, steps, iterations))))
    };
    // And, to see that it does, every pair for two numbers of iterations.
    let pairs = |iterations| hash(STEPS.flat_map(|early| STEPS.flat_map(move |late| budget(early, late, iterations))));
    let masks = |length| hash((1..=length).flat_map(|iterations| mask_lengths(length, iterations)));
    let orders = |kind| hash((1..=20).flat_map(|grid| order(kind, grid, 0)));
    let table = json!({
        "budgets": (1..=MOST).map(lines).collect::<Vec<_>>(),
        "pairs": { "13": pairs(13), "16": pairs(16) },
        "maskLengths": (1..=MOST).map(masks).collect::<Vec<_>>(),
        "orders": {
            "raster": orders(OrderKind::Raster),
            "spiral": orders(OrderKind::Spiral),
            "center": orders(OrderKind::Center),
        },
    });
    let text = serde_json::to_string(&table).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/schedules.json");
    if std::env::var_os("MARSCOPE_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "tests/fixtures/schedules.json is stale: see the head of this file");
}
