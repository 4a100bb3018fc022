// The picked rows of x, one a workgroup.
// Section 3.3 of the paper: only they are sampled in this iteration.

override LANES: u32 = 32u;

struct Shape {
    width: u32,
    stride: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> picks: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn pick(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = item(group);
    if (row >= rows_of(3u)) {
        return;
    }
    let at = picks[row] * shape.stride;
    for (var i = lane; i < shape.width; i += LANES) {
        out[row * shape.stride + i] = x[at + i];
    }
}
