#!/bin/sh
# The demo's app: lives in the delta, runs on the base's shell and tools, and needs openssl and the
# CA bundle, which neither image has.
#
#   certcheck             what the CA bundle holds, by openssl
#   certcheck sums PATH.. checksum of each file as it is seen in here
set -eu
bundle=/etc/ssl/certs/ca-certificates.crt

if [ "${1:-}" = sums ]; then
	shift
	exec cksum "$@"
fi

openssl version
printf 'certificates in %s: %s\n' "$bundle" "$(grep -c 'BEGIN CERTIFICATE' "$bundle")"
printf 'the first one: '
openssl x509 -noout -subject -nameopt RFC2253 <"$bundle"
