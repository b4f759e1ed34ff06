"""Having the TPM quote its registers: one command to the chip, by whichever way to it this device has.

1. Two ways carry a command to the chip: ``tpm2_send`` of tpm2-tools, a process of its own, and the library binding
   tpm2-pytss. The tool is preferred: the binding brings 23 MB and `cryptography` into the agent (docs/adr/0020).
2. The key stays in the chip, so a quote loads nothing. Where the chip had no room for it, the key is loaded once per
   process, with the tools.
3. A chip that is busy is asked again, a few times.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable

from holdfast_agent.means import Way
from holdfast_agent.state import QuotingKey
from holdfast_agent.tpm_commands import (
    BANKS,
    LATER,
    Quote,
    quote_command,
    read_command,
    read_quote,
    read_registers,
)
from holdfast_agent.tpm_tools import run_tool, tpm_failed

Sender = Callable[[bytes], bytes]
"""Carries one command to the chip and its answer back. Raises WorldError ``agent.tpm``, ``agent.tpm_tools``."""
TRIES = 5
PAUSE_S = 0.2


def sender(way: Way, tcti: str) -> Sender:
    """What carries commands to the chip at `tcti`."""
    return _by_pytss(tcti) if way is Way.PYTSS else _by_tools(tcti)


def _by_tools(tcti: str) -> Sender:
    def send(command: bytes) -> bytes:
        return run_tool(("tpm2_send",), tcti, command)

    return send


def _by_pytss(tcti: str) -> Sender:
    def send(command: bytes) -> bytes:
        try:
            library = importlib.import_module(
                "tpm2_pytss"
            )  # here: it is 23 MB, and needed only where there are no tools
        except (ImportError, TypeError, AttributeError) as error:
            # An old one subclasses what newer releases of `cryptography` have closed.
            raise tpm_failed("tpm2-pytss", f"it cannot be imported: {str(error)[:200]}") from error
        name, _, where = tcti.partition(":")
        try:
            with library.TCTILdr(name, where or None) as chip:
                chip.transmit(command)
                return bytes(chip.receive())
        except (library.TSS2_Exception, RuntimeError) as error:
            raise tpm_failed("tpm2-pytss", str(error)[:200]) from error

    return send


def _asked(send: Sender, command: bytes) -> bytes:
    """The chip's answer, once it is not busy."""
    for _ in range(TRIES - 1):
        answer = send(command)
        if int.from_bytes(answer[6:10], "big") not in LATER:
            return answer
        time.sleep(PAUSE_S)
    return send(command)


def quote(send: Sender, handle: int, qualifying: bytes, bank: int, registers: Iterable[int]) -> Quote:
    """A quote by the key at `handle`: one command.

    Args:
        send: the way to the chip.
        handle: the persistent handle of the attestation key.
        qualifying: at most 32 bytes that the quote is to carry.
        bank: the hash of the registers (a TPM_ALG_ID).
        registers: which of them, 0 to 23.

    Raises:
        WorldError: ``agent.tpm``, ``agent.tpm_tools``, ``agent.tpm_key_gone``.
        HostileData: ``tpm.malformed``.
    """
    return read_quote(_asked(send, quote_command(handle, qualifying, bank, registers)))


def registers_of(send: Sender, bank: int, registers: Iterable[int]) -> dict[int, bytes]:
    """The values of `registers`, as far as the chip has them; eight to a command. Raises as `quote`."""
    left, values = set(registers), dict[int, bytes]()
    while left:
        found = read_registers(_asked(send, read_command(bank, left)))
        if not found.keys() & left:
            break
        values.update(found)
        left -= found.keys()
    return values


class Quoter:
    """Quotes by the device's attestation key, wherever that is.

    Args:
        key: what was kept of it at enrollment.
        way: how the chip is reached.
        tcti: where it is.
    """

    def __init__(self, key: QuotingKey, way: Way, tcti: str) -> None:
        self.key = key
        self.send = sender(way, tcti)
        self._tcti = tcti
        self._loaded: Callable[[bytes, str, Iterable[int]], Quote] | None = None

    def quote(self, qualifying: bytes, bank: str, registers: Iterable[int]) -> Quote:
        """A quote over `registers` of `bank`, one of `BANKS`. Raises as the function of that name."""
        if self.key.handle:
            return quote(self.send, self.key.handle, qualifying, BANKS[bank], registers)
        if self._loaded is None:
            from holdfast_agent.loaded_key import LoadedKey  # noqa: PLC0415  (only where the chip had no room)

            self._loaded = LoadedKey(self.key, self._tcti).quote
        return self._loaded(qualifying, bank, registers)
