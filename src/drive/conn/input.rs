//! What a connection's machine has not taken yet.
//!
//! A client that sends hundreds of commands at once has them taken one by one: nothing is moved for that.

/// Octets in the order in which they came, taken from the front. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    taken: usize,
}

impl Input {
    /// What is left.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// True when nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// Takes so many octets, or all there are.
    pub(super) fn take(&mut self, count: usize) {
        self.taken = self.bytes.len().min(self.taken + count);
        if self.is_empty() {
            *self = Input::default();
        }
    }

    /// Takes what is left.
    pub(super) fn take_all(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(self);
        all.bytes.drain(..all.taken);
        all.bytes
    }

    /// The place for more, behind what is left.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        &mut self.bytes
    }

    /// Gives the memory back when nothing is left.
    pub(super) fn settle(&mut self) {
        self.take(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_come_out_as_they_went_in() {
        let mut input = Input::default();
        input.buffer().extend_from_slice(b"NOOP\r\nQUIT\r\n");
        input.take(6);
        assert_eq!(input.rest(), b"QUIT\r\n");
        input.buffer().extend_from_slice(b"more");
        assert_eq!(input.rest(), b"QUIT\r\nmore");
        input.take(6);
        assert_eq!(input.take_all(), b"more");
        assert!(input.is_empty() && input.rest().is_empty());
        input.buffer().extend_from_slice(b"x");
        input.take(7);
        assert!(input.is_empty());
        assert_eq!(input.bytes.capacity(), 0);
        input.buffer().reserve(10);
        input.settle();
        assert_eq!(input.bytes.capacity(), 0);
    }
}
