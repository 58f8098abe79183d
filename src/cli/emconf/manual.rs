//! The list of settings in em.toml(5), as mdoc(7): written by `emconf manual`, so that page and program agree.

use crate::settings;

/// Longest text line of a page, as mandoc(1) likes it.
const WIDTH: usize = 78;

/// All sections, each a list of `name = default`.
pub(super) fn settings_list() -> String {
    let mut text = String::new();
    let mut section = "";
    for key in settings::keys() {
        if key.section != section {
            if !section.is_empty() {
                text.push_str(".El\n");
            }
            section = key.section;
            text.push_str(&format!(".Ss [{section}]\\&\n"));
            fold(&mut text, settings::section_doc(section));
            text.push_str(".Bl -tag -width Ds\n");
        }
        text.push_str(&format!(".It Cm {} Li \"= {}\"\n", key.name, escape(&key.default)));
        fold(&mut text, key.doc);
        text.push_str(&format!(".Pq {}\n", escape(key.kind)));
    }
    text.push_str(".El\n");
    text
}

/// Sentences begin a line; lines end before [`WIDTH`].
fn fold(text: &mut String, doc: &str) {
    for sentence in doc.replace(". ", ".\n").lines() {
        let mut width = 0;
        for word in escape(sentence).split(' ') {
            if width > 0 && width + 1 + word.len() > WIDTH {
                text.push('\n');
                width = 0;
            }
            if width > 0 {
                text.push(' ');
                width += 1;
            }
            text.push_str(word);
            width += word.len();
        }
        text.push('\n');
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('"', "\\(dq")
}
