//! Linux with glibc: the program is linked for a fixed place in memory. One that may lie anywhere has some 60,000 addresses to
//! correct at each start, a millisecond and a megabyte of its own for each process; there are three at the start of a stack.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
