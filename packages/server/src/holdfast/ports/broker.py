"""A message broker that devices talk to: what it is told, and what it tells.

1. A broker is told everything at once (`Publication`): whom it admits and to what, whom it trusts, who is revoked.
   It takes that whole or keeps what it had; it never works on half of it.
2. Nothing fails open. Each publication carries two identities of ours: one that must be let in (`probe`), and one that
   must not (`canary`: the probe of the publication before, revoked by this one). A broker that lets the canary in has
   not taken the publication, whatever it answered, and `apply` says so.
3. An identity that is cut off is refused first and disconnected then; the other way round it would be back at once.
4. What a broker saw (`observe`) is read from a mark on, in order; a mark that is no longer known starts anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from holdfast_core.identity.grants import Grants
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.reasons import Reason


class BrokerKind(StrEnum):
    """Which program it is."""

    MOSQUITTO = "mosquitto"
    NATS = "nats"


class Broker(Kept, frozen=True):
    """A broker of one environment, known by its name (`id`). Files of it are in `folder`, on this machine.

    Addresses are of this machine too; devices may reach it under others.
    """

    kind: BrokerKind
    folder: str
    port: int
    """Where devices connect (MQTT over mutual TLS)."""
    control_port: int
    """Where only this machine may connect: mosquitto's control listener, or the monitoring of NATS."""
    host: str = "0.0.0.0"  # noqa: S104  (devices call from outside; mutual TLS guards the port)
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    """Names and addresses in its certificate: where devices reach it."""
    leaf_port: int = 0
    """NATS: where leaf nodes of gateways connect; 0 for none."""
    leaf_of: str = ""
    """NATS: ``host:port`` of the hub that this broker is a leaf of."""
    reload: tuple[str, ...] = ()
    """A command that makes it read its files again, as a list of arguments; empty: SIGHUP to its pid file."""
    run_as: str = ""
    """mosquitto: the account it changes to when it is started as root."""
    added_at: Instant = Instant(0)


class ClientIdentity(msgspec.Struct, frozen=True):
    """A certificate of ours with its key, both PEM, and the names a broker knows it by."""

    name: str
    certified_name: str
    serial: str
    chain: bytes
    key: bytes = msgspec.field(default=b"")

    def __repr__(self) -> str:
        """Without the key."""
        return f"ClientIdentity({self.name!r}, serial={self.serial!r})"


class Admission(msgspec.Struct, frozen=True):
    """A device that may connect; `certified_name` is the DNS name in its certificate."""

    grants: Grants
    certified_name: str


class Publication(msgspec.Struct, frozen=True):
    """Everything a broker must know, as of one instant."""

    admitted: tuple[Admission, ...]
    """By device id."""
    anchors: bytes
    """The environment's own authorities, PEM; nothing above them, so that no other environment's devices pass."""
    revocations: bytes
    """One revocation list for each of the anchors, PEM."""
    lapses_at: Instant
    """When the first of the lists is no longer valid."""
    probe: ClientIdentity
    """Must be let in; it may neither publish nor read."""
    canary: ClientIdentity
    """Must not be let in."""


class Connection(msgspec.Struct, frozen=True):
    """One live connection."""

    device: DeviceId
    client_id: str
    address: str
    since: Instant
    certificate: Digest | None = None
    """The fingerprint of the certificate it was made with, where the broker tells."""


class Action(StrEnum):
    """What a client did or tried."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    CONNECT = "connect"


class Seen(msgspec.Struct, frozen=True):
    """Something a device did (`refused` is empty), or was refused; `topic` is a topic or filter as it was sent."""

    device: DeviceId
    action: Action
    topic: str
    refused: str = ""
    """``denied``, or ``client-id`` for one that came under another's client id."""


class Observed(msgspec.Struct, frozen=True):
    """What a broker saw since a mark, oldest first and bounded; `mark` is where to go on."""

    mark: str
    seen: tuple[Seen, ...]
    missed: bool = False
    """Whether something before was lost: the log was taken away, or it was more than could be read."""


class BrokerAdapter(Protocol):
    """One broker. Every method raises `WorldError` ``broker.*`` when the broker cannot be reached or did not obey."""

    def prepare(self, server: ClientIdentity, root: bytes) -> None:
        """Make the folder ready before the broker is first started, or give it a new server certificate.

        Raises:
            WorldError: ``broker.files``.
        """
        ...

    def certificate_ends(self) -> Instant | None:
        """When the broker's own certificate lapses; `None` where the folder is not ready."""
        ...

    def render(self, publication: Publication) -> dict[str, bytes]:
        """Every file of the broker for `publication`, by its name in the folder."""
        ...

    def write(self, publication: Publication) -> None:
        """Write the files of a broker that does not run yet; nobody is told.

        Raises:
            WorldError: ``broker.files``.
        """
        ...

    async def apply(self, publication: Publication) -> None:
        """Publish the files, have them read, and see with probe and canary that they were.

        Raises:
            WorldError: ``broker.canary_admitted``, ``broker.probe_refused``, ``broker.unreachable``, ``broker.files``.
        """
        ...

    async def cut_off(self, devices: tuple[DeviceId, ...], publication: Publication) -> None:
        """Apply `publication`, and end the connections of `devices`; done when they are dead.

        A device that `publication` still admits may come again, with another certificate than the one that ended.
        """
        ...

    async def kick(self, devices: Sequence[DeviceId]) -> None:
        """End the connections of devices that may come again."""
        ...

    async def connections(self) -> tuple[Connection, ...]:
        """Who is connected, our own identities aside."""
        ...

    async def observe(self, mark: str) -> Observed:
        """What was seen since `mark`; empty: from the oldest that is still known."""
        ...

    async def check(self, publication: Publication, now: Instant) -> tuple[Reason, ...]:
        """What is not as it should be; empty when all is well. Tries probe and canary, and compares the files."""
        ...


class BrokerTrust(Protocol):
    """What brokers of an environment trust, made by the authority."""

    def anchors(self, scope: Scope) -> bytes:
        """The environment's own authorities, self-signed, PEM."""
        ...

    def revocations(self, scope: Scope, serials: tuple[str, ...], now: Instant) -> tuple[bytes, Instant]:
        """Revocation lists of the scope's authorities that name `serials` too, PEM, and when the first lapses."""
        ...

    def probe(self, scope: Scope, number: str, now: Instant) -> ClientIdentity:
        """A new identity of ours, named so as no device can be."""
        ...

    def certify(self, broker: Broker, now: Instant) -> ClientIdentity:
        """A server certificate for a broker, under its names, with chain and key."""
        ...

    def root(self) -> bytes:
        """What clients of a broker trust, PEM."""
        ...
