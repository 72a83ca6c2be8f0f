//! `causeway-lab`: clusters in network namespaces, brought up, probed, broken and taken down.

fn main() -> std::process::ExitCode {
    causeway_lab::main()
}
