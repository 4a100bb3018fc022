// For few rows: PARTS lanes share the inputs of a strip, so that a layer of few rows still fills a GPU and no lane does
// all loads of a column one after the other. One barrier a workgroup.

override PARTS: u32 = 4u;

var<workgroup> sums: array<mat4x4<f32>, LANES * PARTS>;

@compute @workgroup_size(LANES, PARTS)
fn split(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let part = local.y;
    let column = group.x * 4u * LANES + lane;
    let row = 4u * group.y;
    let each = (shape.k4 + PARTS - 1u) / PARTS;
    let from_k = min(part * each, shape.k4);
    let to_k = min(from_k + each, shape.k4);
    let rows = rows_from(row);
    let columns = columns_from(column);
    var strip = mat4x4<f32>();
    for (var k = from_k; k < to_k; k++) {
        strip += weights_at(columns, k) * inputs_at(rows, k);
    }
    sums[part * LANES + lane] = strip;
    workgroupBarrier();
    // Each part finishes some of the rows.
    for (var i = part; i < 4u; i += PARTS) {
        var total = vec4<f32>();
        for (var other = 0u; other < PARTS; other++) {
            total += sums[other * LANES + lane][i];
        }
        store_row(row + i, column, total);
    }
}
