//! The systemd unit that starts the saved stacks.

use super::unit_text::{quoted, specifiers};
use super::{Boot, Owner};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How long systemd takes silence for a hang; half of it passes between two signs of life.
const WATCHDOG_SECONDS: u32 = 30;

/// What a stack of a development machine survives, for a unit of the system and of a user alike. Setuid programs (sudo,
/// newuidmap) do not work below it.
const HARDENING: [&str; 4] = [
    "NoNewPrivileges=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
];

/// The same, where it takes the system's manager.
///
/// Left out on purpose: `MemoryDenyWriteExecute` (node and java compile at run time), `PrivateTmp` (the socket and what
/// services share lie in /tmp), `PrivateDevices` and `ProtectClock` (virtual machines need /dev/kvm), `ProtectHome`,
/// `ProtectControlGroups` and `ProtectKernelTunables` (containers), `ProtectKernelLogs` (fails where there is no /dev/kmsg).
const SYSTEM_HARDENING: [&str; 3] = ["ProtectSystem=full", "ProtectKernelModules=yes", "ProtectHostname=yes"];

/// The name of the unit's file.
pub fn file_name(boot: &Boot) -> String {
    format!("{}.service", boot.name())
}

/// Where the unit goes; `config` is the user's own directory of settings.
pub fn directory(owner: Owner, config: &Path) -> PathBuf {
    match owner {
        Owner::System { .. } => PathBuf::from("/etc/systemd/system"),
        Owner::User => config.join("systemd/user"),
    }
}

/// The unit.
///
/// # Errors
/// When a path cannot be written in one.
pub fn unit(boot: &Boot) -> Result<String, String> {
    for path in [&boot.program, &boot.file, &boot.workspace, &boot.saved] {
        let text = path.to_str().filter(|text| !text.contains(char::is_control));
        text.ok_or_else(|| {
            format!(
                "the path {} cannot be written in a unit: it must be plain text",
                path.display()
            )
        })?;
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key}{value}");
    };
    let (workspace, saved) = (boot.workspace.display().to_string(), boot.saved.display().to_string());
    line(
        "# Starts the stacks that `xtask save` has saved. Written by `xtask startup`; change it with `systemctl edit`.\n",
        "",
    );
    line("[Unit]", "");
    line("Description=", &format!("Stacks of {}", specifiers(&workspace)));
    line("ConditionPathExists=|", &specifiers(&saved));
    line("ConditionPathExists=|", &specifiers(&format!("{saved}.bak")));
    match boot.owner {
        Owner::System { .. } => line("Wants=network-online.target\nAfter=network-online.target", ""),
        Owner::User => {}
    }
    line("StartLimitIntervalSec=5min\nStartLimitBurst=5", "");
    line("\n[Service]\nType=notify\nNotifyAccess=main", "");
    // In the program's own path `$` is one; in the words behind it, it begins a variable.
    let words = boot.command();
    let (program, args) = words.split_first().ok_or("there is no command to start")?;
    let args = args.iter().map(|word| quoted(&word.replace('$', "$$")));
    let command: Vec<String> = std::iter::once(quoted(program)).chain(args).collect();
    line("ExecStart=", &command.join(" "));
    line("WorkingDirectory=", &specifiers(&workspace));
    line("Environment=", &quoted(&format!("PATH={}", boot.search)));
    if let Owner::System { uid } = boot.owner {
        line("User=", &uid.to_string());
    }
    line("Restart=always\nRestartSec=2s", "");
    line("WatchdogSec=", &format!("{WATCHDOG_SECONDS}s"));
    line(
        "# Builds have no limit of their own; readiness has one, after which the start goes on.\nTimeoutStartSec=infinity",
        "",
    );
    line(
        "# The first process alone is asked to end: it stops the services in order. What is left then is killed.\nKillMode=mixed",
        "",
    );
    line("TimeoutStopSec=", &format!("{}s", boot.stop_limit.as_secs_f64().ceil()));
    line(
        "# A service that runs out of memory is restarted by itself; the others go on.\nOOMPolicy=continue",
        "",
    );
    line(
        "# No setuid programs (sudo, rootless containers): where a service needs them, take these back.",
        "",
    );
    HARDENING.iter().for_each(|setting| line(setting, ""));
    match boot.owner {
        Owner::System { .. } => {
            SYSTEM_HARDENING.iter().for_each(|setting| line(setting, ""));
            line("ReadWritePaths=", &quoted(&workspace));
            line("\n[Install]\nWantedBy=multi-user.target", "");
        }
        Owner::User => line("\n[Install]\nWantedBy=default.target", ""),
    }
    Ok(text)
}

/// What installs the unit at `path`, for a shell.
pub fn install_commands(boot: &Boot, unit: &str, path: &Path) -> String {
    let (sudo, systemctl) = prefixes(boot.owner);
    let word = |path: &Path| crate::config::quote(&path.display().to_string());
    let directory = word(path.parent().unwrap_or(Path::new("/")));
    let name = file_name(boot);
    format!(
        "{sudo}mkdir -p {directory}\n{sudo}tee {} >/dev/null <<'END_OF_UNIT'\n{unit}END_OF_UNIT\n{systemctl} enable {name}\n",
        word(path)
    )
}

/// What takes the unit at `path` away, for a shell.
pub fn uninstall_commands(boot: &Boot, path: &Path) -> String {
    let (sudo, systemctl) = prefixes(boot.owner);
    let file = crate::config::quote(&path.display().to_string());
    format!(
        "{systemctl} disable --now {}\n{sudo}rm {file}\n{systemctl} daemon-reload\n",
        file_name(boot)
    )
}

fn prefixes(owner: Owner) -> (&'static str, &'static str) {
    match owner {
        Owner::System { .. } => ("sudo ", "sudo systemctl"),
        Owner::User => ("", "systemctl --user"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::example;

    #[test]
    fn the_unit_says_all_that_systemd_must_know() {
        let unit = unit(&example(Owner::System { uid: 1000 })).unwrap();
        for line in [
            "Type=notify",
            "NotifyAccess=main",
            "ExecStart=\"/opt/x task/xtask\" --file \"/srv/tide \\\"100%%\\\" $$HOME/dev.toml\" resurrect --foreground",
            "WorkingDirectory=/srv/tide \"100%%\" $HOME",
            "Environment=\"PATH=/usr/bin:/a b:/100%%\"",
            "ConditionPathExists=|/srv/tide \"100%%\" $HOME/.dev/saved.json.bak",
            "User=1000",
            "Restart=always",
            "WatchdogSec=30s",
            "KillMode=mixed",
            "TimeoutStopSec=17s",
            "WantedBy=multi-user.target",
        ] {
            assert!(unit.lines().any(|found| found == line), "no {line} in\n{unit}");
        }
    }

    #[test]
    fn a_unit_of_the_user_needs_nothing_of_the_system() {
        let unit = unit(&example(Owner::User)).unwrap();
        for absent in ["User=", "network-online", "ProtectSystem", "multi-user"] {
            assert!(!unit.contains(absent), "{absent} in\n{unit}");
        }
        assert!(unit.ends_with("WantedBy=default.target\n"), "{unit}");
    }

    #[test]
    fn a_dollar_of_the_programs_path_is_one() {
        let mut boot = example(Owner::User);
        boot.program = "/opt/bi$n/xtask".into();
        assert!(unit(&boot).unwrap().contains("\nExecStart=\"/opt/bi$n/xtask\" --file "));
    }

    #[test]
    fn a_path_that_no_unit_can_hold_is_refused() {
        let mut boot = example(Owner::User);
        boot.file = "/a\nExecStart=/bin/false".into();
        assert!(unit(&boot).unwrap_err().contains("cannot be written"));
    }

    #[test]
    fn the_commands_do_by_hand_what_install_and_uninstall_do() {
        let boot = example(Owner::System { uid: 0 });
        let path = directory(boot.owner, Path::new("/c")).join(file_name(&boot));
        let name = file_name(&boot);
        assert_eq!(
            install_commands(&boot, "UNIT\n", &path),
            format!(
                "sudo mkdir -p /etc/systemd/system\nsudo tee /etc/systemd/system/{name} >/dev/null <<'END_OF_UNIT'\nUNIT\nEND_OF_UNIT\n\
                 sudo systemctl enable {name}\n"
            )
        );
        let user = uninstall_commands(&example(Owner::User), Path::new("/c d/u.service"));
        assert_eq!(
            user,
            format!("systemctl --user disable --now {name}\nrm '/c d/u.service'\nsystemctl --user daemon-reload\n")
        );
    }
}
