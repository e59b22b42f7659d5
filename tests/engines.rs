//! `export` on a real engine: podman starts this repository's `dev` profile, once as it is given to Kubernetes and once
//! as compose.yaml. Health answers through each, and nothing of either is left. No registry: the images are made here,
//! from scratch, and kept in a directory of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, getrlimit};
use tempfile::TempDir;

use crate::support::{LIMIT, Project, Run, Running, Tidepool, get, has, is_free, puppet, wait_until};

/// What the programs of the stack need of open files and processes, and more.
const ENOUGH: u64 = 1024;

/// Podman with images and containers of its own.
struct Podman {
    dir: TempDir,
}

impl Podman {
    /// `None` where it cannot run. It needs root: what an ordinary user's containers need differs from machine to machine.
    fn new() -> Option<Podman> {
        if !(has("podman") && has("runc") && has("podman-compose")) {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            println!("skipped: containers are only tried by root");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("xp").tempdir().unwrap();
        let podman = Podman { dir };
        let path = |name: &str| podman.path(name).to_str().unwrap().to_owned();
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = {:?}\nrunroot = {:?}\n",
            path("root"),
            path("run")
        );
        // A machine's limits are not always above the engine's defaults, and then no container starts.
        let limit = |name: &str, of: Resource| {
            let most = getrlimit(of).current.unwrap_or(ENOUGH).min(ENOUGH);
            format!("{name}={most}:{most}")
        };
        let limits = [limit("nofile", Resource::Nofile), limit("nproc", Resource::Nproc)];
        let conf = format!(
            "[containers]\ndefault_ulimits = {limits:?}\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\nevents_logger = \"file\"\ninfra_image = \"localhost/pause:0\"\ntmp_dir = {:?}\n\
             [network]\nnetwork_config_dir = {:?}\n",
            path("tmp"),
            path("net"),
        );
        fs::write(path("storage.conf"), storage).unwrap();
        fs::write(path("containers.conf"), conf).unwrap();
        Some(podman)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `podman` or `podman-compose`, in the workspace.
    fn command(&self, project: &Project, program: &str) -> Command {
        let mut command = project.prepare(program);
        command.env("CONTAINERS_CONF", self.path("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"));
        command
    }

    #[track_caller]
    fn run(&self, project: &Project, args: &[&str]) -> Run {
        Running::start(self.command(project, "podman").args(args)).wait().ok()
    }

    /// Makes an image of a directory with a `Dockerfile`.
    fn build(&self, project: &Project, tag: &str, context: &Path) {
        self.run(project, &["build", "--quiet", "--tag", tag, context.to_str().unwrap()]);
    }

    /// Expects that no container and no pod is there.
    #[track_caller]
    fn assert_empty(&self, project: &Project) {
        for args in [["ps", "--all", "--quiet"], ["pod", "ps", "--quiet"]] {
            let run = self.run(project, &args);
            assert_eq!(run.stdout, "", "left behind");
        }
    }
}

/// What a failed test has left must not hold the ports of the next one.
struct Cleanup<'a>(&'a Podman, &'a Project);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        for args in [&["pod", "rm", "--all", "--force"][..], &["rm", "--all", "--force"]] {
            let _ = Running::start(self.0.command(self.1, "podman").args(args)).end(LIMIT);
        }
    }
}

fn health_answers() {
    for port in [7163, 5173] {
        let body = wait_until(&format!("health answers on {port}"), || {
            get(port, "/api/health").filter(|(status, _)| *status == 200)
        });
        // In a container of its own it is the first process.
        assert!(
            body.1.contains("\"status\":\"ok\"") && body.1.contains("\"pid\":1,"),
            "{}",
            body.1
        );
        assert!(
            body.1.contains("\"NODE_ENV\":\"test\""),
            "the profile's environment: {}",
            body.1
        );
    }
}

fn wait_free() {
    wait_until("the ports are free", || (is_free(7163) && is_free(5173)).then_some(()));
}

#[test]
fn podman_runs_the_dev_profile_as_kubernetes_and_as_compose() {
    let Some(podman) = Podman::new() else { return };
    let stack = Tidepool::take();
    let _cleanup = Cleanup(&podman, &stack);
    stack.run(&["build", "tidepool", "image"]).ok();
    podman.build(&stack, "localhost/tidepool:0.1.0", &stack.path("build/image"));
    pause_image(&podman, &stack);

    stack
        .run(&["export", "kubernetes", "-p", "dev", "-o", "build/kubernetes"])
        .ok();
    let play = ["play", "kube", "build/kubernetes/dev.yaml"];
    podman.run(&stack, &play);
    health_answers();
    podman.run(&stack, &[&play[..2], &["--down"], &play[2..]].concat());
    podman.assert_empty(&stack);
    wait_free();

    stack
        .run(&["export", "compose", "-p", "dev", "-o", "build/compose"])
        .ok();
    let compose = |args: &[&str]| {
        let mut command = podman.command(&stack, "podman-compose");
        command
            .current_dir(stack.path("build/compose"))
            .args(["--profile", "dev"])
            .args(args);
        Running::start(&mut command).wait().ok()
    };
    compose(&["up", "--detach"]);
    health_answers();
    for service in ["dev_server_1", "dev_client_1"] {
        podman.run(&stack, &["healthcheck", "run", service]);
    }
    compose(&["down"]);
    podman.assert_empty(&stack);
    wait_free();
}

/// What holds a pod together; podman would build its own from a program that not every machine has.
fn pause_image(podman: &Podman, project: &Project) {
    let context = podman.path("pause");
    let script = project.path("tests/tidepool/image.sh");
    let mut gather = project.prepare(script.to_str().unwrap());
    Running::start(gather.arg(puppet()).arg(&context)).wait().ok();
    fs::write(
        context.join("Dockerfile"),
        "FROM scratch\nCOPY . /\nENTRYPOINT [\"/puppet\"]\n",
    )
    .unwrap();
    podman.build(project, "localhost/pause:0", &context);
}
