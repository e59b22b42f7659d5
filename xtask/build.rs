//! Linux with glibc: how the program is linked decides how long each of its starts takes, and three of them are in the start of a stack.

use std::env::{var, var_os};
use std::path::Path;
use std::process::{Command, Stdio};

/// For a fixed place in memory. A program that may lie anywhere has some 60,000 addresses to correct at each start: a millisecond, and
/// a megabyte of its own for each process.
const FIXED_PLACE: &str = "-no-pie";

/// LLD writes its output in one piece, not page by page through a mapping (from LLD 21 on, whatever the option's name says:
/// <https://github.com/llvm/llvm-project/issues/207459>). Linux caches what is written in one piece in large folios, where the file
/// system can, and maps those at a fraction of the cost: a seventh of the time that a start of ten services takes.
const IN_ONE_PIECE: &[&str] = &["-Wl,--mmap-output-file"];

/// With the unwinder in it, by which panics are told: one library less for the loader to find and map, a tenth of a millisecond a start.
const WITH_UNWINDER: &[&str] = &["-Wl,--whole-archive", "-lgcc_eh", "-Wl,--no-whole-archive"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins={FIXED_PLACE}");
        for options in [IN_ONE_PIECE, WITH_UNWINDER] {
            if are_known_to_the_linker(options) {
                options
                    .iter()
                    .for_each(|option| println!("cargo::rustc-link-arg-bins={option}"));
            }
        }
    }
}

/// Whether the linker in use takes these options, and has what they name: it ends where not, so the least program is linked with them.
#[expect(
    clippy::disallowed_methods,
    reason = "what the program is built by cannot be of the program"
)]
fn are_known_to_the_linker(options: &[&str]) -> bool {
    let [Some(rustc), Some(target), Some(dir)] = ["RUSTC", "TARGET", "OUT_DIR"].map(var_os) else {
        return false;
    };
    let dir = Path::new(&dir);
    let source = dir.join("least.rs");
    let mut compile = Command::new(rustc);
    compile
        .arg("--target")
        .arg(target)
        .arg("--out-dir")
        .arg(dir)
        .arg(&source);
    compile.args(options.iter().map(|option| format!("-Clink-arg={option}")));
    if let Ok(linker) = var("RUSTC_LINKER") {
        compile.arg(format!("-Clinker={linker}"));
    }
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    compile.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    compile.stdout(Stdio::null()).stderr(Stdio::null());
    std::fs::write(&source, "fn main() {}\n").is_ok() && compile.status().is_ok_and(|status| status.success())
}
