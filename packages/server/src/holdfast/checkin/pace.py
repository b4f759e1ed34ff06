"""How often one device may call.

1. At most so many check-ins in one contact interval of its model; what comes beyond is refused before it is read.
2. An honest device needs one, or a handful when the server asks for more; the rest is room for people and retries.
3. This bounds what one device, though its identity is good, can write into the record: by changing its verdict back and
   forth, it adds at most this many leaves an interval.
4. The count is in memory: a restart gives each device one interval anew, which is no more than rule 1 allows twice.
"""

from __future__ import annotations

from holdfast_core.kernel.errors import LimitExceeded
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant, in_words


class Pace:
    """Counts the check-ins of each device.

    Args:
        most: check-ins of one device in one interval.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._windows: dict[DeviceKey, tuple[Instant, int]] = {}

    def admit(self, key: DeviceKey, interval: int, now: Instant) -> None:
        """Count a check-in of a device that should call every `interval` milliseconds.

        Raises:
            LimitExceeded: ``checkin.too_often`` (429).
        """
        since, count = self._windows.get(key, (now, 0))
        if not since <= now < since + interval:
            since, count = now, 0
        if count >= self._most:
            raise LimitExceeded(
                "checkin.too_often",
                f"More than {self._most} check-ins within {in_words(interval)}.",
                remedy="Call when the last reply said (next_s). If the device does, somebody else has its identity.",
                http_status=429,
            )
        self._windows[key] = (since, count + 1)
