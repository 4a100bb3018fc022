// Weights of a linear layer, `[in / 2, out]` pairs of f16 or `[in, out]` f32, `in` padded with zeros to a multiple of four.
// Neighbouring lanes read neighbouring columns; unpack2x16float is core WGSL, so no device feature is asked for.

override HALF: bool = false;

// Rows `2 pair` and `2 pair + 1` of column `column`, from word `at` on.
fn weight_pair(at: u32, n: u32, pair: u32, column: u32) -> vec2<f32> {
    if (HALF) {
        return unpack2x16float(weight[at + pair * n + column]);
    }
    let word = at + 2u * pair * n + column;
    return vec2(bitcast<f32>(weight[word]), bitcast<f32>(weight[word + n]));
}
