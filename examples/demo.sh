#!/bin/sh
# A whole mail system in one folder, for trying out: `make demo` and `make demo-stop` call this.
#
#   demo.sh start DIR BINDIR   sets DIR up when it is new, starts it, sends two messages and waits for both
#   demo.sh stop DIR BINDIR    ends it
#
# It uses nothing but the product's own commands, and python3 or bash for the one message by SMTP.
set -eu

action=$1
demo=$2
bin=$3
PATH=$bin:$PATH
port_base=2500

fail() {
  echo "demo: $*" >&2
  exit 1
}

# deliver NAME MARK: waits until a message with this mark lies in the mailbox, and prints where.
await() {
  tries=0
  while [ $tries -lt 150 ]; do
    found=$(grep -rl "X-Demo: $2" "$demo/mail/example.test/$1/Maildir/new" "$demo/mail/example.test/$1/Maildir/cur" 2>/dev/null | head -n 1)
    if [ -n "$found" ]; then
      echo "$found"
      return 0
    fi
    tries=$((tries + 1))
    sleep 0.1
  done
  return 1
}

# smtp_send HOST PORT MARK: one message through the SMTP port, spoken by hand as any client would.
smtp_send() {
  command -v bash >/dev/null || fail "bash is needed to speak SMTP by hand"
  bash -c '
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    say() { [ -z "$1" ] || printf "%s\r\n" "$1" >&3
      while IFS= read -r -t 20 line <&3; do line=${line%$'"'\\\\r'"'}
        case $line in [2-3][0-9][0-9]\ *) return 0;; [2-3][0-9][0-9]-*) ;; *) echo "demo: SMTP said: $line" >&2; return 1;; esac
      done; return 1; }
    say "" && say "EHLO demo.example.test" && say "MAIL FROM:<alice@example.test>" && say "RCPT TO:<bob@example.test>" && say DATA || exit 1
    printf "From: Alice <alice@example.test>\r\nTo: Bob <bob@example.test>\r\nSubject: By SMTP\r\nX-Demo: %s\r\n\r\nThis message came in through the SMTP port.\r\n" "$3" >&3
    say "." && say QUIT' demo-smtp "$1" "$2" "$3"
}

case $action in
start)
  if [ ! -e "$demo/etc/em.toml" ]; then
    emconf --root "$demo" init --domain example.test --port-base $port_base --free-ports
    printf %s demo | emuser --root "$demo" add alice@example.test --name Alice --password-stdin
    printf %s demo | emuser --root "$demo" add bob@example.test --name Bob --password-stdin --apop
  fi
  emd --root "$demo" start || fail "the services did not start; see $demo/log/em.log"

  : > "$demo/ports.new"
  for service in smtp submission submissions lmtp pop3 pop3s poppass imap imaps managesieve http; do
    for address in $(emconf --root "$demo" get services.$service 2>/dev/null | tr -d '[]",'); do
      echo "$service $address" >> "$demo/ports.new"
    done
  done
  mv "$demo/ports.new" "$demo/ports"
  port() { sed -n "s/^$1 [^ ]*:\([0-9]*\)$/\1/p" "$demo/ports" | head -n 1; }

  mark=$(date +%s).$$
  printf 'From: Bob <bob@example.test>\nTo: Alice <alice@example.test>\nSubject: By shell\nX-Demo: shell.%s\n\nThis message was handed to emsend by a shell script.\n' "$mark" |
    emsend --root "$demo" -t -i || fail "emsend did not take the message"
  smtp_send 127.0.0.1 "$(port smtp)" "smtp.$mark" || fail "the SMTP port did not take the message"
  first=$(await alice "shell.$mark") || fail "the message sent by shell did not arrive; try: emqueue --root $demo list"
  second=$(await bob "smtp.$mark") || fail "the message sent by SMTP did not arrive; try: emqueue --root $demo list"

  cat <<TXT

ExpressMail runs in $demo.

Sent by shell, arrived for alice:  $first
$(sed 's/^/    /' "$first")

Sent by SMTP, arrived for bob:     $second
$(sed 's/^/    /' "$second")

Connect a mail client (user alice@example.test or bob@example.test, password demo):
$(sed 's/^\([^ ]*\) \(.*\)$/    \1 \2/' "$demo/ports" | awk '{printf "    %-12s %s\n", $1, $2}')
    The certificate is self-signed; bob may also use APOP and CRAM-MD5.
    For example:  curl -u bob@example.test:demo pop3://127.0.0.1:$(port pop3)/1
                  curl -u bob@example.test:demo imap://127.0.0.1:$(port imap)/INBOX -X 'FETCH 1:* (FLAGS ENVELOPE)'

What happened to a message:   $bin/emqueue --root $demo trace alice@example.test
Stop it:                      make demo-stop
TXT
  ;;
stop)
  [ -e "$demo/etc/em.toml" ] || fail "there is no demo in $demo"
  emd --root "$demo" stop
  ;;
*)
  fail "usage: demo.sh start|stop DIR BINDIR"
  ;;
esac
