# A client certificate with Python's own libraries. Arguments: the folder of the certificates, ports of imaps, pop3s and submission.
import imaplib, poplib, smtplib, ssl, sys

folder = sys.argv[1]
imaps, pop3s, submission = map(int, sys.argv[2:])
context = ssl._create_unverified_context()
context.load_cert_chain(folder + "/alice.pem", folder + "/alice.key")

m = imaplib.IMAP4_SSL("127.0.0.1", imaps, ssl_context=context)
assert "AUTH=EXTERNAL" in m.capabilities, m.capabilities
assert m.authenticate("EXTERNAL", lambda challenge: b"")[0] == "OK"
assert m.select()[0] == "OK"
m.logout()

p = poplib.POP3_SSL("127.0.0.1", pop3s, context=context)
assert "EXTERNAL" in p.capa()["SASL"], p.capa()
assert p._shortcmd("AUTH EXTERNAL =").startswith(b"+OK")
assert p.stat() == (0, 0)
p.quit()

s = smtplib.SMTP("127.0.0.1", submission)
s.starttls(context=context)
s.ehlo()
assert "EXTERNAL" in s.esmtp_features["auth"], s.esmtp_features
code, text = s.auth("EXTERNAL", lambda challenge=None: "alice@example.test")[:2]
assert code == 235, text
s.sendmail("alice@example.test", ["bob@example.test"], "Subject: certified\r\n\r\nhello\r\n")
s.quit()
print("imap pop3 smtp")
