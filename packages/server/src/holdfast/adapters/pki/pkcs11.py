"""Private keys in a PKCS#11 token (v2.40): made in it, never out of it; what is signed goes to them.

1. A key is looked for by its label, the reference. One that the token would let out is refused, however it got there.
2. A session that ended (the token was pulled, its daemon restarted) is opened anew, once for each signature.
3. A wrong PIN is shown to the token once: it counts them, and locks itself.
4. The token signs digests; hashing is done here. Nothing is ever decrypted or agreed with these keys.
5. Needs the extra ``holdfast[pkcs11]`` and is imported only where the configuration asks for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import (
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    UserAlreadyLoggedIn,
)
from pkcs11.util.ec import encode_named_curve_parameters

from holdfast.adapters.pki.token_keys import PublicKey, Sign, TokenEc, TokenEd25519, TokenRsa, public_of
from holdfast.ports.keystore import KeyAlgorithm, PrivateKey, exists, missing, parse_reference
from holdfast_core.kernel.errors import WorldError

_CURVES = {KeyAlgorithm.P256: "secp256r1", KeyAlgorithm.P384: "secp384r1", KeyAlgorithm.ED25519: "1.3.101.112"}
_RSA_BITS = 3072
_STAYS = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_PIN = (PinIncorrect, PinInvalid, PinLenRange, PinLocked)
_T = TypeVar("_T")


class Pkcs11KeyStore:
    """Implements `holdfast.ports.keystore.KeyStore` in one token.

    Args:
        module: path of the token's PKCS#11 module, a shared library.
        token: the token's label.
        pin: asked for the user PIN whenever a session is opened.
    """

    def __init__(self, module: str, token: str, pin: Callable[[], str]) -> None:
        self._module = module
        self._token = token
        self._pin = pin
        self._locked = threading.RLock()
        self._session: pkcs11.Session | None = None
        self._keys: dict[str, Any] = {}
        """Handles of this session: looking one up takes a token longer than signing."""
        self._refused = False

    def create(self, reference: str, algorithm: KeyAlgorithm) -> PrivateKey:
        """See the port."""
        parse_reference(reference)
        if self.holds(reference):
            raise exists(reference, self._where)
        self._with_session(lambda session: _generate(session, reference, algorithm), what=f"make a {algorithm} key")
        return self.load(reference)

    def load(self, reference: str) -> PrivateKey:
        """See the port.

        Raises:
            WorldError: also ``keystore.ambiguous``, ``keystore.extractable``, ``keystore.algorithm``.
        """
        parse_reference(reference)
        public = self._with_session(lambda session: self._seen(session, reference), what="look for a key")

        def sign(data: bytes, mechanism: Mechanism, parameter: object = None) -> bytes:
            made: bytes = self._with_session(
                lambda session: self._private(session, reference).sign(
                    data, mechanism=mechanism, mechanism_param=parameter
                ),
                what="sign",
            )
            return made

        return _key(public, sign)

    def holds(self, reference: str) -> bool:
        """See the port."""
        parse_reference(reference)
        return self._with_session(lambda session: bool(_objects(session, reference)), what="look for a key")

    def delete(self, reference: str) -> None:
        """See the port."""
        parse_reference(reference)

        def destroy(session: pkcs11.Session) -> None:
            self._keys.pop(reference, None)
            for found in _objects(session, reference):
                found.destroy()

        self._with_session(destroy, what="delete a key")

    def close(self) -> None:
        """End the session; the next use opens another."""
        with self._locked:
            self._keys.clear()
            session, self._session = self._session, None
            if session is not None:
                _leave(session)

    @property
    def _where(self) -> str:
        return f"the token {self._token!r}"

    def _seen(self, session: pkcs11.Session, reference: str) -> PublicKey:
        private = self._private(session, reference)
        if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
            raise WorldError(
                "keystore.extractable",
                f"The key {reference!r} in {self._where} can be taken out of it.",
                remedy="Make another one in the token itself; a key that can leave it is no better than a file.",
            )
        public = self._one(session, reference, ObjectClass.PUBLIC_KEY)
        try:
            return public_of(public)
        except (ValueError, KeyError) as error:
            raise WorldError(
                "keystore.algorithm",
                f"The key {reference!r} in {self._where} is of a kind that is not used here.",
                remedy=f"Use one of {', '.join(KeyAlgorithm)}.",
            ) from error

    def _private(self, session: pkcs11.Session, reference: str) -> Any:
        if reference not in self._keys:
            self._keys[reference] = self._one(session, reference, ObjectClass.PRIVATE_KEY)
        return self._keys[reference]

    def _one(self, session: pkcs11.Session, reference: str, kind: ObjectClass) -> Any:
        found = _objects(session, reference, kind)
        if not found:
            raise missing(reference, f"{self._where} ({kind.name.lower().replace('_', ' ')})")
        if len(found) > 1:
            raise WorldError(
                "keystore.ambiguous",
                f"There are several keys {reference!r} in {self._where}.",
                remedy="Find out whose they are (pkcs11-tool --list-objects) and delete the ones that are not yours.",
            )
        return found[0]

    def _with_session(self, use: Callable[[pkcs11.Session], _T], *, what: str) -> _T:
        """What `use` returns; in a new session once more, where the one at hand failed."""
        with self._locked:
            if self._session is not None:
                try:
                    return use(self._session)
                except PKCS11Error:
                    self.close()
            self._session = self._open()
            try:
                return use(self._session)
            except PKCS11Error as error:
                self.close()
                raise WorldError(
                    "keystore.token_failed",
                    f"{self._where.capitalize()} could not {what}: {type(error).__name__}.",
                    remedy="See what it can do (pkcs11-tool --list-mechanisms) and what its own log says.",
                ) from error

    def _open(self) -> pkcs11.Session:
        if self._refused:
            raise _pin_wrong(self._where)
        try:
            return self._log_in(anew=False)
        except _PIN as error:
            self._refused = True
            raise _pin_wrong(self._where) from error
        except PKCS11Error:
            pass  # the module may hold on to a token that was pulled and put back: it forgets it when loaded anew
        try:
            return self._log_in(anew=True)
        except _PIN as error:
            self._refused = True
            raise _pin_wrong(self._where) from error
        except PKCS11Error as error:
            raise WorldError(
                "keystore.token_missing",
                f"{self._where.capitalize()} cannot be used: {type(error).__name__}.",
                remedy="Check that it is plugged in, its daemon runs and its label is the configured one "
                "(pkcs11-tool --list-token-slots).",
            ) from error

    def _log_in(self, *, anew: bool) -> pkcs11.Session:
        try:
            library = pkcs11.lib(self._module)
        except RuntimeError as error:
            raise WorldError(
                "keystore.module",
                f"The PKCS#11 module {self._module} could not be loaded.",
                remedy="Name the shared library that came with the token, such as "
                "/usr/lib/softhsm/libsofthsm2.so, in pkcs11_module.",
            ) from error
        if anew:
            library.reinitialize()
        token = library.get_token(token_label=self._token)
        try:
            return token.open(rw=True, user_pin=self._pin())
        except UserAlreadyLoggedIn:
            return token.open(rw=True)  # a token knows this process as one user, whichever session told it the PIN


def _leave(session: pkcs11.Session) -> None:
    with contextlib.suppress(PKCS11Error):  # it may have ended before we ended it
        session.close()


def _objects(session: pkcs11.Session, reference: str, *kinds: ObjectClass) -> list[pkcs11.Object]:
    """What bears the reference. Every search goes to its end: one that is left open outlives its session."""
    return [
        found
        for kind in kinds or (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
        for found in session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: reference})
    ]


def _generate(session: pkcs11.Session, reference: str, algorithm: KeyAlgorithm) -> None:
    how: dict[str, Any] = {"id": hashlib.sha256(reference.encode()).digest()[:16], "label": reference, "store": True}
    how |= {"private_template": _STAYS, "public_template": {Attribute.VERIFY: True}}
    if algorithm is KeyAlgorithm.RSA3072:
        session.generate_keypair(KeyType.RSA, _RSA_BITS, **how)
        return
    edwards = algorithm is KeyAlgorithm.ED25519
    parameters = session.create_domain_parameters(
        KeyType.EC_EDWARDS if edwards else KeyType.EC,
        {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[algorithm])},
        local=True,
    )
    mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN
    parameters.generate_keypair(mechanism=mechanism, **how)


def _key(public: PublicKey, sign: Sign) -> PrivateKey:
    match public:
        case ec.EllipticCurvePublicKey():
            return TokenEc(public, sign)
        case ed25519.Ed25519PublicKey():
            return TokenEd25519(public, sign)
        case rsa.RSAPublicKey():
            return TokenRsa(public, sign)


def _pin_wrong(where: str) -> WorldError:
    return WorldError(
        "keystore.pin_wrong",
        f"{where.capitalize()} refuses its PIN; it is not tried again, for the token counts.",
        remedy="Correct the PIN's file and restart. If the token is locked, its security officer unlocks it.",
    )
