// The attention weights, softmax(q k^T / sqrt(d)); runs only when a probe asks for them.
// A workgroup a query and head; out is [images, heads, sequence, sequence].

override LANES: u32 = 64u;
override DIM: u32 = 32u;

struct Shape {
    which: u32,
    heads: u32,
    width: u32,
    qkv_stride: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<workgroup> maxima: array<f32, LANES>;
var<workgroup> sums: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn attention_weights(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let keys = rows_of(shape.which) / uniforms.images;
    let row = item(group);
    if (row >= rows_of(shape.which)) {
        return;
    }
    let image = row / keys;
    let head = group.z;
    let from_query = row * shape.qkv_stride + head * DIM;
    let to = ((image * shape.heads + head) * keys + row % keys) * keys;
    let scale = inverseSqrt(f32(DIM));
    var maximum = -3.0e38;
    for (var key = lane; key < keys; key += LANES) {
        let at = (image * keys + key) * shape.qkv_stride + shape.width + head * DIM;
        var dot = 0.0;
        for (var i = 0u; i < DIM; i++) {
            dot += qkv[from_query + i] * qkv[at + i];
        }
        out[to + key] = scale * dot;
        maximum = max(maximum, scale * dot);
    }
    maxima[lane] = maximum;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) {
        maximum = max(maximum, maxima[i]);
    }
    // A lane reads back only the scores that it wrote itself, so no barrier is needed for them.
    var sum = 0.0;
    for (var key = lane; key < keys; key += LANES) {
        let weight = exp(out[to + key] - maximum);
        out[to + key] = weight;
        sum += weight;
    }
    sums[lane] = sum;
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) {
        total += sums[i];
    }
    for (var key = lane; key < keys; key += LANES) {
        out[to + key] /= total;
    }
}
