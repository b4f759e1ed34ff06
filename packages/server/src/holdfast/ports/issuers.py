"""Which issuers there are, and how each stands: certificates are the authority's, states are the store's."""

from __future__ import annotations

from cryptography import x509

from holdfast.ports.signer import Authority
from holdfast.ports.store import Store
from holdfast_core.identity.issuers import FIRST, Issuers, IssuerState, Standing
from holdfast_core.identity.model import Credential
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import Scope


class IssuerBook:
    """Looks issuers up; asked for every request, so it remembers which certificate is whose."""

    def __init__(self, store: Store, authority: Authority) -> None:
        self._store = store
        self._authority = authority
        self._numbers: dict[Digest, tuple[Scope, int]] = {}

    def of(self, scope: Scope) -> Issuers:
        """The issuers of a scope."""
        return Issuers.of(scope, tuple(self._store.all_kept(IssuerState, scope)))

    def standing(self, credential: Credential) -> Standing:
        """Where the issuer of `credential` stands; one that nobody knows is not trusted."""
        found = self.find(credential.issuer)
        if found is None:
            return Standing.DISTRUSTED
        scope, number = found
        state = self._store.kept(IssuerState, scope, str(number))
        if state is not None:
            return state.standing
        # As `Issuers.of` has it, without making them all: this is asked for every request of a device.
        return Standing.ACTIVE if number == FIRST else Standing.DISTRUSTED

    def find(self, fingerprint: Digest) -> tuple[Scope, int] | None:
        """The issuer with this certificate fingerprint."""
        if fingerprint not in self._numbers:
            made = self._authority.issuers()
            self._numbers = {self._authority.issuer_fingerprint(*issuer): issuer for issuer in made}
        return self._numbers.get(fingerprint)

    def certificate(self, scope: Scope, number: int) -> x509.Certificate:
        """The certificate of an issuer."""
        return self._authority.issuer(scope, number)

    def active(self, scope: Scope) -> int:
        """The number of the issuer that certifies the devices of a scope now."""
        return self.of(scope).active

    def chain(self, scope: Scope) -> list[x509.Certificate]:
        """The certificates above a new leaf of a scope: its issuer, then the root."""
        return [self._authority.issuer(scope, self.active(scope)), self._authority.root]

    def every(self) -> list[x509.Certificate]:
        """The certificates of every issuer there is, however it stands."""
        return [self._authority.issuer(*issuer) for issuer in self._authority.issuers()]

    def trusted(self, wanted: Scope | None = None) -> list[x509.Certificate]:
        """The certificates of every issuer whose leaves are good; of one scope, or of all."""
        return [
            self._authority.issuer(scope, number)
            for scope, number in self._authority.issuers()
            if (wanted is None or scope == wanted) and self.of(scope).standing(number).is_trusted
        ]
