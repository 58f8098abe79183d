# ExpressMail as the benchmark runs it: a root of its own below target/bench, on loopback ports that are free.
#
# Sourced by benches/run. Uses: OUT, TOP (the project), USERS, PASSWORD.

BIN=$TOP/target/release
PRODUCT_ROOT=$OUT/em
PRODUCT_MAIL="$PRODUCT_ROOT/mail/example.test/%/Maildir"
PRODUCT_WHY=""                 # why it is not measured, if it is not

em() { local command=$1; shift; "$BIN/$command" --root "$PRODUCT_ROOT" "$@"; }

# The first port a service listens on.
product_port() { em emconf get "services.$1" | tr -d '[]",' | awk '{ sub(/.*:/, "", $1); print $1; exit }'; }

# The first port from here on where nobody listens.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

# A new root with all accounts. Accounts are made by emuser once for each kind and then written as lines: hashing
# thousands of passwords one after the other would take minutes. Those of the first 320 users have the default hash
# (argon2id); the others, which log in once each, a cheap one.
product_setup() {
  local users=$PRODUCT_ROOT/etc/users
  set_aside "$PRODUCT_ROOT"
  em emconf init --domain example.test --port-base 21000 --free-ports >>"$OUT/product.log" 2>&1 &&
    em emconf set smtp.connections_per_client 10000 >>"$OUT/product.log" 2>&1 &&
    em emconf set server.networks_trusted 127.0.0.0/8 >>"$OUT/product.log" 2>&1 &&
    relay_domains esmtp: > "$PRODUCT_ROOT/etc/routes" &&
    em emconf set pop3.connections_per_client 10000 >>"$OUT/product.log" 2>&1 &&
    em emconf set services.imap "[\"127.0.0.1:$(free_port 21143)\"]" >>"$OUT/product.log" 2>&1 &&
    em emconf set services.imaps "[\"127.0.0.1:$(free_port 21993)\"]" >>"$OUT/product.log" 2>&1 &&
    printf %s "$PASSWORD" | em emuser add user1@example.test --password-stdin >>"$OUT/product.log" 2>&1 &&
    em emconf set accounts.password_scheme sha512-crypt >>"$OUT/product.log" 2>&1 &&
    printf %s "$PASSWORD" | em emuser add "user$HOLD_FIRST@example.test" --password-stdin >>"$OUT/product.log" 2>&1 ||
    { PRODUCT_WHY="its root could not be set up, see $OUT/product.log"; return 1; }
  awk -v users="$USERS" -v hold="$HOLD_FIRST" '
    /^#/ { next }
    { name = $1; $1 = ""; rest[name] = $0 }
    END { for (n = 1; n <= users; n++) print "user" n "@example.test" rest["user" (n < hold ? 1 : hold) "@example.test"] }
  ' "$users" | LC_ALL=C sort > "$OUT/users.new"
  { grep '^#' "$users"; cat "$OUT/users.new"; } > "$OUT/users.all" && cat "$OUT/users.all" > "$users"
}

# Starts everything and sets TARGET_PID to the supervisor.
product_start() {
  em emd start >>"$OUT/product.log" 2>&1 || { PRODUCT_WHY="it did not start, see $OUT/product.log"; return 1; }
  TARGET_PID=$(cat "$PRODUCT_ROOT/spool/run/emd.pid")
  SMTP_PORT=$(product_port smtp); POP3_PORT=$(product_port pop3)
  IMAP_PORT=$(product_port imap); IMAPS_PORT=$(product_port imaps)
}

product_stop() { [ -x "$BIN/emd" ] && [ -d "$PRODUCT_ROOT" ] && em emd stop >>"$OUT/product.log" 2>&1; }
