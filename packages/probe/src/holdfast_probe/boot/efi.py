"""The probe of the boot chain's own word: EFI variables, the first stage's mark in the device tree, a signed payload.

1. Only a running system has EFI variables; an image has what its container tells.
2. Where no source speaks, the probe does not apply: it never guesses from the kind of machine.
3. A platform key that a firmware maker publishes as a sample is everybody's, whatever else is switched on.

Sources: UEFI specification 3.3 (global variables) and 32 (secure boot), shim's SBAT.md, Raspberry Pi's device tree.
"""

from __future__ import annotations

from holdfast_core.baseline.probes.boot import SecureBoot, SecureBootCheck
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, failed, not_applicable, passed, unknown

_FIRMWARE = "/sys/firmware/efi"
_VARIABLES = f"{_FIRMWARE}/efivars"
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
_IMAGES = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
_FIRST_STAGE = "/proc/device-tree/chosen/bootloader/signed"
_ATTRIBUTES = 4
_SAMPLES = ("DO NOT TRUST", "DO NOT SHIP")
_NOTHING = "Nothing here tells what starts this device: no EFI variables, and no mark of a first stage."


def see_secure_boot(case: Case, spec: SecureBoot) -> Sight:
    """Judge one `SecureBoot` probe."""
    root = case.root
    if not root.live:
        return _of_image(root, spec.check)
    if root.glob(_FIRMWARE):
        if not root.glob(f"{_VARIABLES}/*"):
            return unknown(f"{_VARIABLES} is not mounted.")
        return _CHECKS[spec.check](root)
    mark = _read(root, _FIRST_STAGE)
    if mark is None or spec.check not in {SecureBootCheck.ENFORCED, SecureBootCheck.KEY}:
        return not_applicable(_NOTHING)
    return passed("the first stage checks signatures") if any(mark) else failed([f"{_FIRST_STAGE} is 0"])


def _of_image(root: Root, check: SecureBootCheck) -> Sight:
    signed = root.told.signed_boot
    if signed is None or check is not SecureBootCheck.ENFORCED:
        return not_applicable("An image or a folder does not tell what its device would refuse to start.")
    return (
        passed("what the boot loader starts is signed")
        if signed
        else failed(["what the boot loader starts is unsigned"])
    )


def _enforced(root: Root) -> Sight:
    value = _variable(root, "SecureBoot", _GLOBAL)
    if value is None:
        return failed(["the firmware knows no secure boot (there is no SecureBoot variable)"])
    return passed("SecureBoot is on") if value[:1] == b"\x01" else failed(["SecureBoot is off"])


def _key_enrolled(root: Root) -> Sight:
    setup = _variable(root, "SetupMode", _GLOBAL)
    if not _variable(root, "PK", _GLOBAL):
        return failed(["no platform key is enrolled"])
    if setup is not None and setup[:1] == b"\x01":
        return failed(["the firmware is in setup mode: anybody may enrol a key"])
    return passed("a platform key is enrolled")


def _production_key(root: Root) -> Sight:
    key = _variable(root, "PK", _GLOBAL)
    if not key:
        return not_applicable("No platform key is enrolled.")
    for sample in _SAMPLES:
        if sample.encode() in key or sample.encode("utf-16-le") in key or sample.encode("utf-16-be") in key:
            return failed([f"the platform key is a published sample ({sample})"])
    return passed("the platform key is no published sample")


def _revocation(root: Root) -> Sight:
    if _variable(root, "SbatLevelRT", _SHIM):
        return passed("shim refuses boot loaders below its SBAT level")
    if _variable(root, "dbx", _IMAGES):
        return passed("the firmware has a list of revoked images")
    return failed(["nothing is revoked: there is neither an SBAT level nor a dbx"])


def _variable(root: Root, name: str, vendor: str) -> bytes | None:
    """The content of an EFI variable without its attributes; `None` where there is none."""
    path = f"{_VARIABLES}/{name}-{vendor}"
    data = _read(root, path)
    if data is not None and len(data) < _ATTRIBUTES:
        raise Unreadable(path, "it is shorter than its own attributes")
    return None if data is None else data[_ATTRIBUTES:]


def _read(root: Root, path: str) -> bytes | None:
    try:
        return root.read(path)
    except Missing:
        return None


_CHECKS = {
    SecureBootCheck.ENFORCED: _enforced,
    SecureBootCheck.KEY: _key_enrolled,
    SecureBootCheck.PRODUCTION_KEY: _production_key,
    SecureBootCheck.REVOCATION: _revocation,
}
