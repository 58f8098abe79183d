//! Accounts by sheets: import and export of CSV, as spreadsheets and scripts write it.

use super::world::{World, feed, has};
use std::path::Path;
use std::process::Command;

/// crypt(3) of "Hello world!".
const HASH: &str =
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";

fn import(world: &World, sheet: &str, options: &[&str]) -> std::process::Output {
    let mut arguments = vec!["import", "-"];
    arguments.extend(options);
    world.run_with("emuser", &arguments, sheet.as_bytes())
}

fn said(out: &std::process::Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn complaint(out: &std::process::Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn users(world: &World) -> String {
    std::fs::read_to_string(world.path("etc/users")).unwrap_or_default()
}

#[test]
fn a_sheet_adds_changes_and_deletes() {
    let world = World::new();
    let sheet = "name;Address;password;quota;services;aliases;action;;\r\n\
                 Alice Öst;alice@example.test;demo;1G;imap, pop3;a.oest;;;\r\n\
                 Carol;carol;secret word;;all;;add;;\r\n\
                 ;;;;;;;;\r\n\
                 ;bob@example.test;;;;;delete;;\r\n";
    let plan = import(&world, sheet, &["--dry-run"]);
    assert_eq!(plan.status.code(), Some(0), "{plan:?}");
    assert_eq!(
        said(&plan),
        "add carol@example.test\n\
         change alice@example.test: name, quota, services, aliases\n\
         remove bob@example.test\n\
         1 added, 1 changed, 1 removed, 0 unchanged, 0 refused\n"
    );
    assert_eq!(world.ok("emuser", &["list"]), "alice@example.test\nbob@example.test\n", "a plan changes nothing");
    let before = users(&world);
    let done = import(&world, sheet, &[]);
    assert_eq!(said(&done), "1 added, 1 changed, 1 removed, 0 unchanged, 0 refused\n", "{done:?}");
    assert_eq!(world.ok("emuser", &["list"]), "alice@example.test\ncarol@example.test\n");
    let old_hash = before.split_once(" pw=").unwrap().1.split(' ').next().unwrap();
    assert!(users(&world).contains(old_hash), "a password that is the same keeps its hash");
    let after = users(&world);
    let again = import(&world, sheet, &[]);
    assert_eq!(said(&again), "0 added, 0 changed, 0 removed, 3 unchanged, 0 refused\n", "{again:?}");
    assert_eq!(users(&world), after);
    // The alias is an address of the account, and no account.
    assert!(world.ok("emuser", &["show", "A.Oest@example.test"]).contains("address   alice@example.test\n"));
    assert!(world.ok("emsend", &["-bv", "a.oest@example.test"]).contains("alice@example.test"));
    let taken = world.run("emuser", &["add", "a.oest@example.test", "--no-password"]);
    assert_eq!(taken.status.code(), Some(73), "{taken:?}");
}

#[test]
fn all_or_nothing_unless_told_otherwise() {
    let world = World::empty();
    let sheet = "address,name,quota,password\n\
                 a,A,1G,\n\
                 b,=A1,1G,\n\
                 c,C,plenty,\n\
                 d@elsewhere.test,D,,\n\
                 e,\"two\nlines\",,\n\
                 a,A,,\n";
    let refused = import(&world, sheet, &[]);
    assert_eq!(refused.status.code(), Some(65));
    assert_eq!(said(&refused), "nothing is done: 5 refused; --keep-going does the others\n");
    let text = complaint(&refused);
    for line in [
        "emuser: standard input:3:3: name: \"=A1\" is a formula: save the sheet with its values\n",
        "emuser: standard input:4:5: quota: \"plenty\" is not a size",
        "emuser: standard input:5:1: address: elsewhere.test is not a domain of ours\n",
        "emuser: standard input:6:3: name: no control characters, and no line ends\n",
        "emuser: standard input:8:1: address: a@example.test stands in line 2, too\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert_eq!(users(&world), "");
    let kept_going = import(&world, sheet, &["--keep-going", "--json"]);
    assert_eq!(kept_going.status.code(), Some(65));
    let last: serde_json::Value = serde_json::from_str(said(&kept_going).lines().last().unwrap()).unwrap();
    assert_eq!((&last["added"], &last["refused"], &last["done"]), (&1.into(), &5.into(), &true.into()));
    assert_eq!(world.ok("emuser", &["list"]), "a@example.test\n");
    for (sheet, text) in [
        ("adress,name\na,A\n", "standard input:1:1: no column is called \"adress\"\n 1 | adress,name\n   | ^^^^^^\n"),
        ("address,name\na,\"A\nb,B\n", "standard input:2:3: this quote is not closed\n"),
        ("", "the sheet is empty"),
    ] {
        let out = import(&world, sheet, &[]);
        assert_eq!(out.status.code(), Some(65), "{out:?}");
        assert!(complaint(&out).contains(text), "{out:?}");
    }
    assert_eq!(world.run("emuser", &["import", "/nowhere.csv"]).status.code(), Some(66));
    assert_eq!(import(&world, "address\n", &["--charset", "klingon"]).status.code(), Some(64));
}

#[test]
fn what_export_writes_import_takes_back() {
    let world = World::new();
    let options = ["--name", "=cmd|' /C calc'!A0", "--aliases", "a1,a2", "--forward", "x@elsewhere.test"];
    world.ok("emuser", &[&["modify", "alice@example.test"], &options[..]].concat());
    let more = ["--keep-copy", "yes", "--expire", "30,Trash:7", "--networks", "127.0.0.0/8", "--quota", "5M"];
    world.ok("emuser", &[&["modify", "alice@example.test"], &more[..]].concat());
    world.ok("emuser", &["modify", "bob@example.test", "--no-apop", "--disabled", "yes", "--name", "Bob, \"the\" B."]);
    let plain = world.ok("emuser", &["export"]);
    assert!(plain.starts_with("address,name,quota,") && plain.contains("\r\n"), "{plain}");
    assert!(plain.contains(",'=cmd|' /C calc'!A0,") && !plain.contains("argon2"), "{plain}");
    let file = world.path("out.csv");
    world.ok("emuser", &["export", file.to_str().unwrap(), "--with-hashes", "--separator", "semicolon", "--bom"]);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = users(&world);
    let same = world.ok("emuser", &["import", file.to_str().unwrap()]);
    assert_eq!(same, "0 added, 0 changed, 0 removed, 2 unchanged, 0 refused\n");
    let other = World::empty();
    other.ok("emuser", &["import", file.to_str().unwrap()]);
    assert_eq!(users(&other), before);
    assert_eq!(other.ok("emuser", &["export"]), plain);
    let json = other.ok("emuser", &["export", "--json"]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["expire_days"], &first["keep_copy"]), (&"30,Trash:7".into(), &true.into()));
}

#[test]
fn made_passwords_are_written_for_a_mail_merge() {
    let world = World::new();
    let out = world.path("letters.csv");
    let options = ["--generate-passwords", out.to_str().unwrap()];
    let sheet = "address,name\nalice,Alice\ncarol,\"Carol, C.\"\n";
    let plan = import(&world, sheet, &[&options[..], &["--dry-run"]].concat());
    assert!(said(&plan).contains("add carol") && !out.exists(), "{plan:?}");
    let done = import(&world, sheet, &options);
    assert_eq!(said(&done), "1 added, 1 changed, 0 removed, 0 unchanged, 0 refused\n", "{done:?}");
    let letters = std::fs::read_to_string(&out).unwrap();
    let row = letters.lines().nth(1).unwrap();
    assert_eq!(letters.lines().count(), 2, "alice has a password: {letters}");
    let password = row.strip_prefix("carol@example.test,\"Carol, C.\",").unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let check = import(&world, &format!("address,password\ncarol,{password}\n"), &["--dry-run"]);
    assert_eq!(said(&check), "0 added, 0 changed, 0 removed, 1 unchanged, 0 refused\n");
    // As after a kill between the two files: the passwords that were promised are the ones that are set.
    world.ok("emuser", &["delete", "carol@example.test"]);
    import(&world, "address,name\ncarol,C\ndave,D\n", &options);
    let letters = std::fs::read_to_string(&out).unwrap();
    assert!(letters.contains(password) && letters.contains("dave@example.test,D,"), "{letters}");
    let check = import(&world, &format!("address,password\ncarol,{password}\n"), &["--dry-run"]);
    assert_eq!(said(&check), "0 added, 0 changed, 0 removed, 1 unchanged, 0 refused\n");
    std::fs::write(&out, "address,name\nx,y\n").unwrap();
    assert_eq!(import(&world, "address\nerin\n", &options).status.code(), Some(73), "another file is left alone");
}

#[test]
fn killed_at_any_moment_it_is_done_by_the_next_run() {
    let world = World::new();
    let mut sheet = String::from("address,name,password_hash,aliases\n");
    (0..20_000).for_each(|i| sheet.push_str(&format!("user{i},User {i},{HASH},alias{i}\n")));
    let file = world.path("many.csv");
    std::fs::write(&file, &sheet).unwrap();
    let before = users(&world);
    let mut done = 0;
    for round in 0..12u64 {
        let mut child =
            world.command("emuser").arg("import").arg(&file).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 120));
        let _ = child.kill();
        let _ = child.wait();
        let now = users(&world);
        let lines = now.lines().count();
        assert!(now == before || lines == 40_003, "half a file: {lines} lines");
        done += u32::from(now != before);
    }
    println!("{done} of 12 runs got to the end before they were killed");
    let last = world.ok("emuser", &["import", file.to_str().unwrap()]);
    assert!(last.starts_with("20000 added") || last.contains("20000 unchanged"), "{last}");
    assert!(world.ok("emuser", &["show", "alias777"]).contains("user777@example.test"));
    let left: Vec<_> = std::fs::read_dir(world.path("etc")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let drafts = left.iter().filter(|name| name.to_string_lossy().contains("users")).count();
    assert!(drafts >= 1, "{left:?}");
}

/// A sheet by Python's csv module, as scripts write it.
fn by_python(world: &World, encoding: &str, dialect: &str) -> std::path::PathBuf {
    let file = world.path(&format!("{encoding}-{dialect}.csv"));
    let script = "import csv, sys\n\
                  with open(sys.argv[1], 'w', encoding=sys.argv[2], newline='') as f:\n\
                  \x20w = csv.writer(f, dialect=sys.argv[3])\n\
                  \x20w.writerow(['address', 'name', 'quota', 'password_hash'])\n\
                  \x20w.writerow(['yamada', '山田 太郎', '1G', sys.argv[4]])\n\
                  \x20w.writerow(['suzuki', '鈴木, \"ソ\" 花子', '', ''])\n";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(&file).args([encoding, dialect, HASH]);
    let out = feed(&mut command, b"");
    assert!(out.status.success(), "{out:?}");
    file
}

fn check_japanese(world: &World) {
    let shown = world.ok("emuser", &["show", "yamada", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&json["name"], &json["quota"], &json["password"]),
        (&"山田 太郎".into(), &(1u64 << 30).into(), &"6".into())
    );
    let shown = world.ok("emuser", &["show", "suzuki", "--json"]);
    assert!(shown.contains("鈴木, \\\"ソ\\\" 花子"), "{shown}");
}

#[test]
fn sheets_of_python() {
    if !has("python3") {
        return;
    }
    for (encoding, charset) in
        [("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("shift_jis", Some("shift_jis"))]
    {
        for dialect in ["excel", "excel-tab", "unix"] {
            let world = World::empty();
            let file = by_python(&world, encoding, dialect);
            let mut arguments = vec!["import", file.to_str().unwrap()];
            if let Some(charset) = charset {
                let out = world.run("emuser", &arguments);
                assert!(complaint(&out).contains("this is not UTF-8"), "{out:?}");
                arguments.extend(["--charset", charset]);
            }
            world.ok("emuser", &arguments);
            check_japanese(&world);
        }
    }
}

#[test]
fn sheets_of_libreoffice() {
    if !has("python3") || !has("soffice") {
        return;
    }
    let world = World::empty();
    let file = by_python(&world, "utf-8", "excel");
    // 44 is the comma, 59 the semicolon, 9 the tab; 34 quotes; 76 is UTF-8, 64 is Shift_JIS.
    for (filter, charset) in [("44,34,76", None), ("59,34,76", None), ("9,34,64", Some("shift_jis"))] {
        let sheet = convert(&world, &file, &format!("csv:Text - txt - csv (StarCalc):{filter}"), "csv");
        let fresh = World::empty();
        let mut arguments = vec!["import", sheet.to_str().unwrap()];
        charset.iter().for_each(|charset| arguments.extend(["--charset", charset]));
        fresh.ok("emuser", &arguments);
        check_japanese(&fresh);
    }
    // And the other way: a sheet of ours goes through the spreadsheet and comes back.
    world.ok("emuser", &["import", file.to_str().unwrap()]);
    world.ok("emuser", &["modify", "yamada", "--name", "=1+1", "--aliases", "y.t"]);
    let ours = world.path("ours.csv");
    world.ok("emuser", &["export", ours.to_str().unwrap(), "--with-hashes"]);
    let book = convert(&world, &ours, "ods", "ods");
    let back = convert(&world, &book, "csv:Text - txt - csv (StarCalc):44,34,76", "csv");
    let out = world.ok("emuser", &["import", back.to_str().unwrap()]);
    assert_eq!(out, "0 added, 0 changed, 0 removed, 2 unchanged, 0 refused\n");
}

fn convert(world: &World, file: &Path, to: &str, ending: &str) -> std::path::PathBuf {
    let dir = world.path("converted");
    let profile = format!("-env:UserInstallation=file://{}", world.path("office").display());
    let mut command = Command::new("soffice");
    command.arg(profile).args([
        "--headless",
        "--infilter=CSV:44,34,76,1,,0,false,false",
        "--convert-to",
        to,
        "--outdir",
    ]);
    command.arg(&dir).arg(file).env("HOME", world.root());
    let out = feed(&mut command, b"");
    let made = dir.join(file.file_stem().unwrap()).with_extension(ending);
    assert!(made.exists(), "{out:?}");
    made
}
