//! Whole texts in, whole configurations or whole lists of problems out.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::CronLine;
use super::*;

const EXAMPLE: &str = include_str!("example.toml");

/// A text that must be accepted.
fn accepted(text: &str) -> Config {
    Config::parse(text, "dev.toml").unwrap_or_else(|problems| panic!("{problems}"))
}

fn service(keys: &str) -> Service {
    accepted(&format!(
        "[tasks.t]\nscript='x'\n[services.o]\nscript='x'\n[services.s]\nscript='x'\n{keys}\n"
    ))
    .services["s"]
        .clone()
}

/// All problems of a text.
fn problems(text: &str) -> String {
    Config::parse(text, "dev.toml").map(|_| ()).unwrap_err().to_string()
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected.join("\n"));
}

/// The problem with one key of a service, without its beginning.
#[track_caller]
fn bad_key(key: &str, expected: &str) {
    let name = key.split([' ', '=', '.']).next().unwrap();
    let text = format!("[services.s]\nscript='x'\n{key}\n");
    let all = problems(&text);
    let (_, reason) = all
        .split_once(&format!("`{name}` in [services.s]: "))
        .unwrap_or(("", &all));
    assert_eq!(reason, expected, "{key}");
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn located(value: &str) -> Located<String> {
    Located {
        value: value.to_owned(),
        at: Place::default(),
    }
}

fn set(value: &str) -> EnvValue {
    EnvValue::Set(value.to_owned())
}

#[test]
fn the_likely_profile_is_what_default_profile_usually_looks_like() {
    let texts = [
        ("", "dev"),
        ("default_profile = \"prod\"\n", "prod"),
        (
            "# default_profile = \"old\"\ndefault_profile='prod' \n[services.web]",
            "prod",
        ),
    ];
    for (text, profile) in texts {
        assert_eq!(likely_profile(text), profile, "{text}");
    }
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let config = accepted(EXAMPLE);
    assert_eq!(config.default_profile, Some(located("dev")));
    assert_eq!(
        config.logs,
        Rotation {
            max_size: Some(Size(10 << 20)),
            retain: Some(7),
            compress: Some(true)
        }
    );
    assert_eq!(
        config.tasks["client"].args.split(),
        ["run", "build", "-w", "packages/client"]
    );
    assert_eq!(config.tasks["client"].inputs, ["packages/client/src"]);
    let server = &config.services["server"];
    assert_eq!(server.env, BTreeMap::from([("PORT".to_owned(), set("7163"))]));
    assert_eq!(server.watch, Some(Watch::Paths(list(&["packages/server/src"]))));
    assert_eq!(server.watch_delay, Some(Duration::from_secs(1)));
    let probe = Some(Probe::Http("http://localhost:7163/api/health".to_owned()));
    assert_eq!(
        server.ready,
        Some(Ready {
            probe,
            timeout: Some(Duration::from_secs(30)),
            interval: None
        })
    );
    let caddy = &config.services["caddy"];
    assert_eq!(
        caddy.args.as_ref().unwrap().split(),
        ["run", "--config", "", "--adapter", ""]
    );
    assert_eq!(caddy.ports, Some([8080, 8081, 2019].map(Port::Number).to_vec()));
    let profile = &config.profiles["caddy"];
    assert_eq!(profile.services, Some(vec![located("caddy"), located("server")]));
    assert_eq!(profile.build, Some(vec![located("client")]));
    assert_eq!(
        config.profiles["dev"].overrides["server"].value.env["NODE_ENV"],
        set("test")
    );
    assert_eq!(config.profiles["tart"].env["RUNTIME"], set("tart"));
}

#[test]
fn a_profile_takes_services_and_overrides_from_what_it_extends() {
    let config = accepted(EXAMPLE);
    let names: Vec<_> = config
        .services_of("tart")
        .unwrap()
        .iter()
        .map(|name| name.value.as_str())
        .collect();
    assert_eq!(names, ["caddy", "server"]);
    assert_eq!(
        config.lineage("tart").iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["tart", "caddy"]
    );
    let server = config.service_in("tart", "server").unwrap();
    assert_eq!(
        server.env.keys().collect::<Vec<_>>(),
        ["PORT", "SPA_ROOT", "WORKER_INLINE"]
    );
    assert_eq!(server.depends_on, Some(vec![(located("caddy"), Dependency::default())]));
    assert_eq!(config.service_in("tart", "nobody"), None);
    assert_eq!(config.lineage("nobody"), []);
}

#[test]
fn an_empty_text_is_an_empty_configuration() {
    let empty = Config {
        file: "dev.toml".to_owned(),
        ..Config::default()
    };
    assert_eq!(accepted(""), empty);
    assert_eq!(accepted("\u{feff}# nothing\r\n"), empty);
}

#[test]
fn every_key_of_a_service_reaches_its_field() {
    let text = r#"
        args = ["a b", ""]
        interpreter = "node"
        interpreter_args = "--inspect '' x"
        cwd = "d"
        env = { A = "x", I = 0x10, F = 1.10, GONE = false }
        env_file = ".env"
        watch = true
        watch_delay = 0
        ignore_watch = ["*.md"]
        build = "t"
        autorestart = "on-failure"
        max_restarts = 0
        min_uptime = "2s"
        restart_delay = "1m"
        exp_backoff_restart_delay = "100"
        stop_exit_codes = 143
        max_memory_restart = "512M"
        kill_signal = "term"
        kill_timeout = 5000
        cron_restart = "0 3 * * *"
        depends_on = { o = { condition = "started", restart = true }, t = "completed" }
        ready = { command = ["true"], interval = "1s" }
        ports = [80, "81", "${PORT}"]
        instances = 3
        pty = true
        out_file = "/dev/null"
        error_file = "e.log"
        log_date_format = ""
        max_size = 1000
        retain = 2
        compress = false
        container = { image = "i:1", build = { context = ".", target = "run" }, command = "run 'a b'", cwd = "/srv", env = { A = 1 }, healthcheck = ["ok"], network = "host", wait_image = "w" }
    "#;
    let millis = |millis| Some(Duration::from_millis(millis));
    let expected = Service {
        at: Place { line: 5, column: 11 },
        script: Some("x".to_owned()),
        args: Some(Words::List(list(&["a b", ""]))),
        interpreter: Some("node".to_owned()),
        interpreter_args: Some(Words::Line("--inspect '' x".to_owned())),
        cwd: Some("d".to_owned()),
        env: [
            ("A", set("x")),
            ("I", set("16")),
            ("F", set("1.10")),
            ("GONE", EnvValue::Remove),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        env_file: Some(vec![located(".env")]),
        watch: Some(Watch::Cwd),
        watch_delay: millis(0),
        ignore_watch: Some(list(&["*.md"])),
        build: Some(vec![located("t")]),
        autorestart: Some(Autorestart::OnFailure),
        max_restarts: Some(0),
        min_uptime: millis(2000),
        restart_delay: millis(60_000),
        exp_backoff_restart_delay: millis(100),
        stop_exit_codes: Some(vec![143]),
        max_memory_restart: Some(Size(512 << 20)),
        kill_signal: Some(Signal::Term),
        kill_timeout: millis(5000),
        cron_restart: Some(CronLine::parse("0 3 * * *").unwrap()),
        depends_on: Some(vec![
            (
                located("o"),
                Dependency {
                    condition: Condition::Started,
                    restart: true,
                },
            ),
            (
                located("t"),
                Dependency {
                    condition: Condition::Completed,
                    restart: false,
                },
            ),
        ]),
        ready: Some(Ready {
            probe: Some(Probe::Command(list(&["true"]))),
            timeout: None,
            interval: millis(1000),
        }),
        ports: Some(vec![Port::Number(80), Port::Number(81), Port::Text(located("${PORT}"))]),
        instances: Some(3),
        pty: Some(true),
        out_file: Some("/dev/null".to_owned()),
        error_file: Some("e.log".to_owned()),
        log_date_format: Some(String::new()),
        rotation: Rotation {
            max_size: Some(Size(1000)),
            retain: Some(2),
            compress: Some(false),
        },
        container: Some(Container {
            image: "i:1".to_owned(),
            build: Some(ImageBuild {
                context: ".".to_owned(),
                dockerfile: None,
                target: Some("run".to_owned()),
            }),
            command: Some(Words::Line("run 'a b'".to_owned())),
            cwd: Some("/srv".to_owned()),
            env: [("A".to_owned(), set("1"))].into(),
            healthcheck: Some(list(&["ok"])),
            network: Some(Network::Host),
            wait_image: Some("w".to_owned()),
        }),
    };
    assert_eq!(service(text), expected);
}

#[test]
fn keys_with_several_forms_take_each() {
    assert_eq!(service("watch = false").watch, Some(Watch::Off));
    assert_eq!(service("watch = []").watch, Some(Watch::Off));
    assert_eq!(service("autorestart = false").autorestart, Some(Autorestart::Never));
    assert_eq!(service("autorestart = true").autorestart, Some(Autorestart::Always));
    assert_eq!(
        service("stop_exit_codes = [0, 255]").stop_exit_codes,
        Some(vec![0, 255])
    );
    assert_eq!(
        service("env_file = ['a', 'b']").env_file,
        Some(vec![located("a"), located("b")])
    );
    assert_eq!(
        service("build = ['t', 't']").build,
        Some(vec![located("t"), located("t")])
    );
    assert_eq!(
        service("depends_on = ['o']").depends_on,
        Some(vec![(located("o"), Dependency::default())])
    );
    for (text, probe) in [
        ("tcp = 'localhost:1'", Probe::Tcp("localhost:1".to_owned())),
        ("tcp = '[::1]:${PORT}'", Probe::Tcp("[::1]:${PORT}".to_owned())),
        ("http = '${URL}'", Probe::Http("${URL}".to_owned())),
        ("log = '^ready \\d+$'", Probe::Log("^ready \\d+$".to_owned())),
        ("notify = true", Probe::Notify),
    ] {
        assert_eq!(
            service(&format!("ready = {{ {text} }}")).ready.unwrap().probe,
            Some(probe)
        );
    }
    assert_eq!(service("ready = {}").ready, Some(Ready::default()));
}

#[test]
fn a_table_of_dependencies_keeps_its_written_order() {
    let text = "[services.s]\nscript='x'\n[services.s.depends_on]\nz='ready'\na='ready'\nm={}\n\
                [services.a]\nscript='x'\n[services.m]\nscript='x'\n[services.z]\nscript='x'\n";
    let dependencies = accepted(text).services["s"].depends_on.clone().unwrap();
    let names: Vec<_> = dependencies.iter().map(|(name, _)| name.value.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"]);
}

#[test]
fn all_problems_are_told_at_once_each_with_its_place() {
    let text = "\
default_profile = \"dv\"
colour = true
[logs]
max_size = \"10X\"
retian = 7
[tasks.client]
args = \"it's\"
[services.server]
script = 5
depend_on = [\"db\"]
ports = [0, \"x\", 70000, 80.5]
env = { OK = true, \"A=B\" = \"x\", LIST = [1], OPEN = \"${X\" }
ready = { http = \"https://x\", tcp = \"x\", timeot = 1 }
[services.\"a b\"]
[profiles.dev]
services = [\"server\", \"sever\"]
overrides.server.kill_signal = \"SIGTREM\"
overrides.serve = { max_restarts = -1, instances = 0 }
";
    refused(
        text,
        &[
            "dev.toml:1:19: there is no profile `dv`; did you mean `dev`?",
            "dev.toml:2:1: unknown key `colour`; known are default_profile, state_dir, logs, tasks, services, profiles",
            "dev.toml:4:12: cannot read `max_size` in [logs]: `10X` is not a size; write `512M`, `10K`, `1G` or a number of bytes",
            "dev.toml:5:1: unknown key `retian` in [logs]; did you mean `retain`?",
            "dev.toml:6:8: the task has no `script`; add the program that it runs",
            "dev.toml:7:8: cannot read `args` in [tasks.client]: a quote is not closed",
            "dev.toml:9:10: cannot read `script` in [services.server]: invalid type: integer `5`, expected a string",
            "dev.toml:10:1: unknown key `depend_on` in [services.server]; did you mean `depends_on`?",
            "dev.toml:11:10: cannot read `ports` in [services.server]: `0` is out of range, expected a port from 1 to 65535, or a string with ${VAR}",
            "dev.toml:11:13: cannot read `ports` in [services.server]: `x` is not a port, expected a port from 1 to 65535, or a string with ${VAR}",
            "dev.toml:11:18: cannot read `ports` in [services.server]: `70000` is out of range, expected a port from 1 to 65535, or a string with ${VAR}",
            "dev.toml:11:25: cannot read `ports` in [services.server]: invalid type: floating point `80.5`, expected a port from 1 to 65535, or a string with ${VAR}",
            "dev.toml:12:14: cannot read `OK` in [services.server.env]: `true` needs quotes: write \"true\" (a bare false removes the variable)",
            "dev.toml:12:20: `A=B` cannot be a variable's name: it must not be empty, nor hold `=` or NUL",
            "dev.toml:12:40: cannot read `LIST` in [services.server.env]: invalid type: array, expected a string, a number, or false to remove the variable",
            "dev.toml:12:52: cannot read `OPEN` in [services.server.env]: `${` is not closed; write `$${` for the characters themselves",
            "dev.toml:13:1: `ready` has both `http` and `tcp`; keep one",
            "dev.toml:13:18: cannot read `http` in [services.server.ready]: TLS is not supported; use `http://`, or `tcp` or `command`",
            "dev.toml:13:37: cannot read `tcp` in [services.server.ready]: `x` is not `HOST:PORT`, such as `localhost:5432`",
            "dev.toml:13:42: unknown key `timeot` in [services.server.ready]; did you mean `timeout`?",
            "dev.toml:14:11: `a b` in [services] cannot be a name: only letters, digits, `-`, `_` and `.` are allowed",
            "dev.toml:14:11: the service has no `script`; add the program that it runs",
            "dev.toml:16:23: there is no service `sever`; did you mean `server`?",
            "dev.toml:17:32: cannot read `kill_signal` in [profiles.dev.overrides.server]: no signal is called `SIGTREM`; did you mean `SIGTERM`?",
            "dev.toml:18:11: there is no service `serve`; did you mean `server`?",
            "dev.toml:18:36: cannot read `max_restarts` in [profiles.dev.overrides.serve]: `-1` is out of range, expected a whole number, 0 or more",
            "dev.toml:18:52: cannot read `instances` in [profiles.dev.overrides.serve]: `0` is out of range, expected a whole number from 1 to 1000",
        ],
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_told_what_fits() {
    let cases = [
        (
            "args = 5",
            "invalid type: integer `5`, expected a string or a list of strings",
        ),
        ("args = [5]", "invalid type: integer `5`, expected a string"),
        (
            "args = 'a #b'",
            "`#` would begin a comment; quote the word that begins with it",
        ),
        ("cwd = ''", "it is empty"),
        (
            "cwd = \"a\\u0000\"",
            "it holds a NUL character, which no program can be given",
        ),
        ("env = 5", "invalid type: integer, expected a table"),
        (
            "env_file = {}",
            "invalid type: table, expected a path or a list of paths",
        ),
        (
            "watch = 'src'",
            "invalid type: string \"src\", expected true, false or a list of paths",
        ),
        (
            "watch_delay = true",
            "invalid type: boolean `true`, expected a duration like \"10s\", or milliseconds",
        ),
        ("watch_delay = -1", "it is negative"),
        (
            "watch_delay = 9223372036854775807",
            "the duration is longer than 100 years",
        ),
        ("ignore_watch = '*'", "invalid type: string, expected a list of globs"),
        (
            "build = 1",
            "invalid type: integer `1`, expected a task or a list of tasks",
        ),
        (
            "autorestart = 'never'",
            "invalid type: string \"never\", expected true, false or \"on-failure\"",
        ),
        (
            "max_restarts = 4294967296",
            "`4294967296` is out of range, expected a whole number, 0 or more",
        ),
        (
            "max_restarts = 1.5",
            "invalid type: floating point `1.5`, expected a whole number, 0 or more",
        ),
        (
            "max_restarts = 1979-05-27",
            "invalid type: datetime, expected a whole number, 0 or more",
        ),
        (
            "stop_exit_codes = [256]",
            "`256` is out of range, expected an exit code from 0 to 255, or a list of them",
        ),
        ("max_memory_restart = 0", "it must be more than 0"),
        ("max_memory_restart = -1", "it is negative"),
        (
            "kill_signal = 9",
            "invalid type: integer `9`, expected a signal's name like \"SIGTERM\"",
        ),
        (
            "depends_on = 'o'",
            "invalid type: string, expected a list of names, or a table of conditions by name",
        ),
        ("ready = 'x'", "invalid type: string, expected a table"),
        ("ports = 80", "invalid type: integer, expected a list of ports"),
        (
            "ports = ['0']",
            "expected a port from 1 to 65535, or a string with ${VAR}",
        ),
        (
            "instances = 1001",
            "`1001` is out of range, expected a whole number from 1 to 1000",
        ),
        ("pty = 1", "invalid type: integer `1`, expected true or false"),
        (
            "compress = 'yes'",
            "invalid type: string \"yes\", expected true or false",
        ),
        ("max_size = 0", "it must be more than 0"),
    ];
    for (key, expected) in cases {
        bad_key(key, expected);
    }
}

#[test]
fn a_bad_probe_is_told_what_fits() {
    let ready = |probe: &str| problems(&format!("[services.s]\nscript='x'\nready.{probe}\n"));
    let cases = [
        (
            "http = 'localhost'",
            "3:14: cannot read `http` in [services.s.ready]: `localhost` is not a URL like `http://localhost:3000/health`",
        ),
        (
            "http = 'http://'",
            "3:14: cannot read `http` in [services.s.ready]: `http://` is not a URL like `http://localhost:3000/health`",
        ),
        (
            "tcp = ':80'",
            "3:13: cannot read `tcp` in [services.s.ready]: `:80` is not `HOST:PORT`, such as `localhost:5432`",
        ),
        (
            "log = '('",
            "3:13: cannot read `log` in [services.s.ready]: `(` is not a regular expression: unclosed group",
        ),
        (
            "command = []",
            "3:17: cannot read `command` in [services.s.ready]: it names no program",
        ),
        (
            "command = 'x'",
            "3:17: cannot read `command` in [services.s.ready]: invalid type: string, expected a list: a program and its arguments",
        ),
        (
            "notify = false",
            "3:16: cannot read `notify` in [services.s.ready]: it can only be true; leave it out otherwise",
        ),
        (
            "timeout = 0",
            "3:17: cannot read `timeout` in [services.s.ready]: it must be more than 0",
        ),
    ];
    for (probe, expected) in cases {
        assert_eq!(ready(probe), format!("dev.toml:{expected}"));
    }
}

#[test]
fn a_bad_dependency_is_told_what_fits() {
    let text = "\
[tasks.t]
script = 'x'
[services.s]
script = 'x'
[services.s.depends_on]
a = 'redy'
b = 5
c = { conditon = 'ready' }
t = 'ready'
s = 'ready'
[services.u]
script = 'x'
depends_on = ['t', 's', 's']
[services.v]
script = 'x'
depends_on = { t = { condition = 'completed', restart = true } }
";
    refused(
        text,
        &[
            "dev.toml:6:1: there is no service `a`; known are s, u, v",
            "dev.toml:6:5: cannot read `a` in [services.s.depends_on]: `redy` is not a condition; write \"started\", \"ready\" or \"completed\"; did you mean `ready`?",
            "dev.toml:7:1: there is no service `b`; known are s, u, v",
            "dev.toml:7:5: cannot read `b` in [services.s.depends_on]: invalid type: integer `5`, expected a condition or a table of `condition` and `restart`",
            "dev.toml:8:1: there is no service `c`; known are s, u, v",
            "dev.toml:8:7: unknown key `conditon` in [services.s.depends_on.c]; did you mean `condition`?",
            "dev.toml:9:1: `t` is a task: wait for its end with `depends_on = { t = \"completed\" }`",
            "dev.toml:10:1: `s` depends on itself; remove it",
            "dev.toml:13:15: `t` is a task: wait for its end with `depends_on = { t = \"completed\" }`",
            "dev.toml:13:25: `s` is listed twice; remove one",
            "dev.toml:16:16: `t` is a task and never comes back; remove `restart`",
        ],
    );
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    refused(
        "a = b\nc = \"x\n",
        &[
            "dev.toml:1:5: not valid TOML: string values must be quoted, expected literal string",
            "dev.toml:2:7: not valid TOML: invalid basic string, expected `\"`",
        ],
    );
    refused(
        "[services.s]\nports = [1, 2\nscript = 'x'\n[profiles.p]\n",
        &["dev.toml:3:1: not valid TOML: missing comma between array elements, expected `,`"],
    );
}

#[test]
fn a_key_given_twice_does_not_hide_other_problems() {
    refused(
        "[services.s]\nscript = 'x'\nscript = 'y'\nport = [1]\n",
        &[
            "dev.toml:3:1: `script` is given twice; remove one",
            "dev.toml:4:1: unknown key `port` in [services.s]; did you mean `ports`?",
        ],
    );
    refused(
        "[services.s]\nscript = 'x'\n[services.s]\nport = [1]\n",
        &["dev.toml:3:11: `s` is given twice; remove one"],
    );
}

#[test]
fn a_name_must_fit_files_ids_and_globs() {
    for (name, reason) in [
        ("\"\"", "it is empty"),
        ("all", "`all` means every service"),
        ("12", "a number would be read as an id"),
        ("-a", "it must begin with a letter, a digit or `_`"),
        ("\".a\"", "it must begin with a letter, a digit or `_`"),
        ("\"a/b\"", "only letters, digits, `-`, `_` and `.` are allowed"),
        ("\"ü\"", "only letters, digits, `-`, `_` and `.` are allowed"),
        (&"x".repeat(101), "it is longer than 100 characters"),
    ] {
        for kind in ["services", "tasks", "profiles"] {
            let shown = name.trim_matches('"');
            let column = kind.len() + 3;
            refused(
                &format!(
                    "[{kind}.{name}]\n{}",
                    if kind == "profiles" { "" } else { "script='x'" }
                ),
                &[&format!(
                    "dev.toml:1:{column}: `{shown}` in [{kind}] cannot be a name: {reason}"
                )],
            );
        }
    }
    accepted("[services.\"a.b-c_1\"]\nscript='x'\n[services.1a]\nscript='x'");
}

#[test]
fn one_name_is_one_thing() {
    let text = "\
tasks.a.script = 'x'
services.a = { script = 'x', depends_on = { web = 'completed' } }
services.a-b = { script = 'x', depends_on = { a = 'completed' } }
services.web = { script = 'x', instances = 2 }
services.web-1.script = 'x'
services.web-2.script = 'x'
services.api.script = 'x'
services.api-2.script = 'x'
profiles.p.overrides.api.instances = 3
profiles.p.services = ['a', 'a']
";
    refused(
        text,
        &[
            "dev.toml:3:47: `a` is both a service and a task, and either could complete; rename one",
            "dev.toml:5:10: `web-1` is also the name of a copy of `web`, which has 2 instances; rename one",
            "dev.toml:8:10: `api-2` is also the name of a copy of `api`, which has 3 instances; rename one",
            "dev.toml:10:29: `a` is listed twice; remove one",
        ],
    );
}

#[test]
fn names_that_refer_to_nothing_are_told() {
    let text = "\
default_profile = 'dev'
services.s = { script = 'x', build = ['t'], depends_on = ['r'] }
profiles.p = { extends = 'q', build = 't' }
profiles.q = { overrides.s.depends_on = ['x'] }
";
    refused(
        text,
        &[
            "dev.toml:1:19: there is no profile `dev`; known are p, q",
            "dev.toml:2:39: there is no task `t`; there are no tasks",
            "dev.toml:2:59: there is no service `r`; known are s",
            "dev.toml:3:39: there is no task `t`; there are no tasks",
            "dev.toml:4:42: there is no service `x`; known are s",
        ],
    );
    accepted("default_profile = 'dev'");
    refused(
        "default_profile = 'prod'",
        &["dev.toml:1:19: there is no profile `prod`; there are no profiles"],
    );
}

#[test]
fn cycles_are_named_once() {
    let text = "\
services.a = { script = 'x', depends_on = ['b'] }
services.b = { script = 'x', depends_on = ['c'] }
services.c = { script = 'x', depends_on = ['a'] }
services.d = { script = 'x' }
services.e = { script = 'x', depends_on = ['d'] }
profiles.p = { extends = 'q' }
profiles.q = { extends = 'p', overrides.d.depends_on = { e = 'started' } }
profiles.r = { extends = 'r' }
";
    refused(
        text,
        &[
            "dev.toml:1:44: services depend on each other: a → b → c → a; break the cycle",
            "dev.toml:6:26: profiles extend each other: p → q → p; break the cycle",
            "dev.toml:7:58: services depend on each other: d → e → d; break the cycle",
            "dev.toml:8:26: profiles extend each other: r → r; break the cycle",
        ],
    );
}

#[test]
fn two_services_of_one_stack_cannot_declare_one_port() {
    let services = "services.a = { script = 'x', ports = [1, 1] }\nservices.b = { script = 'x', ports = [2] }\n";
    accepted(services);
    let profiles =
        "profiles.p.services = ['a', 'b']\nprofiles.p.overrides.b.ports = [3, 1]\nprofiles.q.extends = 'p'\n";
    refused(
        &format!("{services}{profiles}"),
        &["dev.toml:3:29: `a` and `b` both declare port 1; change one"],
    );
    accepted(&format!(
        "{services}services.c = {{ script = 'x', ports = [1] }}\nprofiles.p.services = ['a', 'b']\n"
    ));
    refused(
        &format!("{services}services.c = {{ script = 'x', ports = [1] }}"),
        &["dev.toml:3:10: `a` and `c` both declare port 1; change one"],
    );
}

#[test]
fn every_piece_of_the_example_cut_off_is_still_survived() {
    for (end, _) in EXAMPLE.char_indices() {
        let _ = Config::parse(&EXAMPLE[..end], "dev.toml");
    }
}

#[test]
fn deep_nesting_is_a_problem_and_not_a_crash() {
    for open in ["[", "{a="] {
        assert!(Config::parse(&format!("a={}", open.repeat(50_000)), "dev.toml").is_err());
    }
    assert!(Config::parse(&format!("{}a=1", "a.".repeat(50_000)), "dev.toml").is_err());
}

proptest! {
    #[test]
    fn reading_never_panics(text: String) {
        let _ = Config::parse(&text, "dev.toml");
    }

    #[test]
    fn shuffled_pieces_never_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)) {
        if let Err(problems) = Config::parse(&pieces.concat(), "dev.toml") {
            prop_assert!(problems.1.is_sorted_by_key(|problem| problem.place));
            prop_assert!(problems.1.iter().all(|problem| problem.place.is_some_and(|at| at.line > 0 && at.column > 0)));
        }
    }
}

const PIECES: &[&str] = &[
    "[services.a]\n",
    "[services.b]\n",
    "[services]\n",
    "[tasks.t]\n",
    "[profiles.p]\n",
    "[logs]\n",
    "services = 5\n",
    "script = 'x'\n",
    "depends_on = ['a', 'b', 't']\n",
    "[services.a.depends_on]\n",
    "a = 'ready'\n",
    "b = { restart = true }\n",
    "extends = 'p'\n",
    "services = ['a', 'b', '']\n",
    "overrides.a.",
    "ports = [80, '${X}']\n",
    "env = { A = '${B:-c}' }\n",
    "ready = { tcp = 'x:1' }\n",
    "instances = 2\n",
    "[[services.a]]\n",
    "'",
    "\"\"\"",
    "é = 'ü'\n",
    "\r\n",
    "{",
    "]",
    "=",
    "\n",
];
