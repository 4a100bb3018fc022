//! The gradient of every parameter, by official name: summed over passes, averaged over devices, then applied.
//! Appendix B of the paper (gradient clipping by the global norm).

use std::collections::BTreeMap;

use burn::module::{ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

use super::optimizer::flat;
use super::ranks::{RankError, Ranks};
use super::task::Trainable;
use crate::model::Names;

/// Gradients, each flattened, sorted by name, so that sums are the same in every run.
#[derive(Clone, Default)]
pub struct Grads(BTreeMap<String, Tensor<1>>);

impl Grads {
    /// Takes the gradients of `model`'s parameters out of the result of a backward pass.
    pub fn of(model: &impl Trainable, mut found: Gradients) -> Self {
        struct Collect<'a>(&'a Names, &'a mut Gradients, BTreeMap<String, Tensor<1>>);
        impl ModuleVisitor for Collect<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(gradient) = param.val().grad_remove(self.1) {
                    self.2.insert(self.0[&param.id].official.clone(), flat(gradient));
                }
            }
        }
        let mut collect = Collect(model.names(), &mut found, BTreeMap::new());
        model.visit(&mut collect);
        Self(collect.2)
    }

    /// The parameters that have a gradient, sorted.
    #[cfg(test)]
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Removes and returns the gradient of the parameter `name`.
    pub fn take(&mut self, name: &str) -> Option<Tensor<1>> {
        self.0.remove(name)
    }

    /// Adds the gradients of another pass.
    pub fn add(&mut self, other: Self) {
        for (name, gradient) in other.0 {
            let sum = match self.0.remove(&name) {
                Some(mine) => mine + gradient,
                None => gradient,
            };
            self.0.insert(name, sum);
        }
    }

    /// Divides every gradient.
    #[must_use]
    pub fn over(self, divisor: usize) -> Self {
        if divisor == 1 {
            return self;
        }
        Self(self.0.into_iter().map(|(name, gradient)| (name, gradient / divisor as f32)).collect())
    }

    /// The norm of all gradients together.
    pub fn norm(&self) -> f32 {
        let squares = self.0.values().map(|gradient| gradient.clone().square().sum());
        squares.reduce(|total, sum| total + sum).map_or(0.0, |total| total.into_scalar::<f32>().sqrt())
    }

    /// The first parameter whose gradient has a value that is not finite.
    pub fn not_finite(&self) -> Option<&str> {
        let broken = |gradient: &Tensor<1>| !gradient.clone().sum().into_scalar::<f32>().is_finite();
        self.0.iter().find(|(_, gradient)| broken(gradient)).map(|(name, _)| name.as_str())
    }

    /// The mean over all ranks of the gradients and of the numbers in `beside`; every rank gets the same bits.
    ///
    /// # Errors
    /// As [`Ranks::mean`].
    pub fn mean_over(self, ranks: &mut Ranks, beside: &mut [f32]) -> Result<Self, RankError> {
        if ranks.world() == 1 {
            return Ok(self);
        }
        let mut numbers = beside.to_vec();
        for gradient in self.0.values() {
            numbers.extend(gradient.to_data().try_into_vec::<f32>().expect("gradients are in f32"));
        }
        ranks.mean(&mut numbers)?;
        let (first, mut rest) = numbers.split_at(beside.len());
        beside.copy_from_slice(first);
        let mut place = |gradient: Tensor<1>| {
            let (mine, others) = rest.split_at(gradient.dims()[0]);
            rest = others;
            Tensor::from_data(TensorData::new(mine.to_vec(), [mine.len()]), &gradient.device())
        };
        Ok(Self(self.0.into_iter().map(|(name, gradient)| (name, place(gradient))).collect()))
    }
}
