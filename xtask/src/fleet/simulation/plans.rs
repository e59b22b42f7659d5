//! Plans for a simulated stack, and plain ones for tests by hand.

use super::dice::Dice;
use crate::config::{Autorestart, Condition, Signal};
use crate::plan::{Dependency, Rotation, ServicePlan};
use crate::policy::{Policy, Readiness};
use std::collections::BTreeMap;
use std::time::Duration;

pub(in crate::fleet) fn service_plan(name: &str) -> ServicePlan {
    ServicePlan {
        name: name.to_owned(),
        script: name.to_owned(),
        args: Vec::new(),
        interpreter: None,
        cwd: "/".into(),
        env: BTreeMap::new(),
        origins: crate::plan::Origins::default(),
        replaced: crate::plan::Replaced::default(),
        policy: Policy {
            autorestart: Autorestart::Always,
            max_restarts: 3,
            min_uptime: Duration::from_secs(1),
            restart_delay: Duration::ZERO,
            exp_backoff_restart_delay: None,
            stop_exit_codes: Vec::new(),
            kill_signal: Signal::Int,
            kill_timeout: Duration::from_secs(5),
            watch_delay: Duration::from_millis(200),
            readiness: Readiness::Probe(Duration::from_secs(30)),
            builds: false,
        },
        depends_on: Vec::new(),
        probe: None,
        probe_interval: Duration::from_millis(200),
        ports: Vec::new(),
        watch: Vec::new(),
        ignore_watch: Vec::new(),
        builds: Vec::new(),
        max_memory_restart: None,
        cron_restart: None,
        pty: false,
        out_file: None,
        error_file: None,
        log_date_format: None,
        rotation: Rotation {
            max_size: 1,
            retain: 1,
            compress: false,
        },
    }
}

pub(in crate::fleet) fn dependency(name: &str, condition: Condition, restart: bool) -> Dependency {
    Dependency {
        name: name.to_owned(),
        condition,
        restart,
    }
}

/// Up to nine services, each of which may depend on earlier ones.
pub(super) fn random_plans(dice: &mut Dice) -> Vec<ServicePlan> {
    let names: Vec<String> = (0..=dice.roll(8)).map(|number| format!("s{number}")).collect();
    let mut plans: Vec<ServicePlan> = Vec::new();
    for name in &names {
        let mut plan = service_plan(name);
        plan.policy = random_policy(dice);
        for other in &plans {
            if dice.one_in(3) {
                // Only what ends by itself ever completes.
                let condition = match dice.roll(3) {
                    0 => Condition::Started,
                    1 if other.policy.autorestart == Autorestart::Never => Condition::Completed,
                    _ => Condition::Ready,
                };
                plan.depends_on.push(dependency(&other.name, condition, dice.one_in(2)));
            }
        }
        plans.push(plan);
    }
    plans
}

/// The next plans of a stack that runs: some services differ, some are gone, and what depended on those does no more.
pub(super) fn changed_plans(dice: &mut Dice, plans: &[ServicePlan]) -> Vec<ServicePlan> {
    let mut next: Vec<ServicePlan> = plans.iter().filter(|_| !dice.one_in(5)).cloned().collect();
    for plan in &mut next {
        if dice.one_in(3) {
            plan.args.push("more".to_owned());
        }
    }
    let names: Vec<String> = next.iter().map(|plan| plan.name.clone()).collect();
    for plan in &mut next {
        plan.depends_on.retain(|dependency| names.contains(&dependency.name));
    }
    if next.is_empty() { plans.to_vec() } else { next }
}

fn random_policy(dice: &mut Dice) -> Policy {
    let mut policy = service_plan("").policy;
    policy.autorestart = match dice.roll(6) {
        0 => Autorestart::Never,
        1 => Autorestart::OnFailure,
        _ => Autorestart::Always,
    };
    policy.max_restarts = u32::try_from(dice.roll(5)).unwrap_or(0);
    policy.stop_exit_codes = if dice.one_in(4) { vec![1] } else { Vec::new() };
    policy.kill_timeout = dice.millis(6000);
    policy.restart_delay = dice.millis(500);
    policy.builds = dice.one_in(3);
    policy.exp_backoff_restart_delay = dice.one_in(4).then_some(Duration::from_millis(100));
    policy.readiness = match dice.roll(2) {
        0 => Readiness::Uptime,
        _ => Readiness::Probe(dice.millis(5000)),
    };
    policy
}
