// Gathered rows: a row of x or of a fixed table, plus a row of the positions.
// Section 3.3 of the paper: masked tokens are dropped before the encoder, and the decoder gets mask tokens instead.

override LANES: u32 = 32u;

struct Shape {
    which: u32,
    width: u32,
    stride: u32,
}

struct GatherRow {
    // The row of x; -1 and below are the rows of the table.
    source: i32,
    position: i32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> list: array<GatherRow>;
@group(0) @binding(4) var<storage, read> fixed: array<f32>;
@group(0) @binding(5) var<storage, read> positions: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn gather(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = item(group);
    if (row >= rows_of(shape.which)) {
        return;
    }
    let width = shape.width;
    let source = list[row].source;
    let position = u32(list[row].position) * width;
    let to = row * shape.stride;
    if (source < 0) {
        let at = u32(-1 - source) * width;
        for (var i = lane; i < width; i += LANES) {
            out[to + i] = fixed[at + i] + positions[position + i];
        }
    } else {
        let at = u32(source) * shape.stride;
        for (var i = lane; i < width; i += LANES) {
            out[to + i] = x[at + i] + positions[position + i];
        }
    }
}
