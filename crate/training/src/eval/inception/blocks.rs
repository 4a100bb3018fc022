//! The network's blocks: parallel branches over the same input, their outputs concatenated along the channels.
//! Names and widths are those of the published weights; the poolings differ from later versions of `InceptionV3`.

use burn::tensor::Tensor;

use super::layers::{Conv, Loader, average, halve, maximum};
use marscope_core::checkpoint::CheckpointError;

/// A step of a branch, for the tables below.
#[derive(Clone, Copy)]
enum BranchLayer {
    /// A convolution that keeps the size: name, output channels, kernel `[height, width]`.
    Same(&'static str, usize, [usize; 2]),
    /// A 3x3 convolution without padding: name, output channels, stride.
    Valid(&'static str, usize, usize),
    /// Two convolutions of the same input, 1x3 and 3x1, with concatenated outputs: names, channels of each.
    Fork([&'static str; 2], usize),
    /// A pooling.
    Pool(fn(Tensor<4>) -> Tensor<4>),
}

#[derive(Debug)]
enum Step {
    Conv(Box<Conv>),
    Fork(Box<[Conv; 2]>),
    Pool(fn(Tensor<4>) -> Tensor<4>),
}

/// Branches over the same input.
#[derive(Debug)]
pub struct Block {
    /// Its published name.
    pub name: &'static str,
    branches: Vec<Vec<Step>>,
}

impl Block {
    /// `[n, c_in, h, w]` to `[n, c_out, h', w']`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut outputs = self.branches.iter().map(|branch| branch.iter().fold(x.clone(), |x, step| step.forward(x)));
        match self.branches.len() {
            1 => outputs.next().expect("there is one"),
            _ => Tensor::cat(outputs.collect(), 1),
        }
    }
}

impl Step {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv.forward(x),
            Self::Fork(both) => Tensor::cat(both.iter().map(|conv| conv.forward(x.clone())).collect(), 1),
            Self::Pool(pool) => pool(x),
        }
    }
}

/// All blocks, first to last: `[n, 3, 299, 299]` to `[n, 2048, 8, 8]`.
pub fn blocks(loader: &mut Loader) -> Result<Vec<Block>, CheckpointError> {
    use BranchLayer::{Pool, Same, Valid};

    let stem = |name, c_in, step| (name, c_in, vec![vec![step]]);
    let plans = [
        stem("Conv2d_1a_3x3", 3, Valid("", 32, 2)),
        stem("Conv2d_2a_3x3", 32, Valid("", 32, 1)),
        stem("Conv2d_2b_3x3", 32, Same("", 64, [3, 3])),
        stem("MaxPool_1", 64, Pool(halve)),
        stem("Conv2d_3b_1x1", 64, Same("", 80, [1, 1])),
        stem("Conv2d_4a_3x3", 80, Valid("", 192, 1)),
        stem("MaxPool_2", 192, Pool(halve)),
        ("Mixed_5b", 192, a(32)),
        ("Mixed_5c", 256, a(64)),
        ("Mixed_5d", 288, a(64)),
        ("Mixed_6a", 288, b()),
        ("Mixed_6b", 768, c(128)),
        ("Mixed_6c", 768, c(160)),
        ("Mixed_6d", 768, c(160)),
        ("Mixed_6e", 768, c(192)),
        ("Mixed_7a", 768, d()),
        ("Mixed_7b", 1280, e(average)),
        ("Mixed_7c", 2048, e(maximum)),
    ];
    plans.into_iter().map(|(name, c_in, branches)| block(loader, name, c_in, &branches)).collect()
}

fn block(
    loader: &mut Loader,
    name: &'static str,
    c_in: usize,
    branches: &[Vec<BranchLayer>],
) -> Result<Block, CheckpointError> {
    let branches = branches.iter().map(|plan| branch(loader, name, c_in, plan)).collect::<Result<_, _>>()?;
    Ok(Block { name, branches })
}

fn branch(
    loader: &mut Loader,
    block: &str,
    mut c_in: usize,
    plan: &[BranchLayer],
) -> Result<Vec<Step>, CheckpointError> {
    let mut steps = Vec::with_capacity(plan.len());
    for &step in plan {
        let mut conv = |name: &str, c_out, kernel, stride, around| {
            // A block of the stem is a single convolution.
            let name = if name.is_empty() { block.to_owned() } else { format!("{block}.{name}") };
            Conv::new(loader, &name, [c_in, c_out], kernel, stride, around)
        };
        steps.push(match step {
            BranchLayer::Same(name, c_out, kernel) => Step::Conv(Box::new(conv(name, c_out, kernel, 1, true)?)),
            BranchLayer::Valid(name, c_out, stride) => Step::Conv(Box::new(conv(name, c_out, [3, 3], stride, false)?)),
            BranchLayer::Fork([wide, high], c_out) => {
                Step::Fork(Box::new([conv(wide, c_out, [1, 3], 1, true)?, conv(high, c_out, [3, 1], 1, true)?]))
            }
            BranchLayer::Pool(pool) => Step::Pool(pool),
        });
        match step {
            BranchLayer::Same(_, c_out, _) | BranchLayer::Valid(_, c_out, _) => c_in = c_out,
            BranchLayer::Fork(_, c_out) => c_in = 2 * c_out,
            BranchLayer::Pool(_) => {}
        }
    }
    Ok(steps)
}

/// 35x35 places; `pool` channels come from the pooling's branch.
fn a(pool: usize) -> Vec<Vec<BranchLayer>> {
    use BranchLayer::{Pool, Same};
    vec![
        vec![Same("branch1x1", 64, [1, 1])],
        vec![Same("branch5x5_1", 48, [1, 1]), Same("branch5x5_2", 64, [5, 5])],
        vec![
            Same("branch3x3dbl_1", 64, [1, 1]),
            Same("branch3x3dbl_2", 96, [3, 3]),
            Same("branch3x3dbl_3", 96, [3, 3]),
        ],
        vec![Pool(average), Same("branch_pool", pool, [1, 1])],
    ]
}

/// From 35x35 to 17x17 places.
fn b() -> Vec<Vec<BranchLayer>> {
    use BranchLayer::{Pool, Same, Valid};
    vec![
        vec![Valid("branch3x3", 384, 2)],
        vec![Same("branch3x3dbl_1", 64, [1, 1]), Same("branch3x3dbl_2", 96, [3, 3]), Valid("branch3x3dbl_3", 96, 2)],
        vec![Pool(halve)],
    ]
}

/// 17x17 places; `inner` channels between the halves of each 7x7 convolution.
fn c(inner: usize) -> Vec<Vec<BranchLayer>> {
    use BranchLayer::{Pool, Same};
    vec![
        vec![Same("branch1x1", 192, [1, 1])],
        vec![Same("branch7x7_1", inner, [1, 1]), Same("branch7x7_2", inner, [1, 7]), Same("branch7x7_3", 192, [7, 1])],
        vec![
            Same("branch7x7dbl_1", inner, [1, 1]),
            Same("branch7x7dbl_2", inner, [7, 1]),
            Same("branch7x7dbl_3", inner, [1, 7]),
            Same("branch7x7dbl_4", inner, [7, 1]),
            Same("branch7x7dbl_5", 192, [1, 7]),
        ],
        vec![Pool(average), Same("branch_pool", 192, [1, 1])],
    ]
}

/// From 17x17 to 8x8 places.
fn d() -> Vec<Vec<BranchLayer>> {
    use BranchLayer::{Pool, Same, Valid};
    vec![
        vec![Same("branch3x3_1", 192, [1, 1]), Valid("branch3x3_2", 320, 2)],
        vec![
            Same("branch7x7x3_1", 192, [1, 1]),
            Same("branch7x7x3_2", 192, [1, 7]),
            Same("branch7x7x3_3", 192, [7, 1]),
            Valid("branch7x7x3_4", 192, 2),
        ],
        vec![Pool(halve)],
    ]
}

/// 8x8 places. The graph's last block takes a maximum where the one before, and the architecture's paper, average.
fn e(pool: fn(Tensor<4>) -> Tensor<4>) -> Vec<Vec<BranchLayer>> {
    use BranchLayer::{Fork, Pool, Same};
    vec![
        vec![Same("branch1x1", 320, [1, 1])],
        vec![Same("branch3x3_1", 384, [1, 1]), Fork(["branch3x3_2a", "branch3x3_2b"], 384)],
        vec![
            Same("branch3x3dbl_1", 448, [1, 1]),
            Same("branch3x3dbl_2", 384, [3, 3]),
            Fork(["branch3x3dbl_3a", "branch3x3dbl_3b"], 384),
        ],
        vec![Pool(pool), Same("branch_pool", 192, [1, 1])],
    ]
}
