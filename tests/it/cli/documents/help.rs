//! What helps at the command line: short and long help, completions, the manual page.

use super::super::Workdir;

#[test]
fn each_shell_gets_completions_with_every_command_and_flag() {
    let marks = [
        ("bash", "complete -F _attrsync"),
        ("elvish", "edit:completion"),
        ("fish", "complete -c attrsync"),
        ("powershell", "Register-ArgumentCompleter"),
        ("zsh", "#compdef attrsync"),
    ];
    for (shell, mark) in marks {
        let run = Workdir::new().run(&format!("completions {shell}")).exits(0);
        for part in [mark, "sync", "sandbox", "max-outage", "on-conflict"] {
            assert!(run.stdout.contains(part), "{shell}: {part}");
        }
    }
    Workdir::new().run("completions tcsh").exits(2).says("tcsh");
}

#[test]
fn the_manual_page_has_every_command_with_its_flags() {
    let page = Workdir::new().run("completions man").exits(0).stdout;
    assert!(page.contains(".TH attrsync 1"), "{page}");
    for part in [
        "sync",
        "plan",
        "sandbox",
        "completions",
        r"\-\-max\-outage",
        r"\-\-bodies",
        r"\-\-error\-rate",
        "HISTORY USER",
        "SH EXAMPLES",
        "SH \"EXIT STATUS\"",
        "SH ENVIRONMENT",
        "SH FILES",
        "ATTRSYNC_TOKEN",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    assert!(!page.contains("see a summary"), "{page}");
}

#[test]
fn short_help_is_for_a_first_run_and_long_help_has_all() {
    let workdir = Workdir::new();
    let (short, long) = (workdir.run("sync -h").exits(0).stdout, workdir.run("sync --help").exits(0).stdout);
    for part in ["--sandbox", "--token-file", "--columns", "--only-changed", "attrsync sync --help"] {
        assert!(short.contains(part), "{part}:\n{short}");
    }
    for part in ["--retry-max-delay", "--temp-dir", "--history-days", "  130  interrupted"] {
        assert!(!short.contains(part), "{part}:\n{short}");
        assert!(long.contains(part), "{part}:\n{long}");
    }
    assert!(short.lines().count() < 60, "{short}");
    assert!(!long.contains("BOOL"), "{long}");
}
