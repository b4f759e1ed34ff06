"""What a measurement list does to the register: the value after each entry, and which entries a quote covers.

1. The register's new value is H(old value, H(template data)); a violation extends by all ones.
2. The list grows between quote and reading, so a quote proves a prefix: the entries up to the value that it signs. What
   comes after is not refused, only not proven yet; it begins the next slice.
3. Only entries of the register that is compared prove anything by it; a slice with others is refused.
4. Kernels before 5.8 extended every bank by the SHA-1 digest, filled up with zeros: then SHA-256 registers are no
   stronger than SHA-1. Such a list is replayed only for a caller who says that it may be (`padded`).

Source: Linux, security/integrity/ima/ima_queue.c and ima_crypto.c; TPM 2.0 Library, Part 1, section 17.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from holdfast_core.formats.ima.entries import BANKS, ImaEntry
from holdfast_core.formats.ima.slices import entries_in, no_bank
from holdfast_core.kernel.errors import HostileData

REGISTER = 10
"""CONFIG_IMA_MEASURE_PCR_IDX, which distributions leave at its default."""
_SHA1_BYTES = 20


class ImaWalk(msgspec.Struct, frozen=True):
    """A slice, replayed: `values[i]` is the register after `entries[i]`, `start` what it was before the first."""

    start: bytes
    entries: tuple[ImaEntry, ...]
    values: tuple[bytes, ...]

    def proven(self, quoted: bytes) -> int | None:
        """How many entries from the first on led to the value `quoted`; none at all: ``None``."""
        if quoted == self.start:
            return 0
        return self.values.index(quoted) + 1 if quoted in self.values else None


def walk(
    data: bytes, start: bytes, *, bank: str, register: int = REGISTER, column: str = "sha1", padded: bool = False
) -> ImaWalk:
    """Read a slice and replay it.

    Args:
        data: whole entries, in either form.
        start: the register before the first of them: zeros after boot, else where the last slice ended.
        bank: the register's hash.
        register: the register that is compared with a quote.
        column: the hash of the template column in the binary form.
        padded: whether the kernel is older than 5.8 and its SHA-1 digests are taken for this bank.

    Raises:
        HostileData: as `parse_ima`; ``ima.register`` for an entry of another register, ``ima.start``.
        LimitExceeded: ``ima.too_large``.
    """
    entries = tuple(entries_in(data, column=column))
    if any(entry.register != register for entry in entries):
        raise HostileData(
            "ima.register",
            f"The measurement list has entries that did not go into register {register}, which alone is compared.",
            remedy=f"Leave out pcr= in the IMA policy, or let all its rules name register {register}.",
        )
    return ImaWalk(start, entries, tuple(replay(start, entries, bank=bank, padded=padded)))


def replay(start: bytes, entries: Iterable[ImaEntry], *, bank: str, padded: bool = False) -> Iterator[bytes]:
    """The register after each of `entries`, as `walk`. Raises HostileData ``ima.bank``, ``ima.start``."""
    if bank not in BANKS:
        raise no_bank(bank)
    size, hashed = BANKS[bank]
    if len(start) != size:
        raise HostileData(
            "ima.start",
            f"A register of the bank {bank} does not have {len(start)} bytes.",
            remedy="Start from the register's value at boot, or at the end of the slice before.",
        )
    by = BANKS["sha1"][1] if padded else hashed
    ones = (b"\xff" * (_SHA1_BYTES if padded else size)).ljust(size, b"\0")
    value = start
    for entry in entries:
        value = hashed(value + (ones if entry.violation else by(entry.data).digest().ljust(size, b"\0"))).digest()
        yield value


def boot_aggregate(values: Mapping[int, bytes], *, bank: str, registers: Iterable[int] | None = None) -> bytes:
    """What the list's first entry says of the boot: one digest over the registers that firmware and loader extended.

    Args:
        values: the registers of `bank` by number.
        bank: the hash, which is that of the entry.
        registers: which ones; else 0 to 7 for SHA-1 and 0 to 9 for the others, as kernels do since 5.8.

    Raises:
        HostileData: ``ima.bank``, ``ima.boot_aggregate`` when a register is missing or of another length.
    """
    if bank not in BANKS:
        raise no_bank(bank)
    size = BANKS[bank][0]
    wanted = tuple(registers) if registers is not None else tuple(range(8 if bank == "sha1" else 10))
    if any(len(values.get(number, b"")) != size for number in wanted):
        raise HostileData(
            "ima.boot_aggregate",
            f"The registers {', '.join(map(str, wanted))} of the bank {bank} are not all there.",
            remedy="Quote all of them, in the bank that the list's boot_aggregate names.",
        )
    return hashlib.new(bank, b"".join(values[number] for number in wanted), usedforsecurity=False).digest()
