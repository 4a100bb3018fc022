// The reverse process of four rows of the head by one workgroup, all steps of a chunk in one dispatch: two tokens with both
// of their branches, or four tokens without guidance. Section 3.2 of the paper; x, activations and sums stay in the
// workgroup, and every weight that is read serves four rows.
//
// A vec4 is four rows: guided, the conditional branches of both tokens, then the unconditional ones. A lane has the columns
// lane, lane + LANES, ... of every layer (four at most), and PARTS lanes share a column's inputs.

override WIDTH: u32 = 192u;
override DIM: u32 = 16u;
override DEPTH: u32 = 3u;
override LANES: u32 = 48u;
override PARTS: u32 = 1u;
// Most inputs of a layer, and lanes times parts where there are parts, else 1.
override WIDEST: u32 = 192u;
override PARTIALS: u32 = 1u;

@group(0) @binding(1) var<storage, read> steps: array<Step>;
// [1 + steps, tokens, DIM]
@group(0) @binding(2) var<storage, read> noise: array<f32>;
// Input, both layers of every block, output.
@group(0) @binding(3) var<storage, read> weight: array<u32>;
// Bias of the input; for every block scale and shift of its norm and both biases; bias of the output.
@group(0) @binding(4) var<storage, read> parameter: array<f32>;
// [steps of the chunk, rows, (3 DEPTH + 2) WIDTH], rows padded
@group(0) @binding(5) var<storage, read> modulation: array<f32>;
// x and the clean token that the last step predicted, [2, tokens, DIM]: from chunk to chunk.
@group(0) @binding(6) var<storage, read_write> state: array<f32>;
@group(0) @binding(7) var<storage, read_write> frames: array<f32>;
// [steps, tokens, 2 DIM]
@group(0) @binding(8) var<storage, read_write> predictions: array<f32>;

// What the next layer reads.
var<workgroup> a: array<vec4<f32>, WIDEST>;
var<workgroup> partial: array<mat4x4<f32>, PARTIALS>;
var<workgroup> sums: array<vec4<f32>, LANES>;
var<workgroup> squares: array<vec4<f32>, LANES>;
var<workgroup> x: array<vec4<f32>, DIM>;
var<workgroup> previous: array<vec4<f32>, DIM>;

fn padded(n: u32) -> u32 {
    return (n + 3u) / 4u * 4u;
}

// Words of a layer's weights.
fn words(inputs: u32, n: u32) -> u32 {
    return padded(inputs) * n / select(1u, 2u, HALF);
}

// The lane's columns of `a W`, W of `inputs` by `n` from word `at` on: a column of the matrix each. All lanes must come here;
// the result is complete in the lanes of part 0, and no lane reads `a` any more.
fn layer(at: u32, inputs: u32, n: u32, lane: u32, part: u32) -> mat4x4<f32> {
    let fours = padded(inputs) / 4u;
    let each = (fours + PARTS - 1u) / PARTS;
    let from_four = min(part * each, fours);
    let to_four = min(from_four + each, fours);
    let columns = min(lane + LANES * vec4(0u, 1u, 2u, 3u), vec4(n - 1u));
    var sums = mat4x4<f32>();
    for (var four = from_four; four < to_four; four++) {
        let inputs_here = mat4x4(a[4u * four], a[4u * four + 1u], a[4u * four + 2u], a[4u * four + 3u]);
        sums += inputs_here * mat4x4(
            weights_at(at, n, four, columns.x),
            weights_at(at, n, four, columns.y),
            weights_at(at, n, four, columns.z),
            weights_at(at, n, four, columns.w),
        );
    }
    if (PARTS > 1u) {
        partial[part * LANES + lane] = sums;
    }
    workgroupBarrier();
    if (PARTS > 1u && part == 0u) {
        for (var other = 1u; other < PARTS; other++) {
            sums += partial[other * LANES + lane];
        }
    }
    return sums;
}

// Weights of inputs 4 four to 4 four + 3 to one column.
fn weights_at(at: u32, n: u32, four: u32, column: u32) -> vec4<f32> {
    return vec4(weight_pair(at, n, 2u * four, column), weight_pair(at, n, 2u * four + 1u, column));
}

// Four rows of the modulations at `column`.
fn modulated_by(rows: vec4<u32>, column: u32) -> vec4<f32> {
    let at = rows * padded((3u * DEPTH + 2u) * WIDTH) + column;
    return vec4(modulation[at.x], modulation[at.y], modulation[at.z], modulation[at.w]);
}

fn parameter_or(at: u32, i: u32, bare: bool, otherwise: f32) -> f32 {
    if (bare) {
        return otherwise;
    }
    return parameter[at + i];
}

// `a = (LN(h) * scale + shift) * (1 + scale') + shift'`, the norm's own from `at` on unless it is bare, the modulation's
// from column `by` on. All lanes must come here; `a` is written when they leave.
fn norm_modulate(h: mat4x4<f32>, at: u32, bare: bool, rows: vec4<u32>, by: u32, lane: u32, part: u32) {
    let has = vec4(lane < WIDTH, lane + LANES < WIDTH, lane + 2u * LANES < WIDTH, lane + 3u * LANES < WIDTH);
    let count = f32(WIDTH);
    if (part == 0u) {
        var sum = vec4<f32>();
        sum += select(vec4<f32>(), h[0], has.x);
        sum += select(vec4<f32>(), h[1], has.y);
        sum += select(vec4<f32>(), h[2], has.z);
        sum += select(vec4<f32>(), h[3], has.w);
        sums[lane] = sum;
    }
    workgroupBarrier();
    var mean = vec4<f32>();
    if (part == 0u) {
        for (var i = 0u; i < LANES; i++) {
            mean += sums[i];
        }
        mean /= count;
        var square = vec4<f32>();
        square += select(vec4<f32>(), (h[0] - mean) * (h[0] - mean), has.x);
        square += select(vec4<f32>(), (h[1] - mean) * (h[1] - mean), has.y);
        square += select(vec4<f32>(), (h[2] - mean) * (h[2] - mean), has.z);
        square += select(vec4<f32>(), (h[3] - mean) * (h[3] - mean), has.w);
        squares[lane] = square;
    }
    workgroupBarrier();
    if (part == 0u) {
        var square = vec4<f32>();
        for (var i = 0u; i < LANES; i++) {
            square += squares[i];
        }
        let scale = inverseSqrt(square / count + 1e-6);
        if (has.x) {
            put(h[0], mean, scale, at, bare, rows, by, lane);
        }
        if (has.y) {
            put(h[1], mean, scale, at, bare, rows, by, lane + LANES);
        }
        if (has.z) {
            put(h[2], mean, scale, at, bare, rows, by, lane + 2u * LANES);
        }
        if (has.w) {
            put(h[3], mean, scale, at, bare, rows, by, lane + 3u * LANES);
        }
    }
    workgroupBarrier();
}

fn put(h: vec4<f32>, mean: vec4<f32>, scale: vec4<f32>, at: u32, bare: bool, rows: vec4<u32>, by: u32, i: u32) {
    let normed = (h - mean) * scale * parameter_or(at, i, bare, 1.0) + parameter_or(at + WIDTH, i, bare, 0.0);
    a[i] = normed * (1.0 + modulated_by(rows, by + WIDTH + i)) + modulated_by(rows, by + i);
}

fn silu(v: vec4<f32>) -> vec4<f32> {
    return v / (1.0 + exp(-v));
}

fn bias(at: u32, i: u32, n: u32) -> f32 {
    return parameter[at + min(i, n - 1u)];
}

fn noise_of(step: u32, tokens: vec4<u32>, i: u32) -> vec4<f32> {
    let at = (step * uniforms.tokens + tokens) * DIM + i;
    return vec4(noise[at.x], noise[at.y], noise[at.z], noise[at.w]);
}

@compute @workgroup_size(LANES, PARTS)
fn reverse(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let part = local.y;
    let index = part * LANES + lane;
    let guided = uniforms.guided != 0u;
    // The token of each of the four rows, and its row among the conditions; those over the end repeat the last token.
    let each = select(4u, 2u, guided);
    let first = item(group) * each;
    if (first >= uniforms.tokens) {
        return;
    }
    var tokens = vec4(first, first + 1u, first + 2u, first + 3u);
    if (guided) {
        tokens = tokens.xyxy;
    }
    tokens = min(tokens, vec4(uniforms.tokens - 1u));
    var conditions = tokens;
    if (guided) {
        conditions += vec4(0u, 0u, uniforms.tokens, uniforms.tokens);
    }
    let tail = uniforms.tokens * DIM;

    for (var i = index; i < DIM; i += LANES * PARTS) {
        if (uniforms.first == 0u) {
            x[i] = noise_of(0u, tokens, i);
            previous[i] = vec4<f32>();
        } else {
            let at = tokens * DIM + i;
            x[i] = vec4(state[at.x], state[at.y], state[at.z], state[at.w]);
            previous[i] = vec4(state[tail + at.x], state[tail + at.y], state[tail + at.z], state[tail + at.w]);
        }
    }
    // Zeros where the first writing of x, which has no barrier before it, does not write. Padding that is overwritten later
    // is harmless: its weights are 0.
    for (var i = max(WIDTH, padded(DIM)) + index; i < WIDEST; i += LANES * PARTS) {
        a[i] = vec4<f32>();
    }

    for (var taken = 0u; taken < uniforms.steps; taken++) {
        let step = uniforms.first + taken;
        let rows = taken * rows_of(4u) + conditions;
        // x was written by the lanes that read it here.
        for (var i = index; i < padded(DIM); i += LANES * PARTS) {
            a[i] = select(vec4<f32>(), x[min(i, DIM - 1u)], i < DIM);
        }
        workgroupBarrier();
        var h = layer(0u, DIM, WIDTH, lane, part);
        h[0] += bias(0u, lane, WIDTH);
        h[1] += bias(0u, lane + LANES, WIDTH);
        h[2] += bias(0u, lane + 2u * LANES, WIDTH);
        h[3] += bias(0u, lane + 3u * LANES, WIDTH);
        var at = words(DIM, WIDTH);
        var own = WIDTH;
        for (var block = 0u; block < DEPTH; block++) {
            let by = 3u * block * WIDTH;
            norm_modulate(h, own, false, rows, by, lane, part);
            let u = layer(at, WIDTH, WIDTH, lane, part);
            if (part == 0u) {
                put_silu(u[0], own + 2u * WIDTH, lane);
                put_silu(u[1], own + 2u * WIDTH, lane + LANES);
                put_silu(u[2], own + 2u * WIDTH, lane + 2u * LANES);
                put_silu(u[3], own + 2u * WIDTH, lane + 3u * LANES);
            }
            workgroupBarrier();
            at += words(WIDTH, WIDTH);
            let f = layer(at, WIDTH, WIDTH, lane, part);
            h[0] += gated(f[0], own + 3u * WIDTH, rows, by + 2u * WIDTH, lane);
            h[1] += gated(f[1], own + 3u * WIDTH, rows, by + 2u * WIDTH, lane + LANES);
            h[2] += gated(f[2], own + 3u * WIDTH, rows, by + 2u * WIDTH, lane + 2u * LANES);
            h[3] += gated(f[3], own + 3u * WIDTH, rows, by + 2u * WIDTH, lane + 3u * LANES);
            at += words(WIDTH, WIDTH);
            own += 4u * WIDTH;
        }
        norm_modulate(h, 0u, true, rows, 3u * DEPTH * WIDTH, lane, part);
        let prediction = layer(at, WIDTH, 2u * DIM, lane, part);
        if (part == 0u) {
            put_prediction(prediction[0], own, lane);
            put_prediction(prediction[1], own, lane + LANES);
            put_prediction(prediction[2], own, lane + 2u * LANES);
            put_prediction(prediction[3], own, lane + 3u * LANES);
        }
        workgroupBarrier();
        for (var i = index; i < DIM; i += LANES * PARTS) {
            var epsilon = a[i];
            var v = a[DIM + i];
            if (guided) {
                epsilon = (epsilon.zw + uniforms.cfg * (epsilon.xy - epsilon.zw)).xyxy;
                v = v.xyxy;
            }
            let next = reverse_step(steps[step], x[i], previous[i], epsilon, v, noise_of(step + 1u, tokens, i));
            x[i] = next.x;
            previous[i] = next.clean;
            for (var row = 0u; row < each && first + row < uniforms.tokens; row++) {
                let token = first + row;
                if (is_kept(step + 1u)) {
                    frames[(frame_of(step + 1u) * uniforms.tokens + token) * DIM + i] = next.x[row];
                }
                if (uniforms.explain != 0u) {
                    let to = (step * uniforms.tokens + token) * 2u * DIM + i;
                    predictions[to] = epsilon[row];
                    predictions[to + DIM] = v[row];
                }
                if (taken + 1u == uniforms.steps) {
                    state[token * DIM + i] = next.x[row];
                    state[tail + token * DIM + i] = next.clean[row];
                }
            }
        }
        // The next step writes over `a`, of which this one's lanes read what others wrote.
        workgroupBarrier();
    }
}

fn put_silu(sum: vec4<f32>, biases: u32, i: u32) {
    if (i < WIDTH) {
        a[i] = silu(sum + parameter[biases + i]);
    }
}

fn put_prediction(sum: vec4<f32>, biases: u32, i: u32) {
    if (i < 2u * DIM) {
        a[i] = sum + parameter[biases + i];
    }
}

fn gated(sum: vec4<f32>, biases: u32, rows: vec4<u32>, by: u32, i: u32) -> vec4<f32> {
    let column = min(i, WIDTH - 1u);
    return modulated_by(rows, by + column) * (sum + parameter[biases + column]);
}
