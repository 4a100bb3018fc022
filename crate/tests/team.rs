//! A network that several compute together: the same bits as by one, however many they are and whatever fails.
//! The peers are CPU engines of their own, with the same weights, or broken ones.

mod common;

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use common::ask::{self, continuous};
use common::small::{self, settings, weights};
use marscope_core::config::{Label, MarConfig};
use marscope_core::diffusion::{ReverseProcess, Schedule, Solver, Trajectory};
use marscope_core::head::{HeadInput, HeadOutput};
use marscope_core::network::{Answer, BackboneInput, BackboneOutput, Continue, Network, NetworkError, Session};
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::{DecodeState, HeadSettings, OrderKind};
use marscope_inference::cpu::Cpu;
use marscope_inference::help::{Help, Helped, Helper};
use marscope_inference::team::Team;

/// Members of the largest team.
const MOST: usize = 5;

fn cpu() -> Arc<Cpu> {
    let (config, checkpoint) = weights();
    Arc::new(Cpu::load(&config.model, &checkpoint).unwrap())
}

/// How a peer answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Works,
    Fails,
    Stops,
}

/// A peer that notes what it is asked for, at the moment when it is asked.
struct Peer {
    network: Arc<Cpu>,
    manner: Manner,
    asked: Rc<Cell<Asked>>,
}

/// How often a peer was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Asked {
    z: usize,
    draw: usize,
    modulations: usize,
}

impl Peer {
    fn note(&self, which: impl Fn(&mut Asked) -> &mut usize) -> Result<(), NetworkError> {
        let mut asked = self.asked.get();
        *which(&mut asked) += 1;
        self.asked.set(asked);
        match self.manner {
            Manner::Works => Ok(()),
            Manner::Fails => Err(NetworkError::Device("the worker is gone".into())),
            Manner::Stops => Err(NetworkError::Stopped),
        }
    }
}

impl Network for Peer {
    fn config(&self) -> &MarConfig {
        self.network.config()
    }

    fn parameters(&self) -> usize {
        self.network.parameters()
    }

    fn z<'a>(
        &'a self,
        session: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
    ) -> Answer<'a, Vec<f32>> {
        match self.note(|asked| &mut asked.z) {
            Ok(()) => self.network.z(session, input, picks),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn draw<'a>(
        &'a self,
        z: &'a [f32],
        input: &'a HeadInput<'a>,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, HeadOutput> {
        match self.note(|asked| &mut asked.draw) {
            Ok(()) => self.network.draw(z, input, proceed),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn backbone<'a>(&'a self, _: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput> {
        panic!("attention weights are not shared");
    }
}

impl Helper for Peer {
    fn modulations<'a>(
        &'a self,
        z: &'a [f32],
        guided: bool,
        timesteps: &'a [usize],
        steps: Range<usize>,
    ) -> Answer<'a, Vec<f32>> {
        match self.note(|asked| &mut asked.modulations) {
            Ok(()) => self.network.modulations(z, guided, timesteps, steps),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

/// A team of one and a peer for each of `manners`, and what the peers are asked.
fn team(manners: &[Manner]) -> (Arc<Team>, Vec<Rc<Cell<Asked>>>) {
    let asked: Vec<Rc<Cell<Asked>>> = manners.iter().map(|_| Rc::default()).collect();
    let peers = manners.iter().zip(&asked).map(|(&manner, asked)| {
        #[allow(clippy::arc_with_non_send_sync)] // as the contract has it
        let peer: Arc<dyn Helper> = Arc::new(Peer { network: cpu(), manner, asked: asked.clone() });
        peer
    });
    let team = Team::new(cpu());
    team.set_peers(peers.collect());
    #[allow(clippy::arc_with_non_send_sync)] // as the contract has it
    (Arc::new(team), asked)
}

/// Numbers between -1 and 1, another one at each place.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.7).sin()).collect()
}

/// z of some picks of `images` images, of which every other token is known.
fn some_z(network: &dyn Network, images: usize, picks: &[(usize, usize)]) -> Vec<f32> {
    let (length, dim) = (network.config().tokens(), network.config().token_dim());
    let tokens = numbers(images * length * dim);
    let masked: Vec<bool> = (0..images * length).map(|place| place % 2 == 0).collect();
    let labels: Vec<Label> = [Some(1), None, Some(0), Some(2)].into_iter().cycle().take(images).collect();
    let input = BackboneInput { tokens: continuous(dim, &tokens), masked: &masked, labels: &labels };
    ask::z(network, &input, picks)
}

fn some_draw(
    network: &dyn Network,
    tokens: usize,
    cfg: Option<f32>,
    explain: bool,
    proceed: &mut dyn Continue,
) -> Result<Trajectory, NetworkError> {
    // So many that an engine takes them in several chunks.
    let steps = Solver::Ddpm.steps(&Schedule::respaced("50").unwrap());
    let (width, dim) = (network.config().decoder_embed_dim, network.config().token_dim());
    let z = numbers(if cfg.is_some() { 2 } else { 1 } * tokens * width);
    let noise = numbers((1 + steps.len()) * tokens * dim);
    let stride = if explain { 1 } else { 3 };
    let process =
        ReverseProcess { steps: &steps, noise: &noise, cfg, temperature: 0.9, clip: Some(1.5), stride, explain };
    ask::draw_while(network, &z, &process, proceed)
}

#[test]
fn z_has_the_same_bits_however_many_compute_it() {
    let alone = cpu();
    for members in 1..=MOST {
        let (team, asked) = team(&vec![Manner::Works; members - 1]);
        for images in [1, 2, 3, 4, 7] {
            let all: Vec<_> = (0..images * 16).map(|row| (row / 16, row % 16)).collect();
            let mixed: Vec<_> = all.iter().copied().rev().step_by(3).collect();
            // Also none, and none of the first images.
            for picks in [&all[..], &mixed, &all[all.len() - 1..], &[]] {
                assert_eq!(some_z(&*team, images, picks), some_z(&*alone, images, picks), "{members}, {images} images");
            }
        }
        // One image leaves the peers idle, two ask the first of them; five times four requests otherwise.
        let asked: Vec<_> = asked.iter().map(|asked| asked.get().z).collect();
        assert_eq!(asked, [16, 12, 8, 4][..members - 1]);
    }
}

#[test]
fn draws_have_the_same_bits_however_many_draw() {
    let alone = cpu();
    for members in 1..=MOST {
        for tokens in [1, 2, 3, 4, 5, 6, 13] {
            let (team, asked) = team(&vec![Manner::Works; members - 1]);
            for cfg in [None, Some(2.5)] {
                for explain in [false, true] {
                    let by_team = some_draw(&*team, tokens, cfg, explain, &mut async || true).unwrap();
                    let by_one = some_draw(&*alone, tokens, cfg, explain, &mut async || true).unwrap();
                    assert_eq!(by_team, by_one, "{members}, {tokens} tokens, {cfg:?}, {explain}");
                }
            }
            let asked: Vec<_> = asked.iter().map(|asked| asked.get()).collect();
            match (tokens, members) {
                // Two halves; a token that only help divides; one that is left over.
                (4, 2) => assert_eq!(asked, [Asked { draw: 4, ..Asked::default() }]),
                (1, 2) => assert_eq!(asked, [Asked { modulations: 4, ..Asked::default() }]),
                (3, 2) => assert_eq!(asked, [Asked { draw: 4, modulations: 4, z: 0 }]),
                _ => assert!(asked.iter().all(|asked| asked.draw % 4 == 0 && asked.modulations % 4 == 0)),
            }
        }
    }
}

#[test]
fn pictures_and_probes_are_those_of_one() {
    let (config, _) = weights();
    let pictures = |network: Arc<dyn Network>| {
        let pipeline = Pipeline::new(config.clone(), network);
        let mut found = Vec::new();
        for (cfg, cfg_every) in [(1.0, 1), (2.0, 1), (2.0, 2)] {
            let settings = marscope_core::sampler::Settings { cfg, cfg_every, ..settings(6, 5) };
            let decoding = pipeline.decode(&[(Some(1), 3), (None, 4)], OrderKind::Random, settings, None).unwrap();
            found.push(small::finish(decoding));
            let probe = pipeline.probe(Some(2), DecodeState::all_masked(&config.model, 1)).unwrap();
            let head = HeadSettings { seed: 5, cfg, steps: "5".into(), solver: Solver::Ddpm, temperature: 1.0 };
            found.push(pollster::block_on(probe.draw(&[3, 9], 70, &head, &mut async || true)).unwrap());
            let explanation = pollster::block_on(probe.explain(4, &head)).unwrap();
            found.extend([explanation.x, explanation.noise, explanation.clean, explanation.deviation]);
            found.push(pollster::block_on(probe.backbone()).unwrap().decoder.weights);
        }
        found
    };
    let alone = pictures(cpu());
    for peers in 1..MOST {
        assert!(pictures(team(&vec![Manner::Works; peers]).0) == alone, "{peers} peers");
    }
}

#[test]
fn a_peer_that_fails_leaves_and_its_part_is_computed_here() {
    let alone = cpu();
    let (team, asked) = team(&[Manner::Works, Manner::Fails, Manner::Works]);
    assert_eq!(team.size(), 4);
    let picks: Vec<_> = (0..4).map(|image| (image, 5)).collect();
    assert_eq!(some_z(&*team, 4, &picks), some_z(&*alone, 4, &picks));
    assert_eq!(team.size(), 3, "it has left");
    let draw = |network: &dyn Network| some_draw(network, 6, Some(2.0), true, &mut async || true).unwrap();
    assert_eq!(draw(&*team), draw(&*alone));
    let asked: Vec<_> = asked.iter().map(|asked| asked.get()).collect();
    let [works, fails] = [1, 0].map(|draw| Asked { z: 1, draw, modulations: 0 });
    assert_eq!(asked, [works, fails, works]);

    // Draws and help fail alike.
    for tokens in [1, 3, 4] {
        let (team, _) = self::team(&[Manner::Fails, Manner::Fails]);
        let draw = |network: &dyn Network| some_draw(network, tokens, Some(2.0), true, &mut async || true).unwrap();
        assert_eq!(draw(&*team), draw(&*alone));
        assert_eq!(team.size(), 1);
    }
}

#[test]
fn who_is_stopped_stops_all() {
    let (team, _) = team(&[Manner::Works]);
    let mut left = 3;
    let mut proceed = async || {
        left -= 1;
        left > 0
    };
    assert!(matches!(some_draw(&*team, 4, None, false, &mut proceed), Err(NetworkError::Stopped)));
    // A peer hears of a stop by itself.
    let (team, _) = self::team(&[Manner::Stops]);
    assert!(matches!(some_draw(&*team, 4, None, false, &mut async || true), Err(NetworkError::Stopped)));
    assert_eq!(team.size(), 2, "it stays");
}

#[test]
fn peers_begin_before_this_one() {
    // The own network notes how often the peer was asked when its own turn comes.
    struct Own(Arc<Cpu>, Rc<Cell<Asked>>, Cell<bool>);
    impl Network for Own {
        fn config(&self) -> &MarConfig {
            self.0.config()
        }
        fn parameters(&self) -> usize {
            self.0.parameters()
        }
        fn z<'a>(
            &'a self,
            session: &'a mut dyn Session,
            input: &'a BackboneInput<'a>,
            picks: &'a [(usize, usize)],
        ) -> Answer<'a, Vec<f32>> {
            self.2.set(self.1.get().z == 1);
            self.0.z(session, input, picks)
        }
        fn draw<'a>(&'a self, _: &'a [f32], _: &'a HeadInput<'a>, _: &'a mut dyn Continue) -> Answer<'a, HeadOutput> {
            panic!("a team takes help");
        }
        fn backbone<'a>(&'a self, input: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput> {
            self.0.backbone(input)
        }
    }
    impl Helped for Own {
        fn draw_helped<'a>(
            &'a self,
            z: &'a [f32],
            process: &'a ReverseProcess<'a>,
            help: Vec<Help<'a>>,
            proceed: &'a mut dyn Continue,
        ) -> Answer<'a, Trajectory> {
            let Asked { draw, modulations, .. } = self.1.get();
            self.2.set((draw, modulations) == (1, help.len()));
            self.0.draw_helped(z, process, help, proceed)
        }
    }
    let asked: Rc<Cell<Asked>> = Rc::default();
    #[allow(clippy::arc_with_non_send_sync)] // as the contract has it
    let own = Arc::new(Own(cpu(), asked.clone(), Cell::new(false)));
    #[allow(clippy::arc_with_non_send_sync)] // as the contract has it
    let peer = Arc::new(Peer { network: cpu(), manner: Manner::Works, asked });
    let team = Team::new(own.clone());
    team.set_peers(vec![peer]);
    some_z(&team, 2, &[(0, 1), (1, 1)]);
    assert!(own.2.take());
    some_draw(&team, 3, None, false, &mut async || true).unwrap();
    assert!(own.2.take());
}
