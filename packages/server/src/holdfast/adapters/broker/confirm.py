"""Seeing that a broker obeys: the probe must get in, the canary must not.

1. A broker takes a publication some time after it was told; until then the old one holds, so both are tried again.
2. Neither a signal sent nor a command that ended well counts as obedience, only what happens at the port of devices.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from pathlib import Path

from holdfast.adapters.broker.files import read_or_none
from holdfast.adapters.broker.mqtt import may_connect
from holdfast.ports.broker import ClientIdentity, Publication
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import DAY, Instant, rfc3339
from holdfast_core.kernel.reasons import Reason

OBEYED_SECONDS = 20.0
"""A revocation list of 100,000 entries takes mosquitto 1 to 2 s, 100,000 users take nats-server 8."""
AGAIN_SECONDS = 0.02
LAPSE_WARNING = DAY
"""How long before a revocation list lapses an alarm is given: it should have been made anew days ago."""


def local_address(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004  (IPv4)
    return host


class Confirmation:
    """Tries identities at one broker's port of devices."""

    def __init__(self, host: str, port: int, root: Path) -> None:
        self._host, self._port, self._root = host, port, root

    async def admits(self, identity: ClientIdentity) -> bool:
        """Whether the broker lets `identity` in.

        Raises:
            WorldError: ``broker.unreachable``.
        """
        root = read_or_none(self._root) or b""
        return await asyncio.to_thread(may_connect, self._host, self._port, identity, root)

    async def until_obeyed(self, publication: Publication) -> None:
        """Return once the publication is in force.

        Raises:
            WorldError: ``broker.canary_admitted``, ``broker.probe_refused``, ``broker.unreachable``.
        """
        end = time.monotonic() + OBEYED_SECONDS
        wait = AGAIN_SECONDS
        while True:
            faults = await self._tried(publication)
            if not faults:
                return
            if time.monotonic() > end:
                raise WorldError(faults[0].code, faults[0].sentence, remedy=faults[0].remedy)
            await asyncio.sleep(wait)
            wait = min(2 * wait, 1.0)

    async def _tried(self, publication: Publication) -> list[Reason]:
        # The canary first: once it is refused the new files are in force, and then the probe has to be let in.
        if await self.admits(publication.canary):
            return [_CANARY]
        return [] if await self.admits(publication.probe) else [_PROBE]

    async def faults(self, publication: Publication, now: Instant, differs: list[str]) -> tuple[Reason, ...]:
        """Everything that is not as it should be."""
        found: list[Reason] = []
        if differs:
            found.append(
                Reason(
                    "broker.files_changed",
                    f"Files of the broker are not what was published: {', '.join(differs)}.",
                    "They are published again. Find out who changed them.",
                )
            )
        if publication.lapses_at - now < LAPSE_WARNING:
            found.append(
                Reason(
                    "broker.revocations_lapse",
                    f"The broker's revocation list lapses at {rfc3339(publication.lapses_at)}.",
                    "See why no newer one was made: holdfast doctor. A lapsed list refuses every device.",
                )
            )
        try:
            found.extend(await self._tried(publication))
        except WorldError as error:
            found.append(Reason(error.code, error.sentence, error.remedy))
        return tuple(found)


_CANARY = Reason(
    "broker.canary_admitted",
    "The broker lets in an identity that was revoked: revocations do not reach it.",
    "Read its log for why it did not take its files, then holdfast broker apply. Until then stop it, or cut its port "
    "off: devices that were revoked since can connect.",
)
_PROBE = Reason(
    "broker.probe_refused",
    "The broker refuses an identity that it has to let in: most likely it refuses every device.",
    "Read its log. A revocation list that lapsed, or a clock that is wrong, shows like this.",
)
