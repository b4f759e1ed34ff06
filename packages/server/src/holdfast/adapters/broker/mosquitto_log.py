"""What mosquitto's log says: who is connected, what was published and read, and what was refused.

1. A line begins with its second and is one of the few below, whole; mosquitto refuses control characters in topics, so
   no client can begin a line of its own.
2. Client ids are user names here (`use_username_as_clientid`), so what a line says of a client it says of an identity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from holdfast.adapters.broker.mosquitto_files import CONNECTIONS
from holdfast.ports.broker import Action, Connection, Seen
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import LATEST, SECOND, Instant

_LINE = re.compile(r"([0-9]{1,12}): (.*)", re.DOTALL)
_ID = r"(?P<id>[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?)"
_JOINED = re.compile(rf"New client connected from (?P<from>\S+) as {_ID} \(p\d+, .*\)\.")
_LEFT = re.compile(
    rf"Client {_ID} (?:closed its connection|disconnected|been disconnected|has exceeded timeout|already).*"
)
_TRIED = re.compile(
    rf"(?P<how>Received|Denied) PUBLISH from {_ID} \(d\d, q\d, r\d, m\d+, '(?P<topic>.*)', \.\.\. \(\d+ bytes\)\)"
)
_READS = re.compile(rf"{_ID} [0-2] (?P<topic>.+)")
_STARTED = re.compile(r"mosquitto version \S+ starting")


class Sessions:
    """Who is connected, kept up line by line."""

    def __init__(self) -> None:
        self.live: dict[DeviceId, Connection] = {}

    def read(self, lines: Iterable[str]) -> list[Seen]:
        """Take in `lines`; return what clients did."""
        seen: list[Seen] = []
        for line in lines:
            match = _LINE.fullmatch(line)
            if match is not None:
                found = self._take(match[2], Instant(min(int(match[1]) * SECOND, LATEST)))
                if found is not None:
                    seen.append(found)
        return seen

    def _take(self, text: str, at: Instant) -> Seen | None:
        if match := _TRIED.fullmatch(text):
            refused = "denied" if match["how"] == "Denied" else ""
            return Seen(DeviceId(match["id"]), Action.PUBLISH, match["topic"], refused)
        if match := _JOINED.fullmatch(text):
            device = DeviceId(match["id"])
            if device in self.live or len(self.live) < CONNECTIONS:  # a log that somebody else wrote has no end
                self.live[device] = Connection(device, device, match["from"], at)
            return Seen(device, Action.CONNECT, "")
        if match := _LEFT.fullmatch(text):
            self.live.pop(DeviceId(match["id"]), None)
        elif _STARTED.fullmatch(text):
            self.live.clear()
        elif match := _READS.fullmatch(text):
            return Seen(DeviceId(match["id"]), Action.SUBSCRIBE, match["topic"])
        return None
