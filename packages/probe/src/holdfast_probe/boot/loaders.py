"""The probe of GRUB's password: without it anybody at the keyboard edits an entry and boots a shell.

1. The configuration that GRUB reads decides, not the settings that it is made from.
2. A password in clear is no password: who can read the boot partition knows it. No hash is ever shown.

Source: GRUB's manual, "Security"; Red Hat's ``user.cfg``.
"""

from __future__ import annotations

from holdfast_core.baseline.probes.boot import GrubPassword
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.sight import Sight, failed, not_applicable, passed

_CONFIGS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
_OWN_PARTITION = "/boot/efi/EFI/*/grub.cfg"
_USERS = ("/boot/grub2/user.cfg", "/boot/efi/EFI/*/user.cfg")
_CONFIG_BYTES = 4 * 1024 * 1024


def see_grub_password(case: Case, _spec: GrubPassword) -> Sight:
    """Judge one `GrubPassword` probe."""
    root = case.root
    paths = [path for glob in _CONFIGS for path in root.glob(glob)] or list(root.glob(_OWN_PARTITION))
    if not paths:
        return not_applicable("There is no GRUB here.")
    shared = any(
        line.startswith("GRUB2_PASSWORD=grub.pbkdf2")
        for glob in _USERS
        for path in root.glob(glob)
        for line in _lines(root, path)
    )
    bad = [f"{path} {fault}" for path in paths if (fault := _fault(_lines(root, path), hashed_beside=shared))]
    return failed(bad) if bad else passed(f"GRUB asks for a password ({', '.join(paths)})")


def _fault(lines: list[str], *, hashed_beside: bool) -> str:
    words = [line.split() for line in lines if line]
    if any(each[0] == "password" for each in words if each):
        return "holds a password in clear"
    guarded = any(line.startswith("set superusers=") for line in lines)
    hashed = hashed_beside or any(each[0] == "password_pbkdf2" for each in words if each)
    return "" if guarded and hashed else "names nobody who alone may edit an entry"


def _lines(root: Root, path: str) -> list[str]:
    return [line.strip() for line in root.read(path, limit=_CONFIG_BYTES).decode("utf-8", "replace").splitlines()]
