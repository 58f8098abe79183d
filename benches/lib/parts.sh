# The measurements. Each part appends lines `part target case name=value ...` to $RAW, one a round.
#
# Sourced by benches/run, which has started what the part needs. A target that is not there is left out:
# PRODUCT and PEERS are 1 or 0. In each round both sides are measured close together, and rounds take turns in who
# is first, so that a change of the machine's mood meets both.

# measure PART TARGET CASE COMMAND...: runs the generator and keeps its line.
measure() {
  local part=$1 target=$2 case=$3 figures; shift 3
  if figures=$("$MAILBENCH" "$@"); then
    echo "$part $target $case $figures" >> "$RAW"
    printf '  %-7s %-8s %-9s %s\n' "$part" "$target" "$case" "$figures"
  else
    printf '  %-7s %-8s %-9s failed\n' "$part" "$target" "$case"
  fi
}

# both ROUND FUNCTION ARGUMENTS...: calls FUNCTION_product and FUNCTION_peer, odd rounds the product first.
both() {
  local round=$1 name=$2; shift 2
  if [ $((round % 2)) = 1 ]; then
    [ "$PRODUCT" = 0 ] || "${name}_product" "$@"; [ "$PEERS" = 0 ] || "${name}_peer" "$@"
  else
    [ "$PEERS" = 0 ] || "${name}_peer" "$@"; [ "$PRODUCT" = 0 ] || "${name}_product" "$@"
  fi
}

# What is in the way is moved, and deleted when all is measured.
set_aside() { # path
  [ ! -e "$1" ] || mv "$1" "$(mktemp -d "$OUT/aside.XXXXXX")/"
}

# Gives the users empty `new` folders and lets the disk come to rest. The old ones are moved aside, not deleted: ext4 looks at each
# inode that was deleted in the last minutes before it gives out a new one, and would slow down whoever is measured next, the more so
# the more messages were delivered before.
tidy() { # pattern of the Maildirs
  local n new aside
  aside=$(mktemp -d "$OUT/aside.XXXXXX")
  for ((n = 1; n <= SMTP_USERS; n++)); do
    new=${1/\%/user$n}/new
    [ -d "$new" ] && mv "$new" "$aside/$n" && mkdir -m 700 "$new" && chown --reference="$aside/$n" "$new"
  done
  sync -f "$OUT"; sleep 0.3
}

smtp_load() { # target pattern port pid connections
  tidy "$2"
  measure smtp "$1" "$5" smtp --maildirs "$2" --port "$3" --tree "$4" --connections "$5" --seconds "$SECONDS_EACH" --size 10240
}
smtp_product() { smtp_load product "$PRODUCT_MAIL" "$SMTP_PORT" "$PRODUCT_PID" "$1"; }
smtp_peer() { smtp_load peer "$PEER_MAIL" "$POSTFIX_PORT" "$POSTFIX_PID" "$1"; }

part_smtp() {
  local connections
  for connections in 1 10 50; do
    both "$1" smtp "$connections"
    [ "$connections" = 1 ] && continue
    sync -f "$OUT"
    measure disk machine "$connections" disk --dir "$OUT" --threads "$connections" --seconds "$SECONDS_EACH" --size 10240
  done
}

# Messages for other hosts: each domain has an address of its own, where the generator's sink listens.
relay_load() { # target port pid domains
  sync -f "$OUT"; sleep 0.3
  measure relay "$1" "$4" relay --port "$2" --tree "$3" --domains "$4" --sink "$SINK_PORT" --connections 20 \
    --seconds "$SECONDS_EACH" --size 10240
}
relay_product() { relay_load product "$SMTP_PORT" "$PRODUCT_PID" "$1"; }
relay_peer() { relay_load peer "$POSTFIX_PORT" "$POSTFIX_PID" "$1"; }
part_relay() { both "$1" relay 1; both "$1" relay 50; }

# A queue of many messages, of which half, or none, wait for a host that can't be reached; a root of its own, once a run.
queue_load() { # case percent
  local root=$OUT/queue em=$BIN/emqueue
  rm -rf "$root"
  "$BIN/emconf" --root "$root" init --domain example.test --port-base 27000 --free-ports >>"$OUT/product.log" 2>&1 || return 1
  { relay_domains esmtp:; echo "d0.relay.test esmtp:[127.0.2.1]:1"; } > "$root/etc/routes"
  "$MAILBENCH" seedqueue --spool "$root/spool" --messages "$QUEUED" --domains 50 --dead "$2" >/dev/null && sync -f "$root"
  measure queue product "$1" queue --sink "$SINK_PORT" --seconds "$QUEUE_SECONDS" \
    --list "$em --root $root list" -- "$em" --root "$root" daemon
  rm -rf "$root"
}
part_queue() { [ "$PRODUCT" = 0 ] || [ "$1" -gt 1 ] || { queue_load dead 50; queue_load live 0; }; }

fanout_load() { # target pattern port pid
  tidy "$2"
  measure fanout "$1" 200 fanout --maildirs "$2" --port "$3" --tree "$4" --recipients "$SMTP_USERS" --repeat 15 --size 10240
}
fanout_product() { fanout_load product "$PRODUCT_MAIL" "$SMTP_PORT" "$PRODUCT_PID"; }
fanout_peer() { fanout_load peer "$PEER_MAIL" "$POSTFIX_PORT" "$POSTFIX_PID"; }
part_fanout() { both "$1" fanout; }

pop3_load() { # target port pid case
  local retrieve=0; [ "$4" = retr ] && retrieve=1
  measure pop3 "$1" "$4" pop3 --port "$2" --tree "$3" --connections 10 --first "$POP3_FIRST" --users "$POP3_USERS" \
    --seconds "$SECONDS_EACH" --retrieve "$retrieve" --password "$PASSWORD"
}
pop3_product() { pop3_load product "$POP3_PORT" "$PRODUCT_PID" "$1"; }
pop3_peer() { pop3_load peer "$DOVECOT_PORT" "$DOVECOT_PID" "$1"; }
part_pop3() { both "$1" pop3 login; both "$1" pop3 retr; }

hold_load() { # target port pid sessions
  measure hold "$1" held hold --port "$2" --tree "$3" --connections "$4" --first "$HOLD_FIRST" --password "$PASSWORD"
}
# Fresh processes, so that earlier parts leave nothing in the weight.
hold_product() {
  product_stop; product_start && PRODUCT_PID=$TARGET_PID && hold_load product "$POP3_PORT" "$PRODUCT_PID" "$HOLD_SESSIONS"
}
# One process a session: a few hundred tell as much as thousands.
hold_peer() { hold_load peer "$DOVECOT_PORT" "$DOVECOT_PID" 300; }
part_hold() { both "$1" hold; }

send_product() {
  measure send product 2KiB start --runs 200 --pause-ms 2 --size 2048 --to user1@example.test --floor /bin/true -- \
    "$BIN/emsend" --root "$PRODUCT_ROOT" -t -i
}
send_peer() {
  measure send peer 2KiB start --runs 200 --pause-ms 2 --size 2048 --to user1@example.test \
    --floor "$CHROOT $PEER_ROOT /bin/true" -- "$CHROOT" "$PEER_ROOT" /usr/sbin/sendmail -t -i
}
part_send() { both "$1" send; }

part_start() {
  local command name
  [ "$PRODUCT" = 1 ] || return 0
  for command in "$BIN"/em*; do
    name=${command##*/}
    [ -x "$command" ] && [ "$name" = "${name%.*}" ] || continue
    measure start product "$name" start --runs 60 --floor /bin/true -- "$command" --version
  done
  measure start product delivery start --runs 100 --pause-ms 2 --size 10240 -- \
    "$BIN/emlocal" --root "$PRODUCT_ROOT" -f sender@client.example.test -d user1@example.test
}

# Deletes what a server knows of the mailboxes, so that it must look at the messages again.
forget() { # pattern
  local n
  for ((n = MIX_FIRST; n < MIX_FIRST + MIX_USERS; n++)); do
    rm -f "${1/\%/user$n}"/em-* "${1/\%/user$n}"/dovecot*
  done
}
imap_load() { # target pattern port pid case
  local connections=$5 cold=0
  [ "$5" = cold ] && { connections=10 cold=1; forget "$2"; }
  measure imap "$1" "$5" imap --port "$3" --tree "$4" --connections "$connections" --first "$MIX_FIRST" --users "$MIX_USERS" \
    --seconds "$SECONDS_EACH" --password "$PASSWORD" --cold "$cold"
}
imap_product() { imap_load product "$PRODUCT_MAIL" "$IMAP_PORT" "$PRODUCT_PID" "$1"; }
imap_peer() { imap_load peer "$PEER_MAIL" "$DOVECOT_IMAP_PORT" "$DOVECOT_PID" "$1"; }
part_imap() {
  local case
  for case in cold 1 10 50; do both "$1" imap "$case"; done
}

mailbox_load() { # target port pid round
  measure mailbox "$1" all mailbox --port "$2" --tree "$3" --first $((LARGE_FIRST + $4 - 1)) --password "$PASSWORD"
}
mailbox_product() { mailbox_load product "$IMAP_PORT" "$PRODUCT_PID" "$1"; }
mailbox_peer() { mailbox_load peer "$DOVECOT_IMAP_PORT" "$DOVECOT_PID" "$1"; }
# Cold means that no index is there; the messages themselves are in memory, for both.
part_mailbox() {
  find "$OUT/letters" -type f -exec cat {} + > /dev/null
  both "$1" mailbox "$1"
}

idle_load() { # target case port pid sessions more...
  local target=$1 case=$2 port=$3 pid=$4 sessions=$5; shift 5
  measure imapidle "$target" "$case" idle --port "$port" --tree "$pid" --connections "$sessions" --first "$HOLD_FIRST" \
    --password "$PASSWORD" "$@"
}
# Fresh processes, so that earlier parts leave nothing in the weight.
imapidle_product() {
  product_stop; product_start && PRODUCT_PID=$TARGET_PID &&
    idle_load product plain "$IMAP_PORT" "$PRODUCT_PID" "$IDLE_SESSIONS" --maildirs "$PRODUCT_MAIL"
  command -v python3 >/dev/null || { echo "bench: no python3: idling with TLS is not measured"; return; }
  product_stop; product_start && PRODUCT_PID=$TARGET_PID &&
    idle_load product tls "$IMAP_PORT" "$PRODUCT_PID" "$IDLE_SESSIONS" -- \
      python3 "$HERE/lib/idle_tls.py" "$IMAPS_PORT" "$IDLE_SESSIONS" "$HOLD_FIRST" "$PASSWORD"
}
# One process a session, and one inotify instance for each, of which a user may have 128.
imapidle_peer() {
  idle_load peer plain "$DOVECOT_IMAP_PORT" "$DOVECOT_PID" 100 --maildirs "$PEER_MAIL"
}
part_imapidle() { both "$1" imapidle; }
