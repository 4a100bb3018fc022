//! The embedding of timesteps, on the host: it depends on the schedule alone, so it is computed once for each.
//! Section 3.2 of the paper; sinusoidal features and a small MLP, as in DiT.

use std::sync::{Arc, Mutex};

/// Schedules whose embeddings are kept: a decoding uses one, or one an iteration.
const KEPT: usize = 64;

/// Two linear layers with a `SiLU` between them, over sinusoidal features.
pub struct TimeEmbedding {
    first: Layer,
    second: Layer,
    kept: Mutex<Vec<Kept>>,
}

/// Timesteps and their embeddings, `[timesteps, width]`.
type Kept = (Vec<usize>, Arc<Vec<f32>>);

/// `[out, in]` and `[out]`.
struct Layer {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    /// In f64: it runs once a schedule, so exactness costs nothing.
    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let dot = |w: &[f32]| w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>();
        let rows = self.weight.chunks_exact(x.len()).zip(&self.bias);
        rows.map(|(w, &b)| (dot(w) + f64::from(b)) as f32).collect()
    }
}

impl TimeEmbedding {
    /// Sinusoidal features of a timestep.
    pub const FREQUENCIES: usize = 256;

    /// Two layers, each `[out, in]` and `[out]`.
    pub fn new(first: [Vec<f32>; 2], second: [Vec<f32>; 2]) -> Self {
        let [first, second] = [first, second].map(|[weight, bias]| Layer { weight, bias });
        Self { first, second, kept: Mutex::default() }
    }

    /// Embeds `timesteps` (of the 1,000): `[timesteps, width]`.
    pub fn embed(&self, timesteps: &[usize]) -> Arc<Vec<f32>> {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, known)) = kept.iter().find(|(key, _)| key == timesteps) {
            return known.clone();
        }
        let rows: Arc<Vec<f32>> = Arc::new(timesteps.iter().flat_map(|&timestep| self.embed_one(timestep)).collect());
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((timesteps.to_vec(), rows.clone()));
        rows
    }

    fn embed_one(&self, timestep: usize) -> Vec<f32> {
        let half = Self::FREQUENCIES / 2;
        let angle = |i: usize| timestep as f32 * (-(10_000f64.ln()) * i as f64 / half as f64).exp() as f32;
        let features: Vec<f32> = (0..half).map(|i| angle(i).cos()).chain((0..half).map(|i| angle(i).sin())).collect();
        let mut hidden = self.first.forward(&features);
        for value in &mut hidden {
            *value /= 1.0 + (-*value).exp();
        }
        self.second.forward(&hidden)
    }
}
