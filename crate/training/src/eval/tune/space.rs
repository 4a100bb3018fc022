//! The settings that are searched: a grid with one axis for each setting that changes quality or time.
//! Guidance, its schedule, iterations, temperature, diffusion steps and the solver (sections 3.2, 3.4 and 4 of the paper).

use marscope_core::diffusion::Solver;
use marscope_core::random::Stream;
use marscope_core::sampler::{CfgSchedule, Settings};

const CFG: [f32; 9] = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];
const SCHEDULES: [CfgSchedule; 2] = [CfgSchedule::Linear, CfgSchedule::Constant];
const ITERATIONS: [usize; 18] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 256];
const TEMPERATURES: [f32; 8] = [0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1];
const STEPS: [usize; 11] = [5, 8, 10, 12, 15, 20, 25, 35, 50, 75, 100];
const SOLVERS: [Solver; 3] = [Solver::Ddpm, Solver::Ddim, Solver::Dpm];

/// The axes.
const AXES: usize = 6;

/// The settings for pictures of some number of tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    tokens: usize,
}

impl Space {
    /// For pictures of `tokens` tokens.
    pub fn new(tokens: usize) -> Self {
        Self { tokens }
    }

    fn iterations(self) -> &'static [usize] {
        let within = ITERATIONS.iter().filter(|&&iterations| iterations <= self.tokens).count();
        &ITERATIONS[..within.max(1)]
    }

    /// Settings drawn from the whole grid.
    pub fn draw(self, stream: &mut Stream) -> Settings {
        canonical(Settings {
            cfg: one_of(&CFG, stream),
            cfg_schedule: one_of(&SCHEDULES, stream),
            iterations: one_of(self.iterations(), stream),
            steps: one_of(&STEPS, stream).into(),
            late_steps: None,
            solver: one_of(&SOLVERS, stream),
            cfg_every: 1,
            temperature: one_of(&TEMPERATURES, stream),
        })
    }

    /// `from` with one setting moved to a neighbour on its axis. Settings beside the grid move onto it.
    pub fn step(self, from: &Settings, stream: &mut Stream) -> Settings {
        let up = stream.below(2) == 1;
        let mut to = from.clone();
        match stream.below(AXES as u32) {
            0 => to.cfg = beside(&CFG, from.cfg, up),
            1 => {
                to.cfg_schedule = match from.cfg_schedule {
                    CfgSchedule::Linear => CfgSchedule::Constant,
                    CfgSchedule::Constant => CfgSchedule::Linear,
                }
            }
            2 => to.iterations = beside(self.iterations(), from.iterations, up),
            3 => to.temperature = beside(&TEMPERATURES, from.temperature, up),
            4 => to.steps = beside(&STEPS, from.steps.count().unwrap_or(STEPS[0]), up).into(),
            _ => to.solver = one_of(&SOLVERS, stream),
        }
        canonical(to)
    }
}

/// Settings that give the same pictures, written in one way: without guidance the schedule has no effect, and without noise on
/// the way neither has the temperature.
pub(super) fn canonical(mut settings: Settings) -> Settings {
    if !settings.is_guided() {
        settings.cfg_schedule = CfgSchedule::Linear;
    }
    if settings.solver != Solver::Ddpm {
        settings.temperature = 1.0;
    }
    settings
}

/// Whether `a` takes at least as long as `b` whatever the device: it does nothing less.
pub(super) fn at_least_as_slow(a: &Settings, b: &Settings) -> bool {
    a.iterations >= b.iterations && a.steps.count() >= b.steps.count() && (a.is_guided() || !b.is_guided())
}

fn one_of<T: Copy>(values: &[T], stream: &mut Stream) -> T {
    values[stream.below(values.len() as u32) as usize]
}

/// The nearest of the ascending `values` above or below `from`, or `from` itself at the end.
fn beside<T: Copy + PartialOrd>(values: &[T], from: T, up: bool) -> T {
    let found =
        if up { values.iter().find(|&&value| value > from) } else { values.iter().rev().find(|&&value| value < from) };
    found.copied().unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use marscope_core::random::Philox;

    #[test]
    fn what_is_drawn_can_be_decoded_and_every_value_is_drawn() {
        for tokens in [1, 4, 49, 256] {
            let (space, mut stream) = (Space::new(tokens), Philox::new(1).stream(0, 0));
            let mut most = 0;
            for _ in 0..2_000 {
                let settings = space.draw(&mut stream);
                settings.check(tokens).unwrap();
                most = most.max(settings.iterations);
                assert_eq!(canonical(settings.clone()), settings);
            }
            assert_eq!(most, *ITERATIONS.iter().rev().find(|&&iterations| iterations <= tokens).unwrap());
        }
    }

    #[test]
    fn a_step_moves_one_setting_to_a_neighbour() {
        let (space, mut stream) = (Space::new(49), Philox::new(2).stream(0, 0));
        let from = Settings { cfg: 2.9, ..space.draw(&mut stream) };
        let from = Settings { solver: Solver::Ddpm, temperature: 1.0, iterations: 49, ..from };
        let mut seen = [false; AXES];
        for _ in 0..200 {
            let to = space.step(&from, &mut stream);
            to.check(49).unwrap();
            let moved = [
                (to.cfg - from.cfg).abs() > 0.0,
                to.cfg_schedule != from.cfg_schedule,
                to.iterations != from.iterations,
                (to.temperature - from.temperature).abs() > 0.0,
                to.steps != from.steps,
                to.solver != from.solver,
            ];
            assert!(moved.iter().filter(|&&moved| moved).count() <= 1, "{to:?}");
            assert!([2.5, 2.9, 3.0].contains(&to.cfg) && [48, 49].contains(&to.iterations), "{to:?}");
            moved.iter().zip(&mut seen).for_each(|(&moved, seen)| *seen |= moved);
        }
        assert_eq!(seen, [true; AXES]);
    }

    #[test]
    fn work_alone_says_what_is_slower() {
        let base = Space::new(49).draw(&mut Philox::new(3).stream(0, 0));
        let base = Settings { iterations: 5, steps: 20.into(), cfg: 2.0, ..base };
        let more = Settings { iterations: 6, steps: 25.into(), ..base.clone() };
        assert!(at_least_as_slow(&more, &base) && at_least_as_slow(&base, &base) && !at_least_as_slow(&base, &more));
        let unguided = Settings { cfg: 1.0, ..more };
        assert!(!at_least_as_slow(&unguided, &base) && !at_least_as_slow(&base, &unguided));
    }
}
