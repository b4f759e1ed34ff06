"""What nats-server tells: refusals in its log, connections at its monitoring port.

1. A client id and a subject are the client's own words. A line is therefore read from its beginning on, with the id as
   the server quotes it, so that no client can write another's refusal into the log.
2. Users are known by the DNS name of their certificate; the device is its first part, the rest the environment.
3. nats-server does not bind client ids to identities. A connection that came under another id than its own is seen
   here (`refused` is ``client-id``), and is cut off by who watches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from holdfast.ports.broker import Action, Connection, Seen
from holdfast_core.identity.grants import mqtt_topic
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import Instant, from_datetime
from holdfast_core.kernel.limits import LIMITS

_VIOLATION = re.compile(
    r'\[\d+\] \d{4}/\d\d/\d\d [\d:.]+ \[ERR\] [0-9a-fA-F.:\[\]]+ - [a-z]+:\d+ (?:- "(?:[^"\\]|\\.)*" )?'
    r'- (?P<what>Publish|Subscription) Violation - User "(?P<user>[a-z0-9._-]+)", '
    r'Subject "(?P<subject>.*?)"(?:, SID .*)?'
)
_DELIVERY = "$MQTT."
_ACTIONS = {"Publish": Action.PUBLISH, "Subscription": Action.SUBSCRIBE}


class _Subscription(msgspec.Struct, frozen=True):
    subject: str = ""


class _Peer(msgspec.Struct, frozen=True):
    cert_sha256: str = ""


class _Client(msgspec.Struct, frozen=True):
    start: str
    ip: str = ""
    port: int = 0
    authorized_user: str = ""
    mqtt_client: str = ""
    tls_peer_certs: tuple[_Peer, ...] = ()
    subscriptions_list_detail: tuple[_Subscription, ...] = ()


class Connz(msgspec.Struct, frozen=True):
    """The answer of ``/connz?auth=1&subs=detail``."""

    connections: tuple[_Client, ...] | None = None
    total: int = 0


def device_of(user: str) -> DeviceId | None:
    """The device whose certified name `user` is; `None` for identities of ours and names of another form.

    A device id may hold dots, so the environment's four parts are taken from the end.
    """
    parts = user.split(".")
    if user.startswith("_") or len(parts) <= CERTIFIED_PARTS:
        return None
    return DeviceId(".".join(parts[:-CERTIFIED_PARTS]))


CERTIFIED_PARTS = 4
"""Of ``<device>.<environment>.<tenant>.holdfast.internal``, what follows the device; none of them holds a dot."""


def violations(lines: Sequence[str]) -> list[Seen]:
    """The refusals that log lines tell of."""
    found: list[Seen] = []
    for line in lines:
        match = _VIOLATION.fullmatch(line)
        device = device_of(match["user"]) if match else None
        if match and device is not None:
            found.append(Seen(device, _ACTIONS[match["what"]], mqtt_topic(match["subject"])[: LIMITS.text], "denied"))
    return found


def live(connz: Connz) -> list[tuple[Connection, tuple[str, ...]]]:
    """Connections of devices with the topic filters that each is subscribed to.

    Raises:
        ValueError: one began at no time that there is.
    """
    found: list[tuple[Connection, tuple[str, ...]]] = []
    for client in connz.connections or ():
        device = device_of(client.authorized_user)
        if device is not None:
            address = f"{client.ip}:{client.port}"
            shown = client.tls_peer_certs[0].cert_sha256 if client.tls_peer_certs else ""
            certificate = Digest(f"sha256:{shown}") if shown else None
            connection = Connection(device, client.mqtt_client, address, _instant(client.start), certificate)
            subjects = (subscription.subject for subscription in client.subscriptions_list_detail)
            topics = {mqtt_topic(subject)[: LIMITS.text] for subject in subjects if not subject.startswith(_DELIVERY)}
            found.append((connection, tuple(sorted(topics))))
    return found


def _instant(text: str) -> Instant:
    """nats-server writes nanoseconds, which Python does not read."""
    seconds, _, _ = text.rstrip("Z").partition(".")
    return from_datetime(datetime.fromisoformat(seconds + "+00:00"))
