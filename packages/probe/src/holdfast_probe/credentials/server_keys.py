"""Private keys that servers show to others: an SSH host key, the key of a web server or of a broker.

1. In an image such a key is on every device: whoever has one device, or the download, can pose as all of them.
2. On a running system it is the device's own, if it is not the one that the image brought; where nothing is left to
   compare with, nobody can say.
"""

from __future__ import annotations

import stat
from contextlib import suppress

from holdfast_core.baseline.probes.credentials import ServerKeys
from holdfast_probe.case import Case
from holdfast_probe.credentials.keys import bare_key, private_keys
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

_FACTORY = "/rom"
_MOST_FILES = 2048
_MOST_BYTES = 64 * 1024
"""A key and its chain are smaller."""
_PLACES = (
    "/etc/ssh/ssh_host_*_key",
    "/etc/dropbear/dropbear_*_host_key",
    "/etc/uhttpd.key",
    "/etc/ssl/private/*",
    "/etc/lighttpd/*",
    "/etc/lighttpd/certs/*",
    "/etc/nginx/*",
    "/etc/nginx/ssl/*",
    "/etc/nginx/certs/*",
    "/etc/apache2/ssl/*",
    "/etc/httpd/*.key",
    "/etc/mosquitto/certs/*",
    "/etc/mosquitto/*.key",
    "/etc/stunnel/*",
    "/etc/hostapd/*.key",
    "/etc/openvpn/*.key",
    "/etc/openvpn/server/*.key",
    "/etc/ipsec.d/private/*",
    "/etc/swanctl/private/*",
)


def see_server_keys(case: Case, _spec: ServerKeys) -> Sight:
    """Judge one `ServerKeys` probe."""
    keys = case.once(_keys)
    if not case.root.live:
        return judged(
            (f"{path} ({kind} key) is the same on every device" for path, kind, _ in keys), "no key of a server"
        )
    if not keys:
        return not_applicable("No server on it has a key.")
    same: list[str] = []
    known = True
    for path, kind, data in keys:
        try:
            if case.root.read(_FACTORY + path) == data:
                same.append(f"{path} ({kind} key) is the one of the image")
        except Missing:
            known = known and _has_factory(case.root)
    if same or known:
        return judged(same, f"{len(keys)} keys of servers are the device's own")
    return unknown(f"Whether {keys[0][0]} is this device's own cannot be seen: there is no {_FACTORY}.")


def _keys(root: Root) -> list[tuple[str, str, bytes]]:
    found = []
    paths = [path for pattern in _PLACES for path in root.glob(pattern)]
    if len(paths) > _MOST_FILES:
        raise Unreadable("/etc", f"more than {_MOST_FILES} files lie where servers keep keys")
    for path in paths:
        status = root.status(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            continue
        data = root.read(path)
        kinds = private_keys(data)
        kind = kinds[0] if kinds else bare_key(data)
        if kind:
            found.append((path, kind, data))
    return found


def _has_factory(root: Root) -> bool:
    with suppress(Missing):
        return bool(root.listing(f"{_FACTORY}/etc"))
    return False
