"""Whether anything that a device stores is encrypted: what runs, or what is set up to run."""

from __future__ import annotations

import re

from holdfast_core.baseline.probes.credentials import AtRest
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.sight import Sight, failed, passed

_VOLUMES = "/sys/block/dm-*/dm/uuid"
_FSCRYPT = "/etc/fscrypt.conf"
_MAPPED = re.compile(r"/dev/mapper/\S+\s+(/\S*)\s")
_WEAK = re.compile(r"\b(?:plain|cipher=null|cipher_null)\b")


def see_at_rest(case: Case, _spec: AtRest) -> Sight:
    """Judge one `AtRest` probe."""
    root = case.root
    if root.live:
        for path in root.glob(_VOLUMES):
            if root.read(path).startswith(b"CRYPT-"):
                return passed(f"{path} is an encrypted volume")
    entries = _lines(root, "/etc/crypttab")
    if opened := [line.split()[0] for line in entries if not _WEAK.search(line)]:
        mounted = [match.group(1) for line in _lines(root, "/etc/fstab") if (match := _MAPPED.match(line))]
        return passed(f"crypttab opens {', '.join(opened[:4])}", *(f"{path} is on one" for path in mounted[:4]))
    if root.glob(_FSCRYPT):
        return passed(f"{_FSCRYPT} sets up encrypted directories")
    return failed(["no storage is encrypted: neither crypttab nor fscrypt sets anything up"])


def _lines(root: Root, path: str) -> list[str]:
    lines = root.read(path).decode("utf-8", "replace").split("\n") if root.glob(path) else []
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
