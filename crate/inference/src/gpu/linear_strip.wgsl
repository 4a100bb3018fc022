// Four rows by four columns in registers, as matrices: eight loads for sixteen products, the sums stay in them.
// A lane's columns are LANES apart, so that neighbouring lanes read neighbouring weights at each of the four loads.

override LANES: u32 = 32u;

// Offsets in x of the four rows from `row` on. Rows beyond the last repeat it; the same for columns.
fn rows_from(row: u32) -> vec4<u32> {
    return min(row + vec4(0u, 1u, 2u, 3u), vec4(rows_of(shape.which) - 1u)) * shape.x_stride;
}

fn columns_from(column: u32) -> vec4<u32> {
    return min(column + LANES * vec4(0u, 1u, 2u, 3u), vec4(shape.n - 1u));
}

// Inputs 4 k to 4 k + 3 of four rows, a row a column.
fn inputs_at(rows: vec4<u32>, k: u32) -> mat4x4<f32> {
    return mat4x4(x[rows.x + k], x[rows.y + k], x[rows.z + k], x[rows.w + k]);
}

// The weights of these inputs, an input a column: `weights_at * inputs_at` has a row of the result in each of its columns.
fn weights_at(columns: vec4<u32>, k: u32) -> mat4x4<f32> {
    let n = shape.n;
    let p0 = weight_pair(0u, n, 2u * k, columns.x);
    let p1 = weight_pair(0u, n, 2u * k, columns.y);
    let p2 = weight_pair(0u, n, 2u * k, columns.z);
    let p3 = weight_pair(0u, n, 2u * k, columns.w);
    let q0 = weight_pair(0u, n, 2u * k + 1u, columns.x);
    let q1 = weight_pair(0u, n, 2u * k + 1u, columns.y);
    let q2 = weight_pair(0u, n, 2u * k + 1u, columns.z);
    let q3 = weight_pair(0u, n, 2u * k + 1u, columns.w);
    return mat4x4(
        vec4(p0.x, p1.x, p2.x, p3.x),
        vec4(p0.y, p1.y, p2.y, p3.y),
        vec4(q0.x, q1.x, q2.x, q3.x),
        vec4(q0.y, q1.y, q2.y, q3.y),
    );
}

fn store_row(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= rows_of(shape.which)) {
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        if (column + i * LANES < shape.n) {
            store(row, column + i * LANES, sums[i]);
        }
    }
}
