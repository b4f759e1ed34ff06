"""Group UPD: apt with its keys and lists, RAUC with two slots, a parts list, and a release that is supported."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from hardened.shape import Break
from probe_builders import Files

_KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nmQINBFdnQnIBEAD4\n-----END PGP PUBLIC KEY BLOCK-----\n"
_RING = b"the maker's certificate\n"
_SOURCES = "deb [signed-by=/etc/apt/keyrings/ours.asc] https://feed.example stable main\n"
_SLOT = "[slot.rootfs.{0}]\ndevice=/dev/mmcblk0p{0}\nbootname={0}\n"
_RAUC = (
    "[system]\ncompatible=test\nbootloader=uboot\nmin-bundle-version=2.0\n[keyring]\npath=keyring.pem\n"
    + _SLOT.format(1)
)
_STATUS = (
    "Package: function\nStatus: install ok installed\nVersion: 1:2.0-1\n\n"
    "Package: libfunction1\nStatus: install ok installed\nVersion: 1.4\n\n"
    "Package: gone\nStatus: deinstall ok config-files\nVersion: 0.9\n"
)
_LIST = "/var/lib/apt/lists/feed.example_security_{}"
_RELEASE = 'ID=debian\nVERSION_ID="12"\nSUPPORT_END={}\n'
_PERIODIC = 'APT::Periodic::Update-Package-Lists "1";\n'


def _parts(version: str) -> bytes:
    """A list that also knows what is not installed, which is no fault."""
    names = (("function", "2.0-1"), ("libfunction1", version), ("gdbserver", "13.1-3"))
    return msgspec.json.encode(
        {"bomFormat": "CycloneDX", "components": [{"name": name, "version": number} for name, number in names]}
    )


GOOD: Files = {
    "/etc/os-release": _RELEASE.format("2030-12-31"),
    "/etc/apt/sources.list": _SOURCES,
    "/etc/apt/keyrings/ours.asc": _KEY,
    "/etc/apt/apt.conf.d/20auto-upgrades": _PERIODIC + 'APT::Periodic::Unattended-Upgrade "1";\n',
    "/etc/rauc/system.conf": _RAUC + _SLOT.format(2),
    "/etc/rauc/keyring.pem": _RING,
    "/var/lib/dpkg/status": _STATUS,
    _LIST.format("InRelease"): "Origin: test\nDate: Fri, 20 Nov 2026 08:00:00 UTC\n",
    _LIST.format("main_binary-armhf_Packages"): "Package: libfunction1\nVersion: 1.4\n",
    "/usr/share/sbom/image.cdx.json": _parts("1.4"),
}
PLAN: dict[str, tuple[Any, ...]] = {
    "feed_keys": tuple(hashlib.sha256(key).hexdigest() for key in (_KEY, _RING)),
}
FACTS: dict[str, Any] = {
    "update_signed": True,
    "update_verified": True,
    "update_monotonic": True,
    "update_fallback": True,
    "update_source_encrypted": True,
    "update_key": "sha256:" + hashlib.sha256(_KEY).hexdigest(),
    "support_end": "2030-12-31",
    "sbom": "sha256:" + "cd" * 32,
    "kev_free": "2026-11-02",
    "update_guarded": True,
    "release_supported": True,
}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()


def _apt(setting: str) -> Break:
    return Break(files={"/etc/apt/apt.conf.d/90bench": f"{setting}\n"})


BREAKS: dict[str, Break] = {
    "UPD-01": Break(files={"/etc/opkg.conf": "src/gz ours https://feed.example/packages\n# a comment\ndest root /\n"}),
    "UPD-02": _apt('APT { Get { AllowUnauthenticated "true"; }; };'),
    "UPD-03": _apt('Acquire::Check-Valid-Until "false";'),
    "UPD-04": Break(files={"/etc/rauc/system.conf": _RAUC}),
    "UPD-05": Break(files={"/etc/apt/sources.list": _SOURCES.replace("https", "http")}),
    "UPD-06": Break(files={"/etc/apt/trusted.gpg.d/bench.asc": "a key of somebody else\n"}),
    "UPD-07": Break(files={"/etc/os-release": 'ID=debian\nVERSION_ID="12"\n'}),
    "UPD-08": Break(files={"/usr/share/sbom/image.cdx.json": _parts("1.3")}),
    "UPD-09": Break(facts={"kev_free": "2026-02-01"}),
    "UPD-10": _apt('Unattended-Upgrade::OnlyOnACPower "false";'),
    "UPD-11": Break(files={"/etc/apt/apt.conf.d/20auto-upgrades": _PERIODIC}),
    "UPD-12": Break(files={"/etc/os-release": _RELEASE.format("2024-01-31")}),
}
