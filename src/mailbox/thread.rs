//! Threads: which message answers which (RFC 5256 §3).
//!
//! Pure and iterative: the caller brings what the index knows of each message, in the order of sequence numbers, and prints the result
//! with the numbers it likes. Linear in messages and references, but for sorting; a chain longer than [`DEPTH_LIMIT`] is cut, so that
//! hostile References can cost no more.

use std::collections::HashMap;

/// Longest chain of ancestors that is followed.
const DEPTH_LIMIT: usize = 1000;

const NONE: u32 = u32::MAX;

/// What threading needs to know of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Threadable<'a> {
    /// Its sequence number or identifier, as it is printed.
    pub number: u32,
    /// The sent date, in whatever unit; ties go by position.
    pub date: i64,
    /// The base subject, folded for comparing (RFC 5256 §2.1); empty for none.
    pub subject: &'a str,
    /// Finding the base subject took away something that says "reply" or "forward".
    pub is_reply: bool,
    /// The Message-ID, normalised; empty for none.
    pub message_id: &'a [u8],
    /// The identifiers of its ancestors, oldest first.
    pub references: &'a [&'a [u8]],
}

/// The threads of some messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threads {
    roots: Vec<u32>,
    children: Vec<Vec<u32>>,
    numbers: Vec<u32>,
}

impl Threads {
    /// REFERENCES: by the messages' ancestry, then by subject.
    pub fn by_references(messages: &[Threadable<'_>]) -> Threads {
        let (parents, nodes) = link(messages);
        let mut forest = Forest::plant(messages, &parents, nodes);
        forest.sort_roots();
        forest.merge_subjects();
        forest.sort_roots();
        let Forest { roots, children, .. } = forest;
        Threads { roots, children, numbers: messages.iter().map(|m| m.number).collect() }
    }

    /// ORDEREDSUBJECT: one thread a subject, everything below its first message.
    pub fn by_subject(messages: &[Threadable<'_>]) -> Threads {
        let key = |index: u32| (messages[index as usize].date, index);
        let mut order: Vec<u32> = (0..messages.len() as u32).collect();
        order.sort_by(|a, b| {
            let subjects = messages[*a as usize].subject.cmp(messages[*b as usize].subject);
            subjects.then_with(|| key(*a).cmp(&key(*b)))
        });
        let mut children = vec![Vec::new(); messages.len()];
        let mut roots: Vec<u32> = Vec::new();
        for index in order {
            match roots.last() {
                Some(root) if messages[*root as usize].subject == messages[index as usize].subject => {
                    children[*root as usize].push(index);
                }
                _ => roots.push(index),
            }
        }
        roots.sort_by_key(|root| key(*root));
        Threads { roots, children, numbers: messages.iter().map(|m| m.number).collect() }
    }

    /// The messages in the order of the threads: how deep each stands, and its number. One that is only known by name is no message; what
    /// stands below it stands one level deeper than it would.
    pub fn walk(&self) -> Vec<(usize, u32)> {
        let mut found = Vec::with_capacity(self.numbers.len());
        let mut pending: Vec<(usize, u32)> = self.roots.iter().rev().map(|root| (0, *root)).collect();
        while let Some((depth, node)) = pending.pop() {
            if let Some(number) = self.numbers.get(node as usize) {
                found.push((depth, *number));
            }
            let children = self.children.get(node as usize).map_or(&[][..], Vec::as_slice);
            pending.extend(children.iter().rev().map(|child| (depth + 1, *child)));
        }
        found
    }

    /// Prints them as the THREAD response does: `(1 2)(3 (4)(5))`.
    pub fn print(&self, out: &mut Vec<u8>) {
        enum Piece {
            Node(u32),
            Open,
            Close,
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let branch = |pieces: &mut Vec<Piece>, nodes: &[u32]| {
            for node in nodes.iter().rev() {
                pieces.extend([Piece::Close, Piece::Node(*node), Piece::Open]);
            }
        };
        branch(&mut pieces, &self.roots);
        while let Some(piece) = pieces.pop() {
            match piece {
                Piece::Open => out.push(b'('),
                Piece::Close => out.push(b')'),
                Piece::Node(node) => {
                    let children = self.children.get(node as usize).map_or(&[][..], Vec::as_slice);
                    if let Some(number) = self.numbers.get(node as usize) {
                        out.extend_from_slice(number.to_string().as_bytes());
                        if !children.is_empty() {
                            out.push(b' ');
                        }
                    }
                    match children {
                        [only] => pieces.push(Piece::Node(*only)),
                        several => branch(&mut pieces, several),
                    }
                }
            }
        }
    }
}

/// Step 1: the parent of each node; the messages come first, then those that are only known by name.
fn link(messages: &[Threadable<'_>]) -> (Vec<u32>, usize) {
    let mut names: HashMap<&[u8], u32> = HashMap::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        if !message.message_id.is_empty() {
            names.entry(message.message_id).or_insert(index as u32);
        }
    }
    let mut parents = vec![NONE; messages.len()];
    for (index, message) in messages.iter().enumerate() {
        let mut before = NONE;
        for name in message.references {
            let next = parents.len() as u32;
            let node = *names.entry(name).or_insert(next);
            if node == next {
                parents.push(NONE);
            }
            if before != NONE && parents[node as usize] == NONE && !is_above(&parents, node, before) {
                parents[node as usize] = before;
            }
            before = node;
        }
        let own = index as u32;
        parents[index] = NONE;
        if before != NONE && !is_above(&parents, own, before) {
            parents[index] = before;
        }
    }
    let nodes = parents.len();
    (parents, nodes)
}

/// True when `node` is `below` or one of its ancestors, or when that chain is too long to follow.
fn is_above(parents: &[u32], node: u32, below: u32) -> bool {
    let mut at = below;
    for _ in 0..DEPTH_LIMIT {
        if at == node {
            return true;
        }
        at = parents[at as usize];
        if at == NONE {
            return false;
        }
    }
    true
}

struct Forest<'a> {
    messages: &'a [Threadable<'a>],
    roots: Vec<u32>,
    children: Vec<Vec<u32>>,
}

impl<'a> Forest<'a> {
    /// Steps 2 and 3: names without a message give their children to the level above; at the top only an only child goes up.
    fn plant(messages: &'a [Threadable<'a>], parents: &[u32], nodes: usize) -> Forest<'a> {
        let is_dummy = |node: u32| node as usize >= messages.len();
        // For a dummy: the message above it, or the topmost dummy of its chain; found once for each.
        let mut above: Vec<u32> = vec![NONE; nodes];
        let mut path = Vec::new();
        let mut home = |start: u32| {
            let mut at = start;
            while at != NONE && is_dummy(at) && above[at as usize] == NONE && parents[at as usize] != NONE {
                path.push(at);
                at = parents[at as usize];
            }
            if at != NONE && is_dummy(at) && above[at as usize] != NONE {
                at = above[at as usize];
            }
            path.drain(..).for_each(|dummy| above[dummy as usize] = at);
            at
        };
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); nodes];
        let mut roots = Vec::new();
        for index in 0..messages.len() as u32 {
            match home(parents[index as usize]) {
                NONE => roots.push(index),
                parent => children[parent as usize].push(index),
            }
        }
        for (dummy, below) in children.iter_mut().enumerate().skip(messages.len()) {
            match below.as_slice() {
                [] => {}
                [only] => {
                    roots.push(*only);
                    below.clear();
                }
                _ => roots.push(dummy as u32),
            }
        }
        Forest { messages, roots, children }
    }

    /// The message that stands for a node: itself, or a dummy's first child.
    fn face(&self, node: u32) -> u32 {
        match self.messages.get(node as usize) {
            Some(_) => node,
            None => self.children[node as usize].first().copied().unwrap_or(0),
        }
    }

    fn key(&self, node: u32) -> (i64, u32) {
        let face = self.face(node);
        (self.messages[face as usize].date, face)
    }

    /// Steps 4 and 6: every set of siblings by sent date; dummies stand at the top only, so their children are sorted before them.
    fn sort_roots(&mut self) {
        let messages = self.messages;
        for children in &mut self.children {
            children.sort_by_key(|child| (messages[*child as usize].date, *child));
        }
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_key(|root| self.key(*root));
        self.roots = roots;
    }

    /// Step 5: threads with the same subject become one.
    fn merge_subjects(&mut self) {
        let messages = self.messages;
        let is_dummy = |node: u32| node as usize >= messages.len();
        let is_reply = |node: u32| messages.get(node as usize).is_some_and(|m| m.is_reply);
        let mut table: HashMap<&'a str, u32> = HashMap::new();
        for root in self.roots.clone() {
            let subject = messages[self.face(root) as usize].subject;
            if subject.is_empty() {
                continue;
            }
            let holder = *table.entry(subject).or_insert(root);
            if !is_dummy(holder) && (is_dummy(root) || (is_reply(holder) && !is_reply(root))) {
                table.insert(subject, root);
            }
        }
        let mut gone: Vec<u32> = Vec::new();
        let mut fresh: HashMap<u32, u32> = HashMap::new();
        for root in self.roots.clone() {
            let subject = messages[self.face(root) as usize].subject;
            let Some(holder) = table.get(subject).copied().filter(|holder| *holder != root) else { continue };
            if is_dummy(holder) && is_dummy(root) {
                let children = std::mem::take(&mut self.children[root as usize]);
                self.children[holder as usize].extend(children);
                gone.push(root);
            } else if is_dummy(holder) || (is_reply(root) && !is_reply(holder)) {
                self.children[holder as usize].push(root);
                gone.push(root);
            } else {
                let dummy = self.children.len() as u32;
                self.children.push(vec![holder, root]);
                // It stands where the first of the two stood.
                fresh.insert(holder, dummy);
                gone.push(root);
                table.insert(subject, dummy);
            }
        }
        let gone: std::collections::HashSet<u32> = gone.into_iter().collect();
        self.roots.retain(|root| !gone.contains(root));
        for root in &mut self.roots {
            if let Some(dummy) = fresh.get(root) {
                *root = *dummy;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, date, subject, is it a reply, Message-ID, References.
    type Row<'a> = (u32, i64, &'a str, bool, &'a str, &'a [&'a [u8]]);

    fn letters<'a>(rows: &[Row<'a>]) -> Vec<Threadable<'a>> {
        let letter = |(number, date, subject, is_reply, id, references): &Row<'a>| Threadable {
            number: *number,
            date: *date,
            subject,
            is_reply: *is_reply,
            message_id: id.as_bytes(),
            references,
        };
        rows.iter().map(letter).collect()
    }

    fn print(threads: &Threads) -> String {
        let mut out = Vec::new();
        threads.print(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn references(rows: &[Row<'_>]) -> String {
        print(&Threads::by_references(&letters(rows)))
    }

    #[test]
    fn answers_stand_below_what_they_answer() {
        let rows: [Row; 4] = [
            (1, 1, "a", false, "a", &[]),
            (2, 2, "a", true, "b", &[b"a"]),
            (3, 3, "a", true, "c", &[b"a", b"b"]),
            (4, 4, "a", true, "d", &[b"a"]),
        ];
        assert_eq!(references(&rows), "(1 (2 3)(4))");
        assert_eq!(references(&rows[..3]), "(1 2 3)");
        assert_eq!(references(&[]), "");
    }

    #[test]
    fn a_missing_ancestor_holds_its_children_together() {
        let rows: [Row; 3] = [
            (1, 5, "x", true, "b", &[b"gone"]),
            (2, 3, "y", true, "c", &[b"gone"]),
            (3, 4, "z", true, "e", &[b"gone", b"lost"]),
        ];
        assert_eq!(references(&rows), "((2)(3)(1))");
        assert_eq!(references(&rows[..1]), "(1)");
    }

    #[test]
    fn loops_and_doubled_names_are_cut() {
        let rows: [Row; 3] =
            [(1, 1, "", false, "a", &[b"b"]), (2, 2, "", false, "b", &[b"a"]), (3, 3, "", false, "a", &[b"a"])];
        assert_eq!(references(&rows), "(2 1 3)");
        let own: [Row; 1] = [(1, 1, "", false, "a", &[b"a", b"a"])];
        assert_eq!(references(&own), "(1)");
    }

    #[test]
    fn threads_with_one_subject_become_one() {
        // A reply goes below the original.
        let rows: [Row; 2] = [(1, 2, "s", true, "r", &[]), (2, 3, "s", false, "o", &[])];
        assert_eq!(references(&rows), "(2 1)");
        // Two originals stand side by side below nothing.
        let rows: [Row; 3] = [(1, 1, "s", false, "a", &[]), (2, 2, "s", false, "b", &[]), (3, 3, "s", true, "c", &[])];
        assert_eq!(references(&rows), "((1)(2)(3))");
        // No subject, no thread.
        let rows: [Row; 2] = [(1, 1, "", false, "a", &[]), (2, 2, "", false, "b", &[])];
        assert_eq!(references(&rows), "(1)(2)");
    }

    #[test]
    fn ordered_subject_has_two_levels() {
        let rows: [Row; 5] = [
            (1, 9, "b", false, "", &[]),
            (2, 1, "a", false, "", &[]),
            (3, 2, "a", true, "", &[]),
            (4, 3, "a", true, "", &[]),
            (5, 10, "b", true, "", &[]),
        ];
        assert_eq!(print(&Threads::by_subject(&letters(&rows))), "(2 (3)(4))(1 5)");
    }

    #[test]
    fn a_chain_of_any_length_costs_linear_time_and_no_stack() {
        let names: Vec<String> = (0..50_000).map(|n| format!("m{n}")).collect();
        let above: Vec<[&[u8]; 1]> = names.iter().map(|n| [n.as_bytes()]).collect();
        let letter = |n: usize| Threadable {
            number: n as u32 + 1,
            message_id: names[n].as_bytes(),
            references: if n > 0 { &above[n - 1] } else { &[] },
            ..Threadable::default()
        };
        let forwards: Vec<Threadable> = (0..names.len()).map(letter).collect();
        let backwards: Vec<Threadable> = (0..names.len()).rev().map(letter).collect();
        for messages in [forwards, backwards] {
            let text = print(&Threads::by_references(&messages));
            assert_eq!(text.split(|c: char| !c.is_ascii_digit()).filter(|w| !w.is_empty()).count(), names.len());
        }
    }
}
