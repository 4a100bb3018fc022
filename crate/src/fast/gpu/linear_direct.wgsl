// A lane a strip, no workgroup memory and so no barrier: for software adapters, where a barrier switches coroutines and
// workgroup memory is no nearer than any other.

@compute @workgroup_size(LANES)
fn direct(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = group.x * 4u * LANES + lane;
    let row = 4u * group.y;
    leave_strip(row, column, strip(row, column, 0u, shape.k4));
}
