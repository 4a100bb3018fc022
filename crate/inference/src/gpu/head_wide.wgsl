// A layer of a head too wide for one workgroup: four rows by 4 LANES columns a workgroup, PARTS lanes to a column. The input
// is normed and modulated in the same kernel, the output gated. Two dispatches a block and step.
//
// A vec4 is four rows here, as in head_fused.wgsl; every workgroup of a row norms it again, which costs less than a dispatch.

override LANES: u32 = 32u;
override PARTS: u32 = 4u;
// `Layer` in head_wide.rs. 0: h from x. 1: u from h, normed and modulated. 2: added to h, gated, from u. 3: the prediction from
// h, normed without parameters and modulated.
override LAYER: u32 = 0u;

const CHUNK = 256u;

struct Shape {
    inputs: u32,
    n: u32,
    from_stride: u32,
    to_stride: u32,
    // Columns of the modulations, and the first of this layer's.
    modulations: u32,
    by: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
// x is [tokens, C], all else [rows, stride].
@group(0) @binding(2) var<storage, read> source: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
// Scale and shift of the norm.
@group(0) @binding(5) var<storage, read> norm: array<f32>;
@group(0) @binding(6) var<storage, read> modulation: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

struct Columns {
    c0: vec4<f32>,
    c1: vec4<f32>,
    c2: vec4<f32>,
    c3: vec4<f32>,
}

var<workgroup> a: array<vec4<f32>, CHUNK>;
var<workgroup> partial: array<Columns, LANES * PARTS>;
var<workgroup> sums: array<vec4<f32>, LANES * PARTS>;
var<workgroup> squares: array<vec4<f32>, LANES * PARTS>;

fn four(at: vec4<u32>) -> vec4<f32> {
    return vec4(source[at.x], source[at.y], source[at.z], source[at.w]);
}

fn modulated_by(at: vec4<u32>) -> vec4<f32> {
    return vec4(modulation[at.x], modulation[at.y], modulation[at.z], modulation[at.w]);
}

@compute @workgroup_size(LANES, PARTS)
fn head_layer(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let part = local.y;
    let index = part * LANES + lane;
    let count = rows_of(4u);
    let first = 4u * group.y;
    let rows = min(vec4(first, first + 1u, first + 2u, first + 3u), vec4(count - 1u));
    // The chunk's modulations begin with its first step; `steps` counts from there.
    let modulations = (uniforms.steps * count + rows) * shape.modulations + shape.by;
    var from_rows = rows * shape.from_stride;
    if (LAYER == 0u) {
        // Both branches of a token have the same x.
        from_rows = rows % uniforms.tokens * shape.from_stride;
    }
    let inputs = shape.inputs;
    let n = shape.n;

    var mean = vec4<f32>();
    var scale = vec4<f32>();
    if (LAYER == 1u || LAYER == 3u) {
        var sum = vec4<f32>();
        for (var i = index; i < inputs; i += LANES * PARTS) {
            sum += four(from_rows + i);
        }
        sums[index] = sum;
        workgroupBarrier();
        for (var i = 0u; i < LANES * PARTS; i++) {
            mean += sums[i];
        }
        mean /= f32(inputs);
        var square = vec4<f32>();
        for (var i = index; i < inputs; i += LANES * PARTS) {
            let off = four(from_rows + i) - mean;
            square += off * off;
        }
        squares[index] = square;
        workgroupBarrier();
        square = vec4<f32>();
        for (var i = 0u; i < LANES * PARTS; i++) {
            square += squares[i];
        }
        scale = inverseSqrt(square / f32(inputs) + 1e-6);
    }

    let column = group.x * 4u * LANES + lane;
    let i0 = min(column, n - 1u);
    let i1 = min(column + LANES, n - 1u);
    let i2 = min(column + 2u * LANES, n - 1u);
    let i3 = min(column + 3u * LANES, n - 1u);
    var s = Columns();
    for (var from_input = 0u; from_input < inputs; from_input += CHUNK) {
        for (var i = index; i < CHUNK; i += LANES * PARTS) {
            let input = from_input + i;
            var value = vec4<f32>();
            if (input < inputs) {
                value = four(from_rows + input);
                if (LAYER == 1u || LAYER == 3u) {
                    value = (value - mean) * scale;
                    if (LAYER == 1u) {
                        value = value * norm[input] + norm[inputs + input];
                    }
                    value = value * (1.0 + modulated_by(modulations + inputs + input)) + modulated_by(modulations + input);
                }
            }
            a[i] = value;
        }
        workgroupBarrier();
        let pairs = min(CHUNK, (inputs - from_input + 3u) / 4u * 4u) / 2u;
        let each = (pairs + PARTS - 1u) / PARTS;
        let to_pair = min(part * each + each, pairs);
        for (var pair = part * each; pair < to_pair; pair++) {
            let even = a[2u * pair];
            let odd = a[2u * pair + 1u];
            let w0 = weight_pair(0u, n, from_input / 2u + pair, i0);
            let w1 = weight_pair(0u, n, from_input / 2u + pair, i1);
            let w2 = weight_pair(0u, n, from_input / 2u + pair, i2);
            let w3 = weight_pair(0u, n, from_input / 2u + pair, i3);
            s.c0 += w0.x * even + w0.y * odd;
            s.c1 += w1.x * even + w1.y * odd;
            s.c2 += w2.x * even + w2.y * odd;
            s.c3 += w3.x * even + w3.y * odd;
        }
        workgroupBarrier();
    }
    partial[index] = s;
    workgroupBarrier();
    if (part == 0u) {
        for (var other = 1u; other < PARTS; other++) {
            let more = partial[other * LANES + lane];
            s.c0 += more.c0;
            s.c1 += more.c1;
            s.c2 += more.c2;
            s.c3 += more.c3;
        }
        store(s.c0, column, rows, first, count, modulations);
        store(s.c1, column + LANES, rows, first, count, modulations);
        store(s.c2, column + 2u * LANES, rows, first, count, modulations);
        store(s.c3, column + 3u * LANES, rows, first, count, modulations);
    }
}

fn store(sum: vec4<f32>, column: u32, rows: vec4<u32>, first: u32, count: u32, modulations: vec4<u32>) {
    if (column >= shape.n) {
        return;
    }
    var value = sum + bias[column];
    if (LAYER == 1u) {
        value = value / (1.0 + exp(-value));
    }
    if (LAYER == 2u) {
        value *= modulated_by(modulations + column);
    }
    for (var row = 0u; row < 4u && first + row < count; row++) {
        let to = rows[row] * shape.to_stride + column;
        if (LAYER == 2u) {
            out[to] += value[row];
        } else {
            out[to] = value[row];
        }
    }
}
