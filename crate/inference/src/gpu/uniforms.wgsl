// What changes from one submission, or one dispatch of the reverse process, to the next; the first binding of every kernel.
// The same layout as `Uniforms` in uniforms.rs.

struct Uniforms {
    // Rows: known tokens, encoder, decoder, picked; then conditions and modulations of the head.
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
    clip: f32,
    cfg: f32,
    temperature: f32,
}

@group(0) @binding(0) var<uniform> uniforms: Uniforms;

fn rows_of(which: u32) -> u32 {
    return uniforms.rows[which / 4u][which % 4u];
}

// Index of the workgroup, which may be more than one dimension of the grid can count.
fn item(group: vec3<u32>) -> u32 {
    return group.y * 65535u + group.x;
}
