//! The property list with which launchd starts the saved stacks, on macOS. Checked on Linux as text; never run on a Mac.

use super::{Boot, Owner};
use std::path::{Path, PathBuf};

/// What launchd knows the job by.
pub fn label(boot: &Boot) -> String {
    format!("dev.{}", boot.name())
}

/// The name of the list's file.
pub fn file_name(boot: &Boot) -> String {
    format!("{}.plist", label(boot))
}

/// Where the list goes: what lies there is started at boot, or at login where it is the user's.
pub fn directory(owner: Owner, home: &Path) -> PathBuf {
    match owner {
        Owner::System { .. } => PathBuf::from("/Library/LaunchDaemons"),
        Owner::User => home.join("Library/LaunchAgents"),
    }
}

/// The property list; a system's job runs as the user of this name.
pub fn plist(boot: &Boot, user: Option<&str>) -> String {
    let words: String = boot
        .command()
        .iter()
        .map(|word| format!("        {}\n", string(word)))
        .collect();
    let user = user.map_or_else(String::new, |name| pair("UserName", &string(name)));
    let pairs = [
        pair("Label", &string(&label(boot))),
        pair("ProgramArguments", &format!("<array>\n{words}    </array>")),
        pair("WorkingDirectory", &string(&boot.workspace.display().to_string())),
        pair(
            "EnvironmentVariables",
            &format!(
                "<dict>\n        <key>PATH</key>\n        {}\n    </dict>",
                string(&boot.search)
            ),
        ),
        user,
        pair("RunAtLoad", "<true/>"),
        pair("KeepAlive", "<true/>"),
        pair(
            "ExitTimeOut",
            &format!("<integer>{}</integer>", boot.stop_limit.as_secs_f64().ceil()),
        ),
        pair("AbandonProcessGroup", "<true/>"),
    ];
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n{}</dict>\n</plist>\n",
        pairs.concat()
    )
}

fn pair(key: &str, value: &str) -> String {
    format!("    <key>{key}</key>\n    {value}\n")
}

fn string(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<string>{text}</string>")
}

/// What installs the list at `path`, for a shell. launchd takes it up at the next boot or login.
pub fn install_commands(boot: &Boot, plist: &str, path: &Path) -> String {
    let sudo = sudo(boot.owner);
    let word = |path: &Path| crate::config::quote(&path.display().to_string());
    let directory = word(path.parent().unwrap_or(Path::new("/")));
    format!(
        "{sudo}mkdir -p {directory}\n{sudo}tee {} >/dev/null <<'END_OF_PLIST'\n{plist}END_OF_PLIST\n",
        word(path)
    )
}

/// What takes the list at `path` away, for a shell; `uid` is the user's number.
pub fn uninstall_commands(boot: &Boot, path: &Path, uid: u32) -> String {
    let sudo = sudo(boot.owner);
    let file = crate::config::quote(&path.display().to_string());
    format!("{sudo}launchctl bootout {}\n{sudo}rm {file}\n", target(boot, uid))
}

/// The job as `launchctl` names it.
pub fn target(boot: &Boot, uid: u32) -> String {
    match boot.owner {
        Owner::System { .. } => format!("system/{}", label(boot)),
        Owner::User => format!("gui/{uid}/{}", label(boot)),
    }
}

fn sudo(owner: Owner) -> &'static str {
    match owner {
        Owner::System { .. } => "sudo ",
        Owner::User => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::example;

    #[test]
    fn the_list_runs_the_command_at_load_and_keeps_it_alive() {
        let mut boot = example(Owner::System { uid: 501 });
        boot.program = "/opt/<x> & y/xtask".into();
        let list = plist(&boot, Some("me"));
        let expected = "    <key>ProgramArguments</key>
    <array>
        <string>/opt/&lt;x&gt; &amp; y/xtask</string>
        <string>--file</string>
        <string>/srv/tide \"100%\" $HOME/dev.toml</string>
        <string>resurrect</string>
        <string>--foreground</string>
    </array>
";
        assert!(list.contains(expected), "{list}");
        for part in [
            "<key>RunAtLoad</key>\n    <true/>",
            "<key>KeepAlive</key>\n    <true/>",
            "<key>ExitTimeOut</key>\n    <integer>17</integer>",
            "<key>PATH</key>\n        <string>/usr/bin:/a b:/100%</string>",
            "<key>UserName</key>\n    <string>me</string>",
        ] {
            assert!(list.contains(part), "no {part} in {list}");
        }
        assert!(!plist(&boot, None).contains("UserName"));
    }

    #[test]
    fn the_commands_name_the_file_and_the_job() {
        let boot = example(Owner::User);
        let path = directory(boot.owner, Path::new("/Users/me")).join(file_name(&boot));
        assert_eq!(path.parent(), Some(Path::new("/Users/me/Library/LaunchAgents")));
        let file = path.display();
        let install = install_commands(&boot, "LIST\n", &path);
        assert!(
            install.contains(&format!("tee {file} >/dev/null <<'END_OF_PLIST'\nLIST\nEND_OF_PLIST\n")),
            "{install}"
        );
        let label = label(&boot);
        assert_eq!(
            uninstall_commands(&boot, &path, 501),
            format!("launchctl bootout gui/501/{label}\nrm {file}\n")
        );
    }
}
