"""The keys that the server signs update metadata with, by scope, purpose and number.

1. Each purpose has keys of its own (`Online`), Ed25519, in the key store under ``update/TENANT/ENVIRONMENT/PURPOSE/N``.
2. The key in force is the one that the newest root names, whatever was made since; without that key nothing is signed.
3. A key is loaded once. Whoever may read this process's memory has it, as with any online key: the thresholds of
   people are what such a theft does not reach.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.ports.keystore import KeyAlgorithm, KeyStore, PrivateKey
from holdfast.update.online_files import OnlineSigner
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.update.repository import Online


class SigningKeys:
    """Makes the online keys and finds them."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._signers: dict[str, OnlineSigner] = {}

    def make(self, scope: Scope, which: Online, number: int) -> OnlineSigner:
        """The key of this number, made where it is not there.

        Raises:
            WorldError: ``keystore.*``.
        """
        reference = _reference(scope, which, number)
        if self._keys.holds(reference):
            return self.load(scope, which, number)
        return self._take(reference, self._keys.create(reference, KeyAlgorithm.ED25519))

    def load(self, scope: Scope, which: Online, number: int) -> OnlineSigner:
        """The key of this number.

        Raises:
            WorldError: ``keystore.missing``, ``keystore.*``.
        """
        reference = _reference(scope, which, number)
        return self._signers.get(reference) or self._take(reference, self._keys.load(reference))

    def named(self, scope: Scope, which: Online, newest: int, keyid: str) -> OnlineSigner:
        """The key that a root names, among the `newest` of its purpose.

        Raises:
            WorldError: ``repository.key_away``, ``keystore.*``.
        """
        for number in range(newest, 0, -1):
            if not self._keys.holds(_reference(scope, which, number)):
                continue
            signer = self.load(scope, which, number)
            if signer.keyid == keyid:
                return signer
        raise WorldError(
            "repository.key_away",
            f"The key {keyid[:16]} that the root of {scope} names for {which.value} is not in the key store.",
            remedy="Restore the keys from a backup, or rotate it: "
            f"holdfast keys online --new {which.value}, then keys root.",
        )

    def _take(self, reference: str, key: PrivateKey) -> OnlineSigner:
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise WorldError(
                "keystore.algorithm",
                f"The key {reference!r} is no Ed25519 key.",
                remedy="Let update keys lie where Ed25519 is to be had: files, or a token that makes such keys.",
            )
        signer = self._signers[reference] = OnlineSigner(key)
        return signer


def _reference(scope: Scope, which: Online, number: int) -> str:
    return f"update/{scope.tenant}/{scope.environment}/{which.value}/{number}"
