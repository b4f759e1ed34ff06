"""TUF metadata that is signed online, from few facts, always the same bytes.

1. Canonical JSON is made by `kernel.digests.canonical`, which agrees with the OLPC form that TUF signs as long as
   nothing in a text has to be escaped; such text is refused. python-tuf reads and verifies the result (tests).
2. The file is the signed bytes in their envelope, so nothing is encoded twice.
3. Times are cut to whole seconds, as TUF writes them.

Source: TUF specification 1.0.34, 4.2 to 4.6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import Bug
from holdfast_core.kernel.instants import Instant, to_datetime
from holdfast_core.update.agreement import DEVICE, ISSUED, OFFER
from holdfast_core.update.agreement import Target as AgreedTarget
from holdfast_core.update.repository import SPECIFICATION, Issue, Part


class OnlineSigner:
    """A key that signs online, under its TUF key id."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        self._sign = key.sign
        self.public = key.public_key()
        self.keyid = key_id(self.public)

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature."""
        return self._sign(data)


def key_value(key: ed25519.Ed25519PublicKey) -> dict[str, Any]:
    """A key as metadata writes it."""
    return {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": key.public_bytes_raw().hex()}}


def key_id(key: ed25519.Ed25519PublicKey) -> str:
    """The TUF key id: SHA-256 of the key's canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(key_value(key))).hexdigest()


def signed_file(signed: Mapping[str, Any], signer: OnlineSigner) -> bytes:
    """The file of a role that one key signs."""
    body = canonical(signed)
    if b"\\" in body:
        raise Bug("update.not_canonical", "Metadata holds a character that has to be escaped.", remedy="Report this.")
    signature = signer.sign(body).hex()
    return b'{"signatures":[{"keyid":"%s","sig":"%s"}],"signed":%s}' % (
        signer.keyid.encode(),
        signature.encode(),
        body,
    )


def timestamp_file(issue: Issue, life: int, snapshot: bytes, snapshot_version: int, signer: OnlineSigner) -> bytes:
    """The timestamp of an issue, which names a snapshot."""
    meta = {"snapshot.json": _meta(snapshot_version, len(snapshot), hashlib.sha256(snapshot).hexdigest())}
    signed = {**_common("timestamp", issue.version, issue.at, life), "meta": meta, ISSUED: issue.at}
    return signed_file(signed, signer)


def snapshot_file(issue: Issue, life: int, parts: Sequence[Part], signer: OnlineSigner) -> bytes:
    """The snapshot of an issue: the version, length and digest of every targets file in force."""
    meta = {
        f"{part.role}.json": _meta(part.version, part.length, part.digest.removeprefix("sha256:")) for part in parts
    }
    return signed_file({**_common("snapshot", issue.version, issue.at, life), "meta": meta}, signer)


def directed_targets_file(
    issue: Issue, life: int, device: str, targets: Sequence[AgreedTarget], signer: OnlineSigner
) -> bytes:
    """The director's targets for one device."""
    listed = {target.path: target_value(target) for target in targets}
    signed = {**_common("targets", issue.version, issue.at, life), "targets": listed, DEVICE: device}
    return signed_file(signed, signer)


def target_value(target: AgreedTarget) -> dict[str, Any]:
    """A target as both repositories write it."""
    digest = target.digest.removeprefix("sha256:")
    return {"length": target.length, "hashes": {"sha256": digest}, "custom": {OFFER: target.offer}}


def _common(kind: str, version: int, issued: Instant, life: int) -> dict[str, Any]:
    return {
        "_type": kind,
        "version": version,
        "spec_version": SPECIFICATION,
        "expires": written_time(Instant(issued + life)),
    }


def written_time(instant: Instant) -> str:
    """An instant as TUF writes it: whole seconds, UTC."""
    return to_datetime(instant).strftime("%Y-%m-%dT%H:%M:%SZ")


def _meta(version: int, length: int, sha256: str) -> dict[str, Any]:
    return {"version": version, "length": length, "hashes": {"sha256": sha256}}
