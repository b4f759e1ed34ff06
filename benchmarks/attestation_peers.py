"""The peer of the attestation benchmarks: the `keylime` package, in an environment of its own, on the same inputs.

It is installed from ``requirements/bench-keylime.txt``, pinned with hashes, into ``.cache/peers/keylime``, and never
into the environment of the checkout. Of Keylime only the functions run that verify evidence: no server, no database.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import pack

_TOP = Path(__file__).resolve().parents[1]
_PINS = _TOP / "requirements" / "bench-keylime.txt"
_HOME = _TOP / ".cache" / "peers" / "keylime"
_SELECTIONS, _DIGESTS, _DIGEST_ROOM = 16, 8, 64
_SHA256 = 0x000B


@dataclass(frozen=True)
class Quote:
    """What a device sends to Keylime: TPMS_ATTEST, TPMT_SIGNATURE, and the nonce and key that a verifier knows."""

    attest: bytes
    signature: bytes
    nonce: bytes
    area: bytes


def keylime(
    folder: Path,
    *,
    quotes: Sequence[Quote],
    values: Mapping[int, bytes],
    log: bytes,
    ima: bytes,
    files: Mapping[str, str],
    ima_value: bytes,
) -> dict[str, float]:
    """What Keylime's functions do in a second of CPU on these inputs; empty, with the reason printed, if they cannot.

    Args:
        folder: for the inputs.
        quotes: of these `values`.
        values: registers that were quoted.
        log: an event log that leads to them.
        ima: a measurement list in its text form.
        files: digests in hexadecimal by path, which the list is compared with.
        ima_value: the register after the list.
    """
    python = _python()
    if python is None or shutil.which("tpm2_eventlog") is None:
        print("  keylime: not run; it needs its packages and tpm2_eventlog (Debian: tpm2-tools)")
        return {}
    inputs = folder / "keylime.json"
    told = {
        "quotes": [_told(quote, values) for quote in quotes],
        "values": {register: value.hex() for register, value in values.items()},
        "log": _text(log),
        "ima": _text(ima),
        "ima_lines": ima.count(b"\n"),
        "ima_value": ima_value.hex(),
        "files": {path: [digest] for path, digest in files.items()},
    }
    inputs.write_text(json.dumps(told))
    # The program by its path and nothing of ours on the path: this Python has other packages.
    argv = [str(python), "-I", str(Path(__file__).with_name("attestation_keylime.py")), str(inputs)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    if ran.returncode != 0:
        print(f"  keylime: not run: {(ran.stderr.strip().splitlines() or ['no word why'])[-1]}")
        return {}
    rates: dict[str, float] = json.loads(ran.stdout)
    return rates


def _told(quote: Quote, values: Mapping[int, bytes]) -> dict[str, str]:
    parts = (quote.attest, quote.signature, _register_file(values))
    return {"quote": "r" + ":".join(map(_text, parts)), "nonce": _text(quote.nonce), "key": _text(quote.area)}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _register_file(values: Mapping[int, bytes]) -> bytes:
    """Register values as tpm2-tools write them: structures as they lie in memory, little-endian."""
    bits = sum(1 << register for register in values)
    head = pack("<I", 1) + pack("<HB3s2x", _SHA256, 3, bits.to_bytes(3, "little")) + bytes(8) * (_SELECTIONS - 1)
    ordered = [values[register] for register in sorted(values)]
    lists = [ordered[at : at + _DIGESTS] for at in range(0, len(ordered), _DIGESTS)]
    return head + pack("<I", len(lists)) + b"".join(map(_digest_list, lists))


def _digest_list(digests: Sequence[bytes]) -> bytes:
    padded = [*digests, *[b""] * (_DIGESTS - len(digests))]
    return pack("<I", len(digests)) + b"".join(pack("<H", len(d)) + d.ljust(_DIGEST_ROOM, b"\0") for d in padded)


def _python() -> Path | None:
    """The Python of the peer's environment, made on first use and anew when the pins changed; `None` if it cannot be.

    uv fetches it where it can; where an index is configured for pip alone, pip does.
    """
    python, stamp = _HOME / "bin" / "python", _HOME / "stamp"
    wanted = hashlib.sha256(_PINS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(_HOME, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(_HOME)], check=True)
    pinned = ["--require-hashes", "--only-binary", ":all:", "-r", str(_PINS)]
    uv = str(Path(sys.executable).with_name("uv"))
    ways = ([uv, "pip", "install", "-q", "--python", str(python)], [str(python), "-m", "pip", "install", "-q"])
    environment = {**os.environ, "UV_CACHE_DIR": str(_TOP / ".cache" / "uv")}
    if not any(subprocess.run([*way, *pinned], check=False, env=environment).returncode == 0 for way in ways):
        return None
    stamp.write_text(wanted)
    return python
