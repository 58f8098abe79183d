use super::*;
use crate::rules::Run;
use crate::rules::address::{Role, Target};
use crate::rules::listing::NoFiles;
use crate::rules::macros::Macros;
use crate::rules::map::Map;
use crate::rules::world::{Looked, MailHosts, Unwatched, World};

/// A table without rows, one with a row for some keys, and one whose answers name somebody.
struct Tables;

impl World for Tables {
    fn look_up(&mut self, map: &Map, key: &[u8], _: &[Vec<u8>]) -> Looked {
        match &map.name[..] {
            b"some" if key.iter().map(|b| u32::from(*b)).sum::<u32>() % 3 == 0 => Looked::found("hub"),
            b"people" if key.starts_with(b"hub") => Looked::found("tom"),
            _ => Looked::missing(),
        }
    }

    fn is_empty(&mut self, map: &Map) -> bool {
        map.name == b"empty"
    }

    fn text(&mut self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn mail_hosts(&mut self, _: &[u8]) -> MailHosts {
        MailHosts::Unsure
    }

    fn canonical(&mut self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn random(&mut self) -> u64 {
        0
    }
}

fn rules(text: &str) -> Rules {
    let mut rules = Rules::new();
    rules.read(text.as_bytes(), "test.cf", &mut NoFiles);
    rules
}

/// Where an address leads; and whether that holds for any other stranger.
fn parse(rules: &Rules, user: &str, stranger: Option<Stranger>) -> (Target, u8, bool) {
    let mut message = Macros::default();
    message.set(b"f", b"tom@away.test".to_vec());
    let (mut world, mut watch) = (Tables, Unwatched);
    let mut run = Run::new(rules, &mut message, &mut world, &mut watch);
    run.watch_for(stranger);
    let (target, status) = run.parse(format!("{user}@hub.test").as_bytes(), Role::default());
    (target, status, run.has_passed_by())
}

const HEAD: &str = "V10\nO OperatorChars=.@:\nCw hub.test hub ann.hub tom\nCm mary\nDxtom\n\
    Kempty hash empty\nKsome hash some\nKpeople hash people\nKset macro\n\
    Mesmtp, P=[IPC], F=mDFMuX, A=TCP $h\nMlocal, P=[IPC], F=lsDFMu, A=TCP $h\n";

/// A number below `limit`, from a sequence that the seed begins.
fn pick(seed: &mut u64, limit: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*seed >> 33) as usize) % limit
}

fn side(seed: &mut u64, pieces: &[&str], most: usize) -> String {
    (0..1 + pick(seed, most)).map(|_| pieces[pick(seed, pieces.len())]).collect::<Vec<_>>().join(" ")
}

/// A file of random rules: set 3, set 0 that ends with a triple, and one to be called.
fn random_file(seed: &mut u64) -> String {
    const LEFT: [&str; 15] = [
        "$*", "$+", "$-", "$+ @ $+", "$+ @ $+", "$+ @ $+", "$=w", "$=m", "$~w", "$~m", "@", ".", "joe", "$&f",
        "$- @ $*",
    ];
    const RIGHT: [&str; 20] = [
        "$1",
        "$1",
        "$1 @ $2",
        "$1 @ $2",
        "$2",
        "joe",
        "@",
        "$(empty $1 $: $1 $)",
        "$(empty $1@$2 $: $1 @ $2 $)",
        "$(empty $1 $: x$1 $)",
        "$(some $1 $: $1 $)",
        "$(some $2 $: $1 $)",
        "$(people $2 $: $1 $)",
        "$(set {y} $@ $1 $)",
        "$&{y}",
        "$&f",
        "$x",
        "$>sub $1",
        "$>$1 $2",
        "$1 . $2",
    ];
    const ENDS: [&str; 5] = [
        "R$+ @ $+\t$#esmtp $@ $2 $: $1 @ $2",
        "R$+\t$#local $: $1",
        "R$+ @ $+\t$#local $: $1",
        "R$+ @ $+\t$#esmtp $@ $1 $: $2 @ $1",
        "R$+ @ $+\t$#esmtp $@ hub $: joe @ $2",
    ];
    let mut text = HEAD.to_string();
    for set in ["S3", "Ssub", "S0"] {
        text.push_str(&format!("{set}\n"));
        for _ in 0..pick(seed, 3) {
            let prefix = ["$: ", "$: ", "$@ "][pick(seed, 3)];
            let (left, right) = (side(seed, &LEFT, 2), side(seed, &RIGHT, 2));
            text.push_str(&format!("R{left}\t{prefix}{right}\n"));
        }
    }
    text.push_str(&format!("{}\nR$*\t$#local $: $1\n", ENDS[pick(seed, ENDS.len())]));
    text
}

/// What was found for one stranger is what the engine finds for all others.
#[test]
fn what_holds_for_one_stranger_holds_for_all() {
    let (mut seed, mut passed) = (20_261_201, 0);
    for _ in 0..4000 {
        let text = random_file(&mut seed);
        let rules = rules(&text);
        let familiar = Familiar::of(&rules);
        for user in ["bob", "hub2", "a"] {
            let Some(stranger) = familiar.stranger(&rules, user) else { continue };
            let (found, status, true) = parse(&rules, user, Some(stranger)) else { continue };
            let Target::Mailer { mailer, host, user: way } = found else { continue };
            let Some(shape) = Shape::of(&way, user) else { continue };
            passed += 1;
            for other in ["zoe", "ann", "mary", "tom", "joe", "x", "sub", "esmtp", "bob", "a-very-long-name-of-a-user"]
            {
                if familiar.stranger(&rules, other).is_none() {
                    continue;
                }
                let wanted = Target::Mailer { mailer, host: host.clone(), user: shape.with(other) };
                let found = parse(&rules, other, None);
                assert_eq!((found.0, found.1), (wanted, status), "{other} after {user} by\n{text}");
            }
        }
    }
    assert!(passed > 1000, "{passed}");
}

#[test]
fn who_is_no_stranger() {
    let rules = rules(&format!("{HEAD}S3\nR$* joe $*\t$: $1 anna $2\n"));
    let familiar = Familiar::of(&rules);
    for user in ["joe", "anna", "mary", "tom", "Bob", "a.b", "a+b", "", "\"x\"", &"x".repeat(65)] {
        assert!(familiar.stranger(&rules, user).is_none(), "{user}");
    }
    for user in ["bob", "joey", "a-b_c", "12", &"x".repeat(64)] {
        assert!(familiar.stranger(&rules, user).is_some(), "{user}");
    }
}

#[test]
fn shapes_of_texts() {
    for (text, shape) in [
        ("bob@hub", Some(Shape::Before(b"@hub".to_vec()))),
        ("bob", Some(Shape::Before(Vec::new()))),
        ("joe@hub", Some(Shape::Without(b"joe@hub".to_vec()))),
        ("bob@bob.test", None),
        ("bobby@hub", None),
        ("joe@bob", None),
    ] {
        assert_eq!(Shape::of(text.as_bytes(), "bob"), shape, "{text}");
    }
}
