"""Founding a scope's repositories, and signing what people sign: pure, for any machine.

1. The three roots, the first ``targets`` and an empty ``exemptions`` are made together, and signed by the same people.
2. Signing adds one signature to a file and changes nothing else; who signs twice has signed once.

Source: TUF specification 1.0.34, 6.1.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.update.ceremony import CeremonyFile
from holdfast.update.making import RootPlan, first_role, first_targets, new_root
from holdfast.update.online_files import key_id
from holdfast.update.tuf_files import RootFile, TargetsFile, assembled, read_root, read_targets
from holdfast.update.tuf_types import TufSignature
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.agreement import EXEMPTIONS
from holdfast_core.update.repository import Name


def founding_files(scope: Scope, plan: RootPlan, *, now: Instant) -> tuple[CeremonyFile, ...]:
    """Everything that people sign once, at the beginning; unsigned.

    Raises:
        HostileData: ``repository.key``.
    """
    roots = [CeremonyFile(name, "root", new_root(name, scope, plan, now=now).data) for name in Name]
    targets = CeremonyFile(Name.IMAGE, "targets", first_targets(scope, plan.targets, now=now).data)
    return (*roots, targets, CeremonyFile(Name.IMAGE, EXEMPTIONS, first_role(scope, now=now).data))


def read_file(role: str, data: bytes) -> RootFile | TargetsFile:
    """A file by its role. Raises as `tuf_files.read_root`."""
    return read_root(data) if role == "root" else read_targets(data)


def signed_by(data: bytes, key: ed25519.Ed25519PrivateKey) -> bytes:
    """A metadata file with one more signature. Raises as `tuf_files.read_root`."""
    file = read_file("root" if b'"_type":"root"' in data else "targets", data)
    keyid = key_id(key.public_key())
    signature = TufSignature(keyid, key.sign(file.signed).hex())
    return assembled(file, {**file.signatures, keyid: signature})
