// A square convolution of features [channels, side, side]: four positions of a row times eight channels a lane, in squares of
// 8 x 8 positions a workgroup. The square's input goes through workgroup memory, a few channels at a time, so that a number
// fetched once serves all taps and channels; software adapters, where a barrier costs more than that saves, read it directly.

override LANES: u32 = 64u;
// Side of the kernel, and `Sides` in autoencoder/parameters.rs: 0 keeps the sides, 1 halves, 2 doubles them.
override TAPS: u32 = 3u;
override SIDES: u32 = 0u;
// Adds to the old value.
override ADD: bool = false;
override STAGED: bool = true;

// Positions of a square's side, lanes that share its channels, input channels at a time, side of the largest input square.
const SQUARE = 8u;
const QUADS = 16u;
const DEPTH = 4u;
const REACH = 17u;

struct Shape {
    c_in: u32,
    c_out: u32,
    side: u32,
    out_side: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [channels / 4, c_in, taps, taps], four channels of the output each.
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

var<workgroup> staged: array<f32, DEPTH * REACH * REACH>;

// The input at a row and column, which are doubled where the sides are; zero outside.
fn input_at(channel: u32, row: i32, column: i32) -> f32 {
    let doubled = select(0u, 1u, SIDES == 2u);
    let end = i32(shape.side << doubled);
    if (row < 0 || column < 0 || row >= end || column >= end) {
        return 0.0;
    }
    return x[(channel * shape.side + (u32(row) >> doubled)) * shape.side + (u32(column) >> doubled)];
}

@compute @workgroup_size(LANES)
fn conv(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let step = select(1u, 2u, SIDES == 1u);
    let squares = (shape.out_side + SQUARE - 1u) / SQUARE;
    let square = item(group);
    if (square >= squares * squares) {
        return;
    }
    let first = SQUARE * vec2(square / squares, square % squares);
    // The input position of the first tap of the first output.
    let origin = vec2<i32>(first * step) - i32(select(TAPS / 2u, 0u, SIDES == 1u));
    let quad = lane % QUADS;
    let place = vec2(quad / 2u, 4u * (quad % 2u));
    let block = 2u * (group.z * (LANES / QUADS) + lane / QUADS);
    let last_block = (shape.c_out + 3u) / 4u - 1u;
    let blocks = min(vec2(block, block + 1u), vec2(last_block));
    let taps = TAPS * TAPS;
    let reach = (SQUARE - 1u) * step + TAPS;

    var low = mat4x4<f32>();
    var high = mat4x4<f32>();
    for (var from_channel = 0u; from_channel < shape.c_in; from_channel += DEPTH) {
        let depth = min(DEPTH, shape.c_in - from_channel);
        if (STAGED) {
            for (var i = lane; i < depth * reach * reach; i += LANES) {
                let at = vec2<i32>(vec2(i / reach % reach, i % reach)) + origin;
                staged[i] = input_at(from_channel + i / (reach * reach), at.x, at.y);
            }
            workgroupBarrier();
        }
        for (var channel = 0u; channel < depth; channel++) {
            let weights = (blocks * shape.c_in + from_channel + channel) * taps;
            for (var tap = 0u; tap < taps; tap++) {
                let at = place * step + vec2(tap / TAPS, tap % TAPS);
                var values = vec4<f32>();
                if (STAGED) {
                    let from_place = (channel * reach + at.x) * reach + at.y;
                    values = vec4(
                        staged[from_place],
                        staged[from_place + step],
                        staged[from_place + 2u * step],
                        staged[from_place + 3u * step],
                    );
                } else {
                    let row = origin.x + i32(at.x);
                    let column = origin.y + i32(at.y);
                    let next = i32(step);
                    values = vec4(
                        input_at(from_channel + channel, row, column),
                        input_at(from_channel + channel, row, column + next),
                        input_at(from_channel + channel, row, column + 2 * next),
                        input_at(from_channel + channel, row, column + 3 * next),
                    );
                }
                let w = weight[weights.x + tap];
                let v = weight[weights.y + tap];
                low += mat4x4(values.x * w, values.y * w, values.z * w, values.w * w);
                high += mat4x4(values.x * v, values.y * v, values.z * v, values.w * v);
            }
        }
        if (STAGED) {
            workgroupBarrier();
        }
    }
    for (var i = 0u; i < 4u; i++) {
        store_four(4u * block, first + place + vec2(0u, i), low[i] + bias[blocks.x]);
        store_four(4u * block + 4u, first + place + vec2(0u, i), high[i] + bias[blocks.y]);
    }
}

// Four channels of one position.
fn store_four(channel: u32, at: vec2<u32>, values: vec4<f32>) {
    if (at.x >= shape.out_side || at.y >= shape.out_side) {
        return;
    }
    for (var i = 0u; i < 4u && channel + i < shape.c_out; i++) {
        let to = ((channel + i) * shape.out_side + at.x) * shape.out_side + at.y;
        if (ADD) {
            out[to] += values[i];
        } else {
            out[to] = values[i];
        }
    }
}
