"""Answering who asks whether one certificate still counts (OCSP).

1. The status is read off the store at the moment of asking: an answer is never older than the last commit.
2. Whatever comes in is answered in OCSP's own words; a request that cannot be read is told so, unsigned.
"""

from __future__ import annotations

from holdfast.identity.lists import RevocationLists
from holdfast.ports.clock import Clock
from holdfast.ports.store import Store
from holdfast.ports.validity import Issuer, Responder
from holdfast_core.identity.validity import (
    Canary,
    Status,
    Unrevoked,
    ended_with_issuer,
    issuer_name,
    revocation_of_canary,
    status_of,
)
from holdfast_core.kernel.errors import HostileData


class StatusAnswers:
    """Answers OCSP requests."""

    def __init__(self, *, store: Store, clock: Clock, lists: RevocationLists, responder: Responder) -> None:
        self._store, self._clock, self._lists, self._responder = store, clock, lists, responder

    def status(self, issuer: Issuer, serial: int) -> Status:
        """What there is to say now of a serial number of `issuer`."""
        name = f"{serial:x}"
        credential = self._store.credential_by_serial(name)
        status = status_of(credential, issuer.id)
        if credential is not None and status is Unrevoked.GOOD and issuer.ended_at is not None:
            return ended_with_issuer(credential, issuer.ended_at)
        if status is Unrevoked.UNKNOWN:
            canary = self._store.kept(Canary, issuer.scope, name)
            if canary is not None and canary.issuer == issuer.id:
                return revocation_of_canary(canary)
        return status

    def answer(self, name: str, request: bytes) -> tuple[bytes, bool]:
        """The answer (DER) to a request (DER) sent to the address of the issuer called `name`.

        The second value is whether it may be kept: a signed answer to a request without a nonce.
        """
        try:
            question = self._responder.read(request)
        except HostileData:
            return self._responder.malformed(), False
        for issuer in self._lists.issuers():
            if issuer_name(issuer.id) == name and self._responder.is_about(question, issuer):
                status = self.status(issuer, question.serial)
                return self._responder.answer(issuer, question, status, self._clock.now()), question.nonce is None
        return self._responder.unauthorized(), False
