# Postfix, Dovecot and mlmmj for comparison, unpacked from Debian packages into a folder and run there in a chroot.
#
# Nothing is installed on this machine: apt resolves the packages as if none were present, downloads them into
# target/bench/debs, and they are unpacked without running their install scripts. What those scripts would have
# set up (accounts, a few folders, the configuration) is made by peers_configure. Needs root, apt and a network
# (the network only the first time).
#
# Sourced by benches/run. Uses: OUT (the work folder), HERE (this folder's parent), USERS (number of mailboxes).

PEER_ROOT=$OUT/peer            # the chroot; mail lies in $PEER_ROOT/srv/mail/userN/Maildir
PEER_UID=5000
POSTFIX_PORT=${POSTFIX_PORT:-22025}
DOVECOT_PORT=${DOVECOT_PORT:-22110}
DOVECOT_IMAP_PORT=${DOVECOT_IMAP_PORT:-22143}
# The second line is what a Debian system always has, so that nothing names it as a dependency.
PEER_PACKAGES="postfix dovecot-pop3d dovecot-imapd mlmmj
  libc-bin dash coreutils sed grep findutils diffutils mawk"
PEERS_WHY=""                   # why the peers are skipped, if they are

# Unpacks and configures both peers; returns 1 with PEERS_WHY set when that can't be done here.
peers_setup() {
  [ "$(id -u)" = 0 ] || { PEERS_WHY="not root (a chroot and user ids need it)"; return 1; }
  command -v apt-get >/dev/null || { PEERS_WHY="no apt-get: the peers come from Debian packages"; return 1; }
  [ -e "$PEER_ROOT/.unpacked" ] && [ -e "$PEER_ROOT/usr/lib/dovecot/imap" ] && [ -e "$PEER_ROOT/usr/bin/mlmmj-send" ] || peers_unpack || return 1
  peers_configure || { PEERS_WHY="their configuration failed, see $OUT/peers.log"; return 1; }
}

peers_unpack() {
  local debs=$OUT/debs state=$OUT/apt top deb
  echo "bench: fetching Postfix, Dovecot and mlmmj (Debian packages, about 45 MB, once)"
  rm -rf "$PEER_ROOT" "$state"; mkdir -p "$debs/partial" "$state" "$PEER_ROOT"
  : > "$state/status"          # an empty package database: every dependency is then fetched too
  local apt=(apt-get -y -qq -o Dir::State::status="$state/status" -o Dir::Cache::archives="$debs"
    -o APT::Install-Recommends=0 -o APT::Sandbox::User=root -o Debug::NoLocking=1)
  if ! "${apt[@]}" --download-only install $PEER_PACKAGES >"$OUT/peers.log" 2>&1; then
    apt-get update -qq >>"$OUT/peers.log" 2>&1
    "${apt[@]}" --download-only install $PEER_PACKAGES >>"$OUT/peers.log" 2>&1 ||
      { PEERS_WHY="their packages could not be fetched (no network?), see $OUT/peers.log"; return 1; }
  fi
  for top in bin sbin lib lib64; do mkdir -p "$PEER_ROOT/usr/$top"; ln -s "usr/$top" "$PEER_ROOT/$top"; done
  for deb in "$debs"/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$PEER_ROOT" --keep-directory-symlink -f - ||
      { PEERS_WHY="a package could not be unpacked: $deb"; return 1; }
  done
  ln -sf dash "$PEER_ROOT/usr/bin/sh"; ln -sf mawk "$PEER_ROOT/usr/bin/awk"
  chroot "$PEER_ROOT" ldconfig && touch "$PEER_ROOT/.unpacked"
}

# Accounts, devices, folders and configuration inside the chroot. Run before each use: it is quick.
peers_configure() {
  local d=$PEER_ROOT n
  mkdir -p "$d"/{dev,etc/postfix,etc/dovecot,run,tmp,proc,var/log,var/lib/postfix,var/spool/postfix,srv/mail}
  chmod 1777 "$d/tmp"
  [ -c "$d/dev/null" ] || { mknod -m 666 "$d/dev/null" c 1 3 && mknod -m 666 "$d/dev/urandom" c 1 9; } || return 1
  cat > "$d/etc/passwd" <<-'END'
	root:x:0:0:root:/root:/bin/sh
	nobody:x:65534:65534:nobody:/:/bin/false
	postfix:x:901:901::/var/spool/postfix:/bin/false
	dovecot:x:902:902::/usr/lib/dovecot:/bin/false
	dovenull:x:903:903::/:/bin/false
	vmail:x:5000:5000::/srv/mail:/bin/false
	END
  printf '%s\n' root:x:0: nogroup:x:65534: postfix:x:901: postdrop:x:904: dovecot:x:902: dovenull:x:903: vmail:x:5000: mail:x:8: > "$d/etc/group"
  printf '127.0.0.1 localhost mx.example.test\n' > "$d/etc/hosts"
  printf 'passwd: files\ngroup: files\nhosts: files\n' > "$d/etc/nsswitch.conf"
  chgrp 904 "$d/usr/sbin/postdrop" "$d/usr/sbin/postqueue" && chmod 2755 "$d/usr/sbin/postdrop" "$d/usr/sbin/postqueue"
  chown 901:901 "$d/var/lib/postfix"

  cp "$HERE/peers/main.cf" "$d/etc/postfix/main.cf"
  # The shipped services, without their own chroots, and SMTP on our port.
  awk -v port="$POSTFIX_PORT" '/^[a-z]/ && NF >= 8 && $5 == "y" { $5 = "n" }
    $1 == "smtp" && $2 == "inet" { $1 = "127.0.0.1:" port } { print }' \
    "$d/usr/share/postfix/master.cf.dist" > "$d/etc/postfix/master.cf"
  for ((n = 1; n <= USERS; n++)); do echo "user$n@example.test user$n/Maildir/"; done > "$d/etc/postfix/mailboxes"

  { relay_domains smtp:; echo "near@example.test mlmmj:near"; } > "$d/etc/postfix/transport"
  # As mlmmj's own notes for Postfix say; the list is an address like any other until the transport table sends it there.
  echo "near@example.test near/" >> "$d/etc/postfix/mailboxes"
  printf 'mlmmj unix - n n - - pipe\n  flags=ORhu user=vmail argv=/usr/bin/mlmmj-receive -F -L /var/spool/mlmmj/$nexthop\n' >> "$d/etc/postfix/master.cf"

  sed "s/@PORT@/$DOVECOT_PORT/; s/@IMAP_PORT@/$DOVECOT_IMAP_PORT/" "$HERE/peers/dovecot.conf" > "$d/etc/dovecot/dovecot.conf"
  for ((n = 1; n <= USERS; n++)); do echo "user$n@example.test:{PLAIN}$PASSWORD:5000:5000::/srv/mail/user$n::"; done > "$d/etc/dovecot/users"
}

# Starts Postfix and sets TARGET_PID to its master process.
postfix_start() {
  chroot "$PEER_ROOT" postfix start </dev/null >>"$OUT/peers.log" 2>&1
  wait_port "$POSTFIX_PORT" || return 1
  TARGET_PID=$(tr -d ' ' < "$PEER_ROOT/var/spool/postfix/pid/master.pid")
}

postfix_stop() { peer_stop "$PEER_ROOT/var/spool/postfix/pid/master.pid"; }

# Starts Dovecot ("fast") and sets TARGET_PID to its master process.
dovecot_start() {
  chroot "$PEER_ROOT" dovecot </dev/null >>"$OUT/peers.log" 2>&1
  wait_port "$DOVECOT_PORT" || return 1
  # It listens before it says its number.
  local i pid=$PEER_ROOT/run/dovecot/master.pid
  for ((i = 0; i < 100; i++)); do [ -s "$pid" ] && break; sleep 0.1; done
  TARGET_PID=$(cat "$pid")
}

dovecot_stop() { peer_stop "$PEER_ROOT/run/dovecot/master.pid"; }

# Ends the master process named in a pid file, which ends its children, and waits for both.
peer_stop() { # pid-file
  local pid i
  pid=$(tr -d ' ' < "$1" 2>/dev/null) && [ -n "$pid" ] && [ "$(readlink "/proc/$pid/root")" = "$PEER_ROOT" ] || return 0
  kill "$pid"
  for ((i = 0; i < 100; i++)); do [ -d "/proc/$pid" ] || return 0; sleep 0.1; done
  echo "bench: process $pid does not end" >&2
}
