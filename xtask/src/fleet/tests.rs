//! Small fleets by hand; `simulation` plays large ones at random.

use super::{Fate, Fleet, Goal, ServiceId, Task};
use crate::clock::Now;
use crate::config::{Autorestart, Condition};
use crate::fleet::simulation::{dependency, service_plan};
use crate::lifecycle::{Action, Cause, Event, Exit, RunId, State, Wanted};
use crate::plan::ServicePlan;
use std::time::Duration;

fn at(millis: u64) -> Now {
    Now {
        monotonic: Duration::from_millis(millis),
        wall: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn web_and_db(restart: bool) -> Vec<ServicePlan> {
    let mut web = service_plan("web");
    web.depends_on.push(dependency("db", Condition::Ready, restart));
    vec![service_plan("db"), web]
}

fn launches(tasks: &[Task]) -> Vec<(u32, RunId)> {
    tasks
        .iter()
        .filter_map(|(id, action)| match action {
            Action::Launch(run) => Some((id.0, *run)),
            _ => None,
        })
        .collect()
}

const DB: ServiceId = ServiceId(0);
const WEB: ServiceId = ServiceId(1);

/// Both are up; the runs are 1 and 2.
fn up(restart: bool) -> Fleet {
    let mut fleet = Fleet::default();
    let tasks = fleet.adopt(web_and_db(restart), &[], at(0));
    assert_eq!(
        launches(&tasks),
        [(0, RunId(1))],
        "only what depends on nothing is launched"
    );
    let tasks = fleet.apply(DB, Event::Spawned(RunId(1), 10), at(0));
    assert_eq!(launches(&tasks), []);
    assert_eq!(fleet.reason(WEB).as_deref(), Some("waits for db"));
    let tasks = fleet.apply(DB, Event::Ready(RunId(1)), at(1));
    assert_eq!(launches(&tasks), [(1, RunId(2))]);
    let _ = fleet.apply(WEB, Event::Spawned(RunId(2), 20), at(1));
    let _ = fleet.apply(WEB, Event::Ready(RunId(2)), at(2));
    fleet
}

#[test]
fn a_stack_stops_in_reverse_order() {
    let mut fleet = up(false);
    let tasks = fleet.apply_all(&[DB, WEB], &Event::Stop, at(10));
    assert!(tasks.contains(&(WEB, Action::Terminate(RunId(2)))));
    assert!(!tasks.contains(&(DB, Action::Terminate(RunId(1)))), "web still runs");
    let _ = fleet.apply(WEB, Event::Exited(RunId(2), Exit::Code(0)), at(11));
    let tasks = fleet.apply(WEB, Event::TreeGone(RunId(2)), at(11));
    assert!(tasks.contains(&(DB, Action::Terminate(RunId(1)))));
}

#[test]
fn what_survives_sigkill_keeps_no_dependency_up() {
    let mut fleet = up(false);
    let _ = fleet.apply_all(&[DB, WEB], &Event::Stop, at(10));
    let _ = fleet.apply(WEB, Event::Exited(RunId(2), Exit::Signal(9)), at(11));
    let mut halted = Vec::new();
    for millis in [20_000, 60_000, 120_000] {
        halted.extend(fleet.tick(at(millis)));
    }
    assert!(fleet.get(WEB).unwrap().service.is_stuck());
    assert!(halted.contains(&(DB, Action::Terminate(RunId(1)))), "{halted:?}");
}

#[test]
fn who_depends_on_a_dependency_and_on_its_follower_waits_for_the_followers_next_run() {
    let mut late = service_plan("late");
    late.depends_on.push(dependency("db", Condition::Ready, false));
    late.depends_on.push(dependency("web", Condition::Ready, false));
    let [db, web] = web_and_db(true).try_into().unwrap();
    let mut fleet = Fleet::default();
    // In this order: the launch is looked at before the restart.
    let _ = fleet.adopt(vec![db, late, web], &[], at(0));
    let (late, web) = (fleet.find("late").unwrap(), fleet.find("web").unwrap());
    let (first, second) = (RunId(1), RunId(2));
    let _ = fleet.apply(DB, Event::Spawned(first, 10), at(0));
    let _ = fleet.apply(DB, Event::Ready(first), at(1));
    let _ = fleet.apply(web, Event::Spawned(second, 20), at(1));
    let _ = fleet.apply(DB, Event::Exited(first, Exit::Code(1)), at(2));
    let _ = fleet.apply(web, Event::Ready(second), at(3));
    let tasks = fleet.apply(DB, Event::TreeGone(first), at(3));
    let [(_, third)] = launches(&tasks)[..] else {
        panic!("{tasks:?}")
    };
    let _ = fleet.apply(DB, Event::Spawned(third, 11), at(4));
    let tasks = fleet.apply(DB, Event::Ready(third), at(5));
    assert!(tasks.contains(&(web, Action::Terminate(second))), "{tasks:?}");
    assert_eq!(launches(&tasks), []);
    assert_eq!(fleet.reason(late).as_deref(), Some("waits for web"));
}

#[test]
fn a_dependency_that_stops_alone_leaves_its_dependents_up() {
    let mut fleet = up(false);
    let tasks = fleet.apply(DB, Event::Stop, at(10));
    assert!(tasks.contains(&(DB, Action::Terminate(RunId(1)))));
    assert!(fleet.get(WEB).is_some_and(|web| web.service.is_ready()));
}

#[test]
fn a_dependent_with_restart_follows_when_its_dependency_comes_back() {
    for restart in [false, true] {
        let mut fleet = up(restart);
        let _ = fleet.apply(DB, Event::Exited(RunId(1), Exit::Signal(9)), at(5000));
        let tasks = fleet.apply(DB, Event::TreeGone(RunId(1)), at(5000));
        assert_eq!(launches(&tasks), [(0, RunId(3))]);
        let _ = fleet.apply(DB, Event::Spawned(RunId(3), 11), at(5001));
        let tasks = fleet.apply(DB, Event::Ready(RunId(3)), at(5002));
        assert_eq!(tasks.contains(&(WEB, Action::Terminate(RunId(2)))), restart);
    }
}

#[test]
fn the_same_plan_again_changes_nothing_and_another_one_only_what_differs() {
    let mut fleet = up(false);
    assert_eq!(fleet.adopt(web_and_db(false), &[], at(20)), []);
    let mut plans = web_and_db(false);
    plans[1].args = vec!["--new".to_owned()];
    let tasks = fleet.adopt(plans, &[], at(20));
    let acted: Vec<ServiceId> = tasks
        .iter()
        .filter(|(_, action)| !matches!(action, Action::Note(_)))
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(acted, [WEB]);
}

#[test]
fn what_is_gone_from_the_plan_stops_and_leaves_and_ids_of_others_are_not_taken() {
    let mut fleet = up(false);
    let tasks = fleet.adopt(vec![service_plan("db"), service_plan("new")], &[2], at(20));
    assert!(tasks.contains(&(WEB, Action::Terminate(RunId(2)))));
    assert_eq!(
        fleet.find("new"),
        Some(ServiceId(3)),
        "0 and 1 are its own, 2 is another stack's"
    );
    let _ = fleet.apply(WEB, Event::Exited(RunId(2), Exit::Code(0)), at(21));
    let _ = fleet.apply(WEB, Event::TreeGone(RunId(2)), at(21));
    assert_eq!(fleet.find("web"), None);
    assert_eq!(fleet.fate(WEB, Goal::Down), Fate::Reached);
}

#[test]
fn the_fate_of_a_dependent_names_the_dependency_that_failed() {
    let mut fleet = Fleet::default();
    let _ = fleet.adopt(web_and_db(false), &[], at(0));
    let _ = fleet.apply(DB, Event::Unlaunchable(RunId(1), "no such program".to_owned()), at(0));
    assert_eq!(fleet.get(DB).map(|db| &db.service.state), Some(&State::Errored));
    assert_eq!(
        fleet.fate(WEB, Goal::Ready),
        Fate::Failed("waits for db (no such program)".to_owned())
    );
    assert_eq!(fleet.fate(WEB, Goal::Launched), Fate::Reached);
    assert_eq!(
        fleet.reason(WEB).as_deref(),
        Some("waits for db (errored: no such program)")
    );
}

#[test]
fn what_the_user_had_stopped_stays_down_until_the_users_start() {
    let mut fleet = Fleet::default();
    let stopped = ["web".to_owned()];
    let tasks = fleet.adopt_but(web_and_db(false), &stopped, None, &[], at(0));
    let web = fleet.find("web").unwrap();
    assert!(!tasks.is_empty() && tasks.iter().all(|(id, _)| *id != web), "{tasks:?}");
    assert_eq!(fleet.get(web).unwrap().service.state, State::Stopped);
    // A later `dev` wants all of it.
    let _ = fleet.adopt(web_and_db(false), &[], at(10));
    assert_eq!(fleet.get(web).unwrap().service.wanted, Wanted::Up);
}

#[test]
fn the_fate_of_who_waits_until_a_one_shot_is_ready_is_known_when_that_has_ended_well() {
    for (autorestart, code) in [
        (Autorestart::Never, 0),
        (Autorestart::OnFailure, 0),
        (Autorestart::Always, 7),
    ] {
        let mut plans = web_and_db(false);
        plans[0].policy.autorestart = autorestart;
        plans[0].policy.stop_exit_codes = vec![7];
        let mut last = service_plan("last");
        last.depends_on.push(dependency("web", Condition::Ready, false));
        plans.push(last);
        let mut fleet = Fleet::default();
        let _ = fleet.adopt(plans, &[], at(0));
        let _ = fleet.apply(DB, Event::Spawned(RunId(1), 10), at(0));
        let _ = fleet.apply(DB, Event::Exited(RunId(1), Exit::Code(code)), at(1));
        assert_eq!(fleet.fate(WEB, Goal::Ready), Fate::Open, "it is not yet at rest");
        let _ = fleet.apply(DB, Event::TreeGone(RunId(1)), at(1));
        assert_eq!(fleet.fate(DB, Goal::Ready), Fate::Reached);
        let why = format!("waits for db (ended with exit code {code})");
        assert_eq!(
            fleet.fate(WEB, Goal::Ready),
            Fate::Failed(why.clone()),
            "{autorestart:?}"
        );
        let why = format!("waits for web ({why})");
        assert_eq!(fleet.fate(ServiceId(2), Goal::Ready), Fate::Failed(why));
    }
}

#[test]
fn what_is_blocked_is_tried_at_once_by_another_dev_with_the_plan_that_it_brings() {
    for args in [vec![], vec!["--port=2".to_owned()]] {
        let mut fleet = Fleet::default();
        let _ = fleet.adopt(vec![service_plan("db")], &[], at(0));
        let _ = fleet.apply(DB, Event::PortsHeld(RunId(1), "port 1 is held".to_owned()), at(0));
        assert_eq!(
            fleet.fate(DB, Goal::Launched),
            Fate::Failed("port 1 is held".to_owned())
        );
        let mut plan = service_plan("db");
        plan.args.clone_from(&args);
        let tasks = fleet.adopt(vec![plan], &[], at(1));
        assert_eq!(launches(&tasks), [(0, RunId(2))]);
        assert_eq!(fleet.get(DB).map(|db| &db.plan.args), Some(&args));
        assert_eq!(fleet.fate(DB, Goal::Launched), Fate::Open);
    }
}

/// A one-shot that configures what it depends on has done so in its first run; the runs are 1 and 2.
fn configured() -> Fleet {
    let mut plans = web_and_db(true);
    plans[1].policy.autorestart = Autorestart::Never;
    let mut fleet = Fleet::default();
    let _ = fleet.adopt(plans, &[], at(0));
    let _ = fleet.apply(DB, Event::Spawned(RunId(1), 10), at(0));
    let _ = fleet.apply(DB, Event::Ready(RunId(1)), at(1));
    let _ = fleet.apply(WEB, Event::Spawned(RunId(2), 20), at(1));
    let _ = fleet.apply(WEB, Event::Exited(RunId(2), Exit::Code(0)), at(2));
    let tasks = fleet.apply(WEB, Event::TreeGone(RunId(2)), at(2));
    assert_eq!(launches(&tasks), []);
    fleet
}

/// Its dependency ends and comes back; the tasks are those that follow.
fn come_back(fleet: &mut Fleet, old: RunId, new: RunId) -> Vec<Task> {
    let _ = fleet.apply(DB, Event::Exited(old, Exit::Signal(9)), at(5000));
    let _ = fleet.apply(DB, Event::TreeGone(old), at(5000));
    let tasks = fleet.apply(DB, Event::Spawned(new, 11), at(5001));
    assert_eq!(launches(&tasks), [], "not before it is ready");
    fleet.apply(DB, Event::Ready(new), at(5002))
}

#[test]
fn a_one_shot_with_restart_runs_again_when_what_it_configured_comes_back() {
    let mut fleet = configured();
    assert_eq!(launches(&come_back(&mut fleet, RunId(1), RunId(3))), [(1, RunId(4))]);
    let _ = fleet.apply(WEB, Event::Spawned(RunId(4), 21), at(5003));
    let _ = fleet.apply(WEB, Event::Exited(RunId(4), Exit::Code(0)), at(5004));
    let tasks = fleet.apply(WEB, Event::TreeGone(RunId(4)), at(5004));
    assert_eq!(launches(&tasks), [], "once for each time");
    assert_eq!(fleet.fate(WEB, Goal::Ready), Fate::Reached);
    // A user's restart of the other is one, too.
    let _ = fleet.apply(DB, Event::Restart(Cause::Command), at(6000));
    assert_eq!(launches(&come_back(&mut fleet, RunId(3), RunId(5))), [(1, RunId(6))]);
}

#[test]
fn a_one_shot_that_the_user_has_stopped_does_not_come_back_with_what_it_configured() {
    let mut fleet = configured();
    let _ = fleet.apply(WEB, Event::Stop, at(3));
    assert_eq!(launches(&come_back(&mut fleet, RunId(1), RunId(3))), []);
    assert_eq!(fleet.get(WEB).map(|web| &web.service.state), Some(&State::Stopped));
}

#[test]
fn who_waits_until_a_one_shot_is_completed_waits_for_its_next_run_when_that_is_due() {
    let mut late = service_plan("late");
    late.depends_on.push(dependency("db", Condition::Ready, false));
    late.depends_on.push(dependency("web", Condition::Completed, false));
    let [db, mut web] = web_and_db(true).try_into().unwrap();
    web.policy.autorestart = Autorestart::Never;
    let mut fleet = Fleet::default();
    // In this order: the launch is looked at before the restart.
    let _ = fleet.adopt(vec![db, late, web], &[], at(0));
    let (late, web) = (fleet.find("late").unwrap(), fleet.find("web").unwrap());
    let _ = fleet.apply(late, Event::Stop, at(0));
    let _ = fleet.apply(DB, Event::Spawned(RunId(1), 10), at(0));
    let _ = fleet.apply(DB, Event::Ready(RunId(1)), at(1));
    let _ = fleet.apply(web, Event::Spawned(RunId(2), 20), at(1));
    let _ = fleet.apply(DB, Event::Exited(RunId(1), Exit::Code(1)), at(2));
    let _ = fleet.apply(DB, Event::TreeGone(RunId(1)), at(2));
    let _ = fleet.apply(web, Event::Exited(RunId(2), Exit::Code(0)), at(3));
    let _ = fleet.apply(web, Event::TreeGone(RunId(2)), at(3));
    let _ = fleet.apply(late, Event::Start, at(3));
    let _ = fleet.apply(DB, Event::Spawned(RunId(3), 11), at(4));
    let tasks = fleet.apply(DB, Event::Ready(RunId(3)), at(5));
    assert_eq!(launches(&tasks), [(web.0, RunId(4))]);
    assert_eq!(fleet.reason(late).as_deref(), Some("waits for web"));
}

#[test]
fn what_a_user_has_stopped_since_another_dev_began_stays_down_with_the_plan_that_it_brings() {
    let stopped = || {
        let mut fleet = up(false);
        let _ = fleet.apply(WEB, Event::Stop, at(10));
        let _ = fleet.apply(WEB, Event::Exited(RunId(2), Exit::Code(0)), at(11));
        let _ = fleet.apply(WEB, Event::TreeGone(RunId(2)), at(11));
        fleet
    };
    let mut plans = web_and_db(false);
    plans[1].args = vec!["--new".to_owned()];
    let began = |millis| Some(Duration::from_millis(millis));
    let mut fleet = stopped();
    assert_eq!(fleet.stopped_since(began(9)), [WEB]);
    assert_eq!(fleet.adopt_but(plans.clone(), &[], began(9), &[], at(20)), []);
    let web = fleet.get(WEB).unwrap();
    assert_eq!((web.service.wanted, &web.plan.args), (Wanted::Down, &plans[1].args));
    for began in [began(12), None] {
        let mut fleet = stopped();
        assert_eq!(fleet.stopped_since(began), []);
        assert_eq!(
            launches(&fleet.adopt_but(plans.clone(), &[], began, &[], at(20))),
            [(1, RunId(3))]
        );
    }
}

#[test]
fn what_has_gone_from_the_plan_was_not_stopped_by_a_user_and_comes_back_with_the_next_one() {
    let mut fleet = up(false);
    let _ = fleet.adopt(vec![service_plan("db")], &[], at(20));
    assert_eq!(fleet.stopped_since(Some(Duration::from_millis(9))), []);
    let _ = fleet.adopt_but(web_and_db(false), &[], Some(Duration::from_millis(9)), &[], at(21));
    assert_eq!(fleet.get(WEB).unwrap().service.wanted, Wanted::Up);
}
