"""Trees for the probe's tests: files from a table, and the shortest way to ask one control."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from holdfast_core.baseline.model import Finding, Plan
from holdfast_core.baseline.probes import ProbeSpec
from holdfast_core.inventory.model import DeviceClass, HealthProbe
from holdfast_core.kernel.digests import digest_of
from holdfast_probe.audit import audit
from holdfast_probe.roots import FolderRoot, Root

Files = dict[str, str | bytes | tuple[str | bytes, int]]
"""What to put where: content, or content and mode."""

PLAN: dict[str, Any] = {
    "device_class": DeviceClass.LINUX_IOT,
    "catalogue": digest_of(b""),
    "controls": (),
    "heavy_interval_s": 86_400,
    "health": HealthProbe("tcp", port=80),
}


def a_plan(**lists: Any) -> Plan:
    """A plan with the given lists."""
    return Plan(**PLAN, **lists)


def grow(folder: Path, files: Files) -> Path:
    """Put files into `folder`: content, or content and mode; ``-> target`` is a link, one ending in ``/`` a folder."""
    for name, what in files.items():
        path = folder / name.strip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        content, mode = what if isinstance(what, tuple) else (what, 0o644)
        if isinstance(content, str) and content.startswith("-> "):
            path.symlink_to(content[3:])
        elif name.endswith("/"):
            path.mkdir(exist_ok=True)
            path.chmod(mode if isinstance(what, tuple) else 0o755)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            path.chmod(mode)
    return folder


def ask(root: Root | Path, spec: ProbeSpec, plan: Plan | None = None, **options: Any) -> Finding:
    """The one finding of one probe."""
    where = FolderRoot(root, owners_kept=True) if isinstance(root, Path) else root
    findings = audit(where, [("XX-01", spec)], plan or a_plan(), **options).findings
    assert len(findings) == 1
    return findings[0]


def der_ec_key() -> bytes:
    """A structure of RFC 5915 around a number that is nobody's secret."""
    inside = b"\x02\x01\x01" + b"\x04\x20" + bytes(range(32)) + b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    return b"\x30" + bytes([len(inside)]) + inside


def pem(label: str, data: bytes) -> str:
    """PEM armour (RFC 7468) around `data`."""
    body = base64.encodebytes(data).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def own_ids() -> str:
    """Lines of passwd and group shape for the ids that this test runs as."""
    return f"root:x:0:0:root:/root:/bin/sh\nme:x:{os.getuid()}:{os.getgid()}:me:/:/usr/sbin/nologin\n"
