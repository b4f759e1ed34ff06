"""Manifests: what the stage before says of the next one, signed.

1. A manifest names an artefact: its name, version, security version number and SHA-256; and the key of the stage after.
2. The name is in it because a signature alone would let one stage's image stand in another's place.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast_core.kernel.errors import HostileData
from holdfast_sim.boot.keys import PublicKey


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed of one artefact.

    `next_key` is the digest of the key that the stage after is signed with, empty where there is none; `configuration`
    the configuration of the FIT image that is booted, for the stage that boots one.
    """

    name: str
    version: str
    svn: int
    digest: bytes
    next_key: str = ""
    configuration: str = ""


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    manifest: bytes
    signature: bytes


def signed_manifest(manifest: Manifest, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The file that lies beside the artefact."""
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Signed(body, key.sign(body, ec.ECDSA(hashes.SHA256()))))


def open_manifest(name: str, data: bytes, key: PublicKey) -> Manifest:
    """The manifest of the artefact `name`, if `key` signed it.

    Raises:
        HostileData: ``boot.manifest``, ``boot.unsigned``, ``boot.signature``.
    """
    try:
        signed = msgspec.json.decode(data, type=_Signed)
        manifest = msgspec.json.decode(signed.manifest, type=Manifest)
    except (msgspec.MsgspecError, ValueError) as error:
        raise HostileData(
            "boot.manifest", f"The manifest of {name} makes no sense.", remedy="Write the release's own manifest."
        ) from error
    if not signed.signature:
        raise HostileData(
            "boot.unsigned", f"The manifest of {name} is not signed.", remedy="Write the signed release, nothing else."
        )
    if not _verifies(signed, key):
        raise HostileData(
            "boot.signature",
            f"The manifest of {name} is not signed by the key that the stage before trusts.",
            remedy="Write a release that was signed with this product's keys.",
        )
    if manifest.name != name:
        raise HostileData(
            "boot.manifest",
            f"The manifest of {manifest.name} lies where that of {name} belongs.",
            remedy="Write the release's own manifest.",
        )
    return manifest


def _verifies(signed: _Signed, key: PublicKey) -> bool:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signed.signature, signed.manifest, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def check_digest(manifest: Manifest, artefact: bytes) -> bytes:
    """The SHA-256 of `artefact`, if it is the one that `manifest` names.

    Raises:
        HostileData: ``boot.digest``.
    """
    digest = hashlib.sha256(artefact).digest()
    if not hmac.compare_digest(digest, manifest.digest):
        raise HostileData(
            "boot.digest",
            f"{manifest.name} is not the one that was signed: its digest is another.",
            remedy="Write the release anew; the storage may be damaged, or somebody changed it.",
        )
    return digest
