//! `export`: what each engine is given, what it cannot be given, and that no secret is among it. The outputs for this
//! repository's `prod` profile and for a file with every key stand in `tests/snapshots`; `UPDATE_SNAPSHOTS=1` writes them anew.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::{Project, has};

const ENGINES: [&str; 3] = ["kubernetes", "compose", "systemd"];

/// A secret of the fixture, which must never be seen.
const SECRET: &str = "correct-horse-battery";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A workspace with files of the repository, and a PATH with these programs alone.
fn project(files: &[(&str, &str)], programs: &[&str]) -> Project {
    let mut project = Project::new();
    for (from, to) in files {
        project.write(to, &fs::read_to_string(repository().join(from)).unwrap());
    }
    for program in programs {
        let path = format!("bin/{program}");
        project.write(&path, "#!/bin/sh\n");
        fs::set_permissions(project.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let bin = project.path("bin");
    project = project.env("PATH", bin.to_str().unwrap());
    project
}

fn prod() -> Project {
    let files = ["dev.toml", "test.env"];
    let files: Vec<_> = files
        .into_iter()
        .filter(|file| repository().join(file).exists())
        .map(|file| (file, file))
        .collect();
    project(&files, &["cargo", "caddy", "java"])
}

fn every_key() -> Project {
    let files = [
        ("tests/snapshots/every-key.toml", "dev.toml"),
        ("tests/snapshots/every-key.env", "every-key.env"),
    ];
    project(&files, &["make", "python3", "postgres", "queue", "seed", "watcher"])
}

/// What a command prints and says, without the paths of this machine.
fn export(project: &Project, engine: &str, profile: &str) -> (String, String) {
    let run = project.run(&["export", engine, "-p", profile]).ok();
    let neutral = |text: &str| text.replace(project.path("").to_str().unwrap().trim_end_matches('/'), "/workspace");
    (neutral(&run.stdout), neutral(&run.stderr))
}

#[track_caller]
fn matches_snapshot(name: &str, text: &str) {
    let path = repository().join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "tests/snapshots/{name} is not what is exported; look, then write it anew with UPDATE_SNAPSHOTS=1:\n{text}"
    );
}

#[test]
fn the_export_of_prod_is_what_it_was() {
    let project = prod();
    for engine in ENGINES {
        let (out, err) = export(&project, engine, "prod");
        matches_snapshot(&format!("prod.{engine}"), &out);
        matches_snapshot(&format!("prod.{engine}.notes"), &err);
        assert_eq!(export(&project, engine, "prod"), (out, err), "not the same twice");
    }
}

#[test]
fn the_export_of_every_key_is_what_it_was() {
    let project = every_key();
    for engine in ENGINES {
        let (out, err) = export(&project, engine, "full");
        matches_snapshot(&format!("every-key.{engine}"), &out);
        matches_snapshot(&format!("every-key.{engine}.notes"), &err);
        assert!(
            !out.contains(SECRET) && !err.contains(SECRET),
            "{engine} shows a secret"
        );
    }
}

/// Where each key of the fixture's `web` is seen, by engine; `None`: it is listed on stderr.
const SEEN: &[(&str, [Option<&str>; 3])] = &[
    ("script", [Some("app.py"), Some("app.py"), Some("app.py")]),
    (
        "args",
        [Some("\"two words\""), Some("\"two words\""), Some("\"two words\"")],
    ),
    ("interpreter", [Some("python3"), Some("python3"), Some("/python3")]),
    (
        "interpreter_args",
        [Some("- \"-u\""), Some("- \"-u\""), Some("python3 -u")],
    ),
    (
        "cwd",
        [
            Some("workingDir: /srv/app"),
            Some("working_dir: /srv/app"),
            Some("WorkingDirectory=/workspace/app\n"),
        ],
    ),
    ("env", [Some("GREETING: "), Some("GREETING: "), Some("GREETING=")]),
    (
        "env_file",
        [Some("FROM_FILE: "), Some("FROM_FILE: "), Some("FROM_FILE=")],
    ),
    ("watch", [None, Some("path: \"./app\""), None]),
    ("watch_delay", [None, None, None]),
    ("ignore_watch", [None, Some("\"*.log\""), None]),
    (
        "build",
        [
            Some("name: task-migrate"),
            Some("  task-migrate:"),
            Some("task-local.service"),
        ],
    ),
    ("autorestart", [None, Some("on-failure:4"), Some("Restart=on-failure")]),
    ("max_restarts", [None, Some("on-failure:4"), Some("StartLimitBurst=5")]),
    ("min_uptime", [None, None, Some("StartLimitIntervalSec=15s")]),
    ("restart_delay", [None, None, Some("StartLimitIntervalSec=15s")]),
    ("exp_backoff_restart_delay", [None, None, None]),
    ("stop_exit_codes", [None, None, Some("RestartPreventExitStatus=3 4")]),
    (
        "max_memory_restart",
        [Some("100Mi"), Some("100m"), Some("MemoryMax=104857600")],
    ),
    ("kill_signal", [None, Some("SIGQUIT"), Some("KillSignal=SIGQUIT")]),
    (
        "kill_timeout",
        [
            Some("terminationGracePeriodSeconds: 12"),
            Some("stop_grace_period: \"12s\""),
            Some("TimeoutStopSec=12s"),
        ],
    ),
    (
        "depends_on",
        [
            Some("wait-for-db"),
            Some("condition: service_healthy"),
            Some("After=xtask-full-db.service"),
        ],
    ),
    (
        "ready",
        [
            Some("path: \"/health?deep=1\""),
            Some("/health?deep=1"),
            Some("/health?deep=1"),
        ],
    ),
    (
        "ports",
        // Its instances cannot share a port of the machine.
        [Some("port: 8000"), None, Some("localhost:8000")],
    ),
    (
        "instances",
        [Some("replicas: 2"), Some("  web-1:"), Some("xtask-full-web-1.service")],
    ),
    (
        "cron_restart",
        [Some("schedule: \"0 4 * * *\""), None, Some("OnCalendar=*-*-* 04:00:00")],
    ),
    ("pty", [Some("tty: true"), Some("tty: true"), None]),
    ("out_file", [None, None, Some("append:/workspace/web-1.out")]),
    ("error_file", [None, None, Some("append:/workspace/web-1.err")]),
    ("max_size", [None, None, None]),
    ("retain", [None, None, None]),
    ("compress", [None, None, None]),
    ("log_date_format", [None, None, None]),
    (
        "container",
        [
            Some("image: \"registry.example/web:1\""),
            Some("target: run"),
            Some("xtask-full-web-0.service"),
        ],
    ),
];

#[test]
fn no_key_of_a_service_is_dropped_in_silence() {
    let project = every_key();
    let outputs = ENGINES.map(|engine| export(&project, engine, "full"));
    let fixture = project.read("dev.toml");
    for key in keys_of_a_service() {
        assert!(
            fixture.contains(&format!("\n{key} = ")) || key == "container",
            "{key} is not in the fixture"
        );
        let seen = SEEN.iter().find(|(name, _)| *name == key);
        let (_, seen) = seen.unwrap_or_else(|| panic!("{key}: what do the engines make of it?"));
        for ((engine, (out, err)), seen) in ENGINES.iter().zip(&outputs).zip(seen) {
            match seen {
                Some(text) => assert!(out.contains(text), "{engine}: {key} is not seen as {text:?}"),
                None => assert!(
                    err.contains(&format!("`{key}`")),
                    "{engine}: {key} is not listed; {err}"
                ),
            }
        }
    }
}

#[test]
fn the_readme_knows_every_key_of_a_service() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    for key in keys_of_a_service() {
        let is_head = |row: &&str| {
            row.split('|')
                .nth(1)
                .is_some_and(|head| head.contains(&format!("`{key}`")))
        };
        assert!(rows.iter().any(is_head), "README.md has no row for `{key}`");
    }
}

/// The keys that the program itself knows.
fn keys_of_a_service() -> Vec<String> {
    let project = Project::new().toml("[services.s]\nscript = \"s\"\nqqqqqqqqqqqqqqqq = 1");
    let run = project.run(&["check"]).code(1);
    let known = run
        .stderr
        .split("known are ")
        .nth(1)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let keys: Vec<String> = known.split(", ").map(str::to_owned).collect();
    assert!(keys.len() > 25, "{run}");
    keys
}

#[test]
fn units_pass_systemds_own_check() {
    if !has("systemd-analyze") {
        return;
    }
    // What restarts by default and is awaited until its end, and limits at their ends.
    let awaited = project(&[], &["seed"]);
    awaited.write(
        "dev.toml",
        "[services.seed]\nscript = 'seed'\nkill_signal = 'SIGQUIT'\n\
         [services.last]\nscript = 'seed'\nmax_restarts = 4294967295\nmin_uptime = '36500d'\nrestart_delay = '36500d'\n\
         depends_on = { seed = 'completed' }\n",
    );
    for (project, profile, least) in [(prod(), "prod", 6), (every_key(), "full", 6), (awaited, "dev", 3)] {
        project.write("target/debug/tidepool", "");
        project.write("migrate", "");
        for program in ["target/debug/tidepool", "migrate"] {
            fs::set_permissions(project.path(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let units = project
            .run(&["export", "systemd", "-p", profile, "-o", "units"])
            .ok()
            .stdout;
        let units: Vec<PathBuf> = units
            .lines()
            .map(PathBuf::from)
            .filter(|unit| !unit.ends_with("env"))
            .collect();
        let units: Vec<&Path> = units
            .iter()
            .map(PathBuf::as_path)
            .filter(|unit| unit.extension().is_none_or(|end| end != "env"))
            .collect();
        assert!(units.len() >= least, "{units:?}");
        let mut verify = project.prepare("systemd-analyze");
        // Above ours are the system's own targets, and nothing that is installed here.
        verify.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let path = format!(
            "{}:/lib/systemd/system:/usr/lib/systemd/system",
            project.path("units").display()
        );
        let output = verify
            .args(["verify", "--man=no"])
            .args(&units)
            .env("SYSTEMD_UNIT_PATH", path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        // What it only warns of counts, too, where it is about ours.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("xtask-")).collect();
        assert!(ours.is_empty(), "{ours:#?}");
    }
}

#[test]
fn files_are_written_listed_and_what_is_filled_in_is_kept() {
    let project = every_key();
    let run = project
        .run(&["export", "compose", "-p", "full", "-o", "out/compose"])
        .ok();
    let listed: Vec<&str> = run
        .stdout
        .lines()
        .map(|line| line.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(listed, ["web-0.secret.env", "web-1.secret.env", "compose.yaml"]);
    let secret = "out/compose/web-0.secret.env";
    assert_eq!(project.read(secret), "API_TOKEN=CHANGE-ME\nDATABASE_URL=CHANGE-ME\n");
    let mode = fs::metadata(project.path(secret)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Paths lead from where the file is to where the workspace is.
    assert!(
        project
            .read("out/compose/compose.yaml")
            .contains("context: \"../../app\"")
    );
    project.write(secret, "API_TOKEN=filled in\n");
    let run = project
        .run(&["export", "compose", "-p", "full", "-o", "out/compose"])
        .ok();
    run.says(&["web-0.secret.env is kept"]);
    assert_eq!(project.read(secret), "API_TOKEN=filled in\n");
}

#[test]
fn a_secret_of_the_shell_is_shown_nowhere() {
    let project = Project::new().toml(
        "[services.web]\nscript = \"web\"\nargs = [\"--key=${PRIVATE_KEY}\", \"-v\"]\nenv = { A = \"${PRIVATE_KEY}\" }\n\
         [services.web.container]\nimage = \"web\"\n[profiles.dev]\nservices = [\"web\"]",
    );
    let expected = [
        "\"--key=$(PRIVATE_KEY)\"",
        "\"--key=${PRIVATE_KEY}\"",
        "\"--key=${PRIVATE_KEY}\"",
    ];
    for (engine, expected) in ENGINES.into_iter().zip(expected) {
        let run = project.run_with(&[("PRIVATE_KEY", SECRET)], &["export", engine]).ok();
        assert!(!format!("{run}").contains(SECRET), "{run}");
        assert!(run.stdout.contains(expected), "{run}");
        project
            .run_with(&[("PRIVATE_KEY", SECRET)], &["export", engine, "-o", "out"])
            .ok();
    }
    for file in fs::read_dir(project.path("out")).unwrap().flatten() {
        assert!(!fs::read_to_string(file.path()).unwrap().contains(SECRET), "{file:?}");
    }
    // Where nothing but the name of a program or an image could hold it, nothing is written.
    project.edit("image = \"web\"", "image = \"web:${PRIVATE_KEY}\"");
    let run = project
        .run_with(&[("PRIVATE_KEY", SECRET)], &["export", "compose"])
        .code(1);
    assert!(!format!("{run}").contains(SECRET), "{run}");
    run.says(&["error: ", "PRIVATE_KEY", "compose.yaml"]);
}

#[test]
fn a_secret_of_a_file_is_shown_nowhere_though_its_variable_is_set_anew_or_removed() {
    let project = with_container(
        "env_file = 's.env'\nargs = ['--dsn', '${DSN}']\nenv = { DB_PASSWORD = false, API_KEY = 'other-value-1', \
         DSN = 'host=h password=${DB_PASSWORD}', URL = 'http://x/?k=${API_KEY}' }",
    )
    .file("s.env", "DB_PASSWORD=filepw-987654\nAPI_KEY=filekey-123456\n");
    for engine in ENGINES {
        let printed = project.run(&["export", engine]).ok().to_string();
        let out = format!("out-{engine}");
        project.run(&["export", engine, "-o", &out]).ok();
        let files = fs::read_dir(project.path(&out)).unwrap().flatten();
        let written: String = files.map(|file| fs::read_to_string(file.path()).unwrap()).collect();
        for secret in ["filepw", "filekey", "other-value"] {
            assert!(
                !printed.contains(secret) && !written.contains(secret),
                "{secret}; {printed}{written}"
            );
        }
        assert!(written.contains("CHANGE-ME"), "{written}");
    }
}

fn with_container(service: &str) -> Project {
    Project::new().toml(&format!(
        "[services.web]\nscript = \"web\"\n{service}\n[services.web.container]\nimage = \"postgres:16\"\n[profiles.dev]\nservices = [\"web\"]"
    ))
}

#[test]
fn a_secret_that_no_variable_holds_is_refused_and_a_short_one_becomes_a_reference() {
    for words in [
        "args = ['--password=verylongliteral']",
        "args = ['--secret', 'another']",
        "args = ['postgres://u:pw@h/db']",
        "interpreter = 'sh'\ninterpreter_args = ['--token', 'another']",
    ] {
        let project = with_container(words);
        for engine in ENGINES {
            let run = project.run(&["export", engine]).code(1);
            assert!(
                !["verylong", "another", "pw@"]
                    .iter()
                    .any(|part| format!("{run}").contains(part)),
                "{run}"
            );
            run.says(&["error: ", "secret in the command line of web", "env"]);
        }
    }
    let project = with_container(
        "args = ['--token', '${API_TOKEN}', '${DATABASE_URL}']\n\
         env = { API_TOKEN = 'hunter2', DATABASE_URL = 'postgres://me:pw@db/x', V = 'token=hunter2' }",
    );
    for engine in ENGINES {
        let run = project.run(&["export", engine]).ok();
        assert!(
            !format!("{run}").contains("hunter2") && !format!("{run}").contains("pw@"),
            "{run}"
        );
    }
    let project = with_container("ready = { command = ['check', '--password=verylongliteral'] }");
    project
        .run(&["export", "compose"])
        .code(1)
        .says(&["error: ", "the check of web"]);
}

#[test]
fn what_only_has_the_name_of_a_secret_is_not_refused() {
    for (words, shown) in [
        (
            "script = 'sh'\nargs = ['-c', 'API_TOKEN=$(cat /run/secrets/t) exec node x']",
            "(cat /run/secrets/t) exec node x",
        ),
        ("script = 'web'\nargs = ['--max-tokens=4096']", "--max-tokens=4096"),
        ("script = 'web'\nargs = ['--max-tokens', '4096']", "--max-tokens"),
    ] {
        let project = Project::new().toml(&format!(
            "[services.web]\n{words}\n[services.web.container]\nimage = \"web\"\n[profiles.dev]\nservices = [\"web\"]"
        ));
        for engine in ENGINES {
            project.run(&["export", engine]).ok().prints(&[shown]);
        }
    }
}

#[test]
fn what_else_is_in_the_shell_and_what_is_public_anyway_is_no_secret() {
    let project =
        with_container("env = { POSTGRES_USER = 'postgres', POSTGRES_PASSWORD = 'postgres', MODE = 'production' }");
    for engine in ENGINES {
        let plain = project.run(&["export", engine]).ok();
        let noisy = project.run_with(
            &[("FOO_PASSWORD", "production"), ("BAR_TOKEN", "localhost")],
            &["export", engine],
        );
        assert_eq!(plain.stdout, noisy.ok().stdout);
    }
}

#[test]
fn names_that_an_engine_would_take_for_one_are_an_error() {
    let project = Project::new().toml(
        "[tasks.one]\nscript = 'true'\n[tasks.one.container]\nimage = 'i'\n\
         [services.task-one]\nscript = 'web'\nbuild = 'one'\n[services.task-one.container]\nimage = 'i'\n\
         [profiles.dev]\nservices = ['task-one']",
    );
    for engine in ENGINES {
        project
            .run(&["export", engine])
            .code(1)
            .says(&["error: service task-one and task one would both be called task-one"]);
    }
}

#[test]
fn what_restarts_a_service_by_its_schedule_takes_the_place_of_no_other() {
    let named = |other: &str| {
        Project::new().toml(&format!(
            "[services.web]\nscript = 'web'\ncron_restart = '0 4 * * *'\n[services.web.container]\nimage = 'i'\n\
             [services.{other}]\nscript = 'web'\n[services.{other}.container]\nimage = 'i'\n\
             [profiles.dev]\nservices = ['web', '{other}']"
        ))
    };
    for (engine, other) in [("systemd", "web-restart"), ("kubernetes", "restart-web")] {
        let said = format!("error: service {other} and the schedule of web would both be called {other} in {engine}");
        named(other).run(&["export", engine]).code(1).says(&[&said]);
        // The schedule is nothing of its own there.
        named(other).run(&["export", "compose"]).ok();
    }
}

#[test]
fn a_file_of_secrets_that_is_kept_says_what_it_lacks() {
    let project = with_container("env = { API_TOKEN = 'hunter22' }");
    for engine in ENGINES {
        let out = format!("out-{engine}");
        project.run(&["export", engine, "-o", &out]).ok();
        let again = project.run(&["export", engine, "-o", &out]).ok();
        assert!(!again.stderr.contains("lacks"), "{again}");
    }
    project.edit("'hunter22'", "'hunter22', NEW_TOKEN = 'hunter23'");
    for engine in ENGINES {
        let run = project.run(&["export", engine, "-o", &format!("out-{engine}")]).ok();
        run.says(&["is kept", "lacks NEW_TOKEN"]);
    }
}

#[test]
fn a_variable_whose_name_an_engine_does_not_take_is_left_out_and_named() {
    let project = with_container(
        "env = { 'F.g' = 'one', '1A' = 'two', 'BAD NAME' = 'three', 'BAD TOKEN' = 'four', OK = 'five' }",
    );
    for (engine, left) in [
        ("systemd", vec!["F.g", "1A", "BAD NAME", "BAD TOKEN"]),
        ("kubernetes", vec!["1A", "BAD NAME", "BAD TOKEN"]),
        ("compose", vec!["BAD TOKEN"]),
    ] {
        let run = project.run(&["export", engine]).ok().prints(&["five"]);
        for (name, value) in [
            ("F.g", "one"),
            ("1A", "two"),
            ("BAD NAME", "three"),
            ("BAD TOKEN", "CHANGE-ME"),
        ] {
            let is_left = left.contains(&name);
            assert_eq!(
                run.stderr.contains(&format!("the variable `{name}` (web)")),
                is_left,
                "{name}; {run}"
            );
            assert!(!(is_left && run.stdout.contains(value)), "{name}; {run}");
        }
    }
    // A command line cannot refer to such a one either.
    let project = with_container("args = 'hunter22'\nenv = { 'API.TOKEN' = 'hunter22' }");
    for engine in ["systemd", "compose"] {
        let run = project.run(&["export", engine]).code(1);
        run.says(&[
            "error: the export cannot refer to `API.TOKEN` in the command line of web",
            "rename it",
        ]);
    }
    project.run(&["export", "kubernetes"]).ok().prints(&["$(API.TOKEN)"]);
}

#[test]
fn every_schedule_of_a_unit_is_a_calendar_of_systemd() {
    let lines = [
        "0 4 * * *",
        "*/15 8-18/2 * * MON-FRI",
        "30 0 4 1,15 jan *",
        "0 0 * * 7",
        "* * * * *",
        "5-59/20 * * * ?",
        "0 0 * * 0,6",
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
    ];
    let service =
        |(index, line): (usize, &&str)| format!("[services.s{index}]\nscript = 'true'\ncron_restart = '{line}'\n");
    let text: String = lines.iter().enumerate().map(service).collect();
    let project = Project::new().file("dev.toml", &text);
    let run = project.run(&["export", "systemd"]).ok();
    let calendars: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("OnCalendar="))
        .collect();
    assert_eq!(calendars.len(), lines.len(), "{run}");
    if has("systemd-analyze") {
        let output = project
            .prepare("systemd-analyze")
            .arg("calendar")
            .args(&calendars)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // What no calendar says is named instead.
    for line in ["0 0 L * *", "0 0 1 * 1", "0 0 * * 5#2"] {
        let project = Project::new().file(
            "dev.toml",
            &format!("[services.s]\nscript = 'true'\ncron_restart = '{line}'\n"),
        );
        let run = project.run(&["export", "systemd"]).ok();
        assert!(!run.stdout.contains(".timer"), "{run}");
        run.says(&["no counterpart in systemd", line]);
    }
}

/// What is printed for one service, in full.
fn exported(engine: &str, service: &str) -> String {
    with_container(service).run(&["export", engine]).ok().stdout
}

#[test]
fn limits_of_a_unit_hold_also_at_their_ends() {
    for (service, lines) in [
        // Zero is for ever there.
        ("kill_timeout = 0", vec!["TimeoutStopSec=1ms"]),
        // As long as eleven runs of one second take, with what is waited between them.
        (
            "max_restarts = 10\nexp_backoff_restart_delay = '15s'",
            vec!["StartLimitBurst=11", "StartLimitIntervalSec=176s", "RestartSec=15s"],
        ),
        (
            "autorestart = 'on-failure'\nkill_signal = 'SIGQUIT'",
            vec![
                "RestartForceExitStatus=SIGHUP SIGINT SIGTERM SIGPIPE SIGQUIT",
                "SuccessExitStatus=SIGQUIT",
            ],
        ),
        ("kill_signal = 'SIGTERM'", vec!["Restart=always", "KillSignal=SIGTERM"]),
        // As many starts as it can count, and no longer than a duration may be.
        (
            "max_restarts = 4294967295\nmin_uptime = '36500d'\nrestart_delay = '36500d'",
            vec!["StartLimitBurst=4294967295", "StartLimitIntervalSec=3153600000s"],
        ),
    ] {
        let text = exported("systemd", service);
        for line in lines {
            assert!(
                text.lines().any(|found| found == line),
                "no {line} for {service}; {text}"
            );
        }
    }
    assert!(!exported("systemd", "kill_signal = 'SIGTERM'").contains("SuccessExitStatus"));
}

#[test]
fn a_unit_whose_end_is_awaited_starts_again_after_any_death_and_none_counts_as_its_end() {
    for own in ["", "kill_signal = 'SIGQUIT'", "autorestart = 'on-failure'"] {
        let text = format!(
            "[services.app]\nscript = 'true'\nautorestart = false\ndepends_on = {{ seed = 'completed' }}\n\
             [services.seed]\nscript = 'true'\n{own}\n"
        );
        let run = Project::new().file("dev.toml", &text).run(&["export", "systemd"]).ok();
        let run = run.prints(&["\nType=oneshot\nRemainAfterExit=yes\n", "\nRestart=on-failure\n"]);
        let seed = run.stdout.split("\nType=oneshot\n").nth(1).unwrap();
        let seed = seed.split("[Install]").next().unwrap();
        assert!(
            !seed.contains("RestartForceExitStatus") && !seed.contains("SuccessExitStatus"),
            "{own}; {run}"
        );
    }
}

#[test]
fn a_dependent_of_what_failed_stays_down_or_that_it_starts_is_said() {
    let project = Project::new().file(
        "dev.toml",
        "[services.migrate]\nscript = 'true'\nautorestart = false\n[services.db]\nscript = 'true'\nports = [7001]\n\
         [services.app]\nscript = 'true'\ndepends_on = { migrate = 'completed', db = 'ready' }\n\
         [services.other]\nscript = 'true'\ndepends_on = { db = { condition = 'ready', restart = true } }\n",
    );
    let run = project.run(&["export", "systemd"]).ok();
    let run = run.says(&["`depends_on` until \"ready\" (app): it starts all the same when db fails to become ready"]);
    let count = |line: &str| run.stdout.lines().filter(|found| *found == line).count();
    assert_eq!(count("Requires=xtask-dev-migrate.service"), 1, "{run}");
    assert_eq!(
        (
            count("Wants=xtask-dev-db.service"),
            count("Requires=xtask-dev-db.service")
        ),
        (2, 1),
        "{run}"
    );
}

#[test]
fn compose_runs_tasks_in_order_waits_for_whole_seconds_and_for_ends_that_come() {
    let project = Project::new().toml(
        "[tasks.one]\nscript = 'true'\ncontainer = { image = 'i' }\n[tasks.two]\nscript = 'true'\ncontainer = { image = 'i' }\n\
         [services.seed]\nscript = 'seed'\nkill_timeout = 7500\nstop_exit_codes = [0]\nmax_restarts = 3\ncontainer = { image = 'i' }\n\
         [services.web]\nscript = 'web'\ndepends_on = { seed = 'completed' }\ncontainer = { image = 'i' }\n\
         [profiles.dev]\nbuild = ['one', 'two']\nservices = ['seed', 'web']",
    );
    let text = project.run(&["export", "compose"]).ok().stdout;
    let of = |name: &str| {
        let after = text.split(&format!("\n  {name}:\n")).nth(1).unwrap_or_default();
        let own = after.lines().take_while(|line| line.starts_with("    "));
        own.collect::<Vec<_>>().join("\n")
    };
    let waits = "depends_on:\n      task-one:\n        condition: service_completed_successfully";
    assert!(
        of("task-two").contains(waits) && !of("task-one").contains("depends_on"),
        "{text}"
    );
    for part in ["stop_grace_period: \"8s\"", "restart: \"on-failure:3\""] {
        assert!(of("seed").contains(part), "no {part}; {text}");
    }
    assert!(of("web").contains("restart: unless-stopped"), "{text}");
}

#[test]
fn compose_reads_no_restart_as_none_and_not_as_no_limit() {
    for (most, expected) in [(0, "restart: \"no\""), (1, "restart: \"on-failure:1\"")] {
        let text = exported("compose", &format!("autorestart = 'on-failure'\nmax_restarts = {most}"));
        assert!(text.contains(expected), "{text}");
        let project = with_container("depends_on = { seed = 'completed' }").toml(&format!(
            "[services.seed]\nscript = 'seed'\nmax_restarts = {most}\ncontainer = {{ image = 'i' }}"
        ));
        project.edit("services = [\"web\"]", "services = [\"web\", \"seed\"]");
        project.run(&["export", "compose"]).ok().prints(&[expected]);
    }
}

#[test]
fn compose_publishes_a_port_of_one_instance_and_names_what_several_share() {
    let project = with_container("instances = 2\nports = [7001, \"710${XTASK_INSTANCE}\", 7002]");
    let run = project.run(&["export", "compose"]).ok().says(&[
        "no counterpart in compose: `ports` that instances share (web): not published on the machine: 7001, 7002; \
         other services reach each instance by its name, such as web-0\n",
    ]);
    let run = run.prints(&["- \"7100:7100\"", "- \"7101:7101\""]);
    assert!(
        !run.stdout.contains("7001:7001") && !run.stdout.contains("7002:7002"),
        "{run}"
    );
    // One alone has them all, and on the machine's network nothing is published anyway.
    project.edit(
        "instances = 2\nports = [7001, \"710${XTASK_INSTANCE}\", 7002]",
        "ports = [7001]",
    );
    let run = project.run(&["export", "compose"]).ok().prints(&["- \"7001:7001\""]);
    assert!(!run.stderr.contains("`ports`"), "{run}");
    project.edit("ports = ", "instances = 2\nports = ");
    project.edit("image = ", "network = \"host\"\nimage = ");
    let run = project.run(&["export", "compose"]).ok();
    assert!(
        !run.stderr.contains("`ports`") && !run.stdout.contains("ports:"),
        "{run}"
    );
}

#[test]
fn a_dollar_of_a_command_line_is_one_in_a_cluster() {
    let text = exported(
        "kubernetes",
        "args = ['-c', 'echo $$ $HOME $(id) > pid; echo $', '$hunter22']\nenv = { API_TOKEN = 'hunter22' }\n\
         ready = { command = ['sh', '-c', 'kill -0 $$'] }",
    );
    for line in [
        "\"echo $$$$ $HOME $$(id) > pid; echo $$\"",
        "\"$$$(API_TOKEN)\"",
        "\"kill -0 $$$$\"",
    ] {
        assert!(text.contains(&format!("- {line}\n")), "no {line}; {text}");
    }
}

#[test]
fn a_cron_job_has_a_name_that_a_cluster_takes() {
    let scheduled = |name: &str| {
        format!("[services.{name}]\nscript = 'web'\ncron_restart = '0 4 * * *'\ncontainer = {{ image = 'i' }}\n")
    };
    // With `restart-` before it one more is too long.
    let longest = "a".repeat(44);
    for name in [longest.clone(), format!("{longest}b")] {
        let run = Project::new().file("dev.toml", &scheduled(&name));
        let run = run.run(&["export", "kubernetes"]).ok();
        run.prints(&[
            &format!("kind: CronJob\nmetadata:\n  name: restart-{longest}\n"),
            &format!("- deployment/{name}\n"),
        ]);
    }
    // Two that are cut to one are seen as such.
    let (one, two) = (format!("{longest}b"), format!("{longest}c"));
    let run = Project::new().file("dev.toml", &(scheduled(&one) + &scheduled(&two)));
    run.run(&["export", "kubernetes"]).code(1).says(&[&format!(
        "error: the schedule of {one} and the schedule of {two} would both be called restart-{longest} in kubernetes"
    )]);
}

#[test]
fn what_waits_in_a_pod_is_not_called_like_its_service() {
    let project = Project::new().toml(
        "[services.db]\nscript = 'db'\nports = [7001]\ncontainer = { image = 'i' }\n\
         [services.web]\nscript = 'web'\ndepends_on = ['db']\ncontainer = { image = 'i' }\n\
         [services.wait-for-db]\nscript = 'web'\ndepends_on = ['db']\ncontainer = { image = 'i' }\n\
         [profiles.dev]\nservices = ['db', 'web', 'wait-for-db']",
    );
    let run = project.run(&["export", "kubernetes"]).ok();
    let count = |name: &str| run.stdout.matches(&format!("- name: {name}\n")).count();
    assert_eq!(
        (count("wait-for-db"), count("wait-for-db-2"), count("web")),
        (2, 1, 1),
        "{run}"
    );
}

#[test]
fn what_an_engine_needs_and_lacks_is_an_error() {
    let project = Project::new().service("web", "", "").service("db", "", "");
    for engine in ["kubernetes", "compose"] {
        let run = project.run(&["export", engine]).code(1);
        run.says(&["error: ", "web", "db", "[services.web.container]", "image"]);
    }
    project
        .run(&["export", "systemd"])
        .ok()
        .prints(&["xtask-dev-db.service"]);
    project
        .run(&["export", "nomad"])
        .code(2)
        .says(&["error: ", "kubernetes"]);
    project
        .run(&["export", "compose", "-p", "nope"])
        .code(1)
        .says(&["error: ", "nope"]);
}

#[test]
fn a_container_is_checked_with_the_rest_of_dev_toml() {
    let project = Project::new().file(
        "dev.toml",
        "[services.web]\nscript = \"web\"\n[services.web.container]\nimgae = \"web\"\nnetwork = \"hots\"\nbuild = {}\nhealthcheck = []\n\
         [profiles.dev.overrides.web.container]\nimage = \"web\"\nwait_image = \"\"\n",
    );
    project.run(&["check"]).code(1).says(&[
        "dev.toml:3:15: the container has no `image`",
        "dev.toml:4:1: unknown key `imgae` in [services.web.container]; did you mean `image`?",
        "dev.toml:5:11: cannot read `network` in [services.web.container]: `hots` is not a network",
        "did you mean `host`?",
        "dev.toml:6:1: the build has no `context`",
        "dev.toml:7:15: cannot read `healthcheck` in [services.web.container]: it names no program",
        "dev.toml:10:14: cannot read `wait_image` in [profiles.dev.overrides.web.container]: it is empty",
    ]);
}

#[test]
fn config_shows_the_container_with_the_overrides_of_the_profile() {
    let project = Project::new().toml(
        "[services.web]\nscript = \"web\"\ncontainer = { image = \"web:${TAG:-1}\", env = { API_TOKEN = \"hidden\" } }\n\
         [profiles.dev]\nservices = [\"web\"]\n\
         [profiles.next]\nextends = \"dev\"\n[profiles.next.overrides.web.container]\nimage = \"web:next\"\nnetwork = \"host\"",
    );
    let run = project
        .run(&["config"])
        .ok()
        .prints(&["[services.container]", "web:1", "\"own\"", "********"]);
    assert!(!run.stdout.contains("hidden"), "{run}");
    let run = project.run(&["config", "-p", "next", "--json"]).ok();
    let plan: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let container = &plan["services"][0]["container"];
    assert_eq!(
        (&container["image"], &container["network"]),
        (&"web:next".into(), &"host".into()),
        "{run}"
    );
    // An override replaces the table: what it does not say is not there.
    assert_eq!(container["env"], serde_json::json!({}));
}

#[test]
fn an_image_restarts_nothing() {
    let project = Project::new().service("web", "count runs", "container = { image = \"web:1\" }");
    project.up();
    let before = crate::support::pid(&project.service_status("web"));
    project.edit("web:1", "web:2");
    project.up();
    assert_eq!(crate::support::pid(&project.service_status("web")), before);
}
