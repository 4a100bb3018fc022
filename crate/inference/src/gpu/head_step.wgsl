// A reverse step from the head's prediction, for up to four tokens at once: predicted clean token, next x.
// Section 3.2 of the paper ("Sampler"); the table of steps is `diffusion::Step`.

struct Step {
    clean_x: f32,
    clean_epsilon: f32,
    to_clean: f32,
    to_x: f32,
    to_previous: f32,
    least: f32,
    half_range: f32,
    add_noise: f32,
}

struct Stepped {
    x: vec4<f32>,
    clean: vec4<f32>,
}

// `noise` is ignored where the step adds none.
fn reverse_step(step: Step, x: vec4<f32>, previous: vec4<f32>, epsilon: vec4<f32>, v: vec4<f32>, noise: vec4<f32>) -> Stepped {
    var clean = x * step.clean_x - epsilon * step.clean_epsilon;
    if (uniforms.clip != 0.0) {
        clean = clamp(clean, vec4(-uniforms.clip), vec4(uniforms.clip));
    }
    var next = clean * step.to_clean + x * step.to_x + previous * step.to_previous;
    if (step.add_noise != 0.0) {
        let deviation = step.add_noise * exp(0.5 * (step.least + (v + 1.0) * step.half_range));
        next += deviation * noise * uniforms.temperature;
    }
    return Stepped(next, clean);
}

// Whether x is kept after `taken` steps, and as which frame; the noise itself is not counted.
fn is_kept(taken: u32) -> bool {
    return taken == uniforms.total || (uniforms.stride > 0u && taken % uniforms.stride == 0u);
}

fn frame_of(taken: u32) -> u32 {
    if (taken == uniforms.total) {
        return uniforms.frames - 1u;
    }
    return taken / uniforms.stride - 1u;
}
