"""Inputs as large as their parser takes, each made to cost as much as it can."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping

import boot_builders as boot
import event_log_builders as logs
import ima_builders as lists
from holdfast_core.formats.eventlog import kinds

MIB = 1024 * 1024
DBX = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
SHA256_LIST = "c1c41626-504c-4092-aca9-41f936934328"
ENTRY = (logs.GLOBAL, b"h" * 32)


def _log(event: bytes) -> bytes:
    """A log of one event over and over."""
    return logs.agile_log(*[event] * ((MIB - 2_000) // len(event)))


def _list(entry: lists.Made, form: Callable[[lists.Made], bytes]) -> bytes:
    """A measurement list of one entry over and over, behind the byte that its targets begin with."""
    each = form(entry)
    return b"\x7f" + each * ((MIB - 2) // len(each))


def _deep_tree() -> bytes:
    nodes: list = [(f"leaf{number}", []) for number in range(20_000)]
    for _ in range(28):
        nodes = [("d" * 250, nodes)]
    return boot.Tree(nodes).bytes()


def _signed_often() -> bytes:
    """A FIT with as many signatures as are read, each over a tree of as many tokens as are read."""
    parts = [
        ("algo", boot.texts("sha256,ecdsa256")),
        ("key-name-hint", boot.texts("dev")),
        ("value", bytes(64)),
        ("hashed-nodes", boot.texts(*boot.HASHED)),
        ("hashed-strings", struct.pack(">II", 0, 10)),
    ]
    configuration = [(name, boot.texts(name)) for name in boot.IMAGES]
    configuration += [(f"signature-{number}", parts) for number in range(8)]
    root = [
        ("timestamp", bytes(4)),
        ("images", [(name, boot.image_node(name.encode(), name)) for name in boot.IMAGES]),
        ("configurations", [("default", boot.texts("conf")), ("conf", configuration)]),
        ("more", [(f"n{number}", []) for number in range(24_000)]),
    ]
    return boot.Tree(root, order=boot.NAMES).bytes()


_SIGNATURE = bytes.fromhex("030204") + b"\1\2\3\4" + struct.pack(">H", 70) + bytes(70)
_LOGS: Mapping[str, Callable[[], bytes]] = {
    "empty events": lambda: _log(logs.event(4, kinds.IPL, b"")),
    "separators": lambda: _log(logs.separator(4)),
    "settings": lambda: _log(logs.setting("SecureBoot", b"\1")),
    "variables with a tail": lambda: _log(
        logs.event(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, logs.variable("SecureBoot", b"\1") + bytes(8), of=b"other")
    ),
    "dbx in many lists": lambda: logs.agile_log(
        logs.setting("dbx", logs.signature_list(SHA256_LIST, [ENTRY]) * ((MIB - 2_000) // 76), DBX)
    ),
    "dbx in one list": lambda: logs.agile_log(
        logs.setting("dbx", logs.signature_list(SHA256_LIST, [ENTRY] * ((MIB - 2_000) // 48)), DBX)
    ),
    "one long text": lambda: logs.agile_log(logs.event(8, kinds.IPL, b"kernel_cmdline: ".ljust(MIB - 2_000, b"a"))),
    "only zeros": lambda: logs.agile_log(logs.event(8, kinds.IPL, bytes(MIB - 2_000))),
    "one long path": lambda: logs.agile_log(logs.image("\\" + "a" * 32_000, b"")),
    "SHA-1 only": lambda: logs.legacy_event(4, kinds.IPL, b"") * 16_384,
    "filled up": lambda: logs.a_boot().ljust(MIB, b"\xff"),
}
_LISTS: Mapping[str, Callable[[], bytes]] = {
    "short lines": lambda: _list(lists.Made(name=b"a"), lists.text),
    "short entries": lambda: _list(lists.Made(name=b"a"), lists.binary),
    "violations": lambda: _list(lists.Made(violation=True), lists.text),
    "signatures": lambda: _list(lists.Made(template="ima-sig", extra=(_SIGNATURE,)), lists.text),
    "one line without end": lambda: b"\x7f10 " + b"a" * (MIB - 5),
    "only line ends": lambda: b"\x7f" + b"\n" * (MIB - 2),
}
EXTREMES: Mapping[tuple[str, str], Callable[[], bytes]] = {
    **{(target, name): make for target in ("event-log", "appraise-log") for name, make in _LOGS.items()},
    **{(target, name): make for target in ("ima", "appraise-list") for name, make in _LISTS.items()},
    ("unpack", "a mebibyte in a few bytes"): lambda: zlib.compress(bytes(64 * MIB), 9),
    ("cbor", "deep"): lambda: b"\x81" * 65_000,
    ("cbor", "wide"): lambda: b"\x99\x0f\xff" + bytes(4_095),
    ("evidence", "deep"): lambda: b'{"x":' * 100_000,
    ("dsse", "deep"): lambda: b'{"x":' * 500_000,
    ("statement", "deep"): lambda: b'[{"x":' * 500_000,
    ("command-line", "quotes"): lambda: b'"' * 16_384,
    ("command-line", "tables"): lambda: (b'dm-mod.create="' + b",;" * 8_192)[:16_384],
    ("device-tree", "deep and wide"): _deep_tree,
    ("fit-verified", "signed often"): _signed_often,
}
"""By target and what is special about it."""
