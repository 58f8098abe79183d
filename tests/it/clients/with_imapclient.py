# IMAPClient: its own parser reads every answer. Arguments: the port of imap, and a program that delivers to alice.
import ssl, subprocess, sys
from datetime import datetime, timezone
from imapclient import IMAPClient, SEEN, DELETED
from imapclient.exceptions import IMAPClientError, LoginError

port, deliver = int(sys.argv[1]), sys.argv[2:]
context = ssl._create_unverified_context()


def client():
    c = IMAPClient("127.0.0.1", port, ssl=False, timeout=30)
    c.starttls(context)
    c.login("alice@example.test", "demo")
    return c


c = IMAPClient("127.0.0.1", port, ssl=False)
try:
    c.login("alice@example.test", "wrong")
    raise SystemExit("a wrong password was taken")
except LoginError:
    pass
c = client()
for wanted in ["IMAP4REV2", "IDLE", "MOVE", "UIDPLUS", "CONDSTORE", "QRESYNC", "SORT", "QUOTA", "LITERAL+", "ID", "ENABLE"]:
    assert c.has_capability(wanted), (wanted, c.capabilities())
assert b"ExpressMail" in c.id_({"name": "test"})[0]
assert c.namespace().personal == (("", "/"),), c.namespace()
c.create_folder("Entwürfe & 日本語")
assert sorted(name for _, _, name in c.list_folders()) == ["Entwürfe & 日本語", "INBOX"]
c.subscribe_folder("Entwürfe & 日本語")
assert [name for _, _, name in c.list_sub_folders()] == ["Entwürfe & 日本語"]
assert c.folder_status("INBOX") == {b"MESSAGES": 0, b"RECENT": 0, b"UIDNEXT": 1, b"UIDVALIDITY": c.select_folder("INBOX")[b"UIDVALIDITY"], b"UNSEEN": 0}

when = datetime(2020, 2, 29, 12, 0, 0, tzinfo=timezone.utc)
letters = [b"Subject: %d\r\nFrom: Ann <ann@side.test>\r\nTo: a@x, b@y\r\nMessage-ID: <%d@x>\r\n\r\nbody %d\r\n" % (n, n, n) for n in range(5)]
for letter in letters:
    assert b"APPENDUID" in c.append("INBOX", letter, [SEEN, b"$Label1"], when)
assert c.select_folder("INBOX")[b"EXISTS"] == 5
got = c.fetch(range(1, 6), ["BODY[]", "ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE", "FLAGS", "RFC822.SIZE", "MODSEQ"])
assert [got[uid][b"BODY[]"] for uid in sorted(got)] == letters
for n, uid in enumerate(sorted(got)):
    envelope = got[uid][b"ENVELOPE"]
    assert envelope.subject == b"%d" % n and envelope.from_[0].host == b"side.test" and len(envelope.to) == 2, envelope
    assert envelope.message_id == b"<%d@x>" % n
    assert got[uid][b"INTERNALDATE"].timestamp() == when.timestamp()
    assert set(got[uid][b"FLAGS"]) >= {SEEN, b"$Label1"}
    assert got[uid][b"BODYSTRUCTURE"][0] == b"text", got[uid]
assert c.search(["SUBJECT", "3"]) == [4] and c.search(["KEYWORD", "$Label1", "NOT", "UID", "1:4"]) == [5]
assert c.search(["TEXT", "日本語"], charset="UTF-8") == []
assert c.sort(["REVERSE SUBJECT"]) == [5, 4, 3, 2, 1] and c.thread() == ((1,), (2,), (3,), (4,), (5,)), c.thread()
assert c.add_flags([1, 2], [b"\\Flagged"])[1] and c.get_flags([1])[1]
c.copy([1, 2], "Entwürfe & 日本語")
c.move([3], "Entwürfe & 日本語")
c.uid_expunge([4])
c.delete_messages([4, 5])
c.uid_expunge([4])
assert c.search() == [1, 2, 5]
# Without flags IMAPClient puts two blanks between the messages, which only imap.tolerates_spaces lets pass.
assert c.multiappend("Entwürfe & 日本語", [{"msg": letter, "flags": [SEEN]} for letter in letters[:2]])
assert c.folder_status("Entwürfe & 日本語", ["MESSAGES"])[b"MESSAGES"] == 5
c.rename_folder("Entwürfe & 日本語", "Archiv/日本")
assert c.get_quota_root("INBOX")[0].quota_roots == [], c.get_quota_root("INBOX")

# IDLE hears of deliveries, of flags and of expunged messages (5 is still marked).
other = client()
other.select_folder("INBOX")
c.idle()
subprocess.run(deliver, input=b"Subject: new\n\nnew\n", check=True)
heard = []
while (4, b"EXISTS") not in heard:
    lines = c.idle_check(timeout=20)
    assert lines, heard
    heard += lines
other.set_flags([1], [SEEN])
other.delete_messages([2])
other.expunge()
while (2, b"EXPUNGE") not in heard:
    lines = c.idle_check(timeout=20)
    assert lines, heard
    heard += lines
text, rest = c.idle_done()
assert text.startswith(b"IDLE"), text
flags = [line for line in heard + rest if line[1] == b"FETCH"]
assert any(line[0] == 1 and SEEN in str(line).encode() or b"\\Seen" in line[2][-1] for line in flags), heard
assert c.search() == other.search() == [1, 6], (c.search(), other.search())
c.unselect_folder()
c.delete_folder("Archiv/日本")
c.logout()
other.logout()
