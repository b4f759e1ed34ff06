"""Whether a configuration of a FIT image is signed by a known key, and what exactly that signature speaks for.

1. What must be signed follows from the configuration, never from the signature's own list: the root, the configuration,
   every image it uses and every hash of these. A signature over fewer is refused (``fit.uncovered``).
2. Names of signed properties lie in the signed part of the strings block, or their meaning could be changed.
3. Then the images are hashed anew; each needs a hash, and only SHA-2 counts.
4. Which configuration is the default is signed by nobody. A boot loader that asks for a configuration by name cannot be
   moved to another one; with `configuration` empty, the file's own proposal is taken.
5. A key is chosen by the name in the signature (key-name-hint), among those the caller trusts.

Source: U-Boot 2023.01, doc/uImage.FIT/signature.txt; boot/image-fit-sig.c; common/fdt_region.c (the regions).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from holdfast_core.formats.devicetree_blocks import Kind, Token
from holdfast_core.formats.fit import DATA_PROPERTIES, Configuration, Fit, FitSignature, Image, image_data, parse_fit
from holdfast_core.kernel.errors import HostileData

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_HASHES: Mapping[str, type[hashes.HashAlgorithm]] = MappingProxyType(
    {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
)
_CURVES = MappingProxyType({"ecdsa256": "secp256r1", "ecdsa384": "secp384r1"})
_RSA_BITS = MappingProxyType({"rsa2048": 2048, "rsa3072": 3072, "rsa4096": 4096})


class VerifiedImage(msgspec.Struct, frozen=True):
    """An image that the signature speaks for; `digest` is the SHA-256 of its bytes, whatever hash the file has."""

    role: str
    image: Image
    digest: bytes


class VerifiedFit(msgspec.Struct, frozen=True):
    """What was verified: the configuration, its images in the order of the roles, and the name of the key."""

    configuration: Configuration
    images: tuple[VerifiedImage, ...]
    key_name: str


def verify_fit(data: bytes, keys: Mapping[str, PublicKey], configuration: str = "") -> VerifiedFit:
    """Verify one configuration of a FIT image and the images it uses.

    Args:
        data: the file.
        keys: the trusted keys, by the name that signatures call them.
        configuration: the configuration to boot; empty for the one that the file proposes.

    Raises:
        HostileData: ``fit.malformed``, ``devicetree.malformed``, ``fit.no_configuration``, ``fit.unsigned``,
            ``fit.wrong_key`` (no trusted key), ``fit.signature`` (a trusted key, and not its signature),
            ``fit.uncovered``, ``fit.weak_hash``, ``fit.image_hash``, ``fit.encrypted``.
        LimitExceeded: ``devicetree.too_large``.
    """
    fit = parse_fit(data)
    name = configuration or fit.default
    chosen = fit.configurations.get(name)
    if chosen is None:
        raise HostileData(
            "fit.no_configuration",
            f"The FIT image has no configuration {name!r}.",
            remedy="Name one of its configurations, or build it with the one that the boot loader asks for.",
        )
    key_name = _signed_by(data, fit, chosen, keys)
    return VerifiedFit(
        chosen,
        tuple(VerifiedImage(role, fit.images[used], _hashed(data, fit.images[used])) for role, used in chosen.uses),
        key_name,
    )


def _signed_by(data: bytes, fit: Fit, chosen: Configuration, keys: Mapping[str, PublicKey]) -> str:
    """The name of the trusted key whose signature is over all that `chosen` needs."""
    signatures = [each for each in chosen.signatures if each.value]  # mkimage without -k leaves the node empty
    if not signatures:
        raise HostileData(
            "fit.unsigned",
            f"The configuration {chosen.name!r} of the FIT image is not signed.",
            remedy="Sign the configuration with mkimage -k; a hash, or a signature of one image, protects nothing.",
        )
    known = [each for each in signatures if each.key_name in keys]
    if not known:
        raise HostileData(
            "fit.wrong_key",
            f"The configuration {chosen.name!r} of the FIT image is signed by no trusted key.",
            remedy="Sign it with a key that the boot loader carries, under the same key-name-hint.",
        )
    for each in known:
        if _verifies(keys[each.key_name], each, signed_bytes(data, fit, each)):
            _covers(fit, chosen, each)
            return each.key_name
    raise HostileData(
        "fit.signature",
        f"The signature of the configuration {chosen.name!r} is wrong: the file was changed, or another key made it.",
        remedy="Build and sign the image anew, and never change it after signing.",
    )


def _covers(fit: Fit, chosen: Configuration, signature: FitSignature) -> None:
    used = [fit.images[name] for _, name in chosen.uses]
    needed = ["/", chosen.path, *(image.path for image in used), *(h.path for image in used for h in image.hashes)]
    if missing := [path for path in needed if path not in signature.hashed_nodes]:
        raise _uncovered(f"{missing[0]!r} is outside it")
    if not any(role in ("kernel", "firmware", "loadables", "standalone", "script") for role, _ in chosen.uses):
        raise _uncovered("the configuration starts nothing")
    for token, included in included_tokens(fit, signature.hashed_nodes):
        if included and token.kind is Kind.PROPERTY and token.name_offset + len(token.name) >= signature.hashed_strings:
            raise _uncovered(f"the name of the property {token.name!r} is outside it")


def signed_bytes(data: bytes, fit: Fit, signature: FitSignature) -> bytes:
    """The bytes that `signature` says it is over: regions of the structure, then the first part of the strings."""
    offset, size = fit.tree.strings
    if signature.hashed_strings > size:
        raise _uncovered("it says that it is over more strings than there are")
    parts = [
        data[token.start : token.end] for token, included in included_tokens(fit, signature.hashed_nodes) if included
    ]
    return b"".join([*parts, data[offset : offset + signature.hashed_strings]])


def included_tokens(fit: Fit, paths: tuple[str, ...]) -> list[tuple[Token, bool]]:
    """Each token of the tree, and whether it belongs to the regions of the nodes `paths`.

    As U-Boot walks it: of a listed node everything but its data; of a listed node's children where they begin and end,
    with nothing in them; the end mark always.
    """
    listed = set(paths)
    way: list[str] = []
    wants: list[int] = []
    result: list[tuple[Token, bool]] = []
    want, in_region = 0, False
    for token in fit.tree.tokens:
        after, included = want, want == _WHOLE and token.name not in DATA_PROPERTIES
        if token.kind is Kind.BEGIN:
            way.append(token.name)
            wants.append(want)
            after = _WHOLE if ("/".join(way) or "/") in listed else max(want - 1, 0)
            included = after > 0
        elif token.kind is Kind.END:
            way.pop()
            after, included = wants.pop(), want > 0
        elif token.kind is Kind.STOP:
            included = True
        # A region that a node outside closes has that node's end mark in it; the original has this quirk.
        closes = token.kind is Kind.END and in_region
        result.append((token, included or closes))
        want, in_region = after, included
    return result


_WHOLE = 2
"""A node is wanted with its properties; 1 is where it begins and ends; 0 is not at all."""


def _verifies(key: PublicKey, signature: FitSignature, signed: bytes) -> bool:
    digest, _, kind = signature.algorithm.partition(",")
    if digest not in _HASHES:
        raise _weak(f"its signature is by {signature.algorithm!r}")
    hashed = _HASHES[digest]()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if _RSA_BITS.get(kind) != key.key_size:
                return False
            key.verify(signature.value, signed, _padding(signature, hashed), hashed)
        else:
            if _CURVES.get(kind) != key.curve.name or len(signature.value) != 2 * (key.key_size // 8):
                return False
            half = len(signature.value) // 2
            r, s = int.from_bytes(signature.value[:half], "big"), int.from_bytes(signature.value[half:], "big")
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashed))
    except InvalidSignature:
        return False
    return True


def _padding(signature: FitSignature, hashed: hashes.HashAlgorithm) -> padding.AsymmetricPadding:
    if signature.padding == "pss":
        return padding.PSS(padding.MGF1(hashed), padding.PSS.AUTO)
    return padding.PKCS1v15()


def _hashed(data: bytes, image: Image) -> bytes:
    """The SHA-256 of the image, once all its hashes were found right."""
    if image.encrypted:
        raise HostileData(
            "fit.encrypted",
            f"The image {image.name!r} is encrypted, and what it decrypts to cannot be verified.",
            remedy="Leave out the cipher node, or appraise the image on the device.",
        )
    raw = image_data(data, image)
    for each in image.hashes:
        if each.algorithm not in _HASHES:
            raise _weak(f"the image {image.name!r} is hashed with {each.algorithm!r}")
        if not hmac.compare_digest(hashlib.new(each.algorithm, raw).digest(), each.value):
            raise _image_hash(f"The image {image.name!r} is not the one that was signed: its hash is another.")
    if not image.hashes:
        raise _image_hash(f"The image {image.name!r} has no hash, so the signature does not speak for its bytes.")
    return hashlib.sha256(raw).digest()


def _uncovered(why: str) -> HostileData:
    return HostileData(
        "fit.uncovered",
        f"The signature of the FIT image does not cover what is booted: {why}.",
        remedy="Sign the whole configuration: name every image that it uses in sign-images.",
    )


def _weak(why: str) -> HostileData:
    return HostileData(
        "fit.weak_hash",
        f"The FIT image relies on a hash that is not taken: {why}.",
        remedy="Use sha256, sha384 or sha512 for every hash and signature.",
    )


def _image_hash(sentence: str) -> HostileData:
    return HostileData(
        "fit.image_hash", sentence, remedy="Build and sign the image anew, and never change it after signing."
    )
