//! Everything known of a step that is logged, which all sinks draw from.
//! Losses and gradient norms are of the steps since the line before; the rate is the last step's.

use std::collections::BTreeMap;

use serde::Serialize;

use super::speed::{self, Speed};

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logged {
    /// Steps done since training began.
    pub step: usize,
    /// Examples trained on since training began.
    pub examples: usize,
    /// Mean loss: `mse + vb`.
    pub loss: f64,
    /// Mean squared error of the noise.
    pub mse: f64,
    /// Variational bound.
    pub vb: f64,
    /// Mean share of masked tokens.
    pub mask_ratio: f64,
    /// Learning rate.
    pub rate: f64,
    /// Mean norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Largest norm of the gradient before clipping.
    pub gradient_norm_max: f64,
    /// How fast it went.
    #[serde(flatten)]
    pub speed: Speed,
    /// Bytes of main memory that the process holds, where the system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<usize>,
    /// Mean loss of the tokens of this step by their timestep, where there were any.
    pub loss_by_timestep: BTreeMap<String, f64>,
    /// Mean loss of the steps by their mask ratio, where there were any.
    pub loss_by_mask_ratio: BTreeMap<String, f64>,
}

impl Logged {
    /// What can be drawn as a curve over the steps, as `group/name`; losses first.
    pub fn curves(&self) -> Vec<(String, f64)> {
        let speed = &self.speed;
        let single = [
            ("loss/total", Some(self.loss)),
            ("loss/mse", Some(self.mse)),
            ("loss/vb", Some(self.vb)),
            ("speed/images_per_second", Some(speed.images_per_second)),
            ("speed/flops_per_second", Some(speed.flops_per_second)),
            ("speed/share_of_roof", speed.share_of_roof),
            ("speed/waited", Some(speed.waited)),
            ("speed/resident_bytes", self.resident_bytes.map(|bytes| bytes as f64)),
            ("optimizer/gradient_norm", Some(self.gradient_norm)),
            ("optimizer/gradient_norm_max", Some(self.gradient_norm_max)),
            ("optimizer/rate", Some(self.rate)),
            ("optimizer/mask_ratio", Some(self.mask_ratio)),
        ];
        let single = single.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let by = |group: &'static str, means: &BTreeMap<String, f64>| {
            let means: Vec<_> = means.iter().map(|(name, &mean)| (format!("{group}/{name}"), mean)).collect();
            means
        };
        single
            .chain(by("loss_by_timestep", &self.loss_by_timestep))
            .chain(by("loss_by_mask_ratio", &self.loss_by_mask_ratio))
            .collect()
    }

    /// What a person wants to know first: `loss 0.1234  123 images/s`.
    pub fn headline(&self) -> String {
        format!("loss {:.4}  {:.0} images/s", self.loss, self.speed.images_per_second)
    }

    /// What the device does, and of what: `4.2 TFLOP/s (42% of the device's)`.
    pub fn effort(&self) -> String {
        let flops = speed::flops(self.speed.flops_per_second);
        match self.speed.share_of_roof {
            Some(share) => format!("{flops} ({:.0}% of the device's)", 100.0 * share),
            None => flops,
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A line with a number of its own in every field.
    pub fn example(step: usize) -> Logged {
        Logged {
            step,
            examples: 64 * step,
            loss: 0.375,
            mse: 0.25,
            vb: 0.125,
            mask_ratio: 0.875,
            rate: 0.001,
            gradient_norm: 1.5,
            gradient_norm_max: 2.5,
            speed: Speed {
                images_per_second: 128.0,
                flops_per_second: 256e9,
                share_of_roof: Some(0.256),
                waited: 0.0625,
                seconds_left: 45.0,
            },
            resident_bytes: Some(1 << 30),
            loss_by_timestep: [("000-099".into(), 0.75), ("900-999".into(), 0.03125)].into(),
            loss_by_mask_ratio: [("0.85-0.90".into(), 0.375)].into(),
        }
    }

    #[test]
    fn every_number_is_a_curve_once() {
        let curves = example(20).curves();
        let names: std::collections::BTreeSet<_> = curves.iter().map(|(name, _)| name).collect();
        assert_eq!((names.len(), curves.len()), (15, 15));
        assert_eq!(curves[0], ("loss/total".into(), 0.375));
        assert_eq!(curves[14], ("loss_by_mask_ratio/0.85-0.90".into(), 0.375));
    }

    #[test]
    fn headline_and_effort_read_well() {
        assert_eq!(example(20).headline(), "loss 0.3750  128 images/s");
        assert_eq!(example(20).effort(), "256.0 GFLOP/s (26% of the device's)");
    }
}
