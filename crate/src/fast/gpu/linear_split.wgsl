// For few rows: PARTS lanes share the inputs of a strip, so that a layer of few rows still fills a GPU and no lane waits for
// a long row of loads one after the other. One barrier a workgroup.

override PARTS: u32 = 4u;

var<workgroup> sums: array<Strip, LANES * PARTS>;

@compute @workgroup_size(LANES, PARTS)
fn split(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let part = local.y;
    let column = group.x * 4u * LANES + lane;
    let row = 4u * group.y;
    let each = (shape.k4 + PARTS - 1u) / PARTS;
    let from_k = min(part * each, shape.k4);
    sums[part * LANES + lane] = strip(row, column, from_k, min(from_k + each, shape.k4));
    workgroupBarrier();
    // Each part finishes some of the rows.
    for (var i = part; i < 4u; i += PARTS) {
        var total = vec4<f32>();
        for (var other = 0u; other < PARTS; other++) {
            total += part_row(other * LANES + lane, i);
        }
        if (column < shape.n) {
            leave_row(row + i, column, total);
        }
    }
}

fn part_row(at: u32, i: u32) -> vec4<f32> {
    switch i {
        case 0u: { return sums[at].row0; }
        case 1u: { return sums[at].row1; }
        case 2u: { return sums[at].row2; }
        default: { return sums[at].row3; }
    }
}
