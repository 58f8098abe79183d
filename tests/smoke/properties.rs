//! Properties that hold for every input.

use expressmail::{addr::Address, dot, fields, line};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is stuffed and then unstuffed is what it was, with whole lines.
    #[test]
    fn bodies_survive_the_wire(lines in proptest::collection::vec("[^\r\n]{0,40}", 0..20)) {
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        let mut wire = Vec::new();
        let mut encoder = dot::DotEncoder::default();
        encoder.feed(text.as_bytes(), &mut wire);
        encoder.finish(&mut wire);
        let mut back = Vec::new();
        let (taken, progress) = dot::DotDecoder::default().feed(&wire, &mut back);
        prop_assert_eq!(taken, wire.len());
        prop_assert_eq!(progress, dot::Progress::End);
        prop_assert_eq!(back, text.as_bytes());
    }

    /// Every local part that is one prints to an address that reads back.
    #[test]
    fn addresses_survive_printing(local in "\\PC{1,30}", domain in "[a-z]{1,10}(\\.[a-z]{1,10}){0,3}") {
        if let Ok(address) = Address::new(&local, &domain) {
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
    }

    /// Words of our text files hold any value on one line.
    #[test]
    fn fields_hold_anything(key in "[a-z]{1,8}", value in any::<String>()) {
        let mut text = String::new();
        fields::push(&mut text, &key, &value);
        prop_assert!(!text.contains('\n'));
        prop_assert_eq!(fields::pairs(&text), Some(vec![(key, value)]));
    }

    /// The splitter finds the same lines however the input is cut.
    #[test]
    fn lines_do_not_depend_on_cuts(text in "[a\r\n]{0,60}", cuts in proptest::collection::vec(1usize..8, 1..30)) {
        let read = |sizes: &mut dyn Iterator<Item = usize>| {
            let mut splitter = line::LineSplitter::new(10);
            let (mut rest, mut found) = (text.as_bytes(), Vec::new());
            while !rest.is_empty() {
                let piece = sizes.next().unwrap_or(1).min(rest.len());
                let (taken, event) = splitter.feed(&rest[..piece]);
                match event {
                    line::LineEvent::Line(l, e) => found.push(format!("{e:?}{l:?}")),
                    line::LineEvent::TooLong => found.push("long".to_string()),
                    line::LineEvent::More => {}
                }
                rest = &rest[taken..];
            }
            found
        };
        prop_assert_eq!(read(&mut cuts.iter().copied().cycle()), read(&mut std::iter::repeat(usize::MAX)));
    }
}
