"""PE images: small ones made here, and real ones made with the tools of Debian."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path

import pytest

BOOT = Path("/usr/lib/systemd/boot/efi")
STUB, BOOT_LOADER = BOOT / "linuxx64.efi.stub", BOOT / "systemd-bootx64.efi"
FIRST = 0x400
SDMAGIC = b"#### LoaderInfo: systemd-stub %d.1 ####\0"


def real(file: Path) -> bytes:
    """A file of systemd-boot-efi."""
    if not file.is_file():
        pytest.skip(f"{file} is not there; the Debian package is systemd-boot-efi")
    return file.read_bytes()


def ran(*command: object) -> str:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60, text=True).stdout


class Pe:
    """An image of `sections` (name, bytes). Whatever else it says can be changed before it is written.

    Args:
        sections: in the order of the table and of the file.
        plus: whether it is PE32+.
        directories: how many entries; five and more have one for signatures.
        trailing: bytes behind the sections.
        signatures: bytes of the list of signatures.
    """

    def __init__(self, *sections, plus=True, directories=16, trailing=b"", signatures=b"") -> None:
        self.plus, self.directories, self.trailing, self.signatures = plus, directories, trailing, signatures
        self.start, self.headers, self.count = 0x80, FIRST, len(sections)
        self.optional = (112 if plus else 96) + 8 * directories
        self.magic = 0x20B if plus else 0x10B
        self.rows, self.contents, at = [], [], FIRST
        for number, (name, content) in enumerate(sections):
            size = -(-len(content) // 0x200) * 0x200
            self.rows.append([name, len(content), 0x1000 * (number + 1), size, at])
            self.contents.append(content.ljust(size, b"\0"))
            at += size
        self.security = None

    def bytes(self, *, checksum: int = 0) -> bytes:
        body = b"".join(self.contents) + self.trailing
        if self.signatures:
            body += bytes(-(FIRST + len(body)) % 8)
        security = self.security or ((FIRST + len(body), len(self.signatures)) if self.signatures else (0, 0))
        entries = [security if number == 4 else (0, 0) for number in range(self.directories)]
        fixed = struct.pack("<H", self.magic).ljust(60, b"\1") + struct.pack("<II", self.headers, checksum)
        header = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", self.start)
        header = header.ljust(self.start, b"\0") + b"PE\0\0"
        header += struct.pack("<HH12xHH", 0x8664, self.count, self.optional, 0x22E)
        header += fixed.ljust(108 if self.plus else 92, b"\2") + struct.pack("<I", self.directories)
        header += b"".join(struct.pack("<II", *each) for each in entries)
        for name, virtual_size, address, size, offset in self.rows:
            header += struct.pack("<8sIIII16x", name.encode(), virtual_size, address, size, offset)
        return header.ljust(FIRST, b"\0") + body + self.signatures


def signature(content: bytes, kind: int = 2) -> bytes:
    """One entry of the list of signatures."""
    data = struct.pack("<IHH", 8 + len(content), 0x200, kind) + content
    return data.ljust(-(-len(data) // 8) * 8, b"\0")


def kernel_image(version: int = 252, **sections: bytes) -> bytes:
    """A small unified kernel image, `sections` without their points."""
    named = ((f".{name}", content) for name, content in sections.items())
    return Pe((".text", b"\x90" * 600), (".sdmagic", SDMAGIC % version), *named).bytes()


def assembled(folder: Path, sections: dict[str, bytes]) -> Path:
    """A unified kernel image on the real stub, put together with objcopy as its documentation shows."""
    real(STUB)
    options, address = [], 0x1000000
    for name, content in sections.items():
        (folder / name).write_bytes(content)
        options += ["--add-section", f".{name}={folder / name}", "--change-section-vma", f".{name}={address:#x}"]
        address += 0x1000000
    ran("objcopy", *options, STUB, folder / "uki.efi")
    return folder / "uki.efi"


def extended(digests, algorithm: str = "sha256") -> bytes:
    """A register after extension by all of `digests`, computed here once more."""
    value = bytes(hashlib.new(algorithm).digest_size)
    for each in digests:
        value = hashlib.new(algorithm, value + each).digest()
    return value
