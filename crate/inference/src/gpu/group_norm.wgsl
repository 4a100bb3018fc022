// Group norm with scale and shift, then SiLU where asked for; a channel a workgroup.
// The variance of a group is that within its channels and that between their means: Chan, Golub and LeVeque (1983).

override LANES: u32 = 64u;
override SILU: bool = false;

struct Shape {
    channels: u32,
    area: u32,
    // Channels of a group.
    each: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;
// Mean and sum of squares about it, by channel.
@group(0) @binding(3) var<storage, read> moments: array<vec2<f32>>;
// Scale, then shift.
@group(0) @binding(4) var<storage, read> parameter: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn group_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = item(group);
    if (channel >= shape.channels) {
        return;
    }
    let first = channel / shape.each * shape.each;
    var mean = 0.0;
    for (var i = 0u; i < shape.each; i++) {
        mean += moments[first + i].x;
    }
    mean /= f32(shape.each);
    var squares = 0.0;
    for (var i = 0u; i < shape.each; i++) {
        let off = moments[first + i].x - mean;
        squares += moments[first + i].y + f32(shape.area) * off * off;
    }
    let scale = inverseSqrt(squares / f32(shape.each * shape.area) + 1e-6) * parameter[channel];
    let shift = parameter[shape.channels + channel] - mean * scale;
    let at = channel * shape.area;
    for (var i = lane; i < shape.area; i += LANES) {
        let value = x[at + i] * scale + shift;
        if (SILU) {
            out[at + i] = value / (1.0 + exp(-value));
        } else {
            out[at + i] = value;
        }
    }
}
