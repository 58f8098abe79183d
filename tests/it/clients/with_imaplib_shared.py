# Two accounts share a mailbox, by Python's imaplib. Argument: the port of imap.
import imaplib, ssl, sys

context = ssl._create_unverified_context()


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def no(call, code):
    try:
        answer = call()
    except imaplib.IMAP4.error as e:
        answer = ("NO", str(e))
    assert answer[0] == "NO" and code in str(answer[1]), answer


def login(user):
    m = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
    m.starttls(ssl_context=context)
    ok(m.login(user, "demo"))
    return m


alice, bob = login("alice@example.test"), login("bob@example.test")
assert "ACL" in alice.capabilities and "RIGHTS=TEXK" in alice.capabilities and "LIST-MYRIGHTS" in alice.capabilities
assert ok(alice.namespace()) == [b'(("" "/")) (("~" "/")) (("#shared/" "/")("~public/" "/"))']

ok(alice.create("work/plans"))
ok(alice.select("INBOX"))
ok(alice.copy("1", "work/plans"))
no(lambda: bob.select("~alice/work/plans"), "NONEXISTENT")
no(lambda: bob.myrights("~nobody/work/plans"), "NONEXISTENT")

ok(alice.setacl("work/plans", "bob", "lrswi"))
assert ok(alice.getacl("work/plans")) == [b'"work/plans" "alice@example.test" lrswipkxtecda "bob@example.test" lrswi']
ok(alice.xatom("LISTRIGHTS", "work/plans", "bob"))
assert alice.response("LISTRIGHTS")[1] == [b'"work/plans" "bob" "" l r s w i p k x t e c d a']
assert ok(bob.myrights("~alice/work/plans")) == [b'"~alice/work/plans" lrswi']
assert b'(\\HasNoChildren) "/" "~alice/work/plans"' in ok(bob.list()), bob.list()

assert ok(bob.select("~alice/work/plans")) == [b"1"]
assert bob.response("PERMANENTFLAGS")[1] == [b"(\\Answered \\Flagged \\Seen \\Draft \\*)"], bob.untagged_responses
assert b"Subject: plan" in ok(bob.fetch("1", "(RFC822)"))[0][1]
no(lambda: bob.store("1", "+FLAGS", "(\\Deleted)"), "NOPERM")
no(bob.expunge, "NOPERM")
no(lambda: bob.setacl("~alice/work/plans", "bob", "+a"), "NOPERM")
no(lambda: bob.delete("~alice/work/plans"), "NOPERM")
no(lambda: bob.create("~alice/work/plans/mine"), "NOPERM")
ok(bob.append("~alice/work/plans", "(\\Seen \\Deleted)", None, b"Subject: answer\r\n\r\nyes\r\n"))

# What is seen is seen for all.
assert ok(alice.status("work/plans", "(MESSAGES UNSEEN)")) == [b'"work/plans" (MESSAGES 2 UNSEEN 0)']
ok(alice.setacl("work/plans", "bob", "+d"))
ok(bob.noop())
ok(bob.store("2", "+FLAGS", "(\\Deleted)"))
assert ok(bob.expunge()) == [b"2"]
assert ok(alice.status("work/plans", "(MESSAGES)")) == [b'"work/plans" (MESSAGES 1)']

# Rights that are taken away end what was begun.
ok(alice.deleteacl("work/plans", "bob"))
try:
    bob.fetch("1", "(FLAGS)")
    sys.exit("bob still reads")
except imaplib.IMAP4.abort:
    pass
ok(alice.setacl("work/plans", "bob", "lrswite"))
alice.logout()
