"""Ending the open connections of certificates that were ended: what was let in must not outlast what let it in."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.ports.store import Change, Store
from holdfast.web.device.protocol import BoundedProtocol
from holdfast_core.identity.model import Credential


def end_with_credentials(store: Store, *ports: type[BoundedProtocol]) -> None:
    """From now on, end a certificate's connections on `ports` as soon as its end is durable."""

    def changed(changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Credential) and change.revoked_at is not None:
                for port in ports:
                    port.end(change.fingerprint)

    store.watch_changes(changed)
