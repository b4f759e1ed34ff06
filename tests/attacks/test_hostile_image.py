"""Attacks by the image that is audited: it may state anything; it must not hang, escape, exhaust or pass for whole.

Each attack runs beside a planted fault that must still be found where its bytes are still there.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import resource
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import image_builders as build
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.probes import Absent, FileMode, PrivateKeys, ProbeSpec, Setuid, WorldWritable
from holdfast_core.kernel.errors import HoldfastError
from holdfast_probe.audit import audit
from holdfast_probe.images import ImageLimits, NoRoot, open_target
from holdfast_probe.images.cpio import read_cpio
from holdfast_probe.images.devicetree import read_device_tree
from holdfast_probe.images.environment import find_environment
from holdfast_probe.images.limits import Damaged, Meter
from holdfast_probe.images.source import Source
from holdfast_probe.images.streams import KINDS, Stream
from holdfast_probe.images.tar import read_tar
from holdfast_probe.roots import Missing, Root, Unreadable
from probe_builders import Files, a_plan, ask, der_ec_key, grow, own_ids, pem

KEY = pem("EC PRIVATE KEY", der_ec_key())
TREE: Files = {
    "etc/passwd": own_ids(),
    "etc/group": own_ids(),
    "etc/shadow": ("root:*:1::::::\n", 0o600),
    "bin/busybox": (bytes(range(256)) * 300, 0o755),
    "bin/sh": "-> busybox",
    "usr/lib/a/deep/file": "x" * 5000,
    "srv/key.pem": (KEY, 0o600),
}
FAULTY: Files = {
    **TREE,
    "etc/shadow": ("root:*:1::::::\n", 0o644),
    "usr/sbin/telnetd": ("x" * 9000, 0o4755),
    "var/loose": ("x", 0o666),
    "var/www/" + "n" * 90: "x" * 70_000,
}
"""Every control that is asked fails on it, so that any other answer to a part of it has to be unknown."""
ASKED: tuple[ProbeSpec, ...] = (
    PrivateKeys(), WorldWritable(), Setuid(), Absent(paths=("/usr/sbin/telnetd",)),
    FileMode(paths=("/etc/shadow",), max_mode=0o640),
)  # fmt: skip
QUICK = ImageLimits(seconds=20.0, entries=200_000, unpacked_bytes=64 * 1024 * 1024)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("tree") / "root", dict(TREE))


def findings(root: Root) -> dict[str, Finding]:
    asked = [(f"XX-{number:02d}", spec) for number, spec in enumerate(ASKED)]
    return {f.control: f for f in audit(root, asked, a_plan()).findings}


def judged(image: Path, limits: ImageLimits = QUICK) -> dict[str, Finding] | str:
    """The findings, or the code of why there are none; anything else that is raised fails the test."""
    try:
        with open_target(image, limits=limits) as target:
            return findings(target.root)
    except NoRoot as error:
        return error.code


def assert_nothing_passes_by_silence(image: Path, whole: dict[str, Finding]) -> None:
    """What is damaged may be judged as the whole is, or be unknown; a fault that is hidden never passes."""
    found = judged(image)
    if isinstance(found, str):
        return
    for name, finding in found.items():
        if finding.outcome is Outcome.PASS:
            assert whole[name].outcome is Outcome.PASS, (name, finding)
        if finding.outcome is Outcome.NOT_APPLICABLE:
            assert whole[name].outcome is Outcome.NOT_APPLICABLE, (name, finding)


MAKERS: dict[str, Callable[[Path, Path], Path]] = {
    "squashfs": lambda tree, image: build.squashfs(tree, image, "gzip", "-b", "4096"),
    "squashfs xz": lambda tree, image: build.squashfs(tree, image, "xz", "-b", "4096"),
    "ext4": lambda tree, image: build.ext(tree, image, megabytes=1),
    "ext2": lambda tree, image: build.ext(tree, image, "ext2", megabytes=1),
    "cramfs": build.cramfs,
    "romfs": build.romfs,
    "tar": build.tar,
    "cpio": build.cpio,
    "zip": build.zipped,
    "tar.gz": lambda tree, image: packed(tree, image, gzip.compress),
    "cpio.xz": lambda tree, image: packed(tree, image, lzma.compress, build.cpio),
}


def packed(
    tree: Path, image: Path, pack: Callable[[bytes], bytes], make: Callable[[Path, Path], Path] = build.tar
) -> Path:
    image.write_bytes(pack(make(tree, image).read_bytes()))
    return image


@pytest.fixture(scope="module", params=sorted(MAKERS))
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = grow(tmp_path_factory.mktemp("tree") / "root", dict(FAULTY))
    return MAKERS[request.param](tree, tmp_path_factory.mktemp("whole") / "image")


def test_cut_short_at_every_fiftieth(tmp_path: Path, whole: Path) -> None:
    outcome = judged(whole)
    assert isinstance(outcome, dict)
    assert sum(f.outcome is Outcome.FAIL for f in outcome.values()) >= 3  # a zip has no owners, a romfs no modes
    data = whole.read_bytes()
    for part in range(50):
        (tmp_path / "cut").write_bytes(data[: len(data) * part // 50])
        assert_nothing_passes_by_silence(tmp_path / "cut", outcome)


def test_bytes_turned_over(tmp_path: Path, whole: Path) -> None:
    """Every metadata byte in turn would take hours: every part of the image, at steps that share no factor."""
    data = whole.read_bytes()
    step = max(1, len(data) // 97 | 1)
    for at in range(0, len(data), step):
        spoiled = bytearray(data)
        spoiled[at : at + 3] = bytes(255 - byte for byte in spoiled[at : at + 3])
        (tmp_path / "spoiled").write_bytes(spoiled)
        judged(tmp_path / "spoiled")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_superblocks_and_tables_of_anything(tmp_path: Path, whole: Path, data: st.DataObject) -> None:
    image = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(image), 8192) - 1) | st.integers(0, len(image) - 1))
        new = data.draw(st.sampled_from([b"\xff" * 4, b"\0" * 8, b"\x7f\xff\xff\xff", b"\1"]) | st.binary(max_size=12))
        image[at : at + len(new)] = new
    (tmp_path / "fuzzed").write_bytes(image)
    judged(tmp_path / "fuzzed", ImageLimits(seconds=5.0, entries=20_000, unpacked_bytes=16 * 1024 * 1024))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    magic=st.sampled_from([
        b"hsqs", b"sqsh", b"\x45\x3d\xcd\x28", b"\x28\xcd\x3d\x45", b"-rom1fs-", b"070701", b"\xd0\x0d\xfe\xed\0",
        b"\x27\x05\x19\x56", b"HDR0", b"UBI#\1", b"PK\3\4", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"BZh91AY&SY", b"bootcmd=",
        b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18\x60\x70", b"\x02\x21\x4c\x18", b"\x89LZO\0\r\n\x1a\n",
        b"IKCFG_ST\x1f\x8b\x08", b"\x5d\0\0\x80\0" + b"\xff" * 8, b"\xeb\x3c\x90",
    ]),
    rest=st.binary(max_size=600),
    before=st.sampled_from([0, 0, 512, 1000]),
)  # fmt: skip
def test_anything_behind_every_mark(tmp_path: Path, magic: bytes, rest: bytes, before: int) -> None:
    (tmp_path / "image").write_bytes(bytes(before) + magic + rest + b"\x55\xaa")
    assert isinstance(judged(tmp_path / "image"), str)


# ------------------------------------------------------------------------------------------------ bombs and holes


def test_bombs_end_at_their_limit(tmp_path: Path, tree: Path) -> None:
    zeros, image = bytes(1024 * 1024), tmp_path / "image"
    bombs: dict[str, bytes] = {}
    for name, packer in (("gzip", zlib.compressobj(9, wbits=31)), ("xz", lzma.LZMACompressor(preset=1))):
        bombs[name] = b"".join(packer.compress(zeros) for _ in range(400)) + packer.flush()
    root = build.squashfs(tree, tmp_path / "s").read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bomb in bombs.values():
        image.write_bytes(bomb)
        assert judged(image) == "image.limit"
        image.write_bytes(root + bytes(4096) + bomb)
        found = judged(image)
        assert isinstance(found, dict)
        assert found["XX-00"].proof == ("/srv/key.pem (EC private key)",)
        assert found["XX-01"].outcome is Outcome.UNKNOWN
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 * 1024  # KiB


def test_a_bomb_in_a_bomb(tmp_path: Path) -> None:
    data = bytes(4 * 1024 * 1024)
    for _ in range(12):
        data = gzip.compress(data, 9)
    (tmp_path / "image").write_bytes(data)
    assert judged(tmp_path / "image") == "image.limit"


def test_a_zip_that_says_less_than_it_holds(tmp_path: Path, tree: Path) -> None:
    image = build.zipped(tree, tmp_path / "image")
    data = image.read_bytes()
    with zipfile.ZipFile(image) as archive:
        assert len(archive.infolist()) > 5
    end = data.rfind(b"PK\5\6")
    image.write_bytes(data[: end + 12] + b"\xff\xff\xff\x7f" + data[end + 16 :])
    assert judged(image) in {"image.truncated", "image.unknown"}


def test_ten_gigabytes_of_nothing(tmp_path: Path, tree: Path) -> None:
    root = build.squashfs(tree, tmp_path / "s").read_bytes()
    for place in (0, 5 * 1024**3, 10 * 1024**3 - 1024**2):
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(10 * 1024**3)
            file.seek(place)
            file.write(root)
        found = judged(image)
        assert isinstance(found, dict)
        assert found["XX-00"].outcome is Outcome.FAIL
        image.unlink()
    with (tmp_path / "image").open("wb") as file:
        file.truncate(10 * 1024**3)
    assert judged(tmp_path / "image") == "image.unknown"


def test_an_image_that_takes_too_long(tmp_path: Path, tree: Path) -> None:
    image = build.tar(tree, tmp_path / "image")
    ticks = count()
    with pytest.raises(NoRoot) as told:
        open_target(image, clock=lambda: 200.0 * next(ticks))
    assert told.value.code == "image.limit"


def test_an_image_that_grows_and_shrinks_while_it_is_read(tmp_path: Path, tree: Path) -> None:
    image = build.tar(tree, tmp_path / "image")
    with open_target(image) as target:
        os.truncate(image, 600)
        with pytest.raises(Unreadable):
            target.root.read("/bin/busybox")
        assert ask(target.root, PrivateKeys()).outcome is Outcome.UNKNOWN


# --------------------------------------------------------------------------------------------- names, links, nodes


def a_tar(path: Path, members: list[tuple[str, bytes, str | bytes | int]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, what in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o644
            if kind == tarfile.DIRTYPE:
                info.mode = 0o755
            if isinstance(what, str):
                info.linkname = what
                archive.addfile(info)
            elif isinstance(what, bytes):
                info.size = len(what)
                archive.addfile(info, io.BytesIO(what))
            else:
                info.devmajor, info.devminor = 1, what
                archive.addfile(info)
    return path


BASE: list[tuple[str, bytes, str | bytes | int]] = [
    ("etc/passwd", tarfile.REGTYPE, own_ids().encode()),
    ("bin/sh", tarfile.REGTYPE, b"x"),
]


def test_names_that_lead_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    image = a_tar(tmp_path / "image", [
        *BASE,
        ("../../escape", tarfile.REGTYPE, b"x"),
        ("etc/../../escape", tarfile.REGTYPE, b"x"),
        ("/abs/olute", tarfile.REGTYPE, b"inside"),
        ("way", tarfile.SYMTYPE, str(outside)),
        ("up", tarfile.SYMTYPE, "../" * 40 + str(outside).lstrip("/")),
        ("hard", tarfile.LNKTYPE, str(outside)),
        ("loop", tarfile.SYMTYPE, "loop"),
        ("ring/a", tarfile.SYMTYPE, "../ring/b"),
        ("ring/b", tarfile.SYMTYPE, "a"),
    ])  # fmt: skip
    with open_target(image) as target:
        root = target.root
        assert root.read("/abs/olute") == b"inside"
        assert root.read("/etc/passwd")
        for path in ("/way", "/up", "/hard", "/escape", "/../../escape", "/loop", "/ring/a"):
            with pytest.raises((Missing, Unreadable)):
                root.read(path)
        assert "lead out" in root.told.gaps[0]
        assert ask(root, PrivateKeys()).outcome is Outcome.UNKNOWN


def test_of_two_entries_the_last_counts_and_links_on_the_way_stay_inside(tmp_path: Path) -> None:
    image = a_tar(tmp_path / "image", [
        *BASE,
        ("etc/passwd", tarfile.REGTYPE, b"second"),
        ("lib", tarfile.SYMTYPE, "usr/lib"),
        ("usr/lib", tarfile.DIRTYPE, 0),
        ("lib/below", tarfile.REGTYPE, b"through a link"),
        ("gone", tarfile.SYMTYPE, "/nowhere"),
        ("gone/below", tarfile.REGTYPE, b"nowhere"),
        ("bin/sh/below", tarfile.REGTYPE, b"below a file"),
        ("usr/lib", tarfile.DIRTYPE, 0),
    ])  # fmt: skip
    with open_target(image) as target:
        assert target.root.read("/etc/passwd") == b"second"
        assert target.root.read("/usr/lib/below") == b"through a link"
        with pytest.raises(Unreadable):
            target.root.status("/gone/below")
        assert target.root.told.gaps


@pytest.mark.parametrize("make", ["tar", "squashfs", "cpio", "ext4"])
def test_device_nodes_fifos_and_names_that_speak_to_the_terminal(tmp_path: Path, make: str) -> None:
    tree = grow(tmp_path / "tree", dict(TREE))
    os.mkfifo(tree / "etc/hostname")
    for name in (b"\x1b[2J\nok", b"\xff\xfe"):
        strange = tree / "srv" / os.fsdecode(name)
        strange.write_bytes(b"x")
        strange.chmod(0o666)
    try:
        os.mknod(tree / "etc/zero", 0o020666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("device nodes cannot be made here")
    if make == "cpio":
        (tree / os.fsdecode(b"srv/\x1b[2J\nok")).rename(tree / os.fsdecode(b"srv/\x1b[2J"))
    with open_target(MAKERS[make](tree, tmp_path / "image")) as target:
        root = target.root
        assert stat.S_ISCHR(root.status("/etc/zero").st_mode)
        for path in ("/etc/zero", "/etc/hostname"):
            with pytest.raises(Unreadable):
                root.read(path)
        found = ask(root, WorldWritable())
        assert len(found.proof) == 2
        assert all(item.isprintable() for item in found.proof)
        assert ask(root, PrivateKeys()).outcome is Outcome.FAIL


def test_a_hundred_thousand_entries_in_one_folder(tmp_path: Path) -> None:
    raw = bytearray()
    for name in ["etc", "bin", *(f"f{number}" for number in range(100_000)), "srv.pem", "TRAILER!!!"]:
        content = KEY.encode() if name.endswith("pem") else b""
        mode = 0o040755 if name in ("etc", "bin") else 0o100644
        fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        raw += head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
    (tmp_path / "image").write_bytes(raw)
    with open_target(tmp_path / "image") as target:
        assert ask(target.root, PrivateKeys()).proof == ("/srv.pem (EC private key)",)
        with pytest.raises(Unreadable):
            target.root.listing("/")
    found = judged(tmp_path / "image", ImageLimits(entries=50_000))
    assert isinstance(found, dict)
    assert {f.outcome for f in found.values()} == {Outcome.UNKNOWN}


def test_nested_deeper_than_any_stack(tmp_path: Path) -> None:
    name = "/".join(["d"] * 1500)
    image = a_tar(tmp_path / "image", [*BASE, (name, tarfile.DIRTYPE, 0), ("z", tarfile.REGTYPE, KEY.encode())])
    with open_target(image) as target:
        assert ask(target.root, WorldWritable()).outcome is Outcome.UNKNOWN
        assert ask(target.root, PrivateKeys()).outcome is Outcome.FAIL
    tree = grow(tmp_path / "tree", dict(TREE))
    (tree / "srv" / "/".join(["d"] * 150)).mkdir(parents=True)
    with open_target(build.squashfs(tree, tmp_path / "image")) as target:
        found = ask(target.root, WorldWritable())
        assert found.outcome is Outcome.UNKNOWN
        assert ask(target.root, PrivateKeys()).outcome is Outcome.FAIL


# ------------------------------------------------------------------------------------------ circles and lost parts


def test_a_directory_that_holds_itself(tmp_path: Path, tree: Path) -> None:
    """A cramfs whose folder points at the list that it stands in."""
    image = build.cramfs(tree, tmp_path / "image")
    data = bytearray(image.read_bytes())
    root = struct.unpack("<3I", data[64:76])
    at = 4 * (root[2] >> 6)
    first = struct.unpack("<3I", data[at : at + 12])
    assert stat.S_ISDIR(first[0] & 0xFFFF)
    loop = (first[1] & ~0xFFFFFF) | (root[1] & 0xFFFFFF), (first[2] & 0x3F) | (root[2] & ~0x3F)
    data[at + 4 : at + 12] = struct.pack("<2I", *loop)
    image.write_bytes(data)
    with open_target(image) as target:
        assert ask(target.root, PrivateKeys()).outcome is Outcome.FAIL
        assert ask(target.root, WorldWritable()).outcome is Outcome.UNKNOWN


def test_a_directory_that_is_lost_hides_nothing(tmp_path: Path, tree: Path) -> None:
    """In ext4 the block of one directory is overwritten: what may be in it is unreadable, not missing."""
    image = build.ext(tree, tmp_path / "image", megabytes=1)
    data = image.read_bytes()
    at = data.index(b"shadow") // 1024 * 1024
    image.write_bytes(data[:at] + b"\xff" * 1024 + data[at + 1024 :])
    with open_target(image) as target:
        with pytest.raises(Unreadable):
            target.root.status("/etc/shadow")
        with pytest.raises(Unreadable):
            target.root.listing("/etc")
        with pytest.raises(Missing):
            target.root.status("/usr/nothing")
        found = findings(target.root)
        assert found["XX-04"].outcome is Outcome.UNKNOWN
        assert found["XX-00"].outcome is Outcome.FAIL
        assert found["XX-01"].outcome is Outcome.UNKNOWN


def test_counts_and_sizes_that_no_image_has(tmp_path: Path, tree: Path) -> None:
    data = build.squashfs(tree, tmp_path / "image").read_bytes()
    for offset, size in ((4, 4), (12, 4), (16, 4), (26, 2), (32, 8), (40, 8), (48, 8), (64, 8), (72, 8), (80, 8)):
        for value in (b"\xff" * size, bytes(size), b"\xff" * (size - 1) + b"\x7f"):
            (tmp_path / "image").write_bytes(data[:offset] + value + data[offset + size :])
            judged(tmp_path / "image")
    data = build.ext(tree, tmp_path / "ext", megabytes=1).read_bytes()
    for offset in range(1024, 1024 + 128, 4):
        (tmp_path / "image").write_bytes(data[:offset] + b"\xff" * 4 + data[offset + 4 :])
        judged(tmp_path / "image")


def test_a_size_below_nothing(tmp_path: Path) -> None:
    """A reader that took ``-`` for a sign would read the same header for ever."""
    head = b"070701" + b"".join(b"%08x" % field for field in (1, 0o100644, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0))
    entry = head + b"etc\0" + bytes(2)
    turned = entry[:54] + b"-0000074" + entry[62:]
    (tmp_path / "image").write_bytes(entry + turned * 3)
    assert judged(tmp_path / "image") in {"image.truncated", "image.unknown"}


def test_magics_in_a_program_are_no_parts(tmp_path: Path, tree: Path) -> None:
    """A squashfs driver has the magic of squashfs in it, and it is not a damaged file system."""
    code = (
        b"hsqs sqsh shsq \x45\x3d\xcd\x28 -rom1fs- HDR0 070701 UBI#\1 \x27\x05\x19\x56 BZh91AY&SY \xd0\x0d\xfe\xed\0"
        * 9
    )
    (tmp_path / "image").write_bytes(code.ljust(8192, b"\0") + build.squashfs(tree, tmp_path / "s").read_bytes())
    with open_target(tmp_path / "image") as target:
        assert [part.kind for part in target.parts if part.kind != "data"] == ["squashfs"]
        assert target.root.told.gaps == ()


def test_a_file_that_states_a_terabyte(tmp_path: Path) -> None:
    image = tmp_path / "image"
    a_tar(image, BASE)
    data = image.read_bytes().rstrip(b"\0")
    info = tarfile.TarInfo("srv/huge")
    info.size = 1 << 40
    image.write_bytes(data + bytes(-len(data) % 512) + info.tobuf(tarfile.GNU_FORMAT))
    with open_target(image) as target:
        assert ask(target.root, PrivateKeys()).outcome is Outcome.UNKNOWN
        with pytest.raises(Unreadable):
            target.root.read("/srv/huge", limit=1 << 50)


@pytest.mark.parametrize(
    "mark", [b"HDR0", b"hsqs", b"070701", b"ustar\x0000", b"UBI#\1", b"bootcmd=", b"IKCFG_ST\x1f\x8b\x08"]
)
def test_full_of_marks(tmp_path: Path, tree: Path, mark: bytes) -> None:
    root = build.squashfs(tree, tmp_path / "s").read_bytes()
    (tmp_path / "image").write_bytes(mark * (2 * 1024 * 1024 // len(mark)) + bytes(4096) + root)
    found = judged(tmp_path / "image")
    if isinstance(found, dict):  # what is behind the marks was found
        assert found["XX-00"].outcome is Outcome.FAIL
    else:
        assert found in {"image.limit", "image.truncated", "image.unknown"}


class Bytes(Source):
    def __init__(self, data: bytes) -> None:
        self.data_, self.size = data, len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        return self.data_[offset : offset + size] if offset >= 0 and size > 0 else b""


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=2000))
def test_readers_raise_only_what_they_document(raw: bytes) -> None:
    meter = Meter(QUICK)
    read_cpio(Bytes(b"070701" + raw), meter)
    read_tar(Bytes(raw), meter)
    find_environment(Bytes(raw + b"bootcmd="), len(raw))
    for kind in KINDS:
        try:
            assert sum(len(piece) for piece in Stream(kind, Bytes(raw))) >= 0
        except Damaged as error:
            assert error.sentence  # noqa: PT017  (which of the two happens is not the point)
    try:
        read_device_tree(Bytes(b"\xd0\x0d\xfe\xed" + raw))
    except (Damaged, HoldfastError) as error:
        assert str(error)  # noqa: PT017  (same)
