"""Who calls the DDI API: the device whose certificate TLS proved, or whose update token came with the request.

1. An identity is judged on every request. The path has to name the very device that the identity is of, and its tenant.
2. A certificate counts before a token. A gateway's token is refused: it would be good for every device.
3. An unknown, an expired and a revoked token, and one of a device whose life has ended, read alike.
4. A token that was made under the device's owner before is over.
"""

from __future__ import annotations

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.credentials import Credentials
from holdfast.ports.store import Store
from holdfast.update.update_tokens import LONGEST_TEXT, NOTED_EVERY
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_device_id
from holdfast_core.update.ddi import UpdateToken

ANY_TENANT = "default"
"""What some clients are built with, and cannot change: the tenant of whoever calls."""


class DdiCallers:
    """Finds the device that calls.

    Args:
        scope: the one in which tokens are looked up.
    """

    def __init__(self, *, store: Store, clock: Clock, credentials: Credentials, scope: Scope) -> None:
        self._store = store
        self._clock = clock
        self._credentials = credentials
        self._scope = scope

    async def by_certificate(self, fingerprint: Digest | None) -> DeviceKey:
        """The device that showed a certificate.

        Raises:
            IdentityRefused: ``identity.certificate_required`` (401), and as `Credentials.admitted`.
        """
        if fingerprint is None:
            raise IdentityRefused(
                "identity.certificate_required",
                "A payload is given only to a device that shows its certificate.",
                remedy="Enroll the device first, then call with its certificate and key.",
                http_status=401,
            )
        credential = await self._credentials.admitted(fingerprint, self._clock.now())
        if credential.confirmed_at is None:
            async with self._store.exclusive(credential.key):
                now = self._clock.now()
                credential = self._credentials.speaking(fingerprint, now)
                device = self._store.device(credential.key)
                if device is not None and (used := self._credentials.first_used(device, credential, now)):
                    await self._store.commit(used)
        return credential.key

    async def admit(self, tenant: str, device: str, fingerprint: Digest | None, authorization: str) -> DeviceKey:
        """The device that calls.

        Args:
            tenant: of the path.
            device: of the path.
            fingerprint: of the certificate that it showed.
            authorization: the header, or nothing.

        Raises:
            IdentityRefused: ``ddi.unidentified``, ``ddi.gateway_token``, ``ddi.token`` (401), ``ddi.other_device``
                (403), and as `Credentials.admitted`.
        """
        if fingerprint is not None:
            key = await self.by_certificate(fingerprint)
        else:
            key = await self._by_token(authorization)
        if key.device != device or tenant.lower() not in (key.scope.tenant, ANY_TENANT):
            raise IdentityRefused(
                "ddi.other_device",
                "This identity is not of the device and the tenant that the path names.",
                remedy="Configure the client with the device's own name, and with the tenant of the control plane.",
            )
        return key

    async def _by_token(self, authorization: str) -> DeviceKey:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() == "gatewaytoken":
            raise _refused("gateway_token", "A gateway's token is good for every device, so none is taken.")
        if scheme.lower() != "targettoken":
            raise _refused("unidentified", "This needs the device's certificate, or its update token.")
        text = text.strip()
        known = len(text) <= LONGEST_TEXT and self._store.kept(UpdateToken, self._scope, digest_of(text.encode()))
        now = self._clock.now()
        if not known or not known.is_good(now):
            raise _bad_token()
        device = self._store.device(DeviceKey(self._scope, parse_device_id(known.device)))
        if device is None or device.lifecycle.is_over or known.created_at < (device.owner_since or 0):
            raise _bad_token()
        if known.used_at is None or now - known.used_at >= NOTED_EVERY:
            await self._note_use(device.key, known.id)
        return device.key

    async def _note_use(self, key: DeviceKey, name: str) -> None:
        async with self._store.exclusive(key):
            known, now = self._store.kept(UpdateToken, key.scope, name), self._clock.now()
            if known is None or not known.is_good(now):
                raise _bad_token()  # it was revoked while this request waited for its turn
            await self._store.commit([msgspec.structs.replace(known, used_at=now)])


def _bad_token() -> IdentityRefused:
    return _refused("token", "The update token is not valid, or no longer.")


def _refused(name: str, sentence: str) -> IdentityRefused:
    return IdentityRefused(
        f"ddi.{name}",
        sentence,
        remedy="Make one and configure the client with it: holdfast device update-token create DEVICE.",
        http_status=401,
    )
