#!/bin/sh
# Holdfast without Python: docs/how-to/shell-client.md
set -u
umask 077
export LC_ALL=C
D=${HOLDFAST_STATE:-/var/lib/holdfast-sh} R=${HOLDFAST_ROOT-} EST=/.well-known/est KEY="openssl ecparam -name prime256v1 -genkey -noout"
die() {
	printf 'holdfast: %s\n' "$1" ${2:+"-> $2"} | tr -d '\001-\011\013-\037\177' >&2
	exit 1
}
save() {
	cat >"$D/$1.new" && sync "$D/$1.new" && mv "$D/$1.new" "$D/$1" && sync "$D" || die "$D/$1 cannot be written."
}
sha() { openssl dgst -sha256 -r | cut -c1-64; }
txt() { tr -c ' -~\n' '?' | cut -c1-300 | sed 's/[\\"]/\\&/g'; }
up() { cut -d. -f1 /proc/uptime; }
json() {
	awk 'function str(){if(!match(substr(s,i),/^"([^"\\]|\\.)*"/))exit 1;i+=RLENGTH}
function val(p, a,n,k,c){a=i;c=substr(s,i,1)
if(c=="{"||c=="["){i++;n=0;if(substr(s,i,1)~/[]}]/)i++
else do{if(c=="{"){k=i;str();k=substr(s,k+1,i-k-2);i++}else k=n++
val(p"."k);i++}while(substr(s,i-1,1)==",")}
else if(c=="\"")str()
else{if(!match(substr(s,i),/^[-+.0-9a-z]+/))exit 1;i+=RLENGTH}
print p"\t"substr(s,a,i-a)}
{s=s $0}END{i=1;val("");if(i<=length(s))exit 1}'
}
get() { awk -F'\t' -v p="$1" '$1==p{gsub(/^"|"$/,"",$2);print $2}' "${2:-flat}" | sed 's/\\n/ /g;s/\\\(["\\]\)/\1/g'; }

KEYS='seq nonce acked pin audit next level'
load() {
	for k in $KEYS; do eval "$k="; done
	orders='' seq=0 p=0
	[ ! -f "$D/state" ] || while read -r k v; do
		case " $KEYS " in *" $k "*) eval "$k=\$v" ;; *) orders="$orders$v
" ;; esac
	done <"$D/state"
	[ ! -f "$D/pending" ] || read -r p digest <"$D/pending"
	[ "$p" -gt "$seq" ] || rm -f "$D/pending"
}
store() {
	{
		for k in $KEYS; do eval "v=\$$k" && [ -z "$v" ] || echo "$k $v"; done
		printf '%s\n' "$orders" | sed -n '/./s/^/order /p'
	} | save state || exit 1
}

call() { # METHOD PATH BODY TYPE ROOT AUTH
	m=$1 path=$2 body=$3 type=$4 ca=$5 auth=${6-}
	set -- -k
	[ -z "$ca" ] || set -- --cacert "$ca"
	[ -n "$auth" ] || [ -z "$ca" ] || set -- "$@" --cert "$D/identity.pem"
	: >out
	printf '%s\n' ${auth:+"header=\"Authorization: Basic $auth\""} | ${HOLDFAST_CURL:-curl} -q -sS -m 60 --max-filesize 262144 -X "$m" \
		--data-binary "@$body" -H "Content-Type: $type" -H Expect: -o out -w '%{http_code}' "$@" -K - "$url$path" \
		>code 2>err || echo 000 >code
	code=$(cat code)
}
problem() {
	json <out >flat && [ "$(get .code)" ] && die "$(get .detail) [$(get .code)]" "$(get .remedy)"
	[ "$code" != 000 ] || die "No answer from $url: $(cat err)" "Check address and clock ($(date))."
	die "$url answered $code."
}
certs() {
	[ "$code" = 200 ] || problem
	rm -f cert.*
	tr -d '\r\n' <out | openssl base64 -d -A | openssl pkcs7 -inform DER -print_certs |
		awk -v f=cert. '/BEGIN C/{n++;on=1}on{print >(f n)}/END C/{on=0}'
}
ask() { # OPERATION ROOT AUTH: `key` certified in cert.1
	printf '[req]\ndistinguished_name=d\n[d]\n' >conf
	openssl req -new -config conf -key key -subj "/CN=$device" -out csr || die "openssl made no request."
	call POST "$EST/$1" csr application/pkcs10 "$2" "${3-}"
	certs
	openssl pkey -in key -pubout -out pub
	openssl x509 -in cert.1 -noout -pubkey | cmp -s - pub || die "The certificate is for another key."
}
renew() { # on a key kept before it is sent
	[ -s "$D/next" ] || $KEY | save next || exit 1
	cp "$D/next" key
	(ask simplereenroll "$D/root.pem" && cat key cert.1 | save identity.pem) || grep -q ^4 code && rm "$D/next"
	[ ! -f "$D/next" ] && grep -q ^2 code
}
enroll() {
	url=${1%/} device=$2 claim=${HOLDFAST_CLAIM-} root=''
	unset HOLDFAST_CLAIM
	case $url in https://*) ;; *) die "$url is no https address." ;; esac
	[ "$claim" ] || read -r claim || die "No HOLDFAST_CLAIM."
	call GET "$EST/cacerts" /dev/null text/plain ''
	certs
	for c in cert.*; do [ "sha256:$(openssl x509 -in "$c" -outform DER | sha)" != "$3" ] || root=$c; done
	[ "$root" ] || die "The authority is not the pinned one; the claim was not sent."
	mv "$root" root
	$KEY >key
	ask simpleenroll root "$(printf %s "$device:$claim" | openssl base64 -A)"
	[ "$p" -le "$seq" ] || seq=$p
	cmp -s root "$D/root.pem" || pin=''
	nonce='' acked='' orders='' audit=''
	store
	rm -f "$D/pending" "$D/plan" "$D/findings" "$D/next"
	save root.pem <root
	printf '%s\n%s\n' "$url" "$device" | save config && cat key cert.1 | save identity.pem || exit 1
	echo "$device is enrolled."
}

look() { # proofs of failure, or why 1: unknown, 2: does not apply
	e=$R/etc
	case $1 in
	ACC-0[25])
		[ -r "$e/passwd" ] && { [ ! -e "$e/shadow" ] || [ -r "$e/shadow" ]; } || { echo "Accounts cannot be read." && return 1; }
		if [ "$1" = ACC-05 ]; then awk -F: '$3~/^0+$/&&$1!="root"{print $1" has uid 0"}' "$e/passwd"; else
			cat "$e/passwd" "$e/shadow" 2>/dev/null | awk -F: 'NF==7||f[$1]=="x"{f[$1]=$2}
				END{for(n in f)if(f[n]=="")print n" has no password"}'
		fi ;;
	FS-06)
		find "$e" \( -type f -o -type d ! -perm -1000 \) -perm -2 2>/dev/null | sed "s|^$R||" | grep . && return
		echo "Only /etc was looked at." && return 1 ;;
	FS-08)
		ls -Lln "$e"/*shadow "$e"/*shadow- 2>/dev/null >ls
		[ -s ls ] || { echo "There is no shadow file." && return 2; }
		awk '$1!~/^-[r-][w-]-[r-]-----/||$3!=0{print $NF" has mode "$1" and uid "$3}' ls | sed "s|$R||" ;;
	SVC-01)
		set -- "$e"/inittab "$e"/inetd.conf "$e"/rc.local "$e"/init.d/rcS "$e"/init.d/S[0-9]* "$e"/rc*.d/S* \
			"$e"/systemd/system/*.wants/*
		ls -d "$@" 2>/dev/null | grep -q . || { echo "Nothing says what starts." && return 1; }
		grep -il '^[^#]*telnet' "$@" 2>/dev/null | sed "s|^$R||" ;;
	*) echo "this client cannot judge it" && return 1 ;;
	esac
	return 0
}
audit() {
	json <"$D/plan" | sed -n 's/^\.controls\.[0-9]*.\("[^"]*"\)$/\1/p' >ids
	{
		printf '{"type":"findings","plan":"sha256:%s","findings":[' "$(sha <"$D/plan")"
		comma=
		while read -r c; do
			i=${c#?} o=pass
			look "${i%?}" </dev/null >seen
			case $?$(head -c1 seen) in 0) ;; 0*) o=fail ;; 2*) o=not_applicable ;; *) o=unknown ;; esac
			printf '%s{"control":%s,"outcome":"%s"' "$comma" "$c" $o
			s=$(head -n8 seen | txt | sed 's/.*/"&"/' | tr '\n' ,)
			case $o in pass) ;; fail) printf ',"proof":[%s]' "${s%,}" ;; *) printf ',"reason":%s' "${s%,}" ;; esac
			echo '}' && comma=,
		done <ids
		printf ']}'
	} | tr -d '\n' | save findings || exit 1
	audit="$boot $(up)"
}
health() {
	if [ "${HOLDFAST_HEALTH-}" ]; then sh -c "$HOLDFAST_HEALTH" >/dev/null 2>&1 </dev/null; else
		h=$(get .health.port plan)
		[ "$h" ] && command -v nc >/dev/null || return 0
		timeout 3 nc 127.0.0.1 "$h" >/dev/null 2>&1 </dev/null
		[ $? != 1 ]
	fi && h=true || h=false
	printf '"health":{"body":{"ok":%s}},' $h
}
report() { reports="$reports,{\"id\":$1,\"state\":\"$2\"${3:+,\"code\":\"$3\",\"sentence\":\"$4\"}}"; }
compose() {
	boot=$(printf '%s\0%s' "$device" "$(cat /proc/sys/kernel/random/boot_id)" | sha | cut -c1-32)
	reports='' must=''
	while read -r i kind args; do
		case $kind in
		'') ;;
		plan)
			printf %s "$args" | cmp -s - "$D/plan" || { printf %s "$args" | save plan && must=1 || exit 1; }
			report "$i" 'done' ;;
		audit-now) [ ! -f "$D/plan" ] && report "$i" accepted || { must=1 && report "$i" 'done'; } ;;
		renew) renew && report "$i" 'done' ;;
		*) report "$i" refused directive.unknown "Unknown here." ;;
		esac
	done <<END
$orders
END
	: >plan
	if [ -f "$D/plan" ]; then
		json <"$D/plan" >plan
		every=$(get .heavy_interval_s plan)
		[ "${audit% *}" = "$boot" ] && [ $(($(up) - ${audit#* })) -lt "$every" ] && [ -f "$D/findings" ] || must=1
		[ -z "$must" ] || audit
	fi
	p=$((seq + 1)) digest=
	[ ! -f "$D/findings" ] || digest=sha256:$(sha <"$D/findings")
	{
		printf '%s %s\n{"v":1,"boot":"%s","seq":%s,"sections":{' $p "$digest" "$boot" $p
		[ -z "$digest" ] || printf '"baseline":{"digest":"%s",%s"age_s":%s},' "$digest" \
			"$([ "$digest" = "$acked" ] || { printf '"body":' && cat "$D/findings" && echo ,; })" $(($(up) - ${audit#* }))
		health
		b=$(. "$R/etc/os-release" 2>/dev/null && echo "$ID-${VERSION_ID-}" | txt)
		[ -z "$b" ] || printf '"release":{"body":{"build":"%s"}},' "$b"
		printf '"metrics":{"body":{"uptime-s":%s}}}' "$(up)"
		printf '%s' "${nonce:+,\"nonce\":\"$nonce\"}" "${reports:+,\"reports\":[${reports#,}]}" \
			"${pin:+,\"pin\":{\"size\":${pin% *},\"root\":\"${pin#* }\"\}}" '}'
	} | save pending || exit 1
	store
}
checkin() {
	more=1
	for _ in 1 2 3 4; do
		[ "$more" ] || break
		more=
		if [ -f "$D/pending" ]; then more=1; else compose; fi
		sed 1d "$D/pending" | tr -d '\n' >body
		call POST /v1/check-in body application/vnd.holdfast.check-in+json "$D/root.pem"
		case $code in
		408 | 425 | 429) ;;
		4*) # for good, or to renew
			! grep -Eq '"identity.(expired|issuer_e)' out || ! renew || { more=1 && continue; }
			seq=$p acked=
			store
			rm -f "$D/pending" ;;
		esac
		[ "$code" = 200 ] || problem
		json <out >flat && [ "$(get .v) $(get .seq)" = "1 $p" ] || die "That is no answer to check-in $p."
		seq=$p nonce=$(get .nonce) next=$(get .next_s) level=$(get .verdict.level) acked=$digest
		grep '^\.wants\.' flat >w && more=1
		grep -q '"baseline"$' w && acked=''
		orders=$(awk -F'\t' '$1~/^\.directives\.[0-9]+\.(id|kind|args)$/{gsub(/^"|"$/,"",$2);printf "%s%s",$2,($1~/s$/?"\n":" ")}' flat)
		[ -z "$orders" ] || more=1
		new=$(awk -F'\t' '$1==".checkpoint"{split($2,a,/\\n/);print a[2],a[3]}' flat)
		[ "${new% *}" -gt $((${pin% *} + 0)) ] 2>/dev/null && pin=$new
		store
		rm -f "$D/pending"
	done
	echo "$level; next check-in in $next s"
	get .verdict.reasons.0.sentence
}

case "${1-} $#" in 'enroll 4' | 'check-in 1' | 'status 1') ;; *)
	echo "usage: holdfast.sh enroll URL DEVICE sha256:ROOT | check-in | status" >&2
	exit 2 ;;
esac
mkdir -p "$D" && chmod 700 "$D" && T=$(mktemp -d) && cd "$T" || die "$D cannot be used."
me="$(cat /proc/sys/kernel/random/boot_id) $$"
until (set -C && echo "$me" >"$D/lock") 2>/dev/null; do
	read -r b o <"$D/lock" && [ "$b" = "${me% *}" ] && kill -0 "$o" 2>/dev/null && die "Another run is at work."
	rm -f "$D/lock" || exit
done
trap 'rm -rf "$T" "$D/lock"' EXIT
load
if [ "$1" = enroll ]; then enroll "$2" "$3" "$4" && exit; fi
[ -f "$D/identity.pem" ] && [ -f "$D/state" ] || die "This device is not enrolled."
{ read -r url && read -r device; } <"$D/config"
if [ "$1" = check-in ]; then checkin; else
	echo "$device at $url: ${level:-never answered}, check-in $seq, pin ${pin:-none}"
	[ ! -f "$D/pending" ] || echo "check-in $p is not answered yet"
fi
