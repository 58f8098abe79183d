# The measurements of mailing lists, beside mlmmj with Postfix.
#
# Sourced by benches/run after lib/parts.sh. The members are MEMBERS users from HOLD_FIRST on, whose mailboxes are there already, and as many
# in the 50 domains of the relay. mlmmj is a Debian package, unpacked with Postfix (lib/peers.sh).

MLMMJ_LIST=/var/spool/mlmmj/near     # inside the chroot

# Both lists take posts from anybody, as lists of mlmmj do.
lists_setup_product() {
  local list
  for list in near far; do
    em emlist create "$list@example.test" --owner user1@example.test &&
      em emlist set "$list@example.test" posting anyone || return 1
  done >>"$OUT/product.log" 2>&1
  lists_members | em emlist members near@example.test import - >>"$OUT/product.log" 2>&1 &&
    awk -v members="$MEMBERS" 'BEGIN { for (n = 1; n <= members; n++) print "user" n "@d" n % 50 + 1 ".relay.test" }' |
    em emlist members far@example.test import - >>"$OUT/product.log" 2>&1
}
lists_members() { awk -v first="$HOLD_FIRST" -v members="$MEMBERS" 'BEGIN { for (n = 0; n < members; n++) print "user" first + n "@example.test" }'; }

# A list as mlmmj-make-ml makes it: folders, a few files, and members in a file for each first letter.
lists_setup_peer() {
  local d=$PEER_ROOT$MLMMJ_LIST folder
  rm -rf "$d"
  for folder in incoming queue queue/discarded archive text subconf unsubconf bounce control moderation subscribers.d digesters.d \
    requeue nomailsubs.d; do mkdir -p "$d/$folder"; done
  cp -r "$PEER_ROOT/usr/share/mlmmj/text.skel/en/." "$d/text/"
  echo near@example.test > "$d/control/listaddress"
  echo user1@example.test > "$d/control/owner"
  echo 127.0.0.1 > "$d/control/relayhost"
  echo "$POSTFIX_PORT" > "$d/control/smtpport"
  lists_members > "$d/subscribers.d/u"
  echo 0 > "$d/index"
  chown -R "$PEER_UID:$PEER_UID" "$d"
}

lists_load() { # target case port pid members more...
  local target=$1 case=$2 port=$3 pid=$4; shift 4
  sync -f "$OUT"; sleep 0.3
  measure lists "$target" "$case" list --port "$port" --tree "$pid" --members "$MEMBERS" --size 10240 --patience 1800 "$@"
}
lists_product() {
  lists_load product near "$SMTP_PORT" "$PRODUCT_PID" --to near@example.test --maildirs "$PRODUCT_MAIL" --first "$HOLD_FIRST"
}
lists_peer() {
  lists_load peer near "$POSTFIX_PORT" "$POSTFIX_PID" --to near@example.test --maildirs "$PEER_MAIL" --first "$HOLD_FIRST"
}

# What goes elsewhere is measured beside the relay of the same minute: the queue has to send it as fast as any mail.
lists_far() {
  lists_load product far "$SMTP_PORT" "$PRODUCT_PID" --to far@example.test --sink "$SINK_PORT"
  measure lists product rate relay --port "$SMTP_PORT" --tree "$PRODUCT_PID" --domains 50 --sink "$SINK_PORT" --connections 20 \
    --seconds "$SECONDS_EACH" --size 10240
}

# An archive of its own, once a run.
lists_archive() {
  local figures
  if figures=$(TMPDIR=$OUT "$OUT/examples/release/examples/archive-speed" "$POSTS" | tee -a "$OUT/product.log" | tail -1); then
    echo "lists product archive $figures" >> "$RAW"
    printf '  %-7s %-8s %-9s %s\n' lists product archive "$figures"
  fi
}

part_lists() {
  if [ "$1" = 1 ]; then
    [ "$PRODUCT" = 0 ] || lists_setup_product || fail "the lists could not be made, see $OUT/product.log"
    [ "$PEERS" = 0 ] || lists_setup_peer || fail "the list of mlmmj could not be made"
    [ "$PRODUCT" = 0 ] || lists_archive
  fi
  both "$1" lists
  [ "$PRODUCT" = 0 ] || lists_far
}
