"""Group DAT: data on an encrypted partition, a reset that was tested, and nothing of anybody in the image."""

from __future__ import annotations

from typing import Any

from hardened.shape import Break
from probe_builders import Files

GOOD: Files = {
    "etc/crypttab": "# what holds data\ndata /dev/mmcblk0p4 none luks\n",
    "usr/sbin/factory-reset": ("#!/bin/sh\nexec /usr/bin/function --forget\n", 0o755),
    "usr/bin/upload": ("#!/bin/sh\ncurl --cacert /etc/function/peer.crt https://data.example/in\n", 0o755),
}
PLAN: dict[str, tuple[Any, ...]] = {}
FACTS: dict[str, Any] = {
    "data_encrypted": True,
    "data_inventory": True,
    "factory_reset_tested": True,
    "backup_encrypted": True,
    "telemetry_opt_out": "none",
    "peers_checked": True,
    "ownership_wiped": True,
    "config_integrity": "digest",
}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset({"DAT-04"})
BREAKS: dict[str, Break] = {
    "DAT-01": Break(gone=("etc/crypttab",), facts={"data_encrypted": False}),
    "DAT-02": Break(facts={"data_inventory": False}),
    "DAT-03": Break(gone=("usr/sbin/factory-reset",)),
    "DAT-04": Break(files={"home/operator/contacts.vcf": "BEGIN:VCARD\nFN:Somebody\nEND:VCARD\n"}),
    "DAT-05": Break(facts={"backup_encrypted": False}),
    "DAT-06": Break(files={"root/.ash_history": ("ls\n", 0o600)}),
    "DAT-07": Break(facts={"telemetry_opt_out": False}),
    "DAT-08": Break(files={"usr/bin/upload": ("#!/bin/sh\ncurl -sk https://data.example/in\n", 0o755)}),
    "DAT-09": Break(facts={"ownership_wiped": False}),
    "DAT-10": Break(facts={"config_integrity": "none"}),
}
