//! One network computed by several: an own one and its peers, which have the same weights and may run elsewhere.
//! Sections 3.2 and 3.3 of the paper: images do not depend on each other in the backbone, nor tokens in the head.
//!
//! The backbone's images are split among the members, with guidance the conditional and the unconditional ones, and so are
//! the head's tokens (`plan.rs`). Every row is computed in the same way whatever stands beside it, so the result does not
//! depend on the split. A peer that fails is not asked again: its part is then computed here.

mod parts;
mod plan;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use marscope_core::config::MarConfig;
use marscope_core::diffusion::{ReverseProcess, Trajectory};
use marscope_core::head::{HeadInput, HeadOutput};
use marscope_core::network::{Answer, BackboneInput, BackboneOutput, Continue, Network, NetworkError, Session};

use self::parts::{ImagesPart, TokensPart, put_rows, take_rows};
use self::plan::{Plan, split};
use crate::head;
use crate::help::{Help, Helped, Helper};

/// A network and its peers. It is for networks that keep nothing between iterations: a peer has no part in a session.
pub struct Team {
    own: Arc<dyn Helped>,
    peers: RefCell<Vec<Arc<dyn Helper>>>,
}

impl Team {
    /// `own` without peers.
    pub fn new(own: Arc<dyn Helped>) -> Self {
        Self { own, peers: RefCell::default() }
    }

    /// Takes other peers, which have the same weights as `own`. Each should begin when it is called, before its answer is
    /// awaited: then all compute at the same time. A computation under way keeps those that it has.
    pub fn set_peers(&self, peers: Vec<Arc<dyn Helper>>) {
        self.peers.replace(peers);
    }

    /// How many compute: `own` and the peers.
    pub fn size(&self) -> usize {
        1 + self.peers.borrow().len()
    }

    /// z of `picks`, the images split among the members.
    async fn split_z(
        &self,
        peers: &[Arc<dyn Helper>],
        session: &mut dyn Session,
        input: &BackboneInput<'_>,
        picks: &[(usize, usize)],
    ) -> Result<Vec<f32>, NetworkError> {
        let images = split(input.labels.len(), 1 + peers.len());
        let parts: Vec<_> = images.map(|images| ImagesPart::new(images, input, picks)).collect();
        let [first, others @ ..] = &parts[..] else { return self.own.z(session, input, picks).await };
        let mut sessions: Vec<_> =
            peers.iter().zip(others).map(|(peer, part)| peer.session(part.input.labels.len())).collect();
        let asked: Vec<_> = peers
            .iter()
            .zip(others)
            .zip(&mut sessions)
            .map(|((peer, part), session)| peer.z(&mut **session, &part.input, &part.picks))
            .collect();

        let width = self.config().decoder_embed_dim;
        let mut z = vec![0.0; picks.len() * width];
        first.put(&self.own.z(session, &first.input, &first.picks).await?, &mut z);
        for ((answer, peer), part) in asked.into_iter().zip(peers).zip(others) {
            let z_of_part = match self.answered(peer, answer).await {
                Err(NetworkError::Device(_)) => self.own.z(session, &part.input, &part.picks).await,
                answered => answered,
            };
            part.put(&z_of_part?, &mut z);
        }
        Ok(z)
    }

    /// The tokens of `process`, split among the members. Only `own` asks `proceed`: who stops it stops the peers as well,
    /// which then answer that they were stopped.
    async fn split_draw(
        &self,
        peers: &[Arc<dyn Helper>],
        z: &[f32],
        process: &ReverseProcess<'_>,
        proceed: &mut dyn Continue,
    ) -> Result<Trajectory, NetworkError> {
        let config = self.config();
        let (dim, width) = (config.token_dim(), config.decoder_embed_dim);
        let tokens = head::tokens(process, dim);
        let plan = Plan::new(tokens, process.steps.len(), 1 + peers.len(), head::modulation_share(config));
        let part = |tokens_of_part: Range<usize>| TokensPart {
            z: take_rows(z, tokens, width, &tokens_of_part),
            noise: take_rows(process.noise, tokens, dim, &tokens_of_part),
            tokens: tokens_of_part,
        };
        let parts: Vec<_> = plan.tokens.into_iter().map(part).collect();
        let inputs: Vec<_> = parts.iter().map(|part| ReverseProcess { noise: &part.noise, ..*process }).collect();
        let others = || parts.iter().zip(&inputs).skip(1);

        // Peers do one after the other what they are asked, so first what is needed here.
        let help = plan.help.into_iter().zip(peers).map(|(steps, peer)| {
            let guided = process.cfg.is_some();
            let answer = peer.modulations(&parts[0].z, guided, &process.steps.timesteps, steps.clone());
            Help { steps, modulations: Box::pin(self.answered(peer, answer)) }
        });
        let help: Vec<_> = help.collect();
        let heads: Vec<_> = inputs.iter().map(|process| HeadInput::Diffusion(*process)).collect();
        let mut always: Vec<_> = others().map(|_| async || true).collect();
        let asked: Vec<_> = peers
            .iter()
            .zip(parts.iter().zip(&heads).skip(1))
            .zip(&mut always)
            .map(|((peer, (part, head)), always)| peer.draw(&part.z, head, always))
            .collect();

        let taken = process.taken();
        let mut drawn = Trajectory {
            frames: vec![0.0; taken.len() * tokens * dim],
            predictions: vec![0.0; if process.explain { process.steps.len() * tokens * 2 * dim } else { 0 }],
            taken,
        };
        let mut put = |part: &TokensPart, of_part: Trajectory| {
            put_rows(&mut drawn.frames, tokens, dim, &part.tokens, &of_part.frames);
            put_rows(&mut drawn.predictions, tokens, 2 * dim, &part.tokens, &of_part.predictions);
        };
        put(&parts[0], self.own.draw_helped(&parts[0].z, &inputs[0], help, &mut *proceed).await?);
        for ((answer, peer), (part, input)) in asked.into_iter().zip(peers).zip(others()) {
            let of_part = match self.answered(peer, answer).await {
                Ok(HeadOutput::Diffusion(trajectory)) => trajectory,
                Err(NetworkError::Device(_)) => self.own.draw_helped(&part.z, input, Vec::new(), &mut *proceed).await?,
                Err(stopped) => return Err(stopped),
            };
            put(part, of_part);
        }
        Ok(drawn)
    }

    /// The answer of `peer`, which leaves if it failed.
    async fn answered<T>(&self, peer: &Arc<dyn Helper>, answer: Answer<'_, T>) -> Result<T, NetworkError> {
        let answer = answer.await;
        if let Err(NetworkError::Device(_)) = answer {
            self.peers.borrow_mut().retain(|other| !Arc::ptr_eq(other, peer));
        }
        answer
    }
}

impl Network for Team {
    fn config(&self) -> &MarConfig {
        self.own.config()
    }

    fn parameters(&self) -> usize {
        self.own.parameters()
    }

    fn session(&self, images: usize) -> Box<dyn Session> {
        self.own.session(images)
    }

    fn z<'a>(
        &'a self,
        session: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
    ) -> Answer<'a, Vec<f32>> {
        let peers = self.peers.borrow().clone();
        Box::pin(async move { self.split_z(&peers, session, input, picks).await })
    }

    fn draw<'a>(
        &'a self,
        z: &'a [f32],
        input: &'a HeadInput<'a>,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, HeadOutput> {
        let peers = self.peers.borrow().clone();
        if peers.is_empty() {
            return self.own.draw(z, input, proceed);
        }
        let HeadInput::Diffusion(process) = input;
        Box::pin(async move { Ok(HeadOutput::Diffusion(self.split_draw(&peers, z, process, proceed).await?)) })
    }

    /// By `own` alone: attention weights are many numbers to send for little work.
    fn backbone<'a>(&'a self, input: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput> {
        self.own.backbone(input)
    }
}
