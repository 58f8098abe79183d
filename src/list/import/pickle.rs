//! Python pickles, read as plain data: what Mailman 2 keeps its lists in.
//!
//! A pickle is a program for a small stack machine. This one knows the opcodes that build data; those that name a class or call a function
//! leave [`Value::Opaque`] on the stack, so that nothing is ever run. Protocols 0 to 2, and what later ones write for data.
//! Trust: the file is the administrator's; a broken one is an error, never a panic, and costs no more than its size.

use std::collections::HashMap;
use std::rc::Rc;

/// Values of one pickle.
const VALUES_LIMIT: usize = 20_000_000;

/// A value. Lists and dicts are shared, as in Python: they stand in the [`Pickle`], by these numbers. So nothing here is nested, and a pickle
/// of a million lists in one another is put away like any other.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// A list or a tuple.
    List(usize),
    Dict(usize),
    /// A class, an instance, or something else that is more than data.
    Opaque,
}

/// All that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    /// The value that it is of.
    pub(super) root: Value,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
}

/// Why a pickle was not understood.
#[derive(Debug, thiserror::Error)]
#[error("no pickle that can be read: {0} at octet {1}")]
pub(super) struct PickleError(&'static str, usize);

impl Value {
    /// The text that it is.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number that it is; True is 1.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Float(number) => Some(*number as i64),
            Value::Bool(is_true) => Some(i64::from(*is_true)),
            _ => None,
        }
    }
}

impl Pickle {
    /// The value of a key, when the whole is a dict. Of several the last one counts.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.pairs(&self.root).iter().rev().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value)
    }

    /// The members of a list or tuple.
    pub(super) fn members(&self, value: &Value) -> &[Value] {
        match value {
            Value::List(list) => self.lists.get(*list).map(Vec::as_slice).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The pairs of a dict.
    pub(super) fn pairs(&self, value: &Value) -> &[(Value, Value)] {
        match value {
            Value::Dict(dict) => self.dicts.get(*dict).map(Vec::as_slice).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The pairs of a dict whose keys are texts, to be looked up.
    pub(super) fn table(&self, value: &Value) -> HashMap<&str, &Value> {
        self.pairs(value).iter().filter_map(|(key, value)| Some((key.text()?, value))).collect()
    }
}

/// Reads one pickle.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, PickleError> {
    let mut machine = Machine { bytes, at: 0, made: 0, ..Machine::default() };
    let root = machine.run().map_err(|why| PickleError(why, machine.at))?;
    Ok(Pickle { root, lists: machine.lists, dicts: machine.dicts })
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    lists: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    made: usize,
}

type Step<T> = Result<T, &'static str>;
const ENDS: &str = "it ends too early";
const EMPTY: &str = "the stack is empty";

impl Machine<'_> {
    fn run(&mut self) -> Step<Value> {
        loop {
            self.made += 1;
            if self.made > VALUES_LIMIT {
                return Err("too many values");
            }
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'I' | b'L' | b'F' => self.decimal(opcode),
            b'J' | b'K' | b'M' | 0x8a | b'G' => self.binary_number(opcode),
            b'S' | b'V' | b'T' | b'U' | b'X' | b'B' | b'C' | 0x8c | 0x8d => self.string(opcode),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b']' | b')' => self.push_list(Vec::new()),
            b'}' => self.push_dict(Vec::new()),
            b'l' | b't' => {
                let items = self.marked()?;
                self.push_list(items)
            }
            b'd' => {
                let items = self.marked()?;
                self.push_dict(paired(items))
            }
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or(EMPTY)?;
                let items = self.stack.split_off(from);
                self.push_list(items)
            }
            b'a' | b'e' => {
                let items = if opcode == b'a' { vec![self.pop()?] } else { self.marked()? };
                if let Some(Value::List(list)) = self.stack.last()
                    && let Some(list) = self.lists.get_mut(*list)
                {
                    list.extend(items);
                }
                Ok(())
            }
            b's' | b'u' => {
                let items = match opcode {
                    b's' => {
                        let value = self.pop()?;
                        vec![self.pop()?, value]
                    }
                    _ => self.marked()?,
                };
                if let Some(Value::Dict(dict)) = self.stack.last()
                    && let Some(dict) = self.dicts.get_mut(*dict)
                {
                    dict.extend(paired(items));
                }
                Ok(())
            }
            b'p' | b'q' | b'r' | 0x94 => self.remember(opcode),
            b'g' | b'h' | b'j' => self.recall(opcode),
            b'0' => self.pop().map(drop),
            b'1' => self.marked().map(drop),
            b'2' => {
                let top = self.stack.last().cloned().ok_or(EMPTY)?;
                self.push(top)
            }
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            _ => self.object(opcode),
        }
    }

    /// What would name a class, make an instance or call a function.
    fn object(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            // GLOBAL, INST: two lines
            b'c' => {
                self.line()?;
                self.line()?;
                self.push(Value::Opaque)
            }
            b'i' => {
                self.line()?;
                self.line()?;
                self.marked()?;
                self.push(Value::Opaque)
            }
            // OBJ
            b'o' => {
                self.marked()?;
                self.push(Value::Opaque)
            }
            // REDUCE, NEWOBJ, STACK_GLOBAL: two values make one
            b'R' | 0x81 | 0x93 => {
                self.pop()?;
                self.pop()?;
                self.push(Value::Opaque)
            }
            // BUILD: the state goes into the instance
            b'b' => self.pop().map(drop),
            _ => Err("an unknown opcode"),
        }
    }

    fn decimal(&mut self, opcode: u8) -> Step<()> {
        let line = self.line()?;
        let text = std::str::from_utf8(line).map_err(|_| "a number in odd characters")?.trim_end_matches('L');
        let value = match (opcode, text) {
            (b'I', "00") => Value::Bool(false),
            (b'I', "01") => Value::Bool(true),
            (b'F', text) => text.parse().map(Value::Float).map_err(|_| "a broken number")?,
            (_, text) => text.parse().map_or(Value::Opaque, Value::Int),
        };
        self.push(value)
    }

    fn binary_number(&mut self, opcode: u8) -> Step<()> {
        let value = match opcode {
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'K' => Value::Int(i64::from(self.take(1)?[0])),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            // LONG1: two's complement of any length
            _ => {
                let length = usize::from(self.take(1)?[0]);
                let digits = self.take(length)?;
                let fill = if digits.last().is_some_and(|top| *top >= 0x80) { 0xff } else { 0 };
                let mut whole = [fill; 8];
                match whole.get_mut(..length) {
                    Some(part) => {
                        part.copy_from_slice(digits);
                        Value::Int(i64::from_le_bytes(whole))
                    }
                    None => Value::Opaque,
                }
            }
        };
        self.push(value)
    }

    fn string(&mut self, opcode: u8) -> Step<()> {
        let bytes = match opcode {
            b'S' => {
                let line = self.line()?.trim_ascii();
                let inner = line.get(1..line.len().saturating_sub(1)).unwrap_or_default();
                unescaped(inner)
            }
            b'V' => self.line()?.to_vec(),
            b'U' | b'C' | 0x8c => {
                let length = usize::from(self.take(1)?[0]);
                self.take(length)?.to_vec()
            }
            0x8d => {
                let length = usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| ENDS)?;
                self.take(length)?.to_vec()
            }
            _ => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.take(length)?.to_vec()
            }
        };
        let mut text = String::new();
        crate::msg::charset::decode(b"", &bytes, &mut text);
        self.push(Value::Text(text.into()))
    }

    fn remember(&mut self, opcode: u8) -> Step<()> {
        let number = match opcode {
            0x94 => self.memo.len() as u64,
            _ => self.memo_number(opcode, [b'p', b'q'])?,
        };
        let top = self.stack.last().cloned().ok_or(EMPTY)?;
        self.memo.insert(number, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Step<()> {
        let number = self.memo_number(opcode, [b'g', b'h'])?;
        let value = self.memo.get(&number).cloned().ok_or("something is recalled that was never kept")?;
        self.push(value)
    }

    /// A number as a line, as one octet, or as four.
    fn memo_number(&mut self, opcode: u8, [line, octet]: [u8; 2]) -> Step<u64> {
        if opcode == line {
            let line = std::str::from_utf8(self.line()?).unwrap_or_default();
            return line.trim().parse().map_err(|_| "a broken number");
        }
        match opcode == octet {
            true => Ok(u64::from(self.take(1)?[0])),
            false => Ok(u64::from(u32::from_le_bytes(self.array()?))),
        }
    }

    fn push_list(&mut self, items: Vec<Value>) -> Step<()> {
        self.lists.push(items);
        self.push(Value::List(self.lists.len() - 1))
    }

    fn push_dict(&mut self, pairs: Vec<(Value, Value)>) -> Step<()> {
        self.dicts.push(pairs);
        self.push(Value::Dict(self.dicts.len() - 1))
    }

    fn push(&mut self, value: Value) -> Step<()> {
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Step<Value> {
        self.stack.pop().ok_or(EMPTY)
    }

    fn marked(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or("there is no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let end = self.at.checked_add(count).ok_or(ENDS)?;
        let taken = self.bytes.get(self.at..end).ok_or(ENDS)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| ENDS)
    }

    fn line(&mut self) -> Step<&[u8]> {
        let rest = self.bytes.get(self.at..).ok_or(ENDS)?;
        let end = memchr::memchr(b'\n', rest).ok_or(ENDS)?;
        self.at += end + 1;
        Ok(&rest[..end])
    }
}

fn paired(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// Python's escapes in a quoted string of protocol 0.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let Some((escape, behind)) = rest.split_first() else { break };
        rest = behind;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'x' => {
                let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
                if let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                    out.push(byte);
                    rest = &rest[2..];
                }
            }
            other => out.push(*other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_old_and_new_protocols_is_read() {
        // {'real_name': 'Talk', 'owner': ['a@b'], 'n': -2, 'f': 1.5, 't': (True, None)} by protocols 0 and 2.
        let old = b"(dp0\nS'real_name'\np1\nS'Talk'\np2\nsS'owner'\np3\n(lp4\nS'a@b'\np5\nasS'n'\nI-2\nsS'f'\nF1.5\nsS't'\n(I01\nNtp6\ns.";
        let new = b"\x80\x02}q\x00(U\treal_nameq\x01U\x04Talkq\x02U\x05ownerq\x03]q\x04U\x03a@bq\x05aU\x01nJ\xfe\xff\xff\xffU\x01fG?\xf8\x00\x00\x00\x00\x00\x00U\x01t\x88N\x86q\x06u.";
        for bytes in [&old[..], &new[..]] {
            let value = read(bytes).unwrap();
            assert_eq!(value.get("real_name").unwrap().text(), Some("Talk"));
            assert_eq!(value.members(value.get("owner").unwrap())[0].text(), Some("a@b"));
            assert_eq!((value.get("n").unwrap().number(), value.get("f").unwrap().number()), (Some(-2), Some(1)));
            assert_eq!(value.members(value.get("t").unwrap()).len(), 2);
            assert_eq!(value.table(&value.root)["n"].number(), Some(-2));
            assert!(value.get("x").is_none());
        }
    }

    #[test]
    fn nothing_is_run_and_broken_ones_are_errors() {
        // os.system('x') is something opaque.
        assert!(matches!(read(b"cos\nsystem\n(S'x'\ntR.").unwrap().root, Value::Opaque));
        for broken in [
            &b""[..],
            b"(",
            b".",
            b"a.",
            b"h\x01.",
            b"U\xffab.",
            b"S'x\n",
            b"\x87.",
            b"t.",
            b"\xff.",
            b"X\xff\xff\xff\xff.",
        ] {
            assert!(read(broken).is_err(), "{}", broken.escape_ascii());
        }
        let whole = b"\x80\x02}q\x00(U\treal_nameq\x01U\x04Talkq\x02u.";
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_million_lists_in_one_another_are_put_away() {
        let tuples = [&b")"[..], &[0x85; 1_000_000], b"."].concat();
        assert_eq!(read(&tuples).unwrap().lists.len(), 1_000_001);
        let lists = [&[b']'; 100_000][..], &[b'a'; 99_999], b"."].concat();
        assert!(read(&lists).is_ok());
        // A list that holds itself.
        assert!(read(b"]q\x00h\x00a.").is_ok());
    }
}
