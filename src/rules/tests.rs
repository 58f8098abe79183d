//! The language as a whole: truth tables of the model's answers, and bounded work on random rules.

use super::listing::NoFiles;
use super::testmode::{Answer, TestMode};
use super::world::Nowhere;
use super::*;
use proptest::prelude::*;

const HEAD: &str = "V10/Berkeley\nO OperatorChars=.:%@!^/[]+\nMlocal, P=/bin/sh, F=lsDFMAw5:/|@q, S=1/2, R=2, A=sh $u\n\
    Mnet, P=[IPC], F=m, A=TCP $h\n";

fn session(cf: &str) -> TestMode {
    let mut rules = Rules::new();
    rules.read(format!("{HEAD}{cf}").as_bytes(), "x.cf", &mut NoFiles);
    TestMode::new(rules)
}

fn answer(test: &mut TestMode, line: &[u8]) -> String {
    match test.line(line, &mut Nowhere) {
        Answer::Text(text) => String::from_utf8_lossy(&text).into_owned(),
        Answer::Quit => "quit".to_string(),
    }
}

/// What set 9 returns for an address.
fn rewritten(cf: &str, address: &str) -> String {
    let mut test = session(cf);
    let text = answer(&mut test, format!("9 {address}").as_bytes());
    let line = text.lines().rev().find(|line| line.contains(" returns:")).unwrap_or("no answer");
    line.split("returns:").nth(1).unwrap_or("").trim_start().to_string()
}

#[test]
fn a_class_may_be_put_into_another_one() {
    let cf = "C{A}one two\nCB$={A} three\nC{A}four\nS9\nR$=B\t$: yes\n";
    for (word, wanted) in [("one", "yes"), ("two", "yes"), ("three", "yes"), ("four", "four")] {
        assert_eq!(rewritten(cf, word), wanted, "{word}");
    }
}

#[test]
fn classes_of_a_directory_are_asked_of_the_source() {
    use super::listing::{Listing, Source};
    struct Directory(Vec<String>);
    impl Source for Directory {
        fn fetch(&mut self, _: &Listing) -> Result<Vec<u8>, String> {
            Err("No such file or directory".to_string())
        }
        fn look_up(&mut self, map: &map::Map, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
            let map::Class::Ldap(inquiry) = &map.kind else { return Err("no directory".to_string()) };
            let filter = String::from_utf8_lossy(&inquiry.filter).into_owned();
            self.0.push(format!("{} {filter}", String::from_utf8_lossy(key)));
            if filter.contains("down") { Err("map open failed".to_string()) } else { Ok(Some(b"one two".to_vec())) }
        }
    }
    let cf = "Djh.test\nD{sendmailMTACluster}c1\nF{A}@LDAP\nFBkey@ldap:-k (x=%0) -v y\nFC-o @ldap:-k (down=1) -v y\nFD@foo:x\n\
        FE@ldap:-k (down=2) -v y\nS9\nR$={A}\t$: yes\n";
    let mut rules = Rules::new();
    let mut directory = Directory(Vec::new());
    rules.read(format!("{HEAD}{cf}").as_bytes(), "x.cf", &mut directory);
    let faults: Vec<&str> = rules.faults.iter().map(|fault| &fault.message[..]).collect();
    assert_eq!(faults, ["fileclass: F{D}: class foo not available", "fileclass: F{E}: map open failed"]);
    let class =
        "(&(objectClass=sendmailMTAClass)(sendmailMTAClassName=A)(|(sendmailMTACluster=c1)(sendmailMTAHost=h.test)))";
    assert_eq!(directory.0, [format!(" {class}"), "key (x=%0)".into(), " (down=1)".into(), " (down=2)".into()]);
    for class in [b"A", b"B"] {
        assert_eq!(rules.classes.members(class).collect::<Vec<_>>(), [&b"one"[..], b"two"]);
    }
}

#[test]
fn a_header_without_an_address_stays_as_it_is() {
    let mut test = session("S3\nR$*\t$: never\n");
    assert!(answer(&mut test, b"/try net (c)").ends_with("\nRcode = 0, addr = (c)\n"));
}

#[test]
fn the_first_failure_decides_what_the_session_ends_with() {
    let cf =
        "S0\nRa\t$#error $@ 4.1.1 $: \"450 x\"\nRb\t$#error $@ 5.1.3 $: \"553 x\"\nRc\t$#error $@ 5.1.1 $: \"551 x\"\n";
    let mut test = session(cf);
    let mut after = |line: &[u8]| {
        answer(&mut test, line);
        test.status()
    };
    assert_eq!([&b"/parse a"[..], b"/parse b", b"/parse c"].map(&mut after), [0, 64, 64]);
    assert_eq!(session("Z\n").status(), 70);
    assert_eq!(session("Fx/none\n").status(), 71);
}

#[test]
fn rules_rewrite_as_the_model_does() {
    let table: &[(&str, &str, &str)] = &[
        ("S9\nR$*.$*\t$: $1 | $2\n", "a.b.c", "a | b . c"),
        ("C{K}a.b a.b.c\nS9\nR$={K} $*\t$: $1 | $2\n", "a.b.c.d", "a . b | . c . d"),
        ("C{K}a.b a.b.c\nS9\nR$={K}\t$: all $1\n", "a.b.c", "all a . b . c"),
        ("S9\nR$* $- a\t$: $1 | $2\n", "a a a", "a | a"),
        ("S9\nR$+\t$: a $: b\n", "x", "a $: b"),
        ("S9\nR$*\t$@ $: x\n", "x", "$: x"),
        ("S9\nR$* x\t$1\n", "a x x x", "a"),
        ("S9\nR$*\t$: \"$1\" $1\n", "x", "\"$1\" x"),
        ("Dyc.d\nS9\nR$* $&y\t$: $1 !\n", "z C.D", "z !"),
        ("S9\nR$* $~q $-\t$: $1 | $2 | $3\n", "a b", "| a | b"),
        ("Dx\nS9\nR$*\t$: $?x A $| B $. $1\n", "hi", "B hi"),
        ("S9\nR$*\t$: a $>10 b $>11 $1\nS10\nR$*\t$: [ $1 ]\nS11\nR$*\t$: { $1 }\n", "x", "a [ b { x } ]"),
        ("S9\nR$*\t$: $>12 $>10 $1\nS10\nR$*\t$: [ $1 ]\n", "x", "$> 10 x"),
        ("S9\nR$*\t$: $>12 $1 $>10 z\nS10\nR$*\t$: [ $1 ]\n", "x", "x [ z ]"),
        ("S9\nR$*\t$: $>10 $>11 $1\nS10\nR$*\t$: [ $1 ]\nS11\nR$*\t$: $(no $>nobody $1 $)\n", "x", "$> 10 $> nobody x"),
        ("S9\nR$*\t$: $>$1\nS10\nR$*\t$: [ $1 ]\n", "10 a", "[ a ]"),
        ("Kar arith\nS9\nR$- $- $-\t$: $(ar $2 $@ $1 $@ $3 $: no $)\n", "1 + 2", "3"),
        ("Kar arith\nS9\nR$*\t$: $(ar bad $@ 1 $: $>10 $1 $)\nS10\nR$*\t$: [ $1 ]\n", "x", "[ x ]"),
        ("Km macro\nS9\nR$*\t$: $(m {x} $@ $1 $) <$&{x}>\nR$*\t$: $1 <$&{x}>\n", "v", "< > < v >"),
        ("Kd dequote\nS9\nR$*\t$: $(d $1 $: none $)\n", "\"a.b\"", "a . b"),
        ("Krx regex -s1,2 ^(.)(.)\nS9\nR$*\t$: $(rx $1 $)\n", "abc", "a$|b"),
        ("Krx regex -a@OK ^a\nKs sequence nul rx\nKnul null\nS9\nR$*\t$: $(s $1 $)\n", "abc", "@ OK"),
        ("S9\nR$*\t$: x $(nomap $1 $) y\n", "a b", "x a b y"),
        ("S9\nR$*\t$: $[ $1 $]\n", "a.b", "a . b"),
        ("S9\nR$*\t$: $#local $: $1\nR$*\tnever\n", "a", "$# local $: a"),
        ("S9\nR$@\t$: none\nR$*\t$: $1 some\n", "a", "a some"),
    ];
    for (cf, address, expected) in table {
        assert_eq!(rewritten(cf, address), *expected, "{cf} {address}");
    }
}

#[test]
fn loops_and_recursion_end_in_the_models_words() {
    let mut test = session("S9\nR$*\t$1\nS10\nR$*\t$: $>10 $1\n");
    assert!(answer(&mut test, b"9 x").contains("Infinite loop in ruleset 9, rule 1\n9                returns: x\n"));
    let deep = answer(&mut test, b"10 x");
    assert!(deep.contains("rewrite: excessive recursion (max 50), ruleset 10\n"), "{deep}");
    assert!(deep.ends_with("== Ruleset 10 (10) status 78\n"), "{deep}");
}

#[test]
fn addresses_resolve_and_header_addresses_are_rewritten() {
    let mut test = session(
        "S3\nR$* < $+ > $*\t$2\nS0\nRbad\t$#error $@ 5.1.1 $: \"550 no such user\"\nR$+ @ $+\t$#net $@ $2 $: $1 @ $2\nR$*\t$#local $: $1\n",
    );
    let last = |text: String| text.lines().last().unwrap_or("").to_string();
    assert_eq!(last(answer(&mut test, b"/parse A@B.C")), "mailer net, host b.c, user a@b.c");
    assert_eq!(last(answer(&mut test, b"/parse joe")), "mailer local, user joe");
    let refused = answer(&mut test, b"/parse bad");
    assert!(
        refused.ends_with("bad... no such user\nmailer *error*, host 5.1.1, user \"550 no such user\"\n"),
        "{refused}"
    );
    assert_eq!(last(answer(&mut test, b"/try net J. Q <a@b>")), "Rcode = 0, addr = \"J. Q\" <a@b>");
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    let mut rules = Rules::new();
    let cf = "V10\nR$*\tx\nS9\nR$*\nRa\t$4\nR$:\tx\nZ\nSx=500\nO Nope=1\nFx/nowhere\nKk nosuch\n";
    rules.read(cf.as_bytes(), "x.cf", &mut NoFiles);
    let said: Vec<String> = rules.faults.iter().map(Fault::in_one_line).collect();
    assert_eq!(
        said,
        [
            "x.cf: line 2: missing valid ruleset for \"R\u{1}*\tx\"",
            "x.cf: line 4: invalid rewrite line \"R\u{1}*\" (tab expected)",
            "x.cf: line 5: replacement $4 out of bounds",
            "x.cf: line 6: Inappropriate use of $: on LHS",
            "x.cf: line 7: unknown configuration line \"Z\"",
            "x.cf: line 8: bad ruleset number 500 in \"x=500\" (100 max)",
            "x.cf: line 9: readcf: unknown option name Nope",
            "x.cf: line 10: fileclass: cannot open '/nowhere': No such file or directory",
            "x.cf: line 11: readcf: map k: class nosuch not available",
            "No local mailer defined",
        ]
    );
    assert!(rules.faults[2].to_string().contains("x.cf:5:4:"), "{}", rules.faults[2]);
}

#[test]
fn check_sets_come_to_a_verdict() {
    use super::address::Verdict;
    let mut rules = Rules::new();
    let cf = "S9\nRspam\t$#error $@ 5.7.1 $: \"550 no\"\nRdisc\t$#discard $: d\nRq\t$#error $@ quarantine $: look\nRok\t$#OK\n";
    rules.read(format!("{HEAD}{cf}").as_bytes(), "x.cf", &mut NoFiles);
    let mut message = macros::Macros::default();
    let (mut world, mut watch) = (Nowhere, world::Unwatched);
    let mut run = Run::new(&rules, &mut message, &mut world, &mut watch);
    assert!(
        matches!(run.check(9, &[b"spam"]), Verdict::Refused(reply) if reply.code == 550 && reply.enhanced == "5.7.1")
    );
    assert_eq!(run.check(9, &[b"disc"]), Verdict::Discarded);
    assert_eq!(run.check(9, &[b"q"]), Verdict::Quarantined(b"look".to_vec()));
    assert_eq!(run.check(9, &[b"ok"]), Verdict::Accepted(b"OK".to_vec()));
    assert_eq!(run.check(9, &[b"other"]), Verdict::Passed(b"other".to_vec()));
}

/// A search that would take longer than anybody waits ends with a temporary failure.
#[test]
fn hostile_backtracking_is_bounded() {
    let mut test = session("S9\nR$*a$*a$*a$*a$*a$*a$*a$*a$*x\t$: never\n");
    let long = "a ".repeat(120) + "x b";
    let text = answer(&mut test, format!("9 {long}").as_bytes());
    assert!(text.lines().count() <= 4, "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_files_and_addresses_end(
        left in "[ab.@ ]{0,4}(\\$[*+@~=&-]?[*+xy-]|[ab.@<>]){1,5}",
        right in "(\\$[:@>#1-3.|?&(\\[)\\]]|[ab.@<>() \"]){0,8}",
        address in "[ab.@<>()\", \\\\$|]{0,40}",
    ) {
        let mut test = session(&format!("Cxa b\nDya.b\nKa arith\nS9\nR{left}\t{right}\nR$*a\t$>9 $1\nS0\nR$*\t$#local $: $1\n"));
        for line in [format!("9 {address}"), format!("/parse {address}"), format!("/try net {address}")] {
            prop_assert!(answer(&mut test, line.as_bytes()).len() < 4 << 20);
        }
    }

    #[test]
    fn random_bytes_are_read(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut rules = Rules::new();
        rules.read(&text, "x", &mut NoFiles);
        let mut test = TestMode::new(rules);
        for line in text.split(|b| *b == b'\n') {
            let _ = test.line(line, &mut Nowhere);
        }
    }
}
