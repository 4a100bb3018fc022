//! What the decoding loop owes a network, shown with one that only counts.

use std::any::Any;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::config::MarConfig;
use crate::diffusion::Trajectory;
use crate::network::{Answer, BackboneInput, BackboneOutput};
use crate::preset::Preset;

/// A network whose session counts the iterations that it has seen. It notes those counts, and draws zeros.
struct Counting {
    config: MarConfig,
    seen: Mutex<Vec<usize>>,
}

#[derive(Clone)]
struct Count(usize);

impl Session for Count {
    fn fork(&self) -> Box<dyn Session> {
        Box::new(self.clone())
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Network for Counting {
    fn config(&self) -> &MarConfig {
        &self.config
    }

    fn parameters(&self) -> usize {
        0
    }

    fn session(&self, _: usize) -> Box<dyn Session> {
        Box::new(Count(0))
    }

    fn z<'a>(
        &'a self,
        session: &'a mut dyn Session,
        _: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
    ) -> Answer<'a, Vec<f32>> {
        let Count(count) = session.as_any_mut().downcast_mut().expect("it is the session that this network made");
        *count += 1;
        self.seen.lock().unwrap().push(*count);
        Box::pin(async { Ok(vec![0.0; picks.len() * self.config.decoder_embed_dim]) })
    }

    fn draw<'a>(&'a self, z: &'a [f32], input: &'a HeadInput<'a>, _: &'a mut dyn Continue) -> Answer<'a, HeadOutput> {
        let HeadInput::Diffusion(process) = input;
        let rows = z.len() / self.config.decoder_embed_dim / if process.cfg.is_some() { 2 } else { 1 };
        let trajectory = Trajectory {
            taken: vec![process.steps.len()],
            frames: vec![0.0; rows * self.config.token_dim()],
            predictions: Vec::new(),
        };
        Box::pin(async { Ok(HeadOutput::Diffusion(trajectory)) })
    }

    fn backbone<'a>(&'a self, _: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput> {
        Box::pin(async { Ok(BackboneOutput::default()) })
    }
}

/// What a future gives that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn decoding(network: &Arc<Counting>) -> Decoding {
    let tokens = network.config.tokens();
    let settings = Settings {
        cfg: 2.0,
        cfg_schedule: CfgSchedule::Linear,
        iterations: 4,
        steps: 5.into(),
        late_steps: None,
        solver: crate::diffusion::Solver::Ddpm,
        cfg_every: 1,
        temperature: 1.0,
    };
    let plan = ImagePlan { label: Some(0), order: (0..tokens).collect() };
    Decoding::new(network.clone(), settings, vec![plan], Arc::new(SeededNoise::new([1])), None).unwrap()
}

#[test]
fn a_session_is_its_decodings_and_forks_with_it() {
    let config = Preset::Tiny.weights(&[]).model;
    let network = Arc::new(Counting { config, seen: Mutex::default() });
    let mut origin = decoding(&network);
    now(origin.advance()).unwrap();
    now(origin.advance()).unwrap();
    let mut fork = origin.clone();
    now(fork.advance()).unwrap();
    now(origin.advance()).unwrap();
    now(fork.advance()).unwrap();
    let mut other = decoding(&network);
    now(other.advance()).unwrap();
    now(origin.advance()).unwrap();
    assert!(origin.done() && fork.done());
    assert_eq!(*network.seen.lock().unwrap(), [1, 2, 3, 3, 4, 1, 4], "each counts its own iterations");
    assert!(now(origin.advance()).unwrap().is_none());
}
