// For many rows: 64 rows by 64 columns a workgroup of 16 x 16 lanes, four by four sums a lane, inputs through workgroup
// memory 32 at a time: a number fetched from memory is used 64 times. 16 KiB, the least that WebGPU promises.

const TILE_K4 = 8u;

var<workgroup> tile_x: array<vec4<f32>, 64 * 8>;
var<workgroup> tile_w: array<vec4<f32>, 32 * 16>;

@compute @workgroup_size(16, 16)
fn tiled(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.y * 16u + local.x;
    let rows = rows_of(shape.which);
    let first_row = 64u * group.y;
    let first_column = 64u * group.x;
    let n = shape.n;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var from_k = 0u; from_k < shape.k4; from_k += TILE_K4) {
        // 512 vec4 of x, two a lane; beyond the end both tiles are zero.
        for (var i = lane; i < 512u; i += 256u) {
            let k = from_k + i % TILE_K4;
            let row = min(first_row + i / TILE_K4, rows - 1u);
            var values = vec4<f32>();
            if (k < shape.k4) {
                values = x[row * shape.x_stride + k];
            }
            tile_x[i] = values;
        }
        // 16 pairs by 16 times four columns of the weights, one a lane.
        let pair = 2u * from_k + lane / 16u;
        let column = first_column + 4u * (lane % 16u);
        var even = vec4<f32>();
        var odd = vec4<f32>();
        if (pair < 2u * shape.k4) {
            let p0 = weight_pair(0u, n, pair, min(column, n - 1u));
            let p1 = weight_pair(0u, n, pair, min(column + 1u, n - 1u));
            let p2 = weight_pair(0u, n, pair, min(column + 2u, n - 1u));
            let p3 = weight_pair(0u, n, pair, min(column + 3u, n - 1u));
            even = vec4(p0.x, p1.x, p2.x, p3.x);
            odd = vec4(p0.y, p1.y, p2.y, p3.y);
        }
        tile_w[2u * (lane / 16u) * 16u + lane % 16u] = even;
        tile_w[(2u * (lane / 16u) + 1u) * 16u + lane % 16u] = odd;
        workgroupBarrier();
        for (var k = 0u; k < TILE_K4; k++) {
            let w0 = tile_w[(4u * k) * 16u + local.x];
            let w1 = tile_w[(4u * k + 1u) * 16u + local.x];
            let w2 = tile_w[(4u * k + 2u) * 16u + local.x];
            let w3 = tile_w[(4u * k + 3u) * 16u + local.x];
            let v0 = tile_x[(4u * local.y) * TILE_K4 + k];
            let v1 = tile_x[(4u * local.y + 1u) * TILE_K4 + k];
            let v2 = tile_x[(4u * local.y + 2u) * TILE_K4 + k];
            let v3 = tile_x[(4u * local.y + 3u) * TILE_K4 + k];
            s0 += v0.x * w0 + v0.y * w1 + v0.z * w2 + v0.w * w3;
            s1 += v1.x * w0 + v1.y * w1 + v1.z * w2 + v1.w * w3;
            s2 += v2.x * w0 + v2.y * w1 + v2.z * w2 + v2.w * w3;
            s3 += v3.x * w0 + v3.y * w1 + v3.z * w2 + v3.w * w3;
        }
        workgroupBarrier();
    }
    store_four(first_row + 4u * local.y, first_column + 4u * local.x, s0);
    store_four(first_row + 4u * local.y + 1u, first_column + 4u * local.x, s1);
    store_four(first_row + 4u * local.y + 2u, first_column + 4u * local.x, s2);
    store_four(first_row + 4u * local.y + 3u, first_column + 4u * local.x, s3);
}

fn store_four(row: u32, column: u32, sums: vec4<f32>) {
    if (row < rows_of(shape.which)) {
        for (var i = 0u; i < 4u; i++) {
            if (column + i < shape.n) {
                store(row, column + i, sums[i]);
            }
        }
    }
}
