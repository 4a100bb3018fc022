//! A log entry: every number of a logged step. All outputs use it.
//! Losses and gradient norms cover the steps since the previous entry; the rate is the last step's.

use std::collections::BTreeMap;

use serde::Serialize;

use super::speed::{self, Speed};

/// One log entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logged {
    /// Steps done since training began.
    pub step: usize,
    /// Examples trained on since training began.
    pub examples: usize,
    /// Mean loss.
    pub loss: f64,
    /// The parts of the loss, by name.
    #[serde(flatten)]
    pub parts: BTreeMap<String, f64>,
    /// Mean share of masked tokens, if the task masks any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_ratio: Option<f64>,
    /// Learning rate.
    pub rate: f64,
    /// Mean norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Largest norm of the gradient before clipping.
    pub gradient_norm_max: f64,
    /// The speed.
    #[serde(flatten)]
    pub speed: Speed,
    /// Bytes of main memory that the process uses, if the system reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<usize>,
    /// Mean loss of this step's tokens by timestep; empty ranges are left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub loss_by_timestep: BTreeMap<String, f64>,
    /// Mean loss of the steps by mask ratio; empty ranges are left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub loss_by_mask_ratio: BTreeMap<String, f64>,
}

impl Logged {
    /// The numbers to draw as curves, named `group/name`; losses come first.
    pub fn curves(&self) -> Vec<(String, f64)> {
        let speed = &self.speed;
        let single = [
            ("speed/images_per_second", Some(speed.images_per_second)),
            ("speed/flops_per_second", Some(speed.flops_per_second)),
            ("speed/share_of_roof", speed.share_of_roof),
            ("speed/waited", Some(speed.waited)),
            ("speed/resident_bytes", self.resident_bytes.map(|bytes| bytes as f64)),
            ("optimizer/gradient_norm", Some(self.gradient_norm)),
            ("optimizer/gradient_norm_max", Some(self.gradient_norm_max)),
            ("optimizer/rate", Some(self.rate)),
            ("optimizer/mask_ratio", self.mask_ratio),
        ];
        let single = single.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let by = |group: &'static str, means: &BTreeMap<String, f64>| {
            let means: Vec<_> = means.iter().map(|(name, &mean)| (format!("{group}/{name}"), mean)).collect();
            means
        };
        std::iter::once(("loss/total".to_owned(), self.loss))
            .chain(by("loss", &self.parts))
            .chain(single)
            .chain(by("loss_by_timestep", &self.loss_by_timestep))
            .chain(by("loss_by_mask_ratio", &self.loss_by_mask_ratio))
            .collect()
    }

    /// The most important numbers: `loss 0.1234  123 images/s`.
    pub fn headline(&self) -> String {
        format!("loss {:.4}  {:.0} images/s", self.loss, self.speed.images_per_second)
    }

    /// The device's speed and its share of the peak: `4.2 TFLOP/s (42% of the device's)`.
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

    /// An entry with a different number in every field.
    pub fn example(step: usize) -> Logged {
        Logged {
            step,
            examples: 64 * step,
            loss: 0.375,
            parts: [("mse".into(), 0.25), ("vb".into(), 0.125)].into(),
            mask_ratio: Some(0.875),
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
