#!/bin/sh
# Installs what the tests and benches call besides Node: the reference TLS clients, and the modules and tools of tokens.
# On Debian as root it installs what is missing and says so; elsewhere it prints the list and goes on (tests that need a
# missing one are skipped by name).
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need curl curl
need openssl openssl
need gnutls-cli gnutls-bin
need chromium chromium
need testssl testssl.sh
need softhsm2-util softhsm2
need pkcs11-tool opensc
need swtpm swtpm
ls /usr/lib/*/pkcs11/libtpm2_pkcs11.so >/dev/null 2>&1 || missing="$missing libtpm2-pkcs11-1"
[ -z "$missing" ] && exit 0

if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "Installing Debian packages the tests use:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y --no-install-recommends $missing >/dev/null 2>&1 ||
    { apt-get update >/dev/null && apt-get install -y --no-install-recommends $missing >/dev/null; }
else
  echo "The tests also use these packages, which are not installed:$missing"
  echo "Going on without them; what needs them is skipped by name."
fi
