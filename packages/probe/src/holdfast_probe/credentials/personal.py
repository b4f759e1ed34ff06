"""The hunt for traces of people in an image: what a developer, a tester or a photographer left behind."""

from __future__ import annotations

import re

from holdfast_probe.hunt import Hunt
from holdfast_probe.roots import Root
from holdfast_probe.sight import Sight, not_applicable
from holdfast_probe.walk import Opened, Walked, Wants

_NAMES = frozenset({
    "places.sqlite", "cookies.sqlite", "logins.json", "Login Data", "Cookies", "known_hosts", ".gitconfig",
    ".git-credentials", ".netrc", ".pgpass", "contacts2.db", "mmssms.db", "calllog.db", "wpa_supplicant.conf",
    "recently-used.xbel", ".lesshst", ".wget-hsts", "dhcpd.leases", "dhcp.leases",
})  # fmt: skip
_SUFFIXES = (".vcf", ".ics", ".mbox", ".kdbx", ".pst", ".eml", ".psk", ".nmconnection", ".8021x", ".ovpn", ".lease")
_PHOTOS = (".jpg", ".jpeg", ".JPG", ".JPEG", ".heic", ".HEIC")
_PLACE = re.compile(rb"\x88\x25\x00\x04|\x25\x88\x04\x00")
"""Exif's tag 0x8825 (GPS), a number of four bytes, in both byte orders."""
_NETWORK = re.compile(rb"^\s{0,16}(?:psk|password|wep_key[0-3])\s{0,4}=", re.MULTILINE)
_SKELETON = frozenset(
    {".bashrc", ".profile", ".bash_logout", ".bash_profile", ".cshrc", ".mkshrc", ".zshrc", ".hushlogin"}
)
_HOME = re.compile(r"/home/[^/]+/(.+)")
_DOCUMENTS = re.compile(r"/(?:docs?|tests?|testdata|examples?|site-packages|dist-packages)/")


class PersonalHunt(Hunt):
    """What people leave in an image."""

    wants = Wants(content=True)
    praise = "no trace of a person"

    def __init__(self, root: Root) -> None:
        super().__init__()
        self._live = root.live

    def opens(self, name: str, mode: int, size: int) -> bool:  # noqa: ARG002  (the collectors' shape)
        """Every file in an image: what lies in a home has any name."""
        return not self._live and size > 0

    def content(self, path: str, file: Opened) -> int:
        """Count it by where it lies, its name, or what a photo says."""
        home = _HOME.match(path)
        name = path.rpartition("/")[2]
        if _DOCUMENTS.search(path):
            return 0
        if home and home.group(1) not in _SKELETON and home.group(1) != ".ssh/authorized_keys":
            self.found.add(f"{path} (a file in a home)")
        elif name == "wpa_supplicant.conf":
            if _NETWORK.search(bytes(file.head)):
                self.found.add(f"{path} (a network and its password)")
        elif name in _NAMES or name.endswith(_SUFFIXES):
            self.found.add(f"{path} (a person's data, by its name)")
        elif name.endswith(_PHOTOS) and _has_place(bytes(file.head)):
            self.found.add(f"{path} (a photo that says where it was taken)")
        return 0

    def result(self, walked: Walked) -> Sight:
        """On a running system nothing is asked."""
        if self._live:
            return not_applicable("A running device may hold its owner's data; only an image must not.")
        return super().result(walked)


def _has_place(head: bytes) -> bool:
    start = head.find(b"Exif\0\0", 0, 4096)
    return start >= 0 and _PLACE.search(head, start, start + 4096) is not None
