"""Taking a device's rights back wherever they were given: brokers, rollouts, gateways. Each is one `Withdrawal`."""

from __future__ import annotations

from typing import Protocol

from holdfast_core.kernel.ids import DeviceKey


class Withdrawal(Protocol):
    """One place that gives devices rights of its own."""

    @property
    def name(self) -> str:
        """What it is, for people."""
        ...

    async def withdraw(self, key: DeviceKey) -> None:
        """End every right and every open connection of the device there. Doing it again changes nothing.

        Raises:
            WorldError: it could not be reached; it is tried again until it could.
        """
        ...
