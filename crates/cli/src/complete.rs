//! What could come next on a command line, for kubectl: it asks a program named `kubectl_complete-PLUGIN`, which answers
//! with one candidate a line and last `:` and a number, by the rules of cobra's `ShellCompDirective`
//! (<https://kubernetes.io/docs/reference/kubectl/plugins/>).

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory};

use crate::args::Cli;

/// Whether files can come next, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Files {
    /// Yes: 0, the shell's own completion.
    Yes,
    /// No: 4, `ShellCompDirectiveNoFileComp`.
    No,
}

/// The answer for kubectl: `words` are those behind the plugin's name; the last one is being written.
pub fn answer(words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (mut candidates, files) = candidates(&words);
    candidates.push(format!(":{}", if files == Files::Yes { 0 } else { 4 }));
    candidates.join("\n") + "\n"
}

fn candidates(words: &[String]) -> (Vec<String>, Files) {
    let mut root = Cli::command();
    root.build();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let (mut command, mut open) = (&root, None);
    for word in before {
        if open.take().is_some() {
            continue;
        }
        open = option(command, word).filter(|arg| arg.get_action().takes_values() && !word.contains('='));
        if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        }
    }
    if let Some(arg) = open {
        return values(arg, last);
    }
    let begins = |text: &String| text.starts_with(last);
    if last.starts_with('-') {
        let flags = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long);
        return (flags.map(|flag| format!("--{flag}")).filter(begins).collect(), Files::No);
    }
    let inner = command.get_subcommands().map(|inner| inner.get_name().to_owned()).filter(begins);
    let mut found: Vec<String> = inner.collect();
    let mut files = Files::No;
    for arg in command.get_positionals() {
        let (more, here) = values(arg, last);
        found.extend(more);
        files = here;
    }
    (found, files)
}

/// The option that a word names.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or_default();
    command.get_arguments().find(|arg| {
        let long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        let short =
            arg.get_short().is_some_and(|short| name.strip_prefix('-') == Some(short.to_string().as_str()));
        long || short
    })
}

fn values(arg: &Arg, prefix: &str) -> (Vec<String>, Files) {
    let all: Vec<String> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let is_path = arg
        .get_value_names()
        .iter()
        .flat_map(|names| names.iter())
        .any(|name| matches!(name.as_str(), "FILE" | "DIR"));
    let files = if is_path { Files::Yes } else { Files::No };
    (all.into_iter().filter(|value| value.starts_with(prefix)).collect(), files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        answer(&words).lines().map(str::to_owned).collect()
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        assert_eq!(of("st"), ["status", ":4"]);
        assert_eq!(of("status --wa"), ["--watch", ":4"]);
        assert_eq!(of("status -o j"), ["json", ":4"]);
        assert_eq!(of("status --output=json --all"), ["--all-nodes", ":4"]);
        assert_eq!(of("status --objects x"), [":0"]);
        assert_eq!(of("install h")[0], "hub");
        assert_eq!(of("completion b"), ["bash", ":4"]);
        assert_eq!(of("status --context hub --no-such"), [":4"]);
        assert!(of("").contains(&"explain".to_owned()));
    }
}
