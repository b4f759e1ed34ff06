"""What the makers who care state of their builds: the facts that no file of the tree can show.

1. A fact is true of the imagined hardware as its model file describes it; what that hardware cannot do is stated as
   not done. Nothing is left out because it looks bad.
2. The parts list was compared with the known exploited flaws on the day of the build, which is the day of the demo.
3. The digests are those of the files as they were built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from holdfast_core.baseline.model import BuildManifest
from holdfast_core.kernel.digests import canonical, digest_of

PATH = "usr/lib/holdfast/manifest.json"
FILE_FACT = "file:"

_ALL: dict[str, bool | int | str] = {
    "segment_as_assigned": True,
    "boots_recorded": True,
    "backup_encrypted": "none",
    "telemetry_opt_out": "none",
    "data_inventory": True,
    "factory_reset_tested": True,
    "reset_wipes": True,
    "ownership_wiped": True,
    "config_integrity": "digest",
    "update_guarded": True,
    "usb_closed": True,
    "radios_off": True,
    "test_keys": False,
    "default_password": False,
    "unique_identity": True,
}
_LOCKED = _ALL | {
    "image_signed": True,
    "root_key_fused": True,
    "boot_chain_verified": True,
    "anti_rollback": True,
    "boot_shell_locked": True,
    "boot_environment_locked": True,
    "root_verified": True,
    "data_encrypted": True,
    "debug_port_locked": True,
    "rom_loader_locked": True,
    "readout_protected": True,
    "tamper_event": True,
    "debug_pads": "dead",
    "lifecycle": "production",
}
"""A chip whose fuses are blown at the end of the line."""
_FETCHED = _LOCKED | {"update_source_encrypted": True}
"""RAUC takes the bundle that it is given; the maker's service, which nobody else knows, fetches it over TLS."""
CAMERA = _FETCHED | {"device_key": "secure-element"}
GATEWAY = _FETCHED | {"device_key": "tpm"}
PUMP = _ALL | {
    "image_signed": False,
    "root_key_fused": False,
    "boot_chain_verified": False,
    "anti_rollback": False,
    "boot_shell_locked": True,
    "boot_environment_locked": False,
    "debug_port_locked": True,
    "rom_loader_locked": False,
    "readout_protected": False,
    "debug_pads": "covered",
    "lifecycle": "production",
}
"""An older board: nothing verifies what boots, and its flash card can be taken out and read."""


def write(root: Path, build: str, facts: Mapping[str, bool | int | str], programs: Iterable[str]) -> None:
    """Put the manifest of a build into its tree.

    Args:
        root: the tree, otherwise whole.
        build: the name of the build.
        facts: what is true of the hardware.
        programs: the files whose digests are stated.
    """
    digests = {FILE_FACT + "/" + name: digest_of((root / name).read_bytes()) for name in programs}
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    # The list of digests is what the build's key signs; its own digest names it.
    signed = {"signed_manifest": digest_of(canonical(digests))}
    manifest = BuildManifest(build, {**facts, "kev_free": today(), **signed, **digests})
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def today() -> str:
    """The day of the build, in UTC."""
    return datetime.now(UTC).date().isoformat()  # noqa: TID251  (a maker who is imagined builds on a real day)
