"""The hunt for private keys."""

from __future__ import annotations

from holdfast_core.baseline.probes import PrivateKeys
from holdfast_probe.credentials.keys import KEY_BYTES, MARK, bare_key, may_be_bare, private_keys
from holdfast_probe.hunt import Hunt
from holdfast_probe.patterns import PathPattern
from holdfast_probe.walk import OVERLAP, WINDOW, Opened, Wants


class KeyHunt(Hunt):
    """Private keys that decode."""

    wants = Wants(content=True)

    def __init__(self, spec: PrivateKeys, *, file_bytes: int) -> None:
        super().__init__()
        self._allow = PathPattern(spec.allow)
        self._most = file_bytes
        self.praise = f"no private key in the first {file_bytes // 1024} KiB of each file"

    def opens(self, name: str, mode: int, size: int) -> bool:  # noqa: ARG002  (the collectors' shape)
        """Anything large enough to hold a key: they lie under any name."""
        return size >= 48  # noqa: PLR2004  (the shortest, Ed25519 in DER)

    def content(self, path: str, file: Opened) -> int:
        """Count it if a key decodes in what is searched of it."""
        kinds: tuple[str, ...] = ()
        obj = file.head.obj
        if isinstance(obj, bytearray) and obj.find(MARK, 0, len(file.head)) >= 0:
            kinds = private_keys(_whole(file))
        elif may_be_bare(bytes(file.head[:32])):
            kind = bare_key(bytes(file.head[: file.size]))
            kinds = (kind,) if kind else ()
        beyond = 0
        if not kinds and file.size > len(file.head) and self._most > len(file.head):
            kinds, beyond = self._further(file)
        if kinds and not self._allow.matches(path):
            self.found.add(f"{path} ({kinds[0]} private key)")
        return beyond

    def _further(self, file: Opened) -> tuple[tuple[str, ...], int]:
        """Search window after window, up to the cap; a hole in a sparse file costs no disk."""
        position = len(file.head) - OVERLAP
        read = 0
        while position < min(file.size, self._most):
            window = file.read_at(position, WINDOW)
            read += len(window)
            if MARK in window and (
                kinds := private_keys(file.read_at(max(0, position - OVERLAP), WINDOW + 2 * KEY_BYTES))
            ):
                return kinds, read
            if len(window) <= OVERLAP:
                break
            position += len(window) - OVERLAP
        return (), read


def _whole(file: Opened) -> bytes:
    """The searched window, with as much after it as a key at its end may need."""
    if file.size <= len(file.head):
        return bytes(file.head)
    return bytes(file.head) + file.read_at(len(file.head), KEY_BYTES)
