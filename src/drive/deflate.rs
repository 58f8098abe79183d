//! DEFLATE on a connection (RFC 4978 §3): what we send is compressed, what comes is inflated piece by piece.
//!
//! Called by `conn` once a machine has said so; TLS, where it is on, lies outside. Input is hostile: a few octets may inflate to a thousand
//! times as many, so no more is inflated than the machine is about to take. Memory: inflating needs the last 32 KiB; the compressor,
//! several times larger, may be forgotten at any time ([`Deflate::rest`]): the next one refers to nothing that was sent before.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// What came is no DEFLATE, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the compressed stream is broken")]
pub struct Broken;

/// Both directions of a connection.
pub struct Deflate {
    packer: Option<Box<Compress>>,
    unpacker: Box<Decompress>,
    /// Compressed input; before `at` it is used up.
    packed: Vec<u8>,
    at: usize,
    /// The inflater may hold more than it could give.
    has_more: bool,
}

impl Deflate {
    /// Nothing sent, and this much received.
    pub fn new(packed: Vec<u8>) -> Deflate {
        Deflate { packer: None, unpacker: Box::new(Decompress::new(false)), packed, at: 0, has_more: false }
    }

    /// Appends the compressed form of `bytes` to `out`, to its last octet.
    pub fn pack(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let packer = self.packer.get_or_insert_with(|| Box::new(Compress::new(Compression::fast(), false)));
        let mut rest = bytes;
        loop {
            out.reserve(rest.len() / 2 + 64);
            let (before, length) = (packer.total_in(), out.len());
            // Compressing into memory fails for wrong arguments only.
            let is_done = packer.compress_vec(rest, out, FlushCompress::Sync).is_err();
            rest = &rest[(packer.total_in() - before) as usize..];
            if is_done || (rest.is_empty() && out.len() < out.capacity()) || out.len() == length {
                return;
            }
        }
    }

    /// Forgets what was sent.
    pub fn rest(&mut self) {
        self.packer = None;
    }

    /// What came: compressed octets are put here.
    pub fn packed(&mut self) -> &mut Vec<u8> {
        &mut self.packed
    }

    /// True when everything that came has been inflated.
    pub fn is_empty(&self) -> bool {
        !self.has_more && self.at == self.packed.len()
    }

    /// Inflates at most `room` octets more into `input`.
    pub fn unpack(&mut self, room: usize, input: &mut Vec<u8>) -> Result<(), Broken> {
        let start = input.len();
        input.resize(start + room, 0);
        let (taken, given) = (self.unpacker.total_in(), self.unpacker.total_out());
        let status = self.unpacker.decompress(&self.packed[self.at..], &mut input[start..], FlushDecompress::None);
        let taken = (self.unpacker.total_in() - taken) as usize;
        let given = (self.unpacker.total_out() - given) as usize;
        input.truncate(start + given);
        self.at += taken;
        self.has_more = given == room;
        if self.at == self.packed.len() {
            (self.packed, self.at) = (Vec::new(), 0);
        }
        let is_stuck = taken == 0 && given == 0 && !self.packed.is_empty();
        match status {
            Ok(flate2::Status::Ok | flate2::Status::BufError) if !is_stuck => Ok(()),
            _ => Err(Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(deflate: &mut Deflate, room: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !deflate.is_empty() {
            let before = all.len();
            deflate.unpack(room, &mut all).unwrap();
            assert!(all.len() - before <= room);
        }
        all
    }

    #[test]
    fn what_is_packed_is_unpacked_in_pieces_of_every_size() {
        let texts: [&[u8]; 4] =
            [b"* OK\r\n", &[b'x'; 100_000], b"", &(0..=255).cycle().take(5000).collect::<Vec<u8>>()];
        for cut in [1, 7, 1 << 20] {
            for room in [1, 100, 1 << 16] {
                let (mut sender, mut receiver) = (Deflate::new(Vec::new()), Deflate::new(Vec::new()));
                for text in texts {
                    let mut wire = Vec::new();
                    sender.pack(text, &mut wire);
                    let mut got = Vec::new();
                    for piece in wire.chunks(cut) {
                        receiver.packed().extend_from_slice(piece);
                        got.extend(unpacked(&mut receiver, room));
                    }
                    assert_eq!(got, text);
                    // Whoever compresses anew is understood.
                    sender.rest();
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_taken_in_pieces_and_nonsense_is_none() {
        let mut wire = Vec::new();
        Deflate::new(Vec::new()).pack(&vec![0; 50 << 20], &mut wire);
        assert!(wire.len() < 1 << 20);
        let mut receiver = Deflate::new(wire);
        let mut piece = Vec::new();
        receiver.unpack(1 << 16, &mut piece).unwrap();
        assert_eq!(piece.len(), 1 << 16);
        assert!(!receiver.is_empty());
        let mut nonsense = Deflate::new(b"a NOOP\r\n".to_vec());
        let mut out = Vec::new();
        assert!((0..10).any(|_| nonsense.unpack(100, &mut out).is_err()));
        let mut ended = Deflate::new(vec![3, 0, 3, 0]);
        assert!((0..10).any(|_| ended.unpack(100, &mut out).is_err()));
    }
}
