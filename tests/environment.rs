//! The environment and the words of a service: where each variable comes from, what does not reach it.

use crate::support::{Project, Value, wait_until};

/// The environment that the service has written to `env.json`.
#[track_caller]
fn environment(project: &Project) -> Value {
    wait_until("the environment is written", || {
        serde_json::from_str(&project.read("env.json")).ok()
    })
}

#[track_caller]
fn assert_variables(project: &Project, expected: &[(&str, Option<&str>)]) {
    let env = environment(project);
    for (name, value) in expected {
        assert_eq!(env.get(*name).and_then(Value::as_str), *value, "{name}");
    }
}

#[test]
fn the_stronger_source_wins() {
    let project = Project::new()
        .file("profile.env", "A=profile file\nB=profile file\n")
        .file("service.env", "# comment\nexport B='service file'\nC=service file\nD=x\nE=x\nF=x\nG=x\n")
        .service("web", "env env.json", "env_file = \"service.env\"\nenv = { E = \"service\", F = \"service\", G = \"service\" }")
        .toml(
            "[profiles.dev]\nservices = [\"web\"]\nenv_file = \"profile.env\"\nenv = { D = \"profile\", E = \"profile\" }\n\
             overrides.web.env = { F = \"override\", G = \"override\" }",
        );
    let shell = [("C", "shell"), ("D", "shell"), ("E", "shell"), ("ONLY_SHELL", "flows")];
    project
        .run_with(&shell, &["dev", "-d", "-e", "G=flag", "--env", "H=flag"])
        .ok();
    assert_variables(
        &project,
        &[
            ("A", Some("profile file")),
            ("B", Some("service file")),
            ("C", Some("shell")),
            ("D", Some("profile")),
            ("E", Some("service")),
            ("F", Some("override")),
            ("G", Some("flag")),
            ("H", Some("flag")),
            ("ONLY_SHELL", Some("flows")),
        ],
    );
}

#[test]
fn values_read_the_shell_and_false_removes() {
    let keys = "env = { SET = \"<${GIVEN}>\", UNSET = \"<${NOT_GIVEN}>\", DEFAULT = \"${NOT_GIVEN:-fallback}\", \
                EMPTY = \"${BLANK:-fallback}\", DOLLAR = \"$$5 and $${GIVEN}\", REMOVED = false }";
    let project = Project::new().service("web", "env env.json", keys);
    project
        .run_with(&[("GIVEN", "a b"), ("BLANK", ""), ("REMOVED", "x")], &["dev", "-d"])
        .ok();
    assert_variables(
        &project,
        &[
            ("SET", Some("<a b>")),
            ("UNSET", Some("<>")),
            ("DEFAULT", Some("fallback")),
            ("EMPTY", Some("fallback")),
            ("DOLLAR", Some("$5 and ${GIVEN}")),
            ("REMOVED", None),
            ("GIVEN", Some("a b")),
        ],
    );
}

#[test]
fn a_missing_env_file_is_an_error() {
    let project = Project::new().service("web", "", "env_file = \"no-such.env\"");
    project.run(&["dev", "-d"]).code(1).says(&["error: ", "no-such.env"]);
}

#[test]
fn cargos_own_variables_do_not_reach_services_and_the_users_do() {
    let manifest = env!("CARGO_MANIFEST_DIR");
    let manifest_path = format!("{manifest}/Cargo.toml");
    let cargo = [
        ("CARGO", "/usr/bin/cargo"),
        ("CARGO_MANIFEST_DIR", manifest),
        ("CARGO_MANIFEST_PATH", &manifest_path),
        ("CARGO_PKG_NAME", "xtask"),
        ("CARGO_PKG_VERSION", "0.1.0"),
        ("CARGO_PKG_AUTHORS", ""),
        ("RUSTUP_TOOLCHAIN", "stable"),
        ("RUSTUP_TOOLCHAIN_SOURCE", "default"),
        ("RUST_RECURSION_COUNT", "1"),
    ];
    let user = [
        ("CARGO_HOME", "/home/me/.cargo"),
        ("RUSTUP_HOME", "/home/me/.rustup"),
        ("CARGO_TERM_COLOR", "always"),
        ("RUNTIME", "tart"),
    ];
    let project = Project::new().service("web", "env env.json", "");
    project.run_with(&[&cargo[..], &user[..]].concat(), &["dev", "-d"]).ok();
    let absent: Vec<_> = cargo.iter().map(|(name, _)| (*name, None)).collect();
    let present: Vec<_> = user.iter().map(|(name, value)| (*name, Some(*value))).collect();
    assert_variables(&project, &[absent, present].concat());
}

#[test]
fn of_the_library_path_only_what_cargo_added_goes() {
    let manifest = env!("CARGO_MANIFEST_DIR");
    let workspace = std::path::Path::new(manifest).parent().unwrap().display().to_string();
    let value = format!(
        "{workspace}/target/xtask/debug/deps:{workspace}/target/xtask/debug:/home/me/.rustup/toolchains/stable/lib:/opt/mine/lib"
    );
    let project = Project::new().service("web", "env env.json", "");
    let shell = [
        ("CARGO_MANIFEST_DIR", manifest),
        ("CARGO_PKG_NAME", "xtask"),
        ("LD_LIBRARY_PATH", &value),
        ("RUSTUP_HOME", "/home/me/.rustup"),
    ];
    project.run_with(&shell, &["dev", "-d"]).ok();
    assert_variables(&project, &[("LD_LIBRARY_PATH", Some("/opt/mine/lib"))]);
}

#[test]
fn words_are_split_as_a_shell_would_and_empty_ones_stay() {
    for (args, expected) in [
        (
            "words args.json run --config '' --adapter ''",
            r#"["run","--config","","--adapter",""]"#,
        ),
        (
            r#"words args.json "two words" back\ slash $HOME *.rs ~"#,
            r#"["two words","back slash","$HOME","*.rs","~"]"#,
        ),
    ] {
        let project = Project::new().service("web", args, "");
        project.run_with(&[], &["dev", "-d"]).ok();
        let text = wait_until("the words are written", || {
            Some(project.read("args.json")).filter(|text| !text.is_empty())
        });
        assert_eq!(
            text.replace(
                &format!("{:?}", project.path("../home").display().to_string()),
                "\"$HOME\""
            ),
            expected
        );
    }
}

#[test]
fn a_list_of_arguments_is_passed_as_it_is() {
    let project = Project::new()
        .toml("[services.web]\nscript = \"PUPPET\"\nargs = [\"words\", \"args.json\", \"a b\", \"\", \"'c'\"]\n");
    let project = project.toml("[profiles.dev]\nservices = [\"web\"]");
    project.run(&["dev", "-d"]).ok();
    wait_until("the words are written", || {
        (project.read("args.json") == r#"["a b","","'c'"]"#).then_some(())
    });
}

#[test]
fn a_script_with_a_slash_starts_at_its_cwd_and_one_without_on_the_path_of_the_service() {
    let project = Project::new().toml(
        "[services.slash]\nscript = \"bin/tool\"\ncwd = \"packages\"\n\
         [services.path]\nscript = \"tool\"\nenv = { PATH = \"${PWD_OF_TEST}/packages/bin:${PATH}\" }\n\
         [profiles.dev]\nservices = [\"slash\", \"path\"]",
    );
    let tool = project.path("packages/bin/tool");
    std::fs::create_dir_all(tool.parent().unwrap()).unwrap();
    let script = format!(
        "#!/bin/sh\nexec {} count {}/runs\n",
        project.puppet(),
        project.path("").display()
    );
    std::fs::write(&tool, script).unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    project
        .run_with(&[("PWD_OF_TEST", project.path("").to_str().unwrap())], &["dev", "-d"])
        .ok();
    wait_until("both run", || (project.lines("runs") == 2).then_some(()));
}

#[test]
fn an_interpreter_runs_the_script() {
    let project = Project::new().file("tools/hello.sh", "echo \"$0 $1\" > said; exec sleep 1000\n").toml(
        "[services.web]\nscript = \"tools/hello.sh\"\ninterpreter = \"sh\"\ninterpreter_args = \"-u\"\nargs = \"you\"\n\
         [profiles.dev]\nservices = [\"web\"]",
    );
    project.run(&["dev", "-d"]).ok();
    wait_until("it has said so", || {
        project.read("said").contains("hello.sh you").then_some(())
    });
}

#[test]
fn an_interpreter_with_arguments_may_take_the_script_for_a_module_or_for_code() {
    let project = Project::new().toml(
        "[services.web]\nscript = \"echo $0 > said; exec sleep 1000\"\ninterpreter = \"sh\"\ninterpreter_args = \"-c\"\nargs = \"you\"\n\
         [services.none]\nscript = \"none.sh\"\ninterpreter = \"sh\"\n[profiles.dev]\nservices = [\"web\", \"none\"]",
    );
    let run = project.run(&["dev", "-d"]).code(1);
    run.says(&["error: none: ", "none.sh", "there is no such file"]);
    wait_until("it has said so", || (project.read("said") == "you\n").then_some(()));
}

#[test]
fn what_a_shell_is_given_as_a_script_keeps_its_own_variables() {
    let project = Project::new().toml(
        "[services.web]\nscript = \"sh\"\nargs = [\"-ec\", \"x=5; echo ${x:-none} ${PORT} $0 > said; exec sleep 1000\", \"${PORT}\"]\n\
         env = { PORT = \"7163\" }\n[profiles.dev]\nservices = [\"web\"]",
    );
    project.run(&["dev", "-d"]).ok();
    wait_until("it has said so", || {
        (project.read("said") == "5 7163 7163\n").then_some(())
    });
}

#[test]
fn a_copy_of_a_service_knows_its_number_in_its_variables_too() {
    let project = Project::new().service(
        "web",
        "env env.$XTASK_INSTANCE",
        "min_uptime = 50\ninstances = 2\nenv = { PORT = \"4100${XTASK_INSTANCE}\" }",
    );
    project.edit("env env.$XTASK_INSTANCE", "env env.${XTASK_INSTANCE}");
    project
        .run_with(&[("XTASK_INSTANCE", "7")], &["dev", "-d", "--wait"])
        .ok();
    for number in ["0", "1"] {
        let env = project.read(&format!("env.{number}"));
        assert!(env.contains(&format!("\"PORT\":\"4100{number}\"")), "{env}");
    }
}
