// Layer norm of a row by a workgroup: mean first, then the mean square about it, as the reference does.
// Every lane adds up all partial sums itself: one barrier a sum, not one for each halving.

override LANES: u32 = 64u;

struct Shape {
    which: u32,
    width: u32,
    stride: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;
// Scale, then shift.
@group(0) @binding(3) var<storage, read> parameter: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

var<workgroup> sums: array<f32, LANES>;
var<workgroup> squares: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (item(group) >= rows_of(shape.which)) {
        return;
    }
    let at = item(group) * shape.stride;
    let width = shape.width;
    var sum = 0.0;
    for (var i = lane; i < width; i += LANES) {
        sum += x[at + i];
    }
    sums[lane] = sum;
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) {
        total += sums[i];
    }
    let mean = total / f32(width);
    sum = 0.0;
    for (var i = lane; i < width; i += LANES) {
        let off = x[at + i] - mean;
        sum += off * off;
    }
    squares[lane] = sum;
    workgroupBarrier();
    total = 0.0;
    for (var i = 0u; i < LANES; i++) {
        total += squares[i];
    }
    let scale = inverseSqrt(total / f32(width) + 1e-6);
    for (var i = lane; i < width; i += LANES) {
        out[at + i] = (x[at + i] - mean) * scale * parameter[i] + parameter[width + i];
    }
}
