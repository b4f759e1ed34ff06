"""The key in a PKCS#11 token, as `cryptography` asks for one."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from holdfast_agent.chip_key import ChipKey
from holdfast_agent.token import parse_token, public_half, sign
from holdfast_core.kernel.errors import WorldError


def token_key(uri: str) -> ChipKey:
    """The key that `uri` names.

    Raises:
        HostileData: ``agent.token_uri``.
        WorldError: ``agent.token``, ``agent.token_pin``, ``agent.token_tools``.
    """
    token = parse_token(uri)
    try:
        public = load_der_public_key(public_half(token))
    except ValueError:
        public = None
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise WorldError(
            "agent.token",
            "The key in the token is none that this agent can use.",
            remedy="Make an ECDSA key on P-256 or P-384 in it, and name it in the URI.",
        )
    return ChipKey(public, lambda digest: sign(token, digest))
