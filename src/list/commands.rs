//! Commands by mail: what the lines of a message to the command address say, and what each is answered.
//!
//! A command is a line, with `#` before it or without, in any case. A line that quotes (`>`) is passed over; `-- ` begins the signature,
//! which nobody means as commands; after some unknown lines nothing more is read. A message without a command in its text may have it in
//! its Subject.
//! Trust: whoever writes From is believed for what does no harm and can be undone (on, off, digest); what the list keeps from
//! strangers goes to the address in From, and not to whoever wrote it.

use super::Desk;
use super::get::{Allowance, summary};
use super::inbound::Inbound;
use super::letter::Letter;
use super::replies::Reply;
use crate::addr::Address;
use crate::line;
use crate::lists::List;
use crate::lists::answers::Answer;
use crate::lists::members::State;
use crate::lists::settings::Access;
use crate::lists::texts::Text;
use crate::log;
use crate::msg::structure::{Shape, Structure};
use crate::msg::text::part_text;
use crate::status::Failure;

/// After so many unknown lines the rest is not read.
const UNKNOWN_LIMIT: usize = 5;
/// Most commands of one message.
const COMMAND_LIMIT: usize = 20;
/// So much of a line is read and repeated, in characters: an answer must not carry somebody's text to a third person.
const LINE_LIMIT: usize = 128;

/// One command with what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Subscribe(String),
    Unsubscribe,
    Members,
    Turn(State),
    Stat,
    Confirm(String),
    Summary(String),
    Get(String),
    Unknown,
}

/// A line and the command that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// As it stands, to be repeated in the answer.
    pub(super) line: String,
    pub(super) command: Command,
}

/// The commands of a text.
pub(super) fn read(text: &str) -> Vec<Order> {
    let mut found = Vec::new();
    let mut unknown = 0;
    for line in line::lines(text.as_bytes()) {
        let line = String::from_utf8_lossy(line);
        // RFC 3676 §4.3.
        if line == "-- " || line == "--" {
            break;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('>') || line.trim_start_matches('#').trim().is_empty() {
            continue;
        }
        let shown: String = line.chars().filter(|c| !c.is_control()).take(LINE_LIMIT).collect();
        let Some(command) = command(&shown) else { break };
        unknown += usize::from(command == Command::Unknown);
        found.push(Order { line: shown, command });
        if unknown >= UNKNOWN_LIMIT || found.len() >= COMMAND_LIMIT {
            break;
        }
    }
    found
}

/// The command of a line; `None` where the text ends.
fn command(line: &str) -> Option<Command> {
    let line = line.trim_start_matches('#').trim();
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let rest = rest.trim();
    Some(match word.to_ascii_lowercase().as_str() {
        "help" => Command::Help,
        "subscribe" | "join" => Command::Subscribe(rest.to_string()),
        "unsubscribe" | "bye" | "leave" => Command::Unsubscribe,
        "member" | "members" => Command::Members,
        "on" => Command::Turn(State::On),
        "off" => Command::Turn(State::Off),
        "digest" => Command::Turn(State::Digest),
        "stat" | "status" => Command::Stat,
        "confirm" => Command::Confirm(rest.split_whitespace().next().unwrap_or("").to_ascii_lowercase()),
        "summary" | "index" => Command::Summary(rest.to_string()),
        "get" | "send" | "mget" => Command::Get(rest.to_string()),
        "end" | "quit" | "exit" => return None,
        _ => Command::Unknown,
    })
}

/// The words that a person wrote: the first text of the message that is no file.
fn written(post: &Inbound<'_>) -> String {
    let structure = Structure::of(post.text);
    let texts = structure.parts().iter().filter(|part| part.shape == Shape::Leaf && part.media.is_kind("text"));
    texts.filter(|part| !super::content::is_file(part)).find_map(|part| part_text(post.text, part)).unwrap_or_default()
}

impl Desk<'_> {
    /// Does what a message to the command address says, and answers it.
    pub(super) fn commands(&self, list: &List, post: &Inbound<'_>) -> Result<String, Failure> {
        let mut orders = read(&written(post));
        if orders.iter().all(|order| order.command == Command::Unknown) {
            let subject = read(&post.subject);
            if subject.iter().any(|order| order.command != Command::Unknown) {
                orders = subject;
            }
        }
        self.obey(list, orders, post)
    }

    /// Does these commands, and answers them in one mail.
    pub(super) fn obey(&self, list: &List, mut orders: Vec<Order>, post: &Inbound<'_>) -> Result<String, Failure> {
        let local = |e: std::io::Error| Failure::local(&e);
        if let Some(why) = post.unanswerable() {
            log::event("list-unanswered").field("list", &list.name).field("reason", why).write();
            return Ok(format!("not answered: {why}"));
        }
        let Some(author) = post.author.as_ref().map(|author| author.address.clone()) else {
            return Ok("not answered: no author".to_string());
        };
        let may = {
            let lock = list.lock().map_err(local)?;
            list.may_answer(&lock, &author, Answer::Commands, self.now).map_err(local)?
        };
        // Without an answer nothing is done, because who does not hear of it could not undo it; but who has a token was asked by us.
        if !may {
            log::event("list-unanswered")
                .field("list", &list.name)
                .field("to", &author)
                .field("reason", "limit")
                .write();
            orders.retain(|order| matches!(order.command, Command::Confirm(_)));
        }
        let language = list.settings.language;
        let mut text = list.text(Text::Results, &[("address", &author.to_string())]).map_err(local)?;
        let mut got = Allowance::of(list);
        for order in &orders {
            let reply = self.order(list, &order.command, &author, post, &mut got)?;
            log::event("list-command")
                .field("list", &list.name)
                .field("from", &author)
                .field("command", &order.line)
                .field("reply", reply.words(crate::lists::settings::Language::English).lines().next().unwrap_or(""))
                .write();
            text.body.push_str(&format!(">>> {}\n{}\n\n", order.line, reply.words(language)));
        }
        if orders.iter().all(|order| order.command == Command::Unknown) {
            text.body.push_str(&list.text(Text::Help, &[]).map_err(local)?.body);
        }
        if !may {
            return Ok(format!("{} commands done, and not answered: too many answers today", orders.len()));
        }
        let from = list.name.role("control");
        self.send(list, &Letter { from, to: &author, text, answers: Some(post), attached: None })?;
        Ok(format!("{} commands answered", orders.len()))
    }

    fn order(
        &self,
        list: &List,
        command: &Command,
        author: &Address,
        post: &Inbound<'_>,
        got: &mut Allowance,
    ) -> Result<Reply, Failure> {
        let local = |e: std::io::Error| Failure::local(&e);
        Ok(match command {
            Command::Help => Reply::Text(list.text(Text::Help, &[]).map_err(local)?.body),
            Command::Subscribe(name) if name.contains('@') => Reply::NotAllowed,
            Command::Subscribe(name) => self.subscribe(list, author, name, post)?,
            Command::Unsubscribe => self.unsubscribe(list, author, post)?,
            Command::Confirm(token) if token.is_empty() => Reply::Incomplete,
            Command::Confirm(token) => self.confirm(list, token)?,
            Command::Turn(state) => turn(list, author, *state).map_err(local)?,
            Command::Stat => stat(list, author).map_err(local)?,
            Command::Members => members(list, author).map_err(local)?,
            Command::Summary(posts) => summary(list, author, posts).map_err(local)?,
            Command::Get(posts) if posts.is_empty() => Reply::Incomplete,
            Command::Get(posts) => self.get(list, author, posts, post, got)?,
            Command::Unknown => Reply::Unknown,
        })
    }
}

fn turn(list: &List, author: &Address, state: State) -> std::io::Result<Reply> {
    let reply = list.update_members(|members| {
        Ok::<_, std::io::Error>(match members.find_mut(author) {
            Some(member) => {
                member.turn(state, Some("member"));
                Reply::Done
            }
            None => Reply::NotMember,
        })
    })?;
    if reply == Reply::Done && state != State::Off {
        let lock = list.lock()?;
        list.forget_bounces(&lock, author)?;
    }
    Ok(reply)
}

/// ON, OFF, DGT or QUIT, as the model says it.
fn stat(list: &List, author: &Address) -> std::io::Result<Reply> {
    let members = list.members()?;
    let word = match members.find(author).map(|member| member.state) {
        Some(State::On) => "ON",
        Some(State::Off) => "OFF",
        Some(State::Digest) => "DGT",
        None => "QUIT",
    };
    Ok(Reply::Text(format!("{author}: {word}\n")))
}

/// True when somebody may see what is for these.
pub(super) fn may_see(list: &List, author: &Address, access: Access) -> std::io::Result<bool> {
    Ok(list.settings.is_in_charge(author)
        || match access {
            Access::Owners => false,
            Access::Members => list.members()?.find(author).is_some(),
            Access::Anyone => true,
        })
}

fn members(list: &List, author: &Address) -> std::io::Result<Reply> {
    if !may_see(list, author, list.settings.member_list)? {
        return Ok(Reply::NotAllowed);
    }
    let mut text = String::new();
    for member in list.members()?.iter() {
        let word = match member.state {
            State::On => "ON",
            State::Off => "OFF",
            State::Digest => "DGT",
        };
        text.push_str(&format!("{word}: {}\n", member.address));
    }
    Ok(Reply::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Command> {
        read(text).into_iter().map(|order| order.command).collect()
    }

    #[test]
    fn lines_are_commands() {
        use Command::*;
        assert_eq!(
            words("# help\n#SUBSCRIBE  Yamada Taro\n\n  ## unsubscribe now\non\nOff\n# Digest\nstat\n# members\n"),
            [
                Help,
                Subscribe("Yamada Taro".into()),
                Unsubscribe,
                Turn(State::On),
                Turn(State::Off),
                Turn(State::Digest),
                Stat,
                Members
            ]
        );
        assert_eq!(words("# confirm ABC def\n"), [Confirm("abc".into())]);
        assert_eq!(words("> # unsubscribe\n#\n# help\n"), [Help]);
        for end in ["-- ", "--", "# end", "quit", "# exit"] {
            assert_eq!(words(&format!("# on\n{end}\n# unsubscribe\n")), [Turn(State::On)], "{end}");
        }
    }

    #[test]
    fn nonsense_ends() {
        assert_eq!(words(&"hello there\n".repeat(100)).len(), UNKNOWN_LIMIT);
        assert_eq!(words(&"# stat\n".repeat(100)).len(), COMMAND_LIMIT);
        assert_eq!(words("a\nb\n# on\nc\nd\ne\n# off\n").last(), Some(&Command::Unknown));
        assert_eq!(read("# help \u{7}\u{1b}[31m\n")[0].line, "# help [31m");
    }
}
