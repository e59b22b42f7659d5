//! Long histories of a whole stack in a simulated world, with every promise checked after every step.
//! A failure prints its seed; `XTASK_SEED=… cargo test -p xtask --lib simulation` replays it.

mod dice;
mod plans;
mod promises;
mod world;

pub(super) use plans::{dependency, service_plan};

use world::World;

/// How many steps one test run plays over all seeds.
const STEPS: usize = 1_000_000;
/// How many steps one history has before it is brought to rest.
const HISTORY: usize = 2_000;

#[test]
fn a_million_random_steps_keep_every_promise() {
    let named = std::env::var("XTASK_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut played = 0;
    for seed in named.map_or(0..u64::MAX, |seed: u64| seed..seed + 1) {
        let mut world = World::new(seed);
        while world.steps < HISTORY {
            world.step(true);
        }
        if seed % 2 == 1 {
            world.let_settle();
        }
        world.bring_to_rest();
        played += world.steps;
        if played >= STEPS {
            break;
        }
    }
    assert!(played >= STEPS || named.is_some());
}
