// What changes from one submission, or one dispatch of the reverse process, to the next; the first binding of every kernel.
// Rust: `Pass` in pass.rs.

struct Pass {
    // Rows of known tokens, seen, all, picked; then of conditions and of modulations.
    rows: array<vec4<u32>, 2>,
    images: u32,
    // The reverse process: tokens drawn, whether guided, first step and number of steps of this dispatch, all steps.
    tokens: u32,
    guided: u32,
    first: u32,
    steps: u32,
    total: u32,
    // Every how many steps a frame is kept (0: none), how many frames there are, whether epsilon and v are kept.
    stride: u32,
    frames: u32,
    explain: u32,
    clip: u32,
    cfg: f32,
    temperature: f32,
}

@group(0) @binding(0) var<uniform> now: Pass;

fn rows_of(which: u32) -> u32 {
    return now.rows[which / 4u][which % 4u];
}

// The row, or whatever a workgroup works on, when there may be more than one dimension of the grid can count.
fn item(group: vec3<u32>) -> u32 {
    return group.y * 65535u + group.x;
}
