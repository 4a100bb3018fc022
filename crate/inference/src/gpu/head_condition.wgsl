// The head's conditions, silu(time[step] + embedded[row]), for all steps of a chunk at once: `[steps * rows, width]`.
// Section 3.2 of the paper. The modulations are a linear layer of them and do not depend on x, so they are computed ahead.

override LANES: u32 = 64u;

struct Shape {
    width: u32,
    stride: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> time: array<f32>;
@group(0) @binding(3) var<storage, read> embedded: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn condition(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let to = item(group);
    if (to >= rows_of(5u)) {
        return;
    }
    let rows = rows_of(4u);
    let step = uniforms.first + to / rows;
    let row = to % rows;
    for (var i = lane; i < shape.width; i += LANES) {
        let y = time[step * shape.width + i] + embedded[row * shape.stride + i];
        out[to * shape.stride + i] = y / (1.0 + exp(-y));
    }
}
