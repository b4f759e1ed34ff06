"""Whose certificates the device ports' TLS lets in, while the server runs.

1. An authority that comes up is trusted from the next connection on; the change feed says so.
2. None is ever taken out of TLS before a restart: whether one is good is the application's to judge, on every request,
   so that a device whose issuer was ended is told to renew instead of meeting a closed door.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.ports.signer import Authority
from holdfast.ports.store import Change, Store
from holdfast.web.tls import device_context, est_context
from holdfast_core.identity.fleet import FleetClaim
from holdfast_core.identity.issuers import IssuerState
from holdfast_core.identity.manufacturers import Manufacturer


class DeviceTrust:
    """The TLS contexts of the ports that devices call."""

    def __init__(self, keys: Path, password: bytes, store: Store, authority: Authority) -> None:
        self.device, self.est = device_context(keys, password), est_context(keys, password)
        self._authority = authority
        self._trusted: set[bytes] = set()
        for manufacturer in store.all_kept(Manufacturer):
            self._trust_all(manufacturer.anchors)
        for claim in store.all_kept(FleetClaim):
            self._trust_all(claim.anchors)
        store.watch_changes(self._changed)

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, IssuerState):
                self._trust(self._authority.issuer(change.scope, change.number).public_bytes(Encoding.DER))
            elif isinstance(change, Manufacturer | FleetClaim):
                self._trust_all(change.anchors)

    def _trust_all(self, anchors: Sequence[bytes]) -> None:
        for der in anchors:
            self._trust(der)

    def _trust(self, der: bytes) -> None:
        if der in self._trusted:
            return  # a claim's record changes with each of its devices
        self._trusted.add(der)
        for context in (self.device, self.est):
            context.load_verify_locations(cadata=der)
