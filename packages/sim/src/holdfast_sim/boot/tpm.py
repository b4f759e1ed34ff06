"""The few TPM commands of a boot, marshalled by hand over the socket of swtpm, so that a boot costs milliseconds.

1. Bytes are big-endian; every command begins with tag, size and code, every response with tag, size and result.
2. A result other than success is `WorldError` ``boot.tpm`` with its number; nothing is tried twice.
3. The control channel is swtpm's own: a command number, then its arguments; the answer begins with a result.

Source: TPM 2.0 Library, Part 3, sections 9.3 (TPM2_Startup), 9.4 (TPM2_Shutdown), 22.2 (TPM2_PCR_Extend) and 22.4
(TPM2_PCR_Read); Part 2 for the structures; swtpm_ioctls(3) for the control channel.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast_core.kernel.errors import WorldError

SHA256 = 0x000B
"""TPM_ALG_SHA256."""
DIGEST_BYTES = 32
PATIENCE_S = 30.0
_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_STARTUP, _SHUTDOWN, _PCR_EXTEND, _PCR_READ = 0x144, 0x145, 0x182, 0x17E
_CLEAR = b"\0\0"
"""TPM_SU_CLEAR."""
_EMPTY_PASSWORD = bytes.fromhex("00000009 40000009 0000 00 0000")
"""The size of the authorization area, then TPM_RS_PW, no nonce, no attributes, an empty password."""
_HEADER = struct.Struct(">HII")
_CMD_INIT = 2
_READ_AT_ONCE = 8
"""TPM2_PCR_Read returns at most eight digests (TPML_DIGEST)."""


class TpmLink:
    """A connection to a running TPM, for one boot. A context manager.

    Args:
        path: the data socket; the control socket is beside it, with ``.ctrl`` behind its name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._data is not None:
            self._data.close()
            self._data = None

    def power_cycle(self) -> None:
        """What a reset line does: the TPM starts anew, told nothing before (swtpm's CMD_INIT).

        Raises:
            WorldError: ``boot.tpm``.
        """
        with _connected(Path(f"{self._path}.ctrl")) as control:
            control.sendall(struct.pack(">II", _CMD_INIT, 0))
            (result,) = struct.unpack(">I", _exactly(control, 4))
        if result:
            raise _failed("swtpm's CMD_INIT", result)

    def startup(self) -> None:
        """TPM2_Startup(CLEAR): the registers begin at their first values."""
        self._command("TPM2_Startup", _NO_SESSIONS, _STARTUP, _CLEAR)

    def shutdown(self) -> None:
        """TPM2_Shutdown(CLEAR): the clock is written down, and counts as safe after the next start."""
        self._command("TPM2_Shutdown", _NO_SESSIONS, _SHUTDOWN, _CLEAR)

    def extend(self, register: int, digest: bytes) -> None:
        """TPM2_PCR_Extend of the SHA-256 bank with a digest of 32 bytes."""
        digests = struct.pack(">IH", 1, SHA256) + digest
        self._command(
            "TPM2_PCR_Extend", _SESSIONS, _PCR_EXTEND, struct.pack(">I", register) + _EMPTY_PASSWORD + digests
        )

    def read(self, registers: tuple[int, ...]) -> dict[int, bytes]:
        """TPM2_PCR_Read of the SHA-256 bank: the values by register."""
        values: dict[int, bytes] = {}
        for start in range(0, len(registers), _READ_AT_ONCE):
            asked = sorted(registers[start : start + _READ_AT_ONCE])
            bitmap = sum(1 << register for register in asked).to_bytes(3, "little")
            body = self._command("TPM2_PCR_Read", _NO_SESSIONS, _PCR_READ, struct.pack(">IHB", 1, SHA256, 3) + bitmap)
            digests = body[4 + 4 + 2 + 1 + 3 + 4 :]
            for number, register in enumerate(asked):
                at = number * (2 + DIGEST_BYTES) + 2
                values[register] = digests[at : at + DIGEST_BYTES]
        return values

    def _command(self, name: str, tag: int, code: int, body: bytes) -> bytes:
        """Send a command; returns what follows the header of the response."""
        if self._data is None:
            self._data = _connected(self._path)
        self._data.sendall(_HEADER.pack(tag, _HEADER.size + len(body), code) + body)
        _, size, result = _HEADER.unpack(_exactly(self._data, _HEADER.size))
        answer = _exactly(self._data, size - _HEADER.size)
        if result:
            raise _failed(name, result)
        return answer


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE_S)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise _unreachable(str(error)) from error
    return connection


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        try:
            part = connection.recv(size - len(found))
        except OSError as error:
            raise _unreachable(str(error)) from error
        if not part:
            raise _unreachable("it hung up")
        found += part
    return found


def _failed(name: str, result: int) -> WorldError:
    return WorldError(
        "boot.tpm",
        f"{name} failed with the result {result:#x}.",
        remedy="Look the number up in TPM 2.0 Library, Part 2, section 6.6, or with tpm2_rc_decode.",
    )


def _unreachable(why: str) -> WorldError:
    return WorldError(
        "boot.tpm",
        f"The TPM of the simulated machine does not answer: {why}.",
        remedy="Start it anew, and let no other program hold its socket while the machine boots.",
    )
