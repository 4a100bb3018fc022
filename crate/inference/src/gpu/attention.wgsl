// softmax(q k^T / sqrt(d)) v for four queries of a head by a workgroup, KEYS keys at a time with a running maximum, so that
// any number of keys fits and scores stay in the workgroup. Lanes are keys for the scores, then dimensions for the sums.

override LANES: u32 = 64u;
override DIM: u32 = 32u;
// Queries by the list of picks, one a workgroup, or four neighbouring ones.
override PICKED: bool = false;

const KEYS = 64u;

struct Shape {
    // Rows of the sequences.
    which: u32,
    width: u32,
    qkv_stride: u32,
    out_stride: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read> picks: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

var<workgroup> query: array<vec4<f32>, DIM>;
var<workgroup> gathered: array<vec4<f32>, DIM>;
var<workgroup> score: array<vec4<f32>, KEYS>;
var<workgroup> share: array<vec4<f32>, KEYS>;

@compute @workgroup_size(LANES)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let keys = rows_of(shape.which) / uniforms.images;
    let head = group.z * DIM;
    let stride = shape.qkv_stride;
    let tiles = (keys + 3u) / 4u;
    let tile = item(group);
    if (tile >= select(uniforms.images * tiles, rows_of(3u), PICKED)) {
        return;
    }
    var image = tile / tiles;
    // Rows of the queries, and where their results go; a tile's rows over the end repeat the last.
    var last = keys - 1u;
    var first = 4u * (tile % tiles);
    if (PICKED) {
        image = picks[tile] / keys;
        first = picks[tile] % keys;
        last = first;
    }
    let rows = image * keys + min(vec4(first, first + 1u, first + 2u, first + 3u), vec4(last));
    let scale = inverseSqrt(f32(DIM));
    for (var i = lane; i < DIM; i += LANES) {
        let at = rows * stride + head + i;
        query[i] = scale * vec4(qkv[at.x], qkv[at.y], qkv[at.z], qkv[at.w]);
        gathered[i] = vec4<f32>();
    }
    workgroupBarrier();

    var maximum = vec4(-3.0e38);
    var total = vec4<f32>();
    for (var from_key = 0u; from_key < keys; from_key += KEYS) {
        let count = min(KEYS, keys - from_key);
        for (var key = lane; key < count; key += LANES) {
            let at = (image * keys + from_key + key) * stride + shape.width + head;
            var dot = vec4<f32>();
            for (var i = 0u; i < DIM; i++) {
                dot += query[i] * qkv[at + i];
            }
            score[key] = dot;
        }
        workgroupBarrier();
        var new_maximum = maximum;
        for (var key = 0u; key < count; key++) {
            new_maximum = max(new_maximum, score[key]);
        }
        for (var key = lane; key < count; key += LANES) {
            share[key] = exp(score[key] - new_maximum);
        }
        let kept = exp(maximum - new_maximum);
        maximum = new_maximum;
        workgroupBarrier();
        total *= kept;
        for (var key = 0u; key < count; key++) {
            total += share[key];
        }
        for (var i = lane; i < DIM; i += LANES) {
            let at = (image * keys + from_key) * stride + 2u * shape.width + head + i;
            var sum = gathered[i] * kept;
            for (var key = 0u; key < count; key++) {
                sum += share[key] * qkv[at + key * stride];
            }
            gathered[i] = sum;
        }
    }
    for (var i = lane; i < DIM; i += LANES) {
        let value = gathered[i] / total;
        if (PICKED) {
            out[tile * shape.out_stride + head + i] = value.x;
        } else {
            for (var query_row = 0u; query_row < 4u && first + query_row < keys; query_row++) {
                out[(image * keys + first + query_row) * shape.out_stride + head + i] = value[query_row];
            }
        }
    }
}
