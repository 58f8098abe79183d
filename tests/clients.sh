#!/bin/bash
# Installs the mail clients that the tests drive, as root on Debian; elsewhere names what the tests will skip.
# xinetd conflicts with openbsd-inetd as a package, and sendmail, Exim, Postfix and OpenSMTPD with any mail server, and OpenLDAP's server would be set up, so they are unpacked below target/ instead; Exim and Postfix want their users. IMAPClient and imapflow come from the
# registries of their languages, for whichever python3 and node are first on the path, and stay below target/ too.
set -u
cd "$(dirname "$0")/.."

commands="swaks:swaks curl:curl msmtp:msmtp s-nail:s-nail mutt:mutt neomutt:neomutt fetchmail:fetchmail getmail:getmail6 mpop:mpop
python3:python3 php:php-cli git:git inetd:openbsd-inetd mandoc:mandoc strace:strace openssl:openssl
sieve-connect:sieve-connect mbsync:isync offlineimap:offlineimap3 nsd:nsd ldns-signzone:ldnsutils postgrey:postgrey
dovecot:dovecot-imapd mlmmj-make-ml:mlmmj soffice:libreoffice-calc"

missing() {
  for pair in $commands; do
    command -v "${pair%%:*}" >/dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || echo "${pair##*:}"
  done
  [ -e /usr/lib/git-core/git-send-email ] || echo git-email
  /usr/bin/python3 -c "import sievelib" 2>/dev/null || echo python3-sievelib
  [ -e /usr/share/php/Net/Sieve.php ] || echo php-net-sieve
  /usr/bin/python3 -c "import dkim" 2>/dev/null || echo python3-dkim
  [ -x /usr/lib/dovecot/lmtp ] || echo dovecot-lmtpd
  perl -MMail::Address -e1 2>/dev/null || echo libmailtools-perl
  perl -MNet::SSLeay -MAuthen::SASL -e1 2>/dev/null || echo "libnet-ssleay-perl libio-socket-ssl-perl libauthen-sasl-perl libdigest-hmac-perl"
}

xinetd=target/clients/xinetd
sendmail=target/clients/sendmail
exim=target/clients/exim
postfix=target/clients/postfix
opensmtpd=target/clients/opensmtpd
openldap=target/clients/openldap
want=$(missing | sort -u | tr '\n' ' ')
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  if [ -n "$want" ]; then
    echo "clients: installing $want"
    # A package's daemon must not start on the machine that only runs tests.
    made_policy=
    if [ ! -e /usr/sbin/policy-rc.d ]; then
      printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && made_policy=1
    fi
    apt-get update -q >/dev/null 2>&1
    for package in $want; do
      # It wants a mail system on the machine; the smallest one will do.
      [ "$package" != mlmmj ] || [ -x /usr/sbin/sendmail ] || package="msmtp-mta mlmmj"
      # shellcheck disable=SC2086
      apt-get install -y -q --no-install-recommends $package >/dev/null 2>&1 || echo "clients: $package could not be installed"
    done
    [ -n "$made_policy" ] && rm -f /usr/sbin/policy-rc.d
  fi
  if [ ! -x $xinetd/usr/sbin/xinetd ] && ! command -v xinetd >/dev/null; then
    mkdir -p $xinetd
    (cd $xinetd && apt-get download -q xinetd >/dev/null 2>&1 && dpkg -x xinetd_*.deb . ) || echo "clients: xinetd could not be fetched"
  fi
  if [ ! -x $sendmail/usr/libexec/sendmail/sendmail ] && [ ! -x /usr/libexec/sendmail/sendmail ]; then
    mkdir -p $sendmail
    # With what they need that a small system has not: m4 for the files, libraries for the program.
    (cd $sendmail && apt-get download -q sendmail-bin sendmail-cf m4 libsigsegv2 liblockfile1 libsasl2-2 >/dev/null 2>&1 &&
      for package in *.deb; do dpkg -x "$package" . || exit 1; done) || echo "clients: sendmail could not be fetched"
  fi
  if [ ! -x $exim/usr/sbin/exim4 ] && ! [ -x /usr/sbin/exim4 ]; then
    mkdir -p $exim
    (cd $exim && apt-get download -q exim4-daemon-light >/dev/null 2>&1 && dpkg -x exim4-daemon-light_*.deb . ) || echo "clients: Exim could not be fetched"
    getent passwd Debian-exim >/dev/null || useradd --system --no-create-home --shell /usr/sbin/nologin Debian-exim
  fi
  if [ ! -x $postfix/usr/lib/postfix/sbin/master ] && ! [ -x /usr/lib/postfix/sbin/master ]; then
    mkdir -p $postfix
    (cd $postfix && apt-get download -q postfix >/dev/null 2>&1 && dpkg -x postfix_*.deb . ) || echo "clients: Postfix could not be fetched"
    getent passwd postfix >/dev/null || useradd --system --no-create-home --shell /usr/sbin/nologin postfix
    getent group postdrop >/dev/null || groupadd --system postdrop
  fi
  if [ ! -x $opensmtpd/usr/sbin/smtpd ]; then
    mkdir -p $opensmtpd
    # Its users exist in the test's own namespace alone.
    (cd $opensmtpd && apt-get download -q opensmtpd >/dev/null 2>&1 && dpkg -x opensmtpd_*.deb . ) || echo "clients: OpenSMTPD could not be fetched"
  fi
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ ! -x $openldap/usr/sbin/slapd ] && [ ! -x /usr/sbin/slapd ]; then
  mkdir -p $openldap
  # With the libraries of that package alone.
  (cd $openldap && apt-get download -q slapd $(apt-cache depends slapd | awk '/Depends: lib(ldap|ltdl|odbc|sasl2|wrap)/{print $2}') >/dev/null 2>&1 &&
    for package in *.deb; do dpkg -x "$package" . || exit 1; done) || echo "clients: OpenLDAP's slapd could not be fetched"
fi
python=target/clients/python
if [ ! -d $python/imapclient ] && command -v python3 >/dev/null; then
  python3 -m pip install -q --disable-pip-version-check --target $python IMAPClient >/dev/null 2>&1
fi
[ -d $python/imapclient ] || echo "clients: missing, its test is skipped: IMAPClient (pip install --target $python IMAPClient)"
node=target/clients/node_modules
if [ ! -d $node/imapflow ] && command -v npm >/dev/null; then
  npm install --silent --no-audit --no-fund --no-save --prefix target/clients imapflow >/dev/null 2>&1
fi
[ -d $node/imapflow ] || echo "clients: missing, its test is skipped: imapflow (npm install --prefix target/clients imapflow)"
want=$(missing | sort -u | tr '\n' ' ')
[ -z "$want" ] || echo "clients: missing, their tests are skipped: $want"
[ -x $xinetd/usr/sbin/xinetd ] || command -v xinetd >/dev/null || echo "clients: missing, its test is skipped: xinetd"
[ -x $sendmail/usr/libexec/sendmail/sendmail ] || [ -x /usr/libexec/sendmail/sendmail ] ||
  echo "clients: missing, its test is skipped: sendmail (sendmail-bin sendmail-cf m4, unpacked below $sendmail)"
[ -x $postfix/usr/lib/postfix/sbin/master ] || [ -x /usr/lib/postfix/sbin/master ] ||
  echo "clients: missing, its test is skipped: Postfix (postfix, unpacked below $postfix)"
[ -x $openldap/usr/sbin/slapd ] || [ -x /usr/sbin/slapd ] || echo "clients: missing, its tests are skipped: slapd (slapd, unpacked below $openldap)"
[ -x $opensmtpd/usr/sbin/smtpd ] || echo "clients: missing, its test is skipped: OpenSMTPD (opensmtpd, unpacked below $opensmtpd)"
[ -x $exim/usr/sbin/exim4 ] || [ -x /usr/sbin/exim4 ] || echo "clients: missing, its test is skipped: Exim (exim4-daemon-light, unpacked below $exim)"
exit 0
