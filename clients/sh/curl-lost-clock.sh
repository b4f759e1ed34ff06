#!/bin/sh
# Stands in for curl (HOLDFAST_CURL) on a device whose clock is lost, say at 1970 after every power cut.
#
# curl has no way to judge a certificate but not its dates, and openssl has. So while the clock is behind FLOOR, openssl
# first judges the server's certificate (authority, name, signature; everything but dates), and curl then talks only to
# the holder of that very key. A clock that looks sound goes straight to curl. The device's clock is never set here:
# what the server says of the time is in its reply, for who trusts it.
FLOOR=${HOLDFAST_CLOCK_FLOOR:-1760000000} # seconds; no sound clock is before the day this was written
authority='' url='' last=''
for word in "$@"; do
	[ "$last" != --cacert ] || authority=$word
	last=$word url=$word # the client puts the address last
done
[ -n "$authority" ] && [ "$(date +%s)" -lt "$FLOOR" ] || exec curl "$@"
host=${url#https://}
host=${host%%/*} name=${host%%/*}
name=${name%:*} how=hostname
case $name in *[!0-9.]*) ;; *) how=ip ;; esac
[ "$name" != "$host" ] || host=$host:443
key=$(timeout 30 openssl s_client -connect "$host" -CAfile "$authority" -no_check_time -verify_return_error \
	"-verify_$how" "$name" </dev/null 2>/dev/null | openssl x509 -pubkey -noout 2>/dev/null |
	openssl pkey -pubin -outform DER 2>/dev/null | openssl dgst -sha256 -binary | openssl base64)
# Without a certificate that holds, the digest is that of nothing, which is no server's key: curl refuses.
exec curl "$@" -k --pinnedpubkey "sha256//$key"
