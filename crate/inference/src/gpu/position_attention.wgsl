// v softmax(k^T q / sqrt(channels)) of [3 channels, positions]: queries, keys and values, one head; a query a workgroup, KEYS
// keys at a time with a running maximum. Lanes are keys for the scores, then channels for the sums.

override LANES: u32 = 64u;

const KEYS = 64u;

struct Shape {
    channels: u32,
    positions: u32,
}

@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<workgroup> score: array<f32, KEYS>;
var<workgroup> share: array<f32, KEYS>;

@compute @workgroup_size(LANES)
fn position_attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let query = item(group);
    let positions = shape.positions;
    if (query >= positions) {
        return;
    }
    let channels = shape.channels;
    let scale = inverseSqrt(f32(channels));
    for (var channel = lane; channel < channels; channel += LANES) {
        out[channel * positions + query] = 0.0;
    }
    var maximum = -3.0e38;
    var total = 0.0;
    for (var from_key = 0u; from_key < positions; from_key += KEYS) {
        let count = min(KEYS, positions - from_key);
        for (var key = lane; key < count; key += LANES) {
            var dot = 0.0;
            for (var channel = 0u; channel < channels; channel++) {
                dot += qkv[channel * positions + query] * qkv[(channels + channel) * positions + from_key + key];
            }
            score[key] = scale * dot;
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
        for (var channel = lane; channel < channels; channel += LANES) {
            let at = (2u * channels + channel) * positions + from_key;
            var sum = out[channel * positions + query] * kept;
            for (var key = 0u; key < count; key++) {
                sum += share[key] * qkv[at + key];
            }
            out[channel * positions + query] = sum;
        }
    }
    for (var channel = lane; channel < channels; channel += LANES) {
        out[channel * positions + query] /= total;
    }
}
