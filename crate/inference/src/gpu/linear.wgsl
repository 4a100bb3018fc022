// `out = epilogue(x W + b)`: bindings, and the storing of a number. linear_strip.wgsl and linear_*.wgsl use it.
// x's rows are padded to whole vec4; the weights of the padding are zero.

struct Shape {
    // Index of the row count.
    which: u32,
    // Inputs in vec4, and the stride of x's rows in them.
    k4: u32,
    x_stride: u32,
    n: u32,
    out_stride: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

// `Epilogue` in backbone.rs: 0 writes, 1 applies GELU first, 2 adds.
override EPILOGUE: u32 = 0u;

// The exact GELU; erf through the Chebyshev fit of erfc in Numerical Recipes, section 6.2, relative error below 1.2e-7.
fn gelu(v: f32) -> f32 {
    let z = abs(v) * 0.70710678118654752;
    let t = 1.0 / (1.0 + 0.5 * z);
    let tail = t * exp(-z * z - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))));
    let erf = select(1.0 - tail, tail - 1.0, v < 0.0);
    return 0.5 * v * (1.0 + erf);
}

fn store(row: u32, column: u32, sum: f32) {
    let at = row * shape.out_stride + column;
    let value = sum + bias[column];
    if (EPILOGUE == 1u) {
        out[at] = gelu(value);
    } else if (EPILOGUE == 2u) {
        out[at] += value;
    } else {
        out[at] = value;
    }
}
