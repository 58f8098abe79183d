//! The files of `examples/`: what they start exists and takes its options, names agree with the programs, and systemd accepts its units.

use super::{files, short, text, top};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the examples expect our programs; `make install` writes its own folder instead.
const PREFIX: &str = "/usr/local/sbin/";

/// The services of each server, by the names it knows.
const SERVICES: &[(&str, &[&str])] = &[
    ("emsmtp", &["smtp", "submission", "submissions", "lmtp", "odmr"]),
    ("empop", &["pop3", "pop3s"]),
    ("emimap", &["imap", "imaps"]),
    ("empass", &["poppass"]),
    ("emsieve", &["managesieve"]),
];

fn bin(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_emd")).with_file_name(name)
}

fn examples() -> Vec<PathBuf> {
    let all = files(&top().join("examples"), &[""]);
    all.into_iter().filter(|path| !path.ends_with("demo.sh") && !path.ends_with("README.md")).collect()
}

/// The logical lines of a file: comments left out, lines that end in a backslash joined.
fn lines(path: &Path) -> Vec<String> {
    let text = text(path).replace("\\\n", " ");
    text.lines().map(str::trim).filter(|line| !line.starts_with('#')).map(str::to_string).collect()
}

/// A command of ours as a file names it: the program, and its arguments up to the end of the shell's command.
fn command_of(line: &str) -> Option<(String, Vec<String>)> {
    let at = line.find(PREFIX)?;
    let mut words = line[at + PREFIX.len()..].split_whitespace().map(|word| word.trim_matches(['\'', '"']).to_string());
    let program = words.next()?;
    let ends = |word: &String| [">", "2>", "|", ";", "&"].iter().any(|sign| word.starts_with(sign));
    // inetd repeats the program's name.
    let arguments = words.skip_while(|word| *word == program).take_while(|word| !ends(word)).collect();
    Some((program, arguments))
}

/// Every command line of ours in the examples, with its file.
fn commands() -> Vec<(PathBuf, String, Vec<String>)> {
    let mut found = Vec::new();
    for path in examples() {
        let lines = lines(&path);
        for (index, line) in lines.iter().enumerate() {
            let Some((program, mut arguments)) = command_of(line) else { continue };
            // xinetd has the arguments on a line of their own.
            if line.starts_with("server\t")
                && let Some(more) = lines[index..].iter().find_map(|l| l.strip_prefix("server_args\t= "))
            {
                arguments.extend(more.split_whitespace().map(str::to_string));
            }
            found.push((path.clone(), program, arguments));
        }
    }
    found
}

#[test]
fn every_folder_the_manual_names_is_there() {
    for folder in ["systemd", "inetd", "xinetd", "s6", "runit", "cron"] {
        assert!(examples().iter().any(|path| path.starts_with(top().join("examples").join(folder))), "{folder}");
    }
}

#[test]
fn every_command_in_the_examples_is_taken_by_its_program() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let out = Command::new(bin("emconf"))
        .args(["--root", root, "init", "--domain", "example.test", "--port-base", "40000"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let all = commands();
    assert!(all.len() >= 25, "{all:?}");
    for (path, program, arguments) in all {
        assert!(top().join(format!("src/bin/{program}.rs")).exists(), "{}: no program {program}", short(&path));
        let is_server = SERVICES.iter().any(|(name, _)| *name == program);
        // A server checks and ends; of the others the command line is read to its end and then explained.
        let last = if is_server { "--check" } else { "--help" };
        let mut command = Command::new(bin(&program));
        command.args(["--root", root]).args(&arguments).arg(last).stdin(std::process::Stdio::null());
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}: {program} {arguments:?}: {out:?}", short(&path));
        for place in arguments.iter().zip(arguments.iter().skip(1)).filter(|(option, _)| *option == "--listen") {
            let (service, address) = place.1.split_once('=').unwrap_or((only_service(&program), place.1));
            assert!(serves(&program, service), "{}: {program} has no service {service}", short(&path));
            assert!(address.parse::<std::net::SocketAddr>().is_ok(), "{}: {address}", short(&path));
        }
    }
}

#[test]
fn a_wrong_option_would_be_found() {
    let (program, arguments) = command_of("ExecStart=/usr/local/sbin/emqueue deamon").unwrap();
    let out = Command::new(bin(&program)).args(arguments).arg("--help").output().unwrap();
    assert_eq!(out.status.code(), Some(64));
    assert_eq!(
        command_of("25 stream tcp nowait em /usr/local/sbin/emsmtp emsmtp --service lmtp >x").unwrap(),
        ("emsmtp".to_string(), vec!["--service".to_string(), "lmtp".to_string()])
    );
}

/// The service of a program that has one, and need not name it.
fn only_service(program: &str) -> &'static str {
    let found = SERVICES.iter().find(|(name, services)| *name == program && services.len() == 1);
    found.map_or("", |(_, services)| services[0])
}

fn serves(program: &str, service: &str) -> bool {
    SERVICES.iter().any(|(name, services)| *name == program && services.contains(&service))
}

#[test]
fn sockets_carry_the_names_their_program_knows() {
    let mut seen = Vec::new();
    for path in examples().into_iter().filter(|path| path.extension().is_some_and(|e| e == "socket")) {
        let lines = lines(&path);
        let value = |key: &str| lines.iter().find_map(|line| line.strip_prefix(key)).unwrap_or("").to_string();
        let (name, unit) = (value("FileDescriptorName="), value("Service="));
        assert!(serves(unit.trim_end_matches(".service"), &name), "{}: {unit} has no {name:?}", short(&path));
        assert!(path.with_file_name(&unit).exists(), "{}: no {unit}", short(&path));
        assert!(!value("ListenStream=").is_empty(), "{}", short(&path));
        seen.push(name);
    }
    let all: usize = SERVICES.iter().map(|(_, services)| services.len()).sum();
    assert_eq!(seen.len(), all, "a socket for each service: {seen:?}");
}

/// emlocal is set-uid root: what starts it may not lose the right to new privileges, not by an implication either.
#[test]
fn units_that_deliver_may_gain_privileges_and_the_others_may_not() {
    for path in examples().into_iter().filter(|path| path.extension().is_some_and(|e| e == "service")) {
        let lines = lines(&path);
        let has = |key: &str| lines.iter().any(|line| line.starts_with(key));
        let delivers = ["emd.service", "emqueue.service"].iter().any(|name| path.ends_with(name));
        assert_eq!(has("NoNewPrivileges=yes"), !delivers, "{}", short(&path));
        let implying = ["Restrict", "SystemCall", "PrivateDevices", "ProtectKernel", "Lock", "Memory", "ProtectClock"];
        assert!(!delivers || !implying.iter().any(|key| has(key)), "{}", short(&path));
        assert!(path.ends_with("emd.service") || has("User=em"), "{}", short(&path));
        assert!(has("ReadWritePaths="), "{}", short(&path));
    }
}

#[test]
fn systemd_accepts_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: systemd-analyze is missing");
        return;
    }
    // The programs must exist where the units say: a copy of the units points at ours.
    let dir = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for path in examples().into_iter().filter(|path| path.starts_with(top().join("examples/systemd"))) {
        let own = bin("").display().to_string();
        let copy = dir.path().join(path.file_name().unwrap());
        std::fs::write(&copy, text(&path).replace(PREFIX, &format!("{}/", own.trim_end_matches('/')))).unwrap();
        units.push(copy);
    }
    let out = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    if said.contains("Failed to initialize manager") {
        println!("skipped: systemd-analyze can't run here: {said}");
        return;
    }
    // What it says about other units of this machine is not ours.
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| units.iter().any(|u| line.contains(&*u.file_name().unwrap().to_string_lossy())))
        .collect();
    assert!(ours.is_empty(), "\n{}", ours.join("\n"));
}

#[test]
fn shell_scripts_are_executable_and_parse() {
    use std::os::unix::fs::PermissionsExt;
    let scripts = files(&top().join("examples"), &["/run", "/finish", "/check", ".sh"]);
    assert!(scripts.len() > 20);
    for path in scripts {
        assert!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o111 == 0o111, "{}", short(&path));
        let out = Command::new("sh").arg("-n").arg(&path).output().unwrap();
        assert!(out.status.success(), "{}: {out:?}", short(&path));
    }
}

/// What `make install` would do, without doing it: every file has its place below DESTDIR, and nothing lands elsewhere.
#[test]
fn install_writes_below_its_folders_only() {
    let out = Command::new("make")
        .args(["-n", "install", "DESTDIR=/tmp/package", "PREFIX=/usr"])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let text = String::from_utf8_lossy(&out.stdout);
    for place in ["/usr/sbin", "/usr/share/man/man8", "/usr/share/doc/expressmail/examples", "/etc/em"] {
        assert!(text.contains(&format!("/tmp/package{place}")), "{place}:\n{text}");
    }
    for command in files(&top().join("src/bin"), &[".rs"]) {
        let name = command.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(text.contains(&name), "{name}:\n{text}");
    }
    let acting = text.lines().filter(|line| !line.starts_with("echo"));
    let outside =
        acting.flat_map(str::split_whitespace).find(|word| word.starts_with("/usr/") || word.starts_with("/etc/"));
    assert_eq!(outside, None, "not below DESTDIR:\n{text}");
    assert!(
        text.contains("s|/usr/local/sbin/|/usr/sbin/|g"),
        "the examples name the folder they are installed for:\n{text}"
    );
}
