# The parts `accounts`, `sieve` and `rules`: what the accounts and the addresses of a large site cost. ExpressMail alone; nobody else has
# such a command.
#
# Sourced by benches/run. Uses: OUT, TOP, BIN, RAW, ROWS, CARGO. The imports have a root of their own below target/bench.

# Clear passwords: so many say what all rows cost, where each costs the same.
CLEAR_ROWS=400

# Puts the figures that an example prints into the raw file.
example_figures() { # part case example
  local figures
  figures=$("$TOP/target/release/examples/$3" 2>>"$OUT/product.log" | sed -n 's/^figures //p')
  [ -n "$figures" ] || { echo "bench: $3 gave no figures" >&2; return 1; }
  echo "$1 product $2 $figures" >> "$RAW"
}
build_example() { # example
  "$CARGO" build -q --release --example "$1" --manifest-path "$TOP/Cargo.toml" || { echo "bench: $1 does not build" >&2; return 1; }
}

# Seconds that a command takes, which must succeed.
seconds_of() {
  local start
  start=$(date +%s%N)
  "$@" >>"$OUT/product.log" 2>&1 || { echo "bench: $* failed, see $OUT/product.log" >&2; return 1; }
  awk -v ns="$(($(date +%s%N) - start))" 'BEGIN { printf "%.3f", ns / 1e9 }'
}
import_seconds() { seconds_of "$BIN/emuser" --root "$OUT/sheets/em" import "$@"; }

part_accounts() { # round
  local dir=$OUT/sheets hashed again clear fast scale
  [ "$PRODUCT" = 1 ] || return 0
  build_example accounts-speed && example_figures accounts speed accounts-speed || return 1
  rm -rf "$dir"; mkdir -p "$dir"
  "$BIN/emconf" --root "$dir/em" init --domain example.test --port-base 22000 --free-ports >>"$OUT/product.log" 2>&1 || return 1
  # A hash that was made elsewhere, as other systems export them; and passwords in clear.
  awk -v rows="$ROWS" 'BEGIN { print "address,name,quota,password_hash"
    hash = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
    for (i = 0; i < rows; i++) printf "user%06d,User %d,1G,%s\n", i, i, hash }' > "$dir/hashed.csv"
  for kind in argon fast; do
    awk -v rows="$CLEAR_ROWS" -v kind="$kind" 'BEGIN { print "address,password"
      for (i = 0; i < rows; i++) printf "%s%06d,correct horse %d\n", kind, i, i }' > "$dir/$kind.csv"
  done
  hashed=$(import_seconds "$dir/hashed.csv") && again=$(import_seconds "$dir/hashed.csv") &&
    clear=$(import_seconds "$dir/argon.csv") && fast=$(import_seconds --scheme sha512-crypt "$dir/fast.csv") || return 1
  # Each rewrites the file of all accounts once, however many rows it has: the second run over the hashes has that and the reading.
  scale=$(awk -v rows="$ROWS" -v clear="$CLEAR_ROWS" 'BEGIN { print rows / clear }')
  awk -v h="$hashed" -v a="$again" -v c="$clear" -v f="$fast" -v s="$scale" 'BEGIN {
    print "accounts product import hashed_s=" h " again_s=" a " argon2id_s=" c * s " sha512_crypt_s=" f * s }' >> "$RAW"
}

part_sieve() { # round
  [ "$PRODUCT" = 1 ] || return 0
  build_example sieve-speed && example_figures sieve script sieve-speed
}

part_rules() { # round
  [ "$PRODUCT" = 1 ] || return 0
  build_example rules-speed && example_figures rules built-in rules-speed
}
