"""What settings files let TLS offer: protocol versions and ciphers of servers and of the libraries below them.

1. Only what a file says is judged; what a program does by itself is another version's matter.
2. The lowest version of openssl.cnf is a setting of its own, which another control asks.
3. A name that is taken away (``!RC4``, ``-SSLv3``) is not offered.

Sources: openssl ciphers(1) and config(5), GnuTLS priority strings, and the manuals of the servers named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from holdfast_core.baseline.probes.credentials import TlsOffers
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.sight import Sight, judged, not_applicable, unknown


class _Kind(StrEnum):
    PROTOCOLS = "protocols"
    """Each version named is offered; the lowest is, where it is a minimum."""
    CIPHERS = "ciphers"
    POLICY = "policy"
    """The whole line is the name of a policy."""
    SWITCH = "switch"
    """Turning it on is the fault."""


class _Rule(msgspec.Struct, frozen=True):
    paths: tuple[str, ...]
    keys: dict[str, _Kind]


_P, _C = _Kind.PROTOCOLS, _Kind.CIPHERS
_RULES = (
    _Rule(
        ("/etc/nginx/nginx.conf", "/etc/nginx/conf.d/*.conf", "/etc/nginx/sites-enabled/*", "/etc/nginx/snippets/*"),
        {"ssl_protocols": _P, "ssl_ciphers": _C, "proxy_ssl_protocols": _P, "proxy_ssl_ciphers": _C},
    ),
    _Rule(
        ("/etc/lighttpd/lighttpd.conf", "/etc/lighttpd/conf.d/*.conf", "/etc/lighttpd/conf-enabled/*"),
        {
            "minprotocol": _P,
            "protocol": _P,
            "cipherstring": _C,
            "ssl.cipher-list": _C,
            "ssl.use-sslv2": _Kind.SWITCH,
            "ssl.use-sslv3": _Kind.SWITCH,
        },
    ),
    _Rule(("/etc/mosquitto/mosquitto.conf", "/etc/mosquitto/conf.d/*.conf"), {"tls_version": _P, "ciphers": _C}),
    _Rule(
        ("/etc/stunnel/*.conf", "/etc/stunnel.conf"),
        {"sslversion": _P, "sslversionmin": _P, "ciphers": _C},
    ),
    _Rule(
        ("/etc/hostapd.conf", "/etc/hostapd/*.conf", "/etc/wpa_supplicant.conf", "/etc/wpa_supplicant/*.conf"),
        {"openssl_ciphers": _C, "tls_flags": _P, "phase1": _P},
    ),
    _Rule(
        ("/etc/ssl/openssl.cnf", "/etc/ssl/openssl.cnf.d/*", "/etc/pki/tls/openssl.cnf"),
        {"cipherstring": _C, "ciphersuites": _C},
    ),
    _Rule(("/etc/gnutls/config",), {"system": _C, "default-priority-string": _C}),
    _Rule(("/etc/crypto-policies/config", "/etc/crypto-policies/state/current"), {"": _Kind.POLICY}),
)
_PAIR = re.compile(r"\s*\"?([A-Za-z][A-Za-z0-9_.-]{0,63})\"?(?:\s*=>\s*|\s*[=:]\s*|\s+)(.*)")
_INNER = re.compile(r"\"(\w{1,64})\"\s{0,8}=>\s{0,8}\"([^\"]{0,1024})\"")
_TOKENS = re.compile(r"[^A-Za-z0-9_.@=!+*-]+")
_OLD = re.compile(
    r"(?:\+|enable-|vers-)*(?:sslv2|sslv3|tlsv?1(?:\.[01])?|ssl3\.0|tls_v1|tls1_0|tls1_1|tls_disable_tlsv1_[01]=0)"
)
_BROKEN = re.compile(
    r"rc4|(?:^|[-+_])3?des|md5|null|exp(?:ort)?(?:$|[-0-9])|^\+?(?:adh|aecdh|low|seed|idea|rc2|arcfour)|"
    r"anon|complementof|@seclevel=0"
)
_WEAK_POLICIES = ("legacy", "default:sha1", "empty")
_ON = frozenset({"enable", "on", "yes", "1", "true"})
_LINE_CHARS = 4096
_MOST_FILES = 256


def see_tls_offers(case: Case, _spec: TlsOffers) -> Sight:
    """Judge one `TlsOffers` probe."""
    said = 0
    bad: list[str] = []
    for rule in _RULES:
        paths = [path for pattern in rule.paths for path in case.root.glob(pattern)]
        if len(paths) > _MOST_FILES:
            return unknown(f"More than {_MOST_FILES} files match {rule.paths[0]} and its like.")
        for path in paths:
            for where, key, kind, value in _settings(case.root, path, rule):
                said += 1
                bad += [f"{key} offers {fault} ({where})" for fault in _faults(kind, value)]
    if not said:
        return not_applicable("No settings of TLS are in a file.")
    return judged(bad, f"{said} settings of TLS offer nothing old or broken")


def _settings(root: Root, path: str, rule: _Rule) -> Iterator[tuple[str, str, _Kind, str]]:
    for number, line in enumerate(root.read(path).decode("utf-8", "replace").split("\n"), 1):
        text = line[:_LINE_CHARS].strip()
        if not text or text.startswith(("#", ";", "//")):
            continue
        if "" in rule.keys:
            yield f"{path}:{number}", "the policy", rule.keys[""], text
            continue
        pairs = [match.groups() for match in _INNER.finditer(text)]
        if not pairs and (match := _PAIR.match(text)):
            pairs = [match.groups()]
        for key, value in pairs:
            if kind := rule.keys.get(key.lower()):
                yield f"{path}:{number}", key, kind, value


def _faults(kind: _Kind, value: str) -> list[str]:
    text = value.split(" #", 1)[0].strip().lower()
    if kind is _Kind.POLICY:
        return [text[:40]] if text.startswith(_WEAK_POLICIES) else []
    if kind is _Kind.SWITCH:
        return [text.strip("\"'; ")] if text.strip("\"'; ") in _ON else []
    tokens = [token for token in _TOKENS.split(text) if token and token[0] not in "!-"]
    if kind is _Kind.PROTOCOLS:
        return [token for token in tokens if _OLD.fullmatch(token)]
    broken = [token for token in tokens if _BROKEN.search(token)]
    if "all" in tokens and "!anull" not in text:
        broken.append("all, those without authentication too")
    return broken
