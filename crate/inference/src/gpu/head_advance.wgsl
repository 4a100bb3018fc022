// The reverse step of a wide head, a lane a number of a token: from the head's prediction to the next x.
// Section 3.2 of the paper ("Sampler").

override LANES: u32 = 64u;

struct Shape {
    dim: u32,
    stride: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> steps: array<Step>;
@group(0) @binding(3) var<storage, read> noise: array<f32>;
@group(0) @binding(4) var<storage, read> prediction: array<f32>;
@group(0) @binding(5) var<storage, read_write> state: array<f32>;
@group(0) @binding(6) var<storage, read_write> frames: array<f32>;
@group(0) @binding(7) var<storage, read_write> predictions: array<f32>;

@compute @workgroup_size(LANES)
fn advance(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let dim = shape.dim;
    let numbers = uniforms.tokens * dim;
    let at = item(group) * LANES + lane;
    if (at >= numbers) {
        return;
    }
    let token = at / dim;
    let i = at % dim;
    let step = uniforms.first;
    var epsilon = prediction[token * shape.stride + i];
    let v = prediction[token * shape.stride + dim + i];
    if (uniforms.guided != 0u) {
        let without = prediction[(uniforms.tokens + token) * shape.stride + i];
        epsilon = without + uniforms.cfg * (epsilon - without);
    }
    var previous = 0.0;
    if (step > 0u) {
        previous = state[numbers + at];
    }
    let added = vec4(noise[(step + 1u) * numbers + at]);
    let next = reverse_step(steps[step], vec4(state[at]), vec4(previous), vec4(epsilon), vec4(v), added);
    state[at] = next.x.x;
    state[numbers + at] = next.clean.x;
    if (is_kept(step + 1u)) {
        frames[frame_of(step + 1u) * numbers + at] = next.x.x;
    }
    if (uniforms.explain != 0u) {
        let to = (step * uniforms.tokens + token) * 2u * dim + i;
        predictions[to] = epsilon;
        predictions[to + dim] = v;
    }
}
