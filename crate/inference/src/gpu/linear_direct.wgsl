// Eight rows by eight columns per lane, without workgroup memory or barriers: for software adapters, where a load costs as
// much as several products, a barrier switches coroutines and workgroup memory is ordinary memory.

@compute @workgroup_size(LANES)
fn direct(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = group.x * 8u * LANES + lane;
    let row = 8u * group.y;
    let upper = rows_from(row);
    let lower = rows_from(row + 4u);
    let left = columns_from(column);
    let right = columns_from(column + 4u * LANES);
    var upper_left = mat4x4<f32>();
    var upper_right = mat4x4<f32>();
    var lower_left = mat4x4<f32>();
    var lower_right = mat4x4<f32>();
    for (var k = 0u; k < shape.k4; k++) {
        let x_upper = inputs_at(upper, k);
        let x_lower = inputs_at(lower, k);
        let w_left = weights_at(left, k);
        let w_right = weights_at(right, k);
        upper_left += w_left * x_upper;
        upper_right += w_right * x_upper;
        lower_left += w_left * x_lower;
        lower_right += w_right * x_lower;
    }
    for (var i = 0u; i < 4u; i++) {
        store_row(row + i, column, upper_left[i]);
        store_row(row + i, column + 4u * LANES, upper_right[i]);
        store_row(row + 4u + i, column, lower_left[i]);
        store_row(row + 4u + i, column + 4u * LANES, lower_right[i]);
    }
}
