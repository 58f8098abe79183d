# Every command of Python's imaplib, by clear text, STARTTLS and implicit TLS. Arguments: the ports of imap and imaps.
import imaplib, ssl, sys, time

clear, tls = map(int, sys.argv[1:])
context = ssl._create_unverified_context()


def ok(answer, wanted="OK"):
    status, data = answer
    assert status == wanted, answer
    return data


def refused(call):
    try:
        answer = call()
    except imaplib.IMAP4.error as e:
        return str(e)
    assert answer[0] == "NO", answer
    return str(answer[1])


# How to log in.
m = imaplib.IMAP4("127.0.0.1", clear)
assert "IMAP4REV1" in m.capabilities and "STARTTLS" in m.capabilities, m.capabilities
assert "AUTHENTICATIONFAILED" in refused(lambda: m.login("alice@example.test", "wrong"))
ok(m.login("alice@example.test", "demo"))
assert ok(m.logout(), "BYE")
m = imaplib.IMAP4("127.0.0.1", clear)
ok(m.login_cram_md5("bob@example.test", "demo"))
m.logout()
m = imaplib.IMAP4_SSL("127.0.0.1", tls, ssl_context=context)
assert "STARTTLS" not in m.capabilities
ok(m.authenticate("PLAIN", lambda challenge: b"\0alice@example.test\0demo"))
m.logout()
m = imaplib.IMAP4("127.0.0.1", clear)
ok(m.starttls(context))
assert "STARTTLS" not in m.capabilities
ok(m.authenticate("PLAIN", lambda challenge: b"\0alice@example.test\0demo"))
assert "UIDPLUS" in m.capabilities, m.capabilities

# Mailboxes.
assert ok(m.list()) == [b'(\\HasNoChildren) "/" "INBOX"'], m.list()
ok(m.namespace())
ok(m.create("Lists/Rust"))
ok(m.create("Gr&APwA3w-e"))
assert "ALREADYEXISTS" in refused(lambda: m.create("Lists/Rust"))
assert [line.split()[-1] for line in ok(m.list('""', "Lists/%"))] == [b'"Lists/Rust"']
ok(m.subscribe("Lists/Rust"))
assert len(ok(m.lsub())) == 1
ok(m.rename("Lists/Rust", "Lists/Ferris"))
assert "NONEXISTENT" in refused(lambda: m.select("Lists/Rust"))
ok(m.unsubscribe("Lists/Rust"))
assert ok(m.lsub()) == [None]
assert "CANNOT" in refused(lambda: m.delete("INBOX"))

# APPEND, byte for byte.
texts = [
    b"Subject: one\r\nDate: Mon, 07 Feb 2022 21:52:25 -0800\r\nFrom: zed@side.test\r\nMessage-ID: <1@x>\r\n\r\nfirst\r\n",
    b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nFrom: ann@side.test\r\nMessage-ID: <2@x>\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + "Grüße, 日本語 ﾊﾝｶｸ\r\n.\r\n.. \r\n".encode(),
    b"Subject: Re: one\r\nFrom: mia@side.test\r\nIn-Reply-To: <1@x>\r\nReferences: <1@x>\r\n\r\n" + b"x" * 5000 + b"\r\nno end",
    b"no header at all",
    b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 100000,
]
date = '"07-Feb-2022 22:00:00 +0100"'
for n, text in enumerate(texts):
    data = ok(m.append("INBOX", "(\\Flagged $Work)" if n == 0 else None, date if n == 0 else None, text))
    assert b"APPENDUID" in data[0], data
assert "TRYCREATE" in refused(lambda: m.append("nowhere", None, None, texts[0]))
assert ok(m.select()) == [b"5"]
assert m.response("UIDVALIDITY")[1] != [None] and m.response("UIDNEXT")[1] == [b"6"]
for n, text in enumerate(texts):
    data = ok(m.fetch(str(n + 1), "(UID RFC822.SIZE BODY.PEEK[])"))
    assert data[0][1] == text, (n, data)
    assert b"RFC822.SIZE %d" % len(text) in data[0][0], data[0][0]
data = ok(m.fetch("1", "(FLAGS INTERNALDATE)"))[0]
assert b"\\Flagged" in data and b"$Work" in data and b"\\Seen" not in data, data
assert time.mktime(imaplib.Internaldate2tuple(data)) == 1644267600, data
data = ok(m.fetch("2", "(BODY[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<0.7>)"))
assert data[0][1] == b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\r\n" and data[1][1] == "Grüße".encode(), data
assert b"\\Seen" in ok(m.fetch("2", "(FLAGS)"))[0]
assert ok(m.fetch("1", "BODY.PEEK[TEXT]<1.3>"))[0][1] == b"irs"

# SEARCH, SORT and THREAD.
def found(*keys, charset=None):
    return ok(m.search(charset, *keys))[0].decode()

assert found("ALL") == "1 2 3 4 5"
assert found("FLAGGED") == "1" and found("KEYWORD", "$Work") == "1" and found("UNSEEN") == "1 3 4 5"
assert found("SUBJECT", "one") == "1 3" and found("OR", "FROM", "zed", "FROM", "mia") == "1 3"
assert found("LARGER", "1000") == "3 5" and found("SENTON", "7-Feb-2022") == "1" and found("NOT", "BODY", "first") == "2 3 4 5"
for charset in ["UTF-8", "ISO-2022-JP", "Shift_JIS", "EUC-JP"]:
    m.literal = "日本語".encode(charset)
    assert found("TEXT", charset=charset) == "2", charset
m.literal = "ハンカク".encode()
assert found("BODY", charset="UTF-8") == "2", "half-width kana match full-width"
m.literal = "GRÜSSE".encode()
assert found("SUBJECT", charset="UTF-8") == "2", "case does not matter"
assert "BADCHARSET" in refused(lambda: m.search("X-NONE", "ALL"))
assert ok(m.sort("(SUBJECT)", "UTF-8", "NOT", "SUBJECT", '"big"'))[0] == b"4 2 1 3", m.sort("(SUBJECT)", "UTF-8", "ALL")
assert ok(m.sort("(REVERSE SIZE)", "UTF-8", "ALL"))[0].split()[0] == b"5"
assert ok(m.sort("(FROM)", "UTF-8", "1:3"))[0] == b"2 3 1"
threads = ok(m.thread("REFERENCES", "UTF-8", "ALL"))[0]
assert b"(1 3)" in threads, threads
assert b"(1 3)" in ok(m.thread("ORDEREDSUBJECT", "UTF-8", "1,3"))[0]
assert ok(m.uid("SEARCH", "ALL"))[0] == b"1 2 3 4 5"
assert ok(m.uid("SORT", "(REVERSE ARRIVAL)", "UTF-8", "ALL"))[0].endswith(b" 1")
assert b"(1 3)" in ok(m.uid("THREAD", "REFERENCES", "UTF-8", "ALL"))[0]

# STORE, COPY, EXPUNGE.
assert b"\\Answered" in ok(m.store("2", "+FLAGS", "(\\Answered)"))[0]
assert ok(m.store("2", "-FLAGS.SILENT", "(\\Answered)")) == [None]
assert ok(m.fetch("2", "FLAGS"))[0] == b"2 (FLAGS (\\Seen \\Recent))", m.fetch("2", "FLAGS")
data = ok(m.copy("1:2", "Lists/Ferris"))
assert b"COPYUID" in data[0], data
ok(m.uid("MOVE", "4", "Lists/Ferris"))
ok(m.store("1", "+FLAGS", "\\Deleted"))
assert ok(m.expunge()) == [b"4", b"1"], "those of MOVE, and our own"
ok(m.noop())
ok(m.check())
assert found("ALL") == "1 2 3" and ok(m.uid("SEARCH", "ALL"))[0] == b"2 3 5"
assert b"MESSAGES 3" in ok(m.status("Lists/Ferris", "(MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)"))[0]
ok(m.unselect())
assert ok(m.select("Lists/Ferris", readonly=True)) == [b"3"]
assert ok(m.fetch("1", "BODY[]"))[0][1] == texts[0]
assert b"\\Seen" not in ok(m.fetch("1", "FLAGS"))[0], "EXAMINE changes nothing"
ok(m.close())
ok(m.select("Lists/Ferris"))
ok(m.store("1:*", "+FLAGS", "\\Deleted"))
ok(m.close())
assert ok(m.select("Lists/Ferris")) == [b"0"]
ok(m.unselect())
ok(m.enable("CONDSTORE"))
ok(m.delete("Lists/Ferris"))
assert [line.split()[-1] for line in ok(m.list('""', "L*"))] == [b'"Lists"'], "made with its child, and not deleted with it"
assert m.logout()[0] == "BYE"
