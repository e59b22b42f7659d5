//! `startup`: prints, installs or takes away what makes the system's service manager start the saved stacks at boot.

use super::workspace::{Workspace, invocation};
use super::{save, stop};
use crate::boot::{Boot, Owner, launchd, systemd};
use crate::cli::{Startup, StartupAction};
use crate::paths::fnv1a;
use crate::plan::{self, Options};
use crate::process::resolve_program;
use crate::tasks::startup as task;
use crate::ui;
use anyhow::{Context as _, Result, bail, ensure};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a service manager is given, in its own words.
struct Service {
    path: PathBuf,
    text: String,
    /// What does the same by hand.
    install_commands: String,
    uninstall_commands: String,
    /// The manager's own program; without it there is no such manager here.
    program: &'static str,
    /// What takes the file up when it is written; works also while an image is built, where no manager runs.
    enable: Option<Vec<String>>,
    /// What lets go of it before it is removed.
    disable: Option<Vec<String>>,
    /// What stops the service before that, where the manager runs …
    stop: Vec<String>,
    /// … and what makes it forget.
    forget: Option<Vec<String>>,
    /// What to do besides, and what happens when.
    hints: Vec<String>,
}

pub(super) fn run(workspace: &Workspace, args: &Startup) -> Result<u8> {
    let boot = describe(workspace, args.user)?;
    let service = if cfg!(target_os = "macos") {
        for_launchd(&boot)?
    } else {
        for_systemd(&boot)?
    };
    match args.action {
        StartupAction::Print => print(&boot, &service),
        StartupAction::Install => install(&boot, &service),
        StartupAction::Uninstall => uninstall(&service),
    }
}

fn describe(workspace: &Workspace, user: bool) -> Result<Boot> {
    let program = std::env::current_exe().context("failed to find this program's own file")?;
    ensure!(
        program.is_file(),
        "this program's own file was replaced or removed; run the command again by the new one"
    );
    let meta = std::fs::metadata(&workspace.file)
        .with_context(|| format!("failed to look at {}", workspace.file.display()))?;
    let root = workspace.file.parent().context("dev.toml is in no directory")?;
    Ok(Boot {
        program,
        file: workspace.file.clone(),
        workspace: root.to_owned(),
        hash: fnv1a(root.as_os_str().as_encoded_bytes()),
        saved: save::path(&workspace.state_dir),
        search: std::env::var("PATH").unwrap_or_default(),
        stop_limit: stop_limit(workspace)? + stop::KEEPER_LIMIT,
        owner: if user {
            Owner::User
        } else {
            Owner::System { uid: meta.uid() }
        },
    })
}

/// The longest that any profile may take to stop: which of them are saved may change, the unit stays.
fn stop_limit(workspace: &Workspace) -> Result<Duration> {
    let config = workspace.config()?;
    let invocation = invocation(Options::default());
    let mut longest = Duration::ZERO;
    for profile in plan::profile_names(&config) {
        let plan = workspace.plan_of(&config, Some(&profile), &invocation)?;
        longest = longest.max(plan.stop_limit());
    }
    Ok(longest)
}

fn for_systemd(boot: &Boot) -> Result<Service> {
    let text = systemd::unit(boot).map_err(anyhow::Error::msg)?;
    let config = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        Some(_) | None => home()?.join(".config"),
    };
    let name = systemd::file_name(boot);
    let path = systemd::directory(boot.owner, &config).join(&name);
    let systemctl = |words: &[&str]| -> Vec<String> {
        let user = match boot.owner {
            Owner::System { .. } => None,
            Owner::User => Some("--user"),
        };
        let words = ["systemctl"].into_iter().chain(user).chain(words.iter().copied());
        words.map(str::to_owned).collect()
    };
    let mut hints = vec![match boot.owner {
        Owner::System { .. } => {
            format!("the saved stacks start at boot; `sudo systemctl start {name}` starts them now")
        }
        Owner::User => format!(
            "the saved stacks start at your login; `loginctl enable-linger` makes that at boot, `systemctl --user start {name}` now"
        ),
    }];
    if !boot.saved.exists() {
        hints.push("nothing is saved yet; run `cargo xtask save` while the stacks are up".to_owned());
    }
    Ok(Service {
        install_commands: systemd::install_commands(boot, &text, &path),
        uninstall_commands: systemd::uninstall_commands(boot, &path),
        program: "systemctl",
        enable: Some(systemctl(&["enable", &name])),
        disable: Some(systemctl(&["disable", &name])),
        stop: systemctl(&["stop", &name]),
        forget: Some(systemctl(&["daemon-reload"])),
        path,
        text,
        hints,
    })
}

fn for_launchd(boot: &Boot) -> Result<Service> {
    let user = match boot.owner {
        Owner::System { uid } => Some(task::user_name(uid)?),
        Owner::User => None,
    };
    let text = launchd::plist(boot, user.as_deref());
    let path = launchd::directory(boot.owner, &home()?).join(launchd::file_name(boot));
    let uid = rustix::process::getuid().as_raw();
    let words = ["launchctl".to_owned(), "bootout".to_owned(), launchd::target(boot, uid)];
    Ok(Service {
        install_commands: launchd::install_commands(boot, &text, &path),
        uninstall_commands: launchd::uninstall_commands(boot, &path, uid),
        program: "launchctl",
        enable: None,
        disable: None,
        stop: words.to_vec(),
        forget: None,
        path,
        text,
        hints: vec!["the saved stacks start at the next boot or login".to_owned()],
    })
}

fn home() -> Result<PathBuf> {
    std::env::home_dir().context("no home directory is known; set HOME")
}

fn print(boot: &Boot, service: &Service) -> Result<u8> {
    ui::print(&service.text)?;
    let user = match boot.owner {
        Owner::System { .. } => "",
        Owner::User => " --user",
    };
    ui::tell(&format!(
        "this goes to {}; `cargo xtask startup install{user}` puts it there",
        service.path.display()
    ));
    Ok(0)
}

fn install(boot: &Boot, service: &Service) -> Result<u8> {
    if resolve_program(service.program, Path::new("/"), std::env::var_os("PATH").as_deref()).is_err() {
        bail!(
            "there is no {} here, so no service manager that is known; have your own run this at boot: {}",
            service.program,
            boot.shell_command()
        );
    }
    let installed =
        task::write(&service.path, &service.text).and_then(|()| service.enable.as_deref().map_or(Ok(()), task::run));
    if let Err(error) = installed {
        let hint = match boot.owner {
            Owner::System { .. } => ", and `startup install --user` needs no rights but yours",
            Owner::User => "",
        };
        return by_hand(error, &service.install_commands, hint);
    }
    ui::print(&format!(
        "installed {} for {}\n",
        service.path.display(),
        boot.workspace.display()
    ))?;
    service.hints.iter().for_each(|hint| ui::tell(hint));
    Ok(0)
}

fn uninstall(service: &Service) -> Result<u8> {
    if !service.path.exists() {
        ui::tell(&format!("{} is not installed", service.path.display()));
        return Ok(0);
    }
    // Where no manager runs, nothing has to be stopped; without the rights the next step fails, too, and says so.
    if let Err(error) = task::run(&service.stop) {
        ui::tell(&format!("warning: {error:#}"));
    }
    let disabled = service.disable.as_deref().map_or(Ok(()), task::run);
    if let Err(error) = disabled.and_then(|()| task::remove(&service.path)) {
        return by_hand(error, &service.uninstall_commands, "");
    }
    if let Some(Err(error)) = service.forget.as_deref().map(task::run) {
        ui::tell(&format!("warning: {error:#}"));
    }
    ui::print(&format!("removed {}\n", service.path.display()))?;
    Ok(0)
}

/// What could not be done is told as commands that do it, for whoever has the rights.
fn by_hand(error: anyhow::Error, commands: &str, hint: &str) -> Result<u8> {
    let forbidden = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
        )
    });
    ui::print(commands)?;
    let how = if forbidden {
        "you have not the rights"
    } else {
        "see above"
    };
    bail!("{error:#}: {how}; the commands above do it by hand{hint}")
}
