"""Record conversations of this version of the protocol as test data: ``tools/record_conversations.py FOLDER``.

Each file holds what a fresh control plane, under the tests' clock and randomness, was sent and what it answered.
Files of a released version are never recorded again: later versions must still understand them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from conversation_builders import SCRIPTS, hold  # type: ignore[import-not-found]  # on the path only from here on


def main(target: Path) -> None:
    """Write one file per script into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for name in SCRIPTS:
        with tempfile.TemporaryDirectory() as folder:
            conversation = asyncio.run(hold(name, Path(folder)))
        data = msgspec.json.format(msgspec.json.encode(conversation), indent=1)
        (target / f"{name}.json").write_bytes(data + b"\n")
        print(f"{name}: {len(conversation.turns)} turns")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
