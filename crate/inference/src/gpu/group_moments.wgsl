// Mean and sum of squares about it of each channel, a channel a workgroup; group_norm.wgsl puts those of a group together.
// Every lane adds up all partial sums itself: one barrier a sum, not one for each halving.

override LANES: u32 = 64u;

struct Shape {
    channels: u32,
    // Numbers of a channel.
    area: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec2<f32>>;

var<workgroup> sums: array<f32, LANES>;
var<workgroup> squares: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn group_moments(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = item(group);
    if (channel >= shape.channels) {
        return;
    }
    let at = channel * shape.area;
    var sum = 0.0;
    for (var i = lane; i < shape.area; i += LANES) {
        sum += x[at + i];
    }
    sums[lane] = sum;
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) {
        total += sums[i];
    }
    let mean = total / f32(shape.area);
    sum = 0.0;
    for (var i = lane; i < shape.area; i += LANES) {
        let off = x[at + i] - mean;
        sum += off * off;
    }
    squares[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        total = 0.0;
        for (var i = 0u; i < LANES; i++) {
            total += squares[i];
        }
        out[channel] = vec2(mean, total);
    }
}
