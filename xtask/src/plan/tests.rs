//! `dev.toml` texts and what they resolve to.

use super::{Dependency, Interpreter, Invocation, Options, Origin, Origins, Plan, Probe, ServicePlan};
use crate::config::{Autorestart, Condition, Config, Problems, Signal};
use crate::policy::{Policy, Readiness};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A resolution: a text, a shell, the options of `dev` and the files that exist.
#[derive(Default)]
struct Case {
    text: String,
    profile: Option<&'static str>,
    invocation: Invocation,
    files: BTreeMap<PathBuf, &'static str>,
}

fn case(text: &str) -> Case {
    Case {
        text: text.to_owned(),
        ..Case::default()
    }
}

fn pairs<V: From<&'static str>>(pairs: &[(&'static str, &'static str)]) -> BTreeMap<String, V> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect()
}

impl Case {
    fn profile(mut self, name: &'static str) -> Self {
        self.profile = Some(name);
        self
    }

    fn shell(mut self, variables: &[(&'static str, &'static str)]) -> Self {
        self.invocation.shell = pairs(variables);
        self
    }

    fn options(mut self, options: Options) -> Self {
        self.invocation.options = options;
        self
    }

    fn file(mut self, path: &str, text: &'static str) -> Self {
        self.files.insert(path.into(), text);
        self
    }

    fn config(&self) -> Config {
        Config::parse(&self.text, "dev.toml").unwrap()
    }

    fn resolve(&self) -> Result<Plan, Problems> {
        let read = |path: &Path| {
            let found = self.files.get(path).map(|text| (*text).to_owned());
            found.ok_or_else(|| "no such file".to_owned())
        };
        super::resolve(
            &self.config(),
            Path::new("/ws/dev.toml"),
            self.profile,
            &self.invocation,
            &read,
        )
    }

    #[track_caller]
    fn plan(&self) -> Plan {
        self.resolve().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The only service.
    #[track_caller]
    fn service(&self) -> ServicePlan {
        let [service] = <[ServicePlan; 1]>::try_from(self.plan().services).unwrap();
        service
    }

    #[track_caller]
    fn problems(&self) -> Vec<String> {
        let Problems(_, problems) = self.resolve().unwrap_err();
        problems.into_iter().map(|problem| problem.message).collect()
    }
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.services.iter().map(|service| service.name.as_str()).collect()
}

#[test]
fn every_default_is_the_one_of_the_contract() {
    let web = case("[services.web]\nscript = \"serve\"").service();
    let policy = Policy {
        autorestart: Autorestart::Always,
        max_restarts: 16,
        min_uptime: Duration::from_secs(1),
        restart_delay: Duration::ZERO,
        exp_backoff_restart_delay: None,
        stop_exit_codes: Vec::new(),
        kill_signal: Signal::Int,
        kill_timeout: Duration::from_secs(5),
        watch_delay: Duration::from_millis(200),
        readiness: Readiness::Uptime,
        builds: false,
    };
    assert_eq!(web.policy, policy);
    assert_eq!(
        (web.cwd.as_path(), web.interpreter, web.probe),
        (Path::new("/ws"), None, None)
    );
    assert_eq!(web.out_file, Some("/ws/.dev/dev/logs/web-out.log".into()));
    assert_eq!(web.error_file, Some("/ws/.dev/dev/logs/web-error.log".into()));
    let rotation = (web.rotation.max_size, web.rotation.retain, web.rotation.compress);
    assert_eq!(rotation, (10 << 20, 7, true));
    assert_eq!(
        (web.max_memory_restart, web.watch, web.ports),
        (None, Vec::new(), Vec::new())
    );
}

#[test]
fn readiness_is_the_probe_else_the_ports_else_the_uptime() {
    let probe = |keys: &str| case(&format!("[services.web]\nscript = \"serve\"\n{keys}")).service();
    let web = probe("ports = [\"${PORT:-80}\"]");
    assert_eq!((web.ports, web.probe), (vec![80], Some(Probe::Ports)));
    assert_eq!(web.policy.readiness, Readiness::Probe(Duration::from_secs(30)));
    let web = probe("ports = [80]\nready = { tcp = \"localhost:80\", timeout = \"2s\" }");
    assert_eq!(web.probe, Some(Probe::Tcp("localhost:80".to_owned())));
    assert_eq!(web.policy.readiness, Readiness::Probe(Duration::from_secs(2)));
    assert_eq!(
        probe("ready = { timeout = \"2s\" }").policy.readiness,
        Readiness::Uptime
    );
}

const LAYERED: &str = r#"
[services.web]
script = "serve"
env_file = "web.env"
env = { C = "service", D = "service", E = "service", GONE = false }
[profiles.base]
env = { B = "base profile", INHERITED = "base" }
[profiles.dev]
extends = "base"
services = ["web"]
env_file = "profile.env"
env = { B = "profile", C = "profile" }
overrides.web.env = { D = "override", E = "override" }
"#;

#[test]
fn the_strongest_source_wins_and_is_remembered() {
    let set = vec![("E".to_owned(), "option".to_owned())];
    let web = case(LAYERED)
        .profile("dev")
        .shell(&[("SHELL_WINS", "shell"), ("GONE", "x"), ("ONLY_SHELL", "x")])
        .options(Options {
            set,
            ..Options::default()
        })
        .file(
            "/ws/profile.env",
            "A=profile file\nBOTH=profile file\nSHELL_WINS=file\n",
        )
        .file("/ws/web.env", "BOTH=service file\nB=file\n")
        .service();
    let file = |name: &str| Origin::EnvFile(Path::new("/ws").join(name));
    let expected = [
        ("A", Some("profile file"), file("profile.env")),
        ("B", Some("profile"), Origin::Profile),
        ("BOTH", Some("service file"), file("web.env")),
        ("C", Some("service"), Origin::Service),
        ("D", Some("override"), Origin::Override),
        ("E", Some("option"), Origin::Option),
        ("GONE", None, Origin::Service),
        ("INHERITED", Some("base"), Origin::Profile),
    ];
    let env = expected
        .iter()
        .map(|(name, value, _)| ((*name).to_owned(), value.map(str::to_owned)));
    assert_eq!(web.env, env.collect());
    let origins = expected
        .iter()
        .map(|(name, _, origin)| ((*name).to_owned(), origin.clone()));
    assert_eq!(web.origins.0, origins.collect());
}

#[test]
fn where_a_variable_is_written_makes_no_difference_between_plans() {
    let service = case("[services.web]\nscript = \"serve\"\nenv = { A = \"1\" }").service();
    let profile = case("[services.web]\nscript = \"serve\"\n[profiles.dev]\nenv = { A = \"1\" }").service();
    assert_ne!(service.origins.0, profile.origins.0);
    assert_eq!(service, profile);
    assert_eq!(Origins::default(), profile.origins);
}

#[test]
fn a_secret_of_a_file_that_is_set_anew_or_removed_is_remembered_and_makes_no_difference_between_plans() {
    let text = "[services.web]\nscript = \"serve\"\nenv_file = \"a.env\"\nbuild = \"t\"\n[tasks.t]\nscript = \"t\"\nenv = { B_KEY = \"t\" }\n\
                [profiles.dev]\nenv_file = \"p.env\"\nenv = { A_TOKEN = false, SAME_KEY = \"same\", NAME = \"x\" }";
    let web = |of_the_profile: &'static str| {
        let options = Options {
            set: vec![("C_KEY".to_owned(), "option".to_owned())],
            ..Options::default()
        };
        case(text)
            .options(options)
            .file("/ws/p.env", of_the_profile)
            .file("/ws/a.env", "B_KEY=service\nC_KEY=c")
            .service()
    };
    let one = web("A_TOKEN=one\nB_KEY=b\nKEPT_KEY=k\nSAME_KEY=same\nNAME=n");
    assert_eq!(one.replaced.0, pairs(&[("A_TOKEN", "one"), ("C_KEY", "c")]));
    assert_eq!(one.builds[0].replaced.0, pairs(&[("A_TOKEN", "one"), ("B_KEY", "b")]));
    assert_eq!(one, web("A_TOKEN=two\nB_KEY=b\nKEPT_KEY=k\nSAME_KEY=same\nNAME=n"));
    // Older versions do not tell of it.
    let mut told = serde_json::to_value(&one).unwrap();
    told.as_object_mut().unwrap().remove("replaced").unwrap();
    assert_eq!(serde_json::from_value::<ServicePlan>(told).unwrap(), one);
}

#[test]
fn values_read_the_shell_then_the_env_files_and_never_each_other() {
    let text = "[services.web]\nscript = \"serve\"\nenv_file = \"a.env\"\n\
                env = { A = \"${X}\", B = \"${F}\", C = \"${A:-none}\", D = \"${NO}\" }";
    let web = case(text)
        .shell(&[("X", "shell")])
        .file("/ws/a.env", "F=file\nX=file\n")
        .service();
    for (name, value) in [("A", "shell"), ("B", "file"), ("C", "none"), ("D", ""), ("F", "file")] {
        assert_eq!(web.env[name].as_deref(), Some(value), "{name}");
    }
    assert!(!web.env.contains_key("X"), "the shell's value simply flows through");
}

#[test]
fn other_strings_read_the_services_own_environment() {
    let text = "[services.web]\nscript = \"${BIN}/serve\"\nargs = \"--port ${PORT} ${UNKNOWN}\"\ncwd = \"${SUB}\"\n\
                ports = [\"${PORT}\"]\nenv = { PORT = \"80\", SUB = \"packages\" }\nready = { http = \"http://localhost:${PORT}/\" }";
    let web = case(text).shell(&[("BIN", "bin"), ("PORT", "1")]).service();
    assert_eq!(
        (web.script.as_str(), web.cwd.as_path()),
        ("bin/serve", Path::new("/ws/packages"))
    );
    assert_eq!(web.args, ["--port", "80", "${UNKNOWN}"]);
    assert_eq!(
        (web.ports, web.probe),
        (vec![80], Some(Probe::Http("http://localhost:80/".to_owned())))
    );
}

#[test]
fn the_text_that_a_shell_runs_is_left_to_it_and_nothing_else_is() {
    for (keys, script, args) in [
        (
            "script = 'sh'\nargs = ['-ec', 'echo ${X}', '${X}']",
            "sh",
            &["-ec", "echo ${X}", "x"][..],
        ),
        (
            "script = 'bash'\nargs = ['-o', 'pipefail', '-c', 'echo ${X}']",
            "bash",
            &["-o", "pipefail", "-c", "echo ${X}"],
        ),
        (
            "script = 'bash'\nargs = ['./run.sh', '-c', '${X}']",
            "bash",
            &["./run.sh", "-c", "x"],
        ),
        (
            "script = 'bash'\nargs = ['-c', '--', 'echo ${X}', '${X}']",
            "bash",
            &["-c", "--", "echo ${X}", "x"],
        ),
        (
            "script = 'bash'\nargs = ['-c', '-e', 'echo ${X}', '${X}']",
            "bash",
            &["-c", "-e", "echo ${X}", "x"],
        ),
        (
            "script = '/bin/bash'\nargs = ['-ceuo', 'pipefail', 'echo ${X}', '-c', '${X}']",
            "/bin/bash",
            &["-ceuo", "pipefail", "echo ${X}", "-c", "x"],
        ),
        (
            "script = 'bash'\nargs = ['--', '-c', '${X}']",
            "bash",
            &["--", "-c", "x"],
        ),
        (
            "script = 'bash'\nargs = ['-c', '-', 'echo ${X}']",
            "bash",
            &["-c", "-", "echo ${X}"],
        ),
        (
            "script = 'bash'\nargs = ['-o', '${X}', '--norc', '+e', '-c', 'echo ${X}']",
            "bash",
            &["-o", "x", "--norc", "+e", "-c", "echo ${X}"],
        ),
        ("script = 'serve'\nargs = ['-c', '${X}']", "serve", &["-c", "x"]),
        (
            "interpreter = 'bash'\nscript = './run.sh'\nargs = ['-c', '${X}']",
            "./run.sh",
            &["-c", "x"],
        ),
        (
            "interpreter = 'bash'\ninterpreter_args = '-c'\nscript = 'echo ${X}'\nargs = ['${X}']",
            "echo ${X}",
            &["x"],
        ),
        (
            "interpreter = 'bash'\ninterpreter_args = ['-c', '--']\nscript = 'echo ${X}'\nargs = ['${X}']",
            "echo ${X}",
            &["x"],
        ),
        (
            "interpreter = 'bash'\ninterpreter_args = ['-eco', 'pipefail']\nscript = 'echo ${X}'\nargs = ['${X}']",
            "echo ${X}",
            &["x"],
        ),
    ] {
        let web = case(&format!("[services.web]\n{keys}")).shell(&[("X", "x")]).service();
        assert_eq!(
            (web.script.as_str(), &web.args[..]),
            (script, &args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>()[..]),
            "{keys}"
        );
    }
}

#[test]
fn a_task_knows_which_variables_of_a_file_the_shell_overrides() {
    let text = "[services.web]\nscript = \"serve\"\nbuild = \"api\"\n[tasks.api]\nscript = \"make\"\n\
                [profiles.dev]\nservices = [\"web\"]\nenv_file = \"a.env\"";
    let web = case(text)
        .shell(&[("X", "shell"), ("Z", "other")])
        .file("/ws/a.env", "X=file\nY=file\n")
        .service();
    assert_eq!(web.builds[0].from_shell, ["X"]);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = "[services.web]\nscript = \"serve\"\nenv_file = \"no.env\"\nports = [\"${PORT}\"]\n\
                [services.api]\nscript = \"serve\"\nenv_file = \"bad.env\"";
    let problems = case(text)
        .shell(&[("PORT", "high")])
        .file("/ws/bad.env", "A='x\n")
        .problems();
    assert_eq!(
        problems,
        [
            "[services.web] ports: `high` is not a port; use 1 to 65535",
            "failed to read env_file /ws/no.env: no such file; it must be a text that can be read: create or mend it, or take it out of `env_file`",
            "env_file /ws/bad.env:1: the quote `'` is not closed",
        ]
    );
}

#[test]
fn a_missing_env_file_of_a_profile_is_told_once_where_it_is_written() {
    let text = "[services.web]\nscript = \"serve\"\n[services.api]\nscript = \"serve\"\n\
                [profiles.dev]\nenv_file = [\"no.env\"]";
    let problems = case(text).resolve().unwrap_err().to_string();
    assert!(
        problems.starts_with("dev.toml:6:13: failed to read env_file /ws/no.env"),
        "{problems}"
    );
    assert_eq!(problems.lines().count(), 1, "{problems}");
}

#[test]
fn what_is_awaited_as_completed_ends_when_it_has_ended_well_unless_it_is_told_to_restart() {
    let case_of = |keys: &str| {
        case(&format!(
            "[services.migrate]\nscript = \"migrate\"\n{keys}\n\
             [services.web]\nscript = \"serve\"\ndepends_on = {{ migrate = \"completed\" }}"
        ))
    };
    let autorestart = |keys: &str| case_of(keys).plan().services[0].policy.autorestart;
    assert_eq!(autorestart(""), Autorestart::OnFailure);
    assert_eq!(autorestart("autorestart = false"), Autorestart::Never);
    assert_eq!(autorestart("stop_exit_codes = [0]"), Autorestart::Always);
    let problems = case_of("autorestart = true").resolve().unwrap_err().to_string();
    let expected = "dev.toml:1:11: [services.migrate] `web` waits until it is completed, which never is";
    assert!(problems.starts_with(expected), "{problems}");
}

#[test]
fn instances_have_names_numbers_and_logs_of_their_own_and_are_depended_on_together() {
    let text = "[services.web]\nscript = \"serve\"\ninstances = 2\n\
                [services.proxy]\nscript = \"proxy\"\ndepends_on = { web = \"started\" }";
    let plan = case(text).plan();
    assert_eq!(names(&plan), ["proxy", "web-0", "web-1"]);
    let edge = |name: &str| Dependency {
        name: name.to_owned(),
        condition: Condition::Started,
        restart: false,
    };
    assert_eq!(plan.services[0].depends_on, [edge("web-0"), edge("web-1")]);
    assert_eq!(plan.services[2].env["XTASK_INSTANCE"].as_deref(), Some("1"));
    assert_eq!(plan.services[2].origins.0["XTASK_INSTANCE"], Origin::Instance);
    assert_eq!(
        plan.services[2].out_file,
        Some("/ws/.dev/dev/logs/web-1-out.log".into())
    );
    assert!(!plan.services[0].env.contains_key("XTASK_INSTANCE"));
}

#[test]
fn two_writers_of_one_log_are_refused_unless_the_instance_tells_them_apart() {
    let shared = "[services.web]\nscript = \"serve\"\ninstances = 2\nout_file = \"web.log\"";
    let problems = case(shared).problems();
    assert!(
        problems[0].contains("/ws/web.log is also the one of web-0"),
        "{problems:?}"
    );
    let other = "[services.api]\nscript = \"serve\"\nout_file = \"logs/../web-0.log\"\n";
    let problems = case(&(other.to_owned() + &shared.replace("web.log", "web-${XTASK_INSTANCE}.log"))).problems();
    assert!(
        problems[0].contains("/ws/web-0.log is also the one of api"),
        "{problems:?}"
    );
    let own = case(&shared.replace("web.log", "web-${XTASK_INSTANCE}.log")).plan();
    assert_eq!(own.services[1].out_file, Some("/ws/web-1.log".into()));
    let nowhere =
        case("[services.web]\nscript = \"serve\"\nout_file = \"/dev/null\"\nerror_file = \"/dev/null\"").service();
    assert_eq!((nowhere.out_file, nowhere.error_file), (None, None));
}

const CHAIN: &str = r#"
[tasks.schema]
script = "migrate"
[tasks.client]
script = "bundle"
env = { MODE = "release" }
[services.db]
script = "db"
[services.web]
script = "serve"
build = "client"
depends_on = { db = "ready", schema = "completed" }
[profiles.full]
services = ["web", "db"]
build = ["client"]
env = { MODE = "profile", LEVEL = "1" }
[profiles.alone]
services = ["web"]
"#;

#[test]
fn a_dependency_that_the_profile_lacks_is_an_error_and_one_that_is_left_out_is_not() {
    let problems = case(CHAIN).profile("alone").resolve().unwrap_err().to_string();
    assert!(
        problems.starts_with("dev.toml:9:11: [services.web] depends on `db`, which profile `alone` does not list"),
        "{problems}"
    );
    let except = Options {
        except: vec!["db".to_owned()],
        ..Options::default()
    };
    let plan = case(CHAIN).profile("full").options(except).plan();
    assert_eq!((names(&plan), plan.services[0].depends_on.len()), (vec!["web"], 0));
}

#[test]
fn only_and_except_choose_and_name_what_they_do_not_know() {
    let options = |only: &[&str], except: &[&str]| Options {
        only: only.iter().map(|name| (*name).to_owned()).collect(),
        except: except.iter().map(|name| (*name).to_owned()).collect(),
        ..Options::default()
    };
    let full = || case(CHAIN).profile("full");
    assert_eq!(names(&full().options(options(&["db"], &[])).plan()), ["db"]);
    assert_eq!(
        full().options(options(&["bd"], &["x"])).problems(),
        [
            "--only bd: profile `full` has no such service; it has web, db",
            "--except x: profile `full` has no such service; it has web, db",
        ]
    );
    let none = full().options(options(&["db"], &["db"])).problems();
    assert_eq!(none, ["no service to run: --only and --except leave none"]);
}

#[test]
fn each_build_is_there_once_in_order_with_the_profiles_environment() {
    let plan = case(CHAIN).profile("full").plan();
    let builds: Vec<&str> = plan.builds.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(builds, ["client", "schema"]);
    assert_eq!(
        plan.builds[0].env,
        [("LEVEL", "1"), ("MODE", "release")]
            .map(|(n, v)| (n.to_owned(), Some(v.to_owned())))
            .into()
    );
    assert!(plan.services[0].policy.builds);
    let no_build = Options {
        no_build: true,
        ..Options::default()
    };
    let plan = case(CHAIN).profile("full").options(no_build).plan();
    assert_eq!((plan.builds.len(), plan.services[0].builds.len()), (0, 0));
}

#[test]
fn a_task_alone_resolves_with_the_environment_of_a_profile() {
    let case = case(CHAIN);
    let read = |_: &Path| Err("no such file".to_owned());
    let task = |name| {
        super::resolve_task(
            &case.config(),
            Path::new("/ws/dev.toml"),
            "full",
            name,
            &case.invocation,
            &read,
        )
    };
    assert_eq!(task("schema").unwrap().env["MODE"].as_deref(), Some("profile"));
}

#[test]
fn a_profile_extends_another_key_by_key() {
    let text = r#"
[services.web]
script = "serve"
max_restarts = 1
[services.db]
script = "db"
[profiles.base]
services = ["web", "db"]
overrides.web = { max_restarts = 2, restart_delay = 5, env = { A = "base", B = "base" } }
[profiles.top]
extends = "base"
overrides.web = { max_restarts = 3, env = { B = "top" } }
"#;
    let plan = case(text).profile("top").plan();
    assert_eq!(names(&plan), ["web", "db"]);
    let web = &plan.services[0];
    assert_eq!(
        (web.policy.max_restarts, web.policy.restart_delay),
        (3, Duration::from_millis(5))
    );
    assert_eq!(
        web.env,
        [("A", "base"), ("B", "top")]
            .map(|(n, v)| (n.to_owned(), Some(v.to_owned())))
            .into()
    );
}

#[test]
fn the_profile_is_the_named_the_default_the_only_one_or_dev() {
    let services = "[services.web]\nscript = \"serve\"\n";
    let profile = |text: &str| case(&format!("{text}\n")).plan().profile;
    assert_eq!(profile(services), "dev");
    assert_eq!(profile(&format!("{services}[profiles.one]")), "one");
    assert_eq!(profile(&format!("{services}[profiles.dev]\n[profiles.two]")), "dev");
    assert_eq!(
        profile(&format!(
            "default_profile = \"two\"\n{services}[profiles.dev]\n[profiles.two]"
        )),
        "two"
    );
    let several = format!("{services}[profiles.one]\n[profiles.two]");
    assert_eq!(
        case(&several).problems(),
        ["no profile was named; use -p with one of one, two, or set `default_profile`"]
    );
    assert_eq!(
        case(&several).profile("tow").problems(),
        ["no profile `tow`; there is one, two; did you mean `two`?"]
    );
}

#[test]
fn an_interpreter_is_one_unless_it_is_none() {
    let with = |keys: &str| {
        case(&format!("[services.web]\nscript = \"a.sh\"\n{keys}"))
            .service()
            .interpreter
    };
    let sh = Interpreter {
        program: "sh".to_owned(),
        args: vec!["-e".to_owned(), "-u".to_owned()],
    };
    assert_eq!(with("interpreter = \"sh\"\ninterpreter_args = \"-e -u\""), Some(sh));
    assert_eq!(with("interpreter = \"none\"\ninterpreter_args = \"-e\""), None);
}

#[test]
fn watched_is_the_directory_or_the_paths_or_nothing() {
    let with = |watch: &str| {
        case(&format!(
            "[services.web]\nscript = \"serve\"\ncwd = \"a\"\nwatch = {watch}"
        ))
    };
    assert_eq!(with("true").service().watch, [Path::new("/ws/a")]);
    assert_eq!(
        with("[\"src\", \"/etc\"]").service().watch,
        [Path::new("/ws/src"), Path::new("/etc")]
    );
    assert_eq!(with("false").service().watch, Vec::<PathBuf>::new());
    let no_watch = Options {
        no_watch: true,
        ..Options::default()
    };
    assert_eq!(with("true").options(no_watch).service().watch, Vec::<PathBuf>::new());
}

#[test]
fn an_orderly_stop_takes_as_long_as_its_longest_chain() {
    // `b` and `c` end before `a`, side by side; each has 3 s more for what has to be killed. `d` depends on nothing.
    let text = "
services.a = { script = 'x', kill_timeout = '10s' }
services.b = { script = 'x', kill_timeout = '1s', depends_on = ['a'] }
services.c = { script = 'x', kill_timeout = '4s', depends_on = { a = 'started', b = 'started' } }
services.d = { script = 'x', kill_timeout = '20s' }
";
    assert_eq!(case(text).plan().stop_limit(), Duration::from_secs(4 + 1 + 10 + 3 * 3));
    let alone = "services.a = { script = 'x', kill_timeout = '1h' }";
    assert_eq!(case(alone).plan().stop_limit(), Duration::from_secs(3603));
}

#[test]
fn a_terminal_is_one_stream_with_one_log() {
    let web = case("[services.web]\nscript = \"serve\"\npty = true").service();
    assert_eq!((web.pty, web.error_file), (true, None));
    assert_eq!(web.out_file, Some("/ws/.dev/dev/logs/web-out.log".into()));
    let problems = case("[services.web]\nscript = \"serve\"\npty = true\nerror_file = \"e.log\"").problems();
    assert!(
        problems[0].starts_with("[services.web] error_file: with `pty` both outputs"),
        "{problems:?}"
    );
}
