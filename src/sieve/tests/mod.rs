//! The engine as a whole: Pigeonhole's conformance suite, and scripts that no table beside the code would hold.

mod suite;
mod verdicts;
pub mod vocabulary;

use super::*;
use crate::clock::Timestamp;

/// A world with nothing in it.
#[derive(Default)]
pub struct Nowhere {
    rules: SpamRules,
}

impl Environment for Nowhere {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_780_000_000)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn item(&self, name: &str) -> Option<String> {
        (name == "name").then(|| "ExpressMail".to_string())
    }

    fn has_mailbox(&mut self, name: &str) -> bool {
        name == "INBOX"
    }

    fn has_mailbox_id(&mut self, _: &str) -> bool {
        false
    }

    fn has_special_use(&mut self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn included(&mut self, _: Location, name: &str) -> Included {
        match name {
            "loop" => Included::Script(std::sync::Arc::new(
                compile(b"require \"include\"; include \"loop\";", &Limits::default()).unwrap(),
            )),
            _ => Included::Missing,
        }
    }

    fn was_seen(&mut self, _: &Seen) -> bool {
        false
    }

    fn spam_rules(&self) -> &SpamRules {
        &self.rules
    }
}

const MESSAGE: &str = "From: Anna <anna@a.test>\nTo: bob+lists@b.test\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= all\n\
                       Message-ID: <1@a.test>\nDate: Tue, 24 Nov 2026 12:07:51 +0900\n\nHello\n";

fn run(script: &str) -> Outcome {
    let script = compile(script.as_bytes(), &Limits::default()).unwrap_or_else(|e| panic!("{e}"));
    let envelope = Envelope { from: "anna@a.test".into(), to: "bob+lists@b.test".into(), auth: None };
    let mut message = MessageView::new(MESSAGE.as_bytes(), MESSAGE.len() as u64, envelope);
    script.run(&mut message, &mut Nowhere::default(), &Limits::default())
}

fn told(outcome: &Outcome) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Store(store) if store.is_implicit => "implicit keep".to_string(),
        Action::Store(store) => {
            format!("store {} {}", store.mailbox.as_deref().unwrap_or("INBOX"), store.flags.join(" "))
        }
        Action::Redirect(redirect) => format!("redirect {}", redirect.to),
        Action::Discard => "discard".to_string(),
        Action::Reject(reject) => format!("reject {}", reject.reason),
        Action::Vacation(vacation) => format!("vacation {}", vacation.reason),
        Action::Notify(notify) => format!("notify {:?}", notify.message),
    };
    outcome.actions.iter().map(tell).collect()
}

#[test]
fn scripts_end_in_actions() {
    for (script, expected) in [
        ("", "implicit keep"),
        ("discard;", "discard"),
        ("discard; keep;", "store INBOX "),
        ("keep; keep;", "store INBOX "),
        ("redirect \"c@d.test\"; redirect \"c@d.test\";", "redirect c@d.test"),
        ("require \"copy\"; redirect :copy \"c@d.test\";", "redirect c@d.test|implicit keep"),
        ("require \"fileinto\"; fileinto \"A\"; fileinto \"inbox\"; stop; discard;", "store A |store INBOX "),
        (
            "require [\"variables\", \"fileinto\"]; if header :matches \"subject\" \"* all\" \
             { set :lower \"f\" \"${1}\"; fileinto \"x.${f}\"; }",
            "store x.grüße ",
        ),
        (
            "require [\"fileinto\", \"imap4flags\"]; addflag \"\\\\Seen $x\"; keep; fileinto :flags \"\" \"A\";",
            "store INBOX \\Seen $x|store A ",
        ),
        ("if false { keep; } elsif size :over 1K { discard; } else { redirect \"e@f.test\"; }", "redirect e@f.test"),
        ("require \"subaddress\"; if address :detail \"to\" \"lists\" { discard; }", "discard"),
        ("require \"ihave\"; if ihave \"nothing\" { frobnicate :x 1; } else { discard; }", "discard"),
        ("require [\"include\"]; include :optional \"none\";", "implicit keep"),
    ] {
        let outcome = run(script);
        assert_eq!((told(&outcome).join("|").as_str(), &outcome.error), (expected, &None), "{script}");
    }
}

#[test]
fn a_script_that_fails_keeps_the_message() {
    for (script, expected) in [
        ("require \"reject\"; keep; reject \"no\";", "line 1, column 25: 'reject' conflicts with the action in line 1"),
        ("require \"include\"; include \"none\";", "line 1, column 20: there is no script 'none' to include"),
        (
            "require \"include\"; include \"loop\";",
            "line 1, column 20: script 'loop': line 1, column 20: script 'loop' includes itself",
        ),
        ("require \"ihave\"; frobnicate;", "line 1, column 18: unknown command 'frobnicate'"),
        ("require \"ihave\"; error \"why\";", "line 1, column 18: why"),
        (
            "require \"variables\"; set \"a\" \"x\"; redirect \"${a}\";",
            "line 1, column 35: 'x' is no address: domain is missing",
        ),
    ] {
        let outcome = run(script);
        assert_eq!(told(&outcome), ["implicit keep"], "{script}");
        assert_eq!(outcome.error.map(|e| e.to_string()).as_deref(), Some(expected), "{script}");
    }
}

#[test]
fn mistakes_are_found_before_a_script_runs() {
    for (script, expected) in [
        ("fileinto \"x\";", "line 1, column 1: 'fileinto' needs require \"fileinto\""),
        ("require \"nope\";", "line 1, column 1: unknown extension \"nope\""),
        ("keep;\nrequire \"fileinto\";", "line 2, column 1: 'require' stands before all other commands"),
        ("else { }", "line 1, column 1: 'else' without an 'if' before it"),
        (
            "if header :is :contains \"a\" \"b\" { }",
            "line 1, column 15: ':is' and ':contains': 'header' takes one match type",
        ),
        ("if header \"a\" { }", "line 1, column 4: 'header' takes 2 arguments behind its tags, not 1"),
        ("if size { }", "line 1, column 4: 'size' takes ':over' or ':under'"),
        ("redirect \"nobody\";", "line 1, column 1: 'nobody' is no address: domain is missing"),
        ("if header { keep; }", "line 1, column 4: 'header' takes 2 arguments behind its tags, not 0"),
        ("header \"a\" \"b\";", "line 1, column 1: 'header' is a test and can't be used as a command"),
        ("keep \"x\";", "line 1, column 6: 'keep' takes 0 arguments behind its tags, not 1"),
        (
            "if address \"subject\" \"x\" { }",
            "line 1, column 4: field 'subject' holds no addresses: the address test can't be used",
        ),
        ("require \"regex\"; if header :regex \"a\" \"(\" { }", "line 1, column 21: expression: unclosed group"),
        ("keep;\n\"\u{e9}\" x", "line 2, column 1: a string stands where a command should"),
    ] {
        let error = compile(script.as_bytes(), &Limits::default()).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{script}");
    }
    assert_eq!(
        compile(b"keep;\n # \xff", &Limits::default()).unwrap_err().to_string(),
        "line 2, column 4: the script is not UTF-8 here"
    );
    assert_eq!(compile_all(b"foo; bar; keep;", &Limits::default()).unwrap_err().len(), 2);
}

#[test]
fn a_script_without_end_is_ended() {
    let mut script =
        "require [\"variables\", \"foreverypart\"];\nset \"a\" \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\";\n"
            .to_string();
    script.push_str("set \"a\" \"${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}\";\n");
    for _ in 0..10_000 {
        script.push_str("if string :matches \"${a}${a}${a}\" \"*a*a*a*a*a*a*a*a*a*b\" { discard; }\n");
    }
    let outcome = run(&script);
    assert!(outcome.error.unwrap().message.contains("takes more than 1000000 steps"));
}

#[test]
fn the_trace_tells_each_line() {
    let script =
        compile(b"if header :is \"from\" \"x\" {\n keep;\n} else {\n discard;\n}", &Limits::default()).unwrap();
    let mut message = MessageView::new(MESSAGE.as_bytes(), 10, Envelope::default());
    let outcome = script.explain(&mut message, &mut Nowhere::default(), &Limits::default());
    let lines: Vec<String> = outcome.trace.iter().map(|s| format!("{}: {}", s.place.line, s.text)).collect();
    assert_eq!(lines, ["1: header: false", "1: if: false", "4: discard"]);
}

#[test]
fn any_octets_are_answered() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(2000), |(text in "[a-z\":;{}\\[\\]()$ .\n0-9,\\\\]{0,80}")| {
        let prefix = "require [\"variables\",\"fileinto\",\"ihave\",\"mime\",\"foreverypart\"];";
        if let Ok(script) = compile(format!("{prefix}{text}").as_bytes(), &Limits::default()) {
            let mut message = MessageView::new(MESSAGE.as_bytes(), 1, Envelope::default());
            script.run(&mut message, &mut Nowhere::default(), &Limits::default());
        }
        let _ = compile(text.as_bytes(), &Limits::default());
    });
}

#[test]
fn a_script_has_so_many_expressions_and_no_more() {
    let script = |count: usize| {
        let keys = vec!["\"^a{9}$\""; count].join(", ");
        format!("require \"regex\"; if header :regex \"subject\" [{keys}] {{ keep; }}")
    };
    assert!(compile(script(100).as_bytes(), &Limits::default()).is_ok());
    let error = compile(script(101).as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "line 1, column 21: a script has at most 100 expressions");
}
