// Four rows by four columns in registers: eight loads for sixteen products, the sums never leave them.
// A lane's columns are LANES apart, so that neighbouring lanes read neighbouring weights at each of the four loads.

override LANES: u32 = 32u;

struct Strip {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
}

// Sums over the inputs 4 `from` to 4 `to`, for rows `row` on and columns `column`, `column + LANES`, ...; rows and columns
// over the end repeat the last one.
fn strip(row: u32, column: u32, from_k: u32, to_k: u32) -> Strip {
    let last_row = rows_of(shape.which) - 1u;
    let n = shape.n;
    let x0 = min(row, last_row) * shape.x_stride;
    let x1 = min(row + 1u, last_row) * shape.x_stride;
    let x2 = min(row + 2u, last_row) * shape.x_stride;
    let x3 = min(row + 3u, last_row) * shape.x_stride;
    let c0 = min(column, n - 1u);
    let c1 = min(column + LANES, n - 1u);
    let c2 = min(column + 2u * LANES, n - 1u);
    let c3 = min(column + 3u * LANES, n - 1u);
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var k = from_k; k < to_k; k++) {
        let v0 = x[x0 + k];
        let v1 = x[x1 + k];
        let v2 = x[x2 + k];
        let v3 = x[x3 + k];
        let p00 = weight_pair(0u, n, 2u * k + 0u, c0);
        let p01 = weight_pair(0u, n, 2u * k + 0u, c1);
        let p02 = weight_pair(0u, n, 2u * k + 0u, c2);
        let p03 = weight_pair(0u, n, 2u * k + 0u, c3);
        let even0 = vec4(p00.x, p01.x, p02.x, p03.x);
        let odd0 = vec4(p00.y, p01.y, p02.y, p03.y);
        s0 += v0.x * even0 + v0.y * odd0;
        s1 += v1.x * even0 + v1.y * odd0;
        s2 += v2.x * even0 + v2.y * odd0;
        s3 += v3.x * even0 + v3.y * odd0;
        let p10 = weight_pair(0u, n, 2u * k + 1u, c0);
        let p11 = weight_pair(0u, n, 2u * k + 1u, c1);
        let p12 = weight_pair(0u, n, 2u * k + 1u, c2);
        let p13 = weight_pair(0u, n, 2u * k + 1u, c3);
        let even1 = vec4(p10.x, p11.x, p12.x, p13.x);
        let odd1 = vec4(p10.y, p11.y, p12.y, p13.y);
        s0 += v0.z * even1 + v0.w * odd1;
        s1 += v1.z * even1 + v1.w * odd1;
        s2 += v2.z * even1 + v2.w * odd1;
        s3 += v3.z * even1 + v3.w * odd1;
    }
    return Strip(s0, s1, s2, s3);
}

fn leave_row(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= rows_of(shape.which)) {
        return;
    }
    leave(row, column, sums.x);
    if (column + LANES < shape.n) {
        leave(row, column + LANES, sums.y);
    }
    if (column + 2u * LANES < shape.n) {
        leave(row, column + 2u * LANES, sums.z);
    }
    if (column + 3u * LANES < shape.n) {
        leave(row, column + 3u * LANES, sums.w);
    }
}

fn leave_strip(row: u32, column: u32, sums: Strip) {
    if (column < shape.n) {
        leave_row(row, column, sums.row0);
        leave_row(row + 1u, column, sums.row1);
        leave_row(row + 2u, column, sums.row2);
        leave_row(row + 3u, column, sums.row3);
    }
}
