//! What `-d` of the test mode turns on: a category of traces, or a range of them, and how much each tells.

/// Categories there are.
const CATEGORIES: usize = 100;

/// The level of each category.
#[derive(Debug, Clone)]
pub struct Trace([u8; CATEGORIES]);

impl Default for Trace {
    fn default() -> Trace {
        Trace([0; CATEGORIES])
    }
}

impl Trace {
    /// How much a category tells.
    pub fn level(&self, category: usize) -> u8 {
        self.0.get(category).copied().unwrap_or(0)
    }

    /// Takes `21.12`, `0-99.1`, `8,21.4`; without a level it is 1, and nothing at all is everything. Words are no categories.
    pub fn set(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        let text = match text.trim() {
            "" => "0-99.1",
            text => text,
        };
        for part in text.split([',', ';', ' ']).filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
            let (range, level) = part.split_once('.').unwrap_or((part, "1"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { continue };
            let level = level.parse::<u64>().map_or(0, |level| u8::try_from(level).unwrap_or(u8::MAX));
            self.0.iter_mut().take(last.saturating_add(1)).skip(first).for_each(|held| *held = level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_set_one_by_one_and_in_ranges() {
        let mut trace = Trace::default();
        for (text, wanted) in [
            ("21.12", [0, 12, 0]),
            ("20-21.4", [4, 4, 0]),
            ("21", [4, 1, 0]),
            ("", [1, 1, 1]),
            ("ANSI,99.7", [1, 1, 7]),
            ("0-99.0", [0, 0, 0]),
            ("5-1.9,x.3,999.1,21.99999999999999999999", [0, 0, 0]),
            ("21.300", [0, 255, 0]),
        ] {
            trace.set(text.as_bytes());
            assert_eq!([20, 21, 99].map(|category| trace.level(category)), wanted, "{text}");
        }
    }
}
