//! The order in which tokens are drawn. Random in training; any permutation works in decoding.
//! Section 3.4 of the paper (masked autoregression in random order).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::random::Philox;

/// How an order is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum OrderKind {
    /// A random permutation, drawn from the image's seed.
    #[default]
    Random,
    /// Rows from the top, each from the left.
    Raster,
    /// From the middle outwards along a spiral.
    Spiral,
    /// By distance from the middle.
    Center,
}

/// The `grid * grid` positions in the order in which they are generated: `order[rank]` is a position (row-major).
pub fn order(kind: OrderKind, grid: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..grid * grid).collect();
    match kind {
        OrderKind::Raster => {}
        // This address does not occur in decoding noise, whose iteration and step are small.
        OrderKind::Random => Philox::new(seed).stream(u32::MAX, 0).shuffle(&mut order),
        OrderKind::Center => order.sort_by_key(|&place| from_middle(place, grid)),
        OrderKind::Spiral => order = spiral(grid),
    }
    order
}

/// A way to make an order, or the order itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "an order is random, raster, spiral, center, or a list of all positions")]
pub enum Order {
    /// Made from the grid and the image's seed.
    Kind(OrderKind),
    /// `positions[rank]`, each position once.
    Positions(Vec<usize>),
}

impl Order {
    /// The positions of a `grid` in this order; those that were given are not checked here.
    pub fn positions(&self, grid: usize, seed: u64) -> Vec<usize> {
        match self {
            Self::Kind(kind) => order(*kind, grid, seed),
            Self::Positions(positions) => positions.clone(),
        }
    }
}

impl From<OrderKind> for Order {
    fn from(kind: OrderKind) -> Self {
        Self::Kind(kind)
    }
}

/// Squared distance from the middle of the grid, in half tokens.
fn from_middle(place: usize, grid: usize) -> usize {
    let off = |at: usize| (2 * at + 1).abs_diff(grid);
    off(place / grid).pow(2) + off(place % grid).pow(2)
}

/// Right, down, left, up with growing legs from the middle, keeping what lies on the grid.
fn spiral(grid: usize) -> Vec<usize> {
    let (mut row, mut column) = ((grid as isize - 1) / 2, (grid as isize - 1) / 2);
    let mut order = Vec::with_capacity(grid * grid);
    let mut turns = [(0, 1), (1, 0), (0, -1), (-1, 0)].into_iter().cycle();
    let inside = 0..grid as isize;
    for leg in (1..).flat_map(|length| [length, length]) {
        let (down, right) = turns.next().expect("the turns repeat for ever");
        for _ in 0..leg {
            if order.len() == grid * grid {
                return order;
            }
            if inside.contains(&row) && inside.contains(&column) {
                order.push(row as usize * grid + column as usize);
            }
            row += down;
            column += right;
        }
    }
    order
}

impl FromStr for OrderKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "random" => Ok(Self::Random),
            "raster" => Ok(Self::Raster),
            "spiral" => Ok(Self::Spiral),
            "center" => Ok(Self::Center),
            other => Err(format!("'{other}' is not an order: give random, raster, spiral or center")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_orders_by_hand() {
        assert_eq!(order(OrderKind::Spiral, 3, 0), [4, 5, 8, 7, 6, 3, 0, 1, 2]);
        assert_eq!(order(OrderKind::Center, 3, 0), [4, 1, 3, 5, 7, 0, 2, 6, 8]);
        assert_eq!(order(OrderKind::Raster, 2, 0), [0, 1, 2, 3]);
        assert_ne!(order(OrderKind::Random, 7, 1), order(OrderKind::Random, 7, 2));
    }

    proptest! {
        #[test]
        fn every_order_is_a_permutation(grid in 1usize..20, seed: u64) {
            for kind in [OrderKind::Random, OrderKind::Raster, OrderKind::Spiral, OrderKind::Center] {
                let order = order(kind, grid, seed);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                prop_assert!(sorted.into_iter().eq(0..grid * grid), "{:?}", order);
            }
        }
    }
}
