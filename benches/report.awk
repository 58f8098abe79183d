# Turns the lines `part target case name=value ...` of a run into the table: medians, ratios, promises.
# Plain awk, as mawk and gawk have it.

{
  for (i = 4; i <= NF; i++) {
    split($i, pair, "=")
    key = $1 SUBSEP $2 SUBSEP $3 SUBSEP pair[1]
    count[key]++
    value[key, count[key]] = pair[2]
  }
  if ($1 == "start" && $3 != "delivery" && !($3 in seen)) { seen[$3] = 1; commands[++ncommands] = $3 }
}

# The median of a figure over the rounds; "" when it was not measured.
function median(part, target, name, figure,    key, n, i, j, swap, sorted) {
  key = part SUBSEP target SUBSEP name SUBSEP figure
  n = count[key]
  if (!n) return ""
  for (i = 1; i <= n; i++) sorted[i] = value[key, i] + 0
  for (i = 2; i <= n; i++)
    for (j = i; j > 1 && sorted[j] < sorted[j - 1]; j--) { swap = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = swap }
  return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function number(x) { return x == "" ? "" : x >= 100 ? sprintf("%.0f", x) : x >= 10 ? sprintf("%.1f", x) : sprintf("%.2f", x) }

# One line; `promise` is what is promised, `good` 1, 0 or "" for not judged.
function line(name, ours, theirs, ratio, promise, good,    verdict, text) {
  verdict = promise == "" ? "" : good == "" ? "not judged" : good ? "met" : "NOT MET"
  text = sprintf("%-40s %11s %11s %9s  %-16s %s", name, number(ours), number(theirs), ratio, promise, verdict)
  sub(/ +$/, "", text)
  print text
  if (promise != "" && good != "") { judged++; if (good) met++ }
}

function heading(text, peer) { printf "\n%-40s %11s %11s %9s  %s\n", text, "ExpressMail", peer, peer == "" ? "" : "ratio", "promised" }

# We are promised to be at least `factor` times the peer.
function faster(name, ours, theirs, factor) {
  if (ours == "" && theirs == "") return
  if (ours == "" || theirs == "" || theirs == 0) line(name, ours, theirs, "-", "at least " factor "x", "")
  else line(name, ours, theirs, sprintf("%.2fx", ours / theirs), "at least " factor "x", ours >= factor * theirs)
}

# We are promised to need at most 1/`part` of what the peer needs.
function cheaper(name, ours, theirs, part) {
  if (ours == "" && theirs == "") return
  if (ours == "" || theirs == "" || ours == 0) line(name, ours, theirs, "-", "at most 1/" part, "")
  else line(name, ours, theirs, sprintf("1/%.1f", theirs / ours), "at most 1/" part, ours * part <= theirs)
}

# We are promised to stay below a figure of its own.
function below(name, ours, theirs, limit, unit) {
  if (ours == "" && theirs == "") return
  line(name, ours, theirs, "", "at most " limit " " unit, ours == "" ? "" : ours <= limit)
}

# We are promised to reach a figure of its own.
function above(name, ours, limit, unit) {
  if (ours == "") return
  line(name, ours, "", "", "at least " limit unit, ours >= limit)
}

# For the reader only.
function shown(name, ours, theirs) { if (ours != "" || theirs != "") line(name, ours, theirs, "", "", "") }

function smtp(connections, factor,    at) {
  at = ", " connections (connections == 1 ? " connection" : " connections")
  faster("delivered messages/s" at, median("smtp", "product", connections, "delivered_s"), median("smtp", "peer", connections, "delivered_s"), factor)
  if (connections == 50) below("p99 ms of a transaction" at, median("smtp", "product", 50, "p99_ms"), median("smtp", "peer", 50, "p99_ms"), 100, "ms")
  else shown("p99 ms of a transaction" at, median("smtp", "product", connections, "p99_ms"), median("smtp", "peer", connections, "p99_ms"))
  cheaper("CPU ms a message" at, median("smtp", "product", connections, "cpu_ms"), median("smtp", "peer", connections, "cpu_ms"), 6)
}

function relay(domains,    at) {
  at = ", " domains (domains == 1 ? " domain" : " domains")
  faster("relayed messages/s" at, median("relay", "product", domains, "relayed_s"), median("relay", "peer", domains, "relayed_s"), 4)
  cheaper("CPU ms a message" at, median("relay", "product", domains, "cpu_ms"), median("relay", "peer", domains, "cpu_ms"), 5)
  shown("connections to the sink" at, median("relay", "product", domains, "sink_connections"), median("relay", "peer", domains, "sink_connections"))
}

function imap(case_, text, factor) {
  faster("sessions/s, " text, median("imap", "product", case_, "sessions_s"), median("imap", "peer", case_, "sessions_s"), factor)
  shown("p99 ms of a session, " text, median("imap", "product", case_, "p99_ms"), median("imap", "peer", case_, "p99_ms"))
  shown("CPU ms a session, " text, median("imap", "product", case_, "cpu_ms"), median("imap", "peer", case_, "cpu_ms"))
}

# A row of the large mailbox.
function row(text, figure, part) {
  cheaper(text, median("mailbox", "product", "all", figure), median("mailbox", "peer", "all", figure), part)
}

function measured(part,    key, words) {
  for (key in count) { split(key, words, SUBSEP); if (words[1] == part) return 1 }
  return 0
}

END {
  if (measured("smtp")) {
    heading("SMTP in, 10 KiB, to Maildirs", "Postfix")
    smtp(1, 3); smtp(10, 5); smtp(50, 6)
    heading("The same beside what the disk allows", "disk")
    faster("durable creates/s, 10 threads", median("smtp", "product", 10, "delivered_s"), median("disk", "machine", 10, "creates_s"), 0.5)
    shownratio("durable creates/s, 50 threads", median("smtp", "product", 50, "delivered_s"), median("disk", "machine", 50, "creates_s"))
  }
  if (measured("relay")) {
    heading("Relay, 10 KiB, to a sink", "Postfix")
    relay(1); relay(50)
  }
  if (measured("queue")) {
    heading("A large queue, half for a dead host", "all live")
    below("s to the first delivery", median("queue", "product", "dead", "first_s"), median("queue", "product", "live", "first_s"), 5, "s")
    below("MiB of memory (RSS)", median("queue", "product", "dead", "rss_mib"), median("queue", "product", "live", "rss_mib"), 64, "MiB")
    below("ms of the first page of a listing", median("queue", "product", "dead", "page_ms"), median("queue", "product", "live", "page_ms"), 200, "ms")
    faster("messages/s to the live hosts", median("queue", "product", "dead", "relayed_s"), median("queue", "product", "live", "relayed_s"), 0.95)
  }
  if (measured("fanout")) {
    heading("One message to 200 recipients", "Postfix")
    cheaper("ms until all have it (p50)", median("fanout", "product", 200, "p50_ms"), median("fanout", "peer", 200, "p50_ms"), 20)
    shown("CPU ms a message", median("fanout", "product", 200, "cpu_ms"), median("fanout", "peer", 200, "cpu_ms"))
  }
  if (measured("pop3")) {
    heading("POP3, 10 connections", "Dovecot")
    faster("sessions/s, login only", median("pop3", "product", "login", "sessions_s"), median("pop3", "peer", "login", "sessions_s"), 2)
    shown("p99 ms of a session", median("pop3", "product", "login", "p99_ms"), median("pop3", "peer", "login", "p99_ms"))
    shown("CPU ms a session", median("pop3", "product", "login", "cpu_ms"), median("pop3", "peer", "login", "cpu_ms"))
    faster("sessions/s, RETR of 100 messages", median("pop3", "product", "retr", "sessions_s"), median("pop3", "peer", "retr", "sessions_s"), 2)
    shown("p99 ms of a session", median("pop3", "product", "retr", "p99_ms"), median("pop3", "peer", "retr", "p99_ms"))
    shown("CPU ms a session", median("pop3", "product", "retr", "cpu_ms"), median("pop3", "peer", "retr", "cpu_ms"))
  }
  if (measured("hold")) {
    heading("POP3 sessions held, logged in", "Dovecot")
    below("KiB a session (PSS)", median("hold", "product", "held", "pss_kib"), median("hold", "peer", "held", "pss_kib"), 13, "KiB")
  }
  if (measured("send")) {
    heading("One submission of 2 KiB by shell", "Postfix")
    below("ms over starting a program (p50)", median("send", "product", "2KiB", "over_ms"), median("send", "peer", "2KiB", "over_ms"), 1.5, "ms")
    shown("ms in all (p50)", median("send", "product", "2KiB", "p50_ms"), median("send", "peer", "2KiB", "p50_ms"))
    shown("ms of the program that does nothing", median("send", "product", "2KiB", "floor_ms"), median("send", "peer", "2KiB", "floor_ms"))
  }
  if (measured("start")) {
    heading("Starting (p50 of wall time)", "")
    for (i = 1; i <= ncommands; i++) below(commands[i] " --version, ms", median("start", "product", commands[i], "p50_ms"), "", 3, "ms")
    below("emlocal delivers a message, ms", median("start", "product", "delivery", "p50_ms"), "", 3, "ms")
  }
  if (measured("imap")) {
    heading("IMAP, whole sessions of a client", "Dovecot")
    imap("cold", "10 connections, cold", 3)
    imap("1", "1 connection", 2); imap("10", "10 connections", 3); imap("50", "50 connections", 3)
  }
  if (measured("mailbox")) {
    heading("IMAP, one large mailbox, ms", "Dovecot")
    row("SELECT, no index", "select_cold_ms", 2)
    row("SELECT", "select_warm_ms", 2)
    row("UID FETCH of all flags", "flags_ms", 2)
    row("FETCH of all sizes, first", "size_first_ms", 2)
    row("FETCH of all sizes, again", "size_again_ms", 2)
    row("FETCH of all envelopes, first", "envelope_first_ms", 2)
    row("FETCH of all envelopes, again", "envelope_again_ms", 2)
    row("FETCH of 1000 structures", "structure_ms", 2)
    row("FETCH of 1000 texts", "body_ms", 2)
    row("SEARCH FROM", "from_ms", 2)
    row("SEARCH FROM, again", "from_again_ms", 2)
    row("SEARCH BODY, without full-text index", "search_body_ms", 5)
    row("SEARCH TEXT, with full-text index", "search_text_ms", 50)
    row("SEARCH TEXT, again", "search_again_ms", 50)
    row("SEARCH UNSEEN", "unseen_ms", 2)
    row("SORT by date", "sort_date_ms", 2)
    row("SORT by subject", "sort_subject_ms", 2)
    row("THREAD, first", "thread_first_ms", 2)
    row("THREAD, again", "thread_again_ms", 2)
    row("APPEND of 1000, one by one", "append_ms", 2)
    row("APPEND of 1000 at once", "multiappend_ms", 2)
    row("STORE on all", "store_flagged_ms", 2)
    row("COPY of all", "copy_ms", 4)
    row("MOVE of all", "move_ms", 4)
    row("SELECT of those moved", "select_moved_ms", 2)
    row("STORE on all, silent", "store_deleted_ms", 2)
    row("EXPUNGE of all", "expunge_ms", 2)
    shown("CPU s of all this", median("mailbox", "product", "all", "cpu_s"), median("mailbox", "peer", "all", "cpu_s"))
  }
  if (measured("imapidle")) {
    heading("IMAP sessions held, idling", "Dovecot")
    below("KiB a session (PSS)", median("imapidle", "product", "plain", "pss_kib"), median("imapidle", "peer", "plain", "pss_kib"), 13.5, "KiB")
    below("KiB a session (PSS), TLS", median("imapidle", "product", "tls", "pss_kib"), "", 25, "KiB")
    below("ms from delivery to EXISTS (p50)", median("imapidle", "product", "plain", "exists_ms"), median("imapidle", "peer", "plain", "exists_ms"), 20, "ms")
    shown("ms from delivery to EXISTS (p99)", median("imapidle", "product", "plain", "exists_p99_ms"), median("imapidle", "peer", "plain", "exists_p99_ms"))
  }
  if (measured("lists")) {
    heading("A post of 10 KiB to a list", "mlmmj")
    cheaper("s until all members here have it", median("lists", "product", "near", "all_s"), median("lists", "peer", "near", "all_s"), 20)
    shown("CPU ms of it", median("lists", "product", "near", "cpu_ms"), median("lists", "peer", "near", "cpu_ms"))
    heading("A post to members elsewhere, 50 domains", "relay")
    faster("recipients/s", median("lists", "product", "far", "recipients_s"), median("lists", "product", "rate", "relayed_s"), 1)
    heading("A list's archive, ms (slowest kind)", "")
    below("get", median("lists", "product", "archive", "get_ms"), "", 100, "ms")
    below("summary", median("lists", "product", "archive", "summary_ms"), "", 100, "ms")
    below("search", median("lists", "product", "archive", "search_ms"), "", 100, "ms")
    shown("search that reads nearly all texts", median("lists", "product", "archive", "whole_ms"), "")
  }
  if (measured("accounts")) {
    heading("Accounts", "")
    below("us of a look-up, a million, new process", median("accounts", "product", "speed", "look_up_us"), "", 1000, "us")
    shown("us of a look-up, 99 of 100", median("accounts", "product", "speed", "look_up_p99_us"), "")
    shown("logins/s with the cache, one core", median("accounts", "product", "speed", "logins_s"), "")
    shown("ms of a first login", median("accounts", "product", "speed", "first_login_ms"), "")
    shown("s of one change among a million", median("accounts", "product", "speed", "change_s"), "")
    below("s of an import with hashes", median("accounts", "product", "import", "hashed_s"), "", 60, "s")
    shown("s of the same again, nothing to change", median("accounts", "product", "import", "again_s"), "")
    shown("s with clear passwords, argon2id *", median("accounts", "product", "import", "argon2id_s"), "")
    shown("s with clear passwords, sha512-crypt *", median("accounts", "product", "import", "sha512_crypt_s"), "")
    shown("ms of argon2id, one core", median("accounts", "product", "speed", "argon2id_ms"), "")
    shown("ms of sha512-crypt, one core", median("accounts", "product", "speed", "sha512_crypt_ms"), "")
    shown("ms of SCRAM keys, one core", median("accounts", "product", "speed", "scram_ms"), "")
    print "  * measured with some hundred rows, and multiplied"
  }
  if (measured("sieve")) {
    heading("Sieve, the scripts of 1,000 accounts", "")
    below("us of a script on a message", median("sieve", "product", "script", "message_us"), "", 100, "us")
    shown("us to compile one", median("sieve", "product", "script", "compile_us"), "")
  }
  if (measured("rules")) {
    heading("Rules, em.cf and its tables, one core", "")
    above("addresses/s", median("rules", "product", "built-in", "per_s"), 100000, "/s")
  }
  wrong = ""
  for (key in count) {
    split(key, words, SUBSEP)
    if ((words[4] == "errors" || words[4] == "missing") && median(words[1], words[2], words[3], words[4]) > 0)
      wrong = wrong sprintf("  %s %s %s: %s %s\n", words[1], words[2], words[3], number(median(words[1], words[2], words[3], words[4])), words[4])
  }
  if (wrong != "") printf "\nFailed or missing (medians of a round):\n%s", wrong
  printf "\n%d of %d promises met.\n", met, judged
}

function shownratio(name, ours, theirs) {
  if (ours == "" && theirs == "") return
  line(name, ours, theirs, ours == "" || theirs == "" ? "-" : sprintf("%.2fx", ours / theirs), "", "")
}
