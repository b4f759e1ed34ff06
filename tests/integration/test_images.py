"""One tree, packed in every way that is read: the same files, the same findings; and what firmware tells beside."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import image_builders as build
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.probes import PrivateKeys, Setuid, Unowned, WorldWritable
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import parse_rfc3339
from holdfast_probe.audit import audit
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.images import NoRoot, Target, codecs, open_target
from holdfast_probe.images.root import ImageRoot
from holdfast_probe.roots import FolderRoot, LiveRoot, Missing, Root, Told, Unreadable
from probe_builders import Files, a_plan, ask, der_ec_key, grow, own_ids, pem

NOW = parse_rfc3339("2026-11-21T10:00:00Z")
KEY = pem("EC PRIVATE KEY", der_ec_key())
TREE: Files = {
    "bin/busybox": (b"\x7fELF" + bytes(range(256)) * 700, 0o4755),
    "bin/sh": "-> busybox",
    "sbin/init": "-> ../bin/busybox",
    "etc/passwd": own_ids(),
    "etc/group": "root:x:0:\n",
    "etc/shadow": ("root:$1$abcdefgh$kq3dDWwYCDBN1dZrGpGkC0:1:0:99999:7:::\n", 0o644),
    "etc/inittab": "::sysinit:/etc/init.d/rcS\nttyS0::askfirst:/bin/sh\n",
    "etc/ssh/sshd_config": "PermitRootLogin yes\n",
    "etc/fstab": "/dev/root / squashfs ro 0 0\n/dev/mmcblk0p1 /boot vfat ro 0 0\n",
    "etc/sysctl.conf": "kernel.kptr_restrict=0\n",
    "etc/empty": "",
    "usr/share/large": (b"0123456789abcdef" * 9000, 0o644),
    "usr/share/sparse": bytes(300_000) + b"end",
    "usr/share/" + "n" * 200: "long name",
    "usr/lib/absolute": "-> /etc/passwd",
    "srv/key.pem": (KEY, 0o600),
    "tmp/": ("", 0o1777),
    "var/loose": ("x", 0o666),
    "boot/": "",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = grow(tmp_path_factory.mktemp("tree") / "root", dict(TREE))
    if os.geteuid() == 0:
        os.chown(folder / "srv/key.pem", 1234, 200)
    return folder


Maker = Callable[[Path, Path], Path]


def packed(pack: Callable[[bytes], bytes]) -> Maker:
    def make(tree: Path, image: Path) -> Path:
        image.write_bytes(pack(build.tar(tree, image).read_bytes()))
        return image

    return make


MAKERS: dict[str, Maker] = {
    "tar": build.tar,
    "tar of GNU": lambda tree, image: build.tar(tree, image, format=1),
    "tar.gz": packed(lambda data: gzip.compress(data, 1)),
    "tar.xz": packed(lambda data: lzma.compress(data, preset=0)),
    "tar.bz2": packed(bz2.compress),
    "tar.lzma": packed(lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=0)),
    "tar.zst": packed(lambda data: build.run("zstd", "-c", given=data)),
    "tar.lz4": packed(lambda data: build.run("lz4", "-c", given=data)),
    "tar.lz4 as a kernel has it": packed(lambda data: build.run("lz4", "-l", "-c", given=data)),
    "tar.lzo": packed(lambda data: build.run("lzop", "-c", given=data)),
    "cpio": build.cpio,
    **{
        f"squashfs {each}": lambda tree, image, each=each: build.squashfs(tree, image, each)  # type: ignore[misc]
        for each in build.SQUASHFS
    },
    "squashfs without fragments": lambda tree, image: build.squashfs(tree, image, "gzip", "-no-fragments", "-noI"),
    **{kind: lambda tree, image, kind=kind: build.ext(tree, image, kind) for kind in ("ext2", "ext3", "ext4")},  # type: ignore[misc]
    "ext4 of small blocks": lambda tree, image: build.ext(tree, image, "ext4", "-b", "1024"),
    "cramfs": build.cramfs,
    "cramfs, big endian": lambda tree, image: build.cramfs(tree, image, "big"),
}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def image(request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with open_target(MAKERS[request.param](tree, tmp_path_factory.mktemp("image") / "image")) as target:
        yield target


def paths(root: Root, folder: str = "") -> Iterator[str]:
    for name in root.listing(folder or "/"):
        if name == "lost+found":
            continue
        path = f"{folder}/{name}"
        yield path
        if not root.link(path) and stat.S_ISDIR(root.status(path).st_mode):
            yield from paths(root, path)


def described(root: Root, path: str) -> tuple[object, ...]:
    if target := root.link(path):
        return (target,)
    status = root.status(path)
    kind = (status.st_mode, status.st_uid, status.st_gid)
    return (*kind, root.read(path)) if stat.S_ISREG(status.st_mode) else kind


def test_an_image_holds_the_files_of_its_folder(tree: Path, image: Target) -> None:
    folder = FolderRoot(tree)
    assert {path: described(image.root, path) for path in paths(image.root)} == {
        path: described(folder, path) for path in paths(folder)
    }


def test_every_question_is_answered_as_of_a_folder(tree: Path, image: Target) -> None:
    folder = FolderRoot(tree)
    for path in ("/usr/lib/absolute", "/sbin/init", "/bin/sh", "/etc/../bin/./sh", "/../../etc/passwd", "/nowhere/x"):
        assert image.root.real(path) == folder.real(path)
        assert image.root.link(path) == folder.link(path)
    for pattern in ("/etc/*", "/*/s*", "/usr/share/n*", "/nothing/*", "/etc/p?sswd"):
        assert image.root.glob(pattern) == folder.glob(pattern)
    for path in ("/etc/nothing", "/nothing/at/all", "/etc/passwd/below"):
        with pytest.raises(Missing):
            image.root.status(path)
    for path in ("/etc", "/var"):
        with pytest.raises(Unreadable):
            image.root.read(path)
    with pytest.raises(Unreadable):
        image.root.read("/usr/share/large", limit=100)
    with pytest.raises(Missing):
        list(image.root.proc_lines("net/tcp"))
    assert not image.root.live


def findings_of(root: Root) -> dict[str, Finding]:
    asked = [(c.id, c.probe) for c in shipped_catalogue().controls if c.probe is not None and not c.inspected]
    return {f.control: f for f in audit(root, asked, a_plan(root_fs_drivers=("squashfs",)), now=NOW).findings}


@pytest.mark.root
def test_one_tree_has_one_set_of_findings_however_it_is_packed(tree: Path, image: Target) -> None:
    assert isinstance(image.root, ImageRoot)
    # What the container itself tells is no fact of the tree; a folder has none.
    of_image = findings_of(ImageRoot(image.root.tree, Told()))
    of_folder = findings_of(FolderRoot(tree, owners_kept=True))
    different = {name for name, finding in of_image.items() if finding != of_folder[name]}
    assert different == set(), [(of_folder[name], of_image[name]) for name in different]
    assert sum(f.outcome is Outcome.FAIL for f in of_image.values()) > 5


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("major", [2, 3])
@pytest.mark.parametrize("packing", sorted(build.PACKINGS))
def test_old_squashfs_of_routers(tmp_path: Path, order: str, major: int, packing: str) -> None:
    tree = grow(tmp_path / "tree", {
        "etc/passwd": "root:x:0:0::/:/bin/sh\n" * 9,
        "bin/busybox": (os.urandom(6000) + bytes(9000), 0o755),
        "bin/sh": "-> busybox",
        "srv/key.pem": KEY,
    })  # fmt: skip
    for magic in (b"hsqs", b"sqsh") if packing == "zlib" else (b"shsq", b"qshs", b"tqsh", b"hsqt", b"sqlz"):
        image = tmp_path / "image"
        image.write_bytes(build.OldSquashfs(order, major, magic, build.PACKINGS[packing]).image(tree))
        with open_target(image) as target:
            folder = FolderRoot(tree)
            assert {p: described(target.root, p) for p in paths(target.root)} == {
                p: described(folder, p) for p in paths(folder)
            }
            assert ask(target.root, PrivateKeys()).outcome is Outcome.FAIL
            assert target.parts[0].kind == "squashfs"


def test_romfs_shows_what_the_kernel_shows(tmp_path: Path) -> None:
    tree = grow(tmp_path / "tree", {"etc/a": "x", "bin/tool": ("y", 0o755), "bin/sh": "-> tool"})
    os.link(tree / "bin/tool", tree / "bin/same")
    with open_target(build.romfs(tree, tmp_path / "image")) as target:
        root = target.root
        assert (root.read("/bin/same"), root.read("/bin/sh"), root.read("/etc/a")) == (b"y", b"y", b"x")
        assert [stat.S_IMODE(root.status(p).st_mode) for p in ("/etc/a", "/bin/tool")] == [0o644, 0o755]


def test_hard_links_are_one_inode(tmp_path: Path) -> None:
    tree = grow(tmp_path / "tree", {"bin/a": ("x", 0o4755), "etc/b": ""})
    os.link(tree / "bin/a", tree / "bin/z")
    makers = (build.tar, build.cpio, build.squashfs, build.ext)
    for make in makers:
        with open_target(make(tree, tmp_path / "image")) as target:
            first, second = target.root.status("/bin/a"), target.root.status("/bin/z")
            assert (first.st_ino, first.st_nlink) == (second.st_ino, 2)
            assert target.root.read("/bin/z") == b"x"
            plan = a_plan(setuid=("/bin/z",))
            assert ask(target.root, Setuid(), plan).outcome is Outcome.PASS


def test_owners_of_one_user_are_no_owners(tmp_path: Path) -> None:
    tree = grow(tmp_path / "tree", {"etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/group": "root:x:0:\n", "bin/a": "x"})
    image = build.squashfs(tree, tmp_path / "image", "gzip", "-force-uid", "1000", "-force-gid", "1000")
    with open_target(image) as target:
        assert not target.root.owners_kept
        assert ask(target.root, Unowned()).outcome is Outcome.FAIL
        assert ask(target.root, Setuid()).outcome is Outcome.UNKNOWN
    with open_target(build.squashfs(tree, tmp_path / "image", "gzip", "-all-root")) as target:
        assert target.root.owners_kept
    with open_target(build.zipped(tree, tmp_path / "image")) as target:
        assert not target.root.owners_kept
        assert target.root.read("/bin/a") == b"x"


def test_folders_and_the_running_system_are_targets_too(tmp_path: Path) -> None:
    with open_target(tmp_path) as target:
        assert isinstance(target.root, FolderRoot)
        assert target.parts == ()
    with open_target(Path("/")) as target:
        assert isinstance(target.root, LiveRoot)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorldError) as told:
        open_target(tmp_path / "nothing")
    assert told.value.code == "image.missing"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(WorldError) as told:
        open_target(tmp_path / "fifo")
    assert told.value.code == "image.unreadable"


# --------------------------------------------------------------------------------------------------- firmware


@pytest.fixture(scope="module")
def router(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("router")
    (folder / "router.bin").write_bytes(build.router(tree, folder))
    return folder / "router.bin"


def test_a_routers_flash(router: Path) -> None:
    with open_target(router) as target:
        root = target.root
        assert root.read("/etc/inittab").startswith(b"::sysinit")
        assert root.told == Told(
            filesystem="squashfs",
            kernel_release="5.4.99",
            kernel_config="CONFIG_STACKPROTECTOR=y\n# CONFIG_DEVMEM is not set\n",
            command_lines=("console=ttyS0,115200 root=/dev/mtdblock2",),
            boot_environment={"bootargs": "console=ttyS0,115200 root=/dev/mtdblock2", "bootdelay": "3"},
        )
        kinds = [(part.kind, part.offset) for part in target.parts if part.understood]
        assert ("squashfs", 0x30000) in kinds
        assert ("boot environment", 0x10000) in kinds
        assert ("uImage", 0x20000) in kinds
        assert [part.kind for part in target.parts if not part.understood] == ["data"]
        assert ask(root, PrivateKeys()).outcome is Outcome.FAIL


@pytest.mark.parametrize("around", ["gzip", "xz", "zip", "vendor", "zip in zip"])
def test_a_firmware_inside_something(router: Path, tmp_path: Path, around: str) -> None:
    image, data = tmp_path / "image", router.read_bytes()
    if around == "gzip":
        image.write_bytes(gzip.compress(data, 1))
    elif around == "xz":
        image.write_bytes(lzma.compress(data, preset=0))
    elif around == "vendor":
        image.write_bytes(b"VENDOR\1\2" + os.urandom(1000) + data + b"signature" + os.urandom(256))
    else:
        name = router
        for number in range(1 + (around == "zip in zip")):
            with zipfile.ZipFile(tmp_path / f"image{number}", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(name, "update/firmware.bin")
                archive.writestr("readme.txt", "Have fun.")
            name = image = tmp_path / f"image{number}"
    with open_target(image) as target:
        assert target.root.told.kernel_release == "5.4.99"
        assert target.root.told.gaps == ()
        assert ask(target.root, WorldWritable()).proof == ("/var/loose (0666)",)


@pytest.mark.parametrize("pack", ["gz", "lzma", "lz4", "zst", "none"])
def test_kernels_and_their_first_roots(tmp_path: Path, tree: Path, pack: str) -> None:
    archive = build.cpio(tree, tmp_path / "cpio").read_bytes()
    kernel = build.kernel("6.6.52") + bytes(512) + lzma.compress(archive, check=lzma.CHECK_CRC32) + bytes(512)
    pack_by: dict[str, Callable[[bytes], bytes]] = {
        "gz": lambda data: gzip.compress(data, 1),
        "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=0),
        "lz4": lambda data: build.run("lz4", "-l", "-c", given=data),
        "zst": lambda data: build.run("zstd", "-c", given=data),
        "none": bytes,
    }
    image = tmp_path / "image"
    image.write_bytes(b"MZ" + bytes(0x4000) + pack_by[pack](kernel) + bytes(999))
    with open_target(image) as target:
        assert target.root.told.kernel_release == "6.6.52"
        assert "STACKPROTECTOR" in (target.root.told.kernel_config or "")
        assert target.root.read("/etc/group") == b"root:x:0:\n"


@pytest.mark.parametrize("flags", [(None,), (1, 2), (2, 1)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_environments_by_their_checksum(tmp_path: Path, tree: Path, flags: tuple[int | None, ...], order: str) -> None:
    blocks = [
        build.environment({"bootargs": f"copy={flag}", "bootdelay": "0"}, 0x2000, flag, order).ljust(0x10000, b"\xff")
        for flag in flags
    ]
    image = tmp_path / "image"
    image.write_bytes(b"".join(blocks) + build.squashfs(tree, tmp_path / "s").read_bytes())
    with open_target(image) as target:
        assert target.root.told.boot_environment == {
            "bootargs": f"copy={max(flags, key=lambda f: f or 0)}",
            "bootdelay": "0",
        }
    spoiled = bytearray(image.read_bytes())
    for at in range(100, len(blocks) * 0x10000, 0x10000):
        spoiled[at] ^= 1
    image.write_bytes(spoiled)
    with open_target(image) as target:
        assert target.root.told.boot_environment == {}


SOURCE = """/dts-v1/;
/ {{ description = "x"; #address-cells = <1>;
  images {{ kernel {{ data = /incbin/("kernel.lzma"); type = "kernel"; arch = "arm64"; os = "linux";
      compression = "lzma"; load = <0>; entry = <0>; {hash} }}; }};
  configurations {{ default = "one"; one {{ kernel = "kernel"; {signature} }}; }};
}};
"""


@pytest.mark.parametrize("signed", [False, True])
def test_fit_images_say_whether_they_are_signed(tmp_path: Path, tree: Path, *, signed: bool) -> None:
    (tmp_path / "kernel.lzma").write_bytes(lzma.compress(build.kernel("4.19.1"), lzma.FORMAT_ALONE))
    signature = 'signature { algo = "sha256,rsa2048"; value = <1 2 3>; };' if signed else ""
    source = SOURCE.format(hash='hash { algo = "sha256"; };', signature=signature)
    fit = build.run("dtc", "-q", "-I", "dts", "-O", "dtb", "-i", tmp_path, "-", given=source.encode())
    (tmp_path / "image").write_bytes(fit + build.squashfs(tree, tmp_path / "s").read_bytes())
    with open_target(tmp_path / "image") as target:
        assert target.root.told.signed_boot is signed
        assert target.root.told.kernel_release == "4.19.1"


def test_device_trees_tell_the_command_line(tmp_path: Path, tree: Path) -> None:
    source = b'/dts-v1/; / { model = "Box"; chosen { bootargs = "console=ttyAMA0 single"; }; };'
    blob = build.run("dtc", "-q", "-I", "dts", "-O", "dtb", "-", given=source)
    (tmp_path / "image").write_bytes(bytes(512) + blob + bytes(512) + build.squashfs(tree, tmp_path / "s").read_bytes())
    with open_target(tmp_path / "image") as target:
        assert target.root.told.command_lines == ("console=ttyAMA0 single",)
        assert target.root.told.signed_boot is None


# ----------------------------------------------------------------------------------------------- disks, slots, gaps


def mbr(*partitions: tuple[int, bytes]) -> bytes:
    """A disk: each partition's type and content, one megabyte apart at least."""
    table, body, at = b"", b"", 2048
    for kind, content in partitions:
        sectors = -(-len(content) // 512)
        table += bytes([0, 0, 0, 0, kind, 0, 0, 0]) + at.to_bytes(4, "little") + sectors.to_bytes(4, "little")
        body = body.ljust((at - 2048) * 512, b"\0") + content
        at += -(-sectors // 2048) * 2048
    head = bytes(440) + b"\x01\x02\x03\x04\0\0" + table.ljust(64, b"\0") + b"\x55\xaa"
    return head.ljust(2048 * 512, b"\0") + body


def fat(folder: Path, image: Path) -> bytes:
    image.write_bytes(bytes(4 * 1024 * 1024))
    build.run("mkfs.fat", "-n", "BOOT", image)
    build.run("mcopy", "-s", "-i", image, *sorted(folder.iterdir()), "::")
    return image.read_bytes()


def test_a_disk_with_its_boot_partition_where_fstab_has_it(tmp_path: Path, tree: Path) -> None:
    boot = grow(
        tmp_path / "boot", {"cmdline.txt": "console=tty1 init=/bin/sh\n", "overlays/a long name.dtbo": b"x" * 9000}
    )
    disk = mbr((0x0C, fat(boot, tmp_path / "fat")), (0x83, build.ext(tree, tmp_path / "ext").read_bytes()))
    (tmp_path / "image").write_bytes(disk)
    with open_target(tmp_path / "image") as target:
        assert target.root.told.filesystem == "ext4"
        assert target.root.told.gaps == ()
        assert target.root.read("/boot/cmdline.txt") == b"console=tty1 init=/bin/sh\n"
        assert target.root.read("/boot/overlays/a long name.dtbo") == b"x" * 9000
        assert [part.name for part in target.parts][:2] == ["partition at 0x100000", "partition 1 > vfat at 0x0"]


def test_two_slots_of_one_image_are_one_and_different_ones_a_gap(tmp_path: Path, tree: Path) -> None:
    first = build.squashfs(tree, tmp_path / "a").read_bytes()
    other = grow(tmp_path / "other", {**TREE, "etc/new": "x"})
    second = build.squashfs(other, tmp_path / "b").read_bytes()
    (tmp_path / "image").write_bytes(mbr((0x83, first), (0x83, first)))
    with open_target(tmp_path / "image") as target:
        assert target.root.told.gaps == ()
    (tmp_path / "image").write_bytes(mbr((0x83, first), (0x83, second)))
    with open_target(tmp_path / "image") as target:
        assert len(target.root.told.gaps) == 1
        assert "unjudged" in target.root.told.gaps[0]
        assert ask(target.root, WorldWritable()).outcome is Outcome.FAIL


STRANGE = {
    "jffs2": b"\x85\x19\x03\x20\x0c\0\0\0" + b"\x85\x19\x01\xe0\x40\0\0\0" * 99,
    "ubifs": b"\x31\x18\x10\x06" + bytes(16) + b"\x06" + bytes(99),
    "yaffs2": b"\x03\0\0\0\1\0\0\0\xff\xffetc" + bytes(500),
    "LVM": bytes(512) + b"LABELONE" + bytes(99),
    "LUKS": b"LUKS\xba\xbe\0\1" + bytes(999),
    "encrypted": b"Salted__" + bytes(range(256)) * 99,
    "Android sparse image": b"\x3a\xff\x26\xed\x01\0\0\0" + bytes(99),
    "packed or encrypted": None,
}


@pytest.mark.parametrize("kind", sorted(STRANGE))
def test_what_is_not_understood_is_named_and_nothing_passes_by_it(tmp_path: Path, kind: str) -> None:
    clean = grow(tmp_path / "clean", {"etc/passwd": own_ids(), "etc/group": own_ids(), "bin/sh": ("x", 0o755)})
    root = build.squashfs(clean, tmp_path / "s").read_bytes()
    strange = STRANGE[kind] or os.urandom(300_000)
    (tmp_path / "image").write_bytes(root + bytes(4096) + strange)
    with open_target(tmp_path / "image") as target:
        named = [part for part in target.parts if not part.understood]
        assert [part.kind for part in named] == [kind]
        assert named[0].offset <= len(root) + 4096 + 8 + 512
        assert len(target.root.told.gaps) == 1
        assert ask(target.root, PrivateKeys()).outcome is Outcome.UNKNOWN
    (tmp_path / "image").write_bytes(root)
    with open_target(tmp_path / "image") as target:
        assert ask(target.root, PrivateKeys()).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "image.unknown"),
        (b"hello, world\n" * 9999, "image.unknown"),
        (os.urandom(400_000), "image.encrypted"),
        (b"LUKS\xba\xbe\0\1" + bytes(9999), "image.encrypted"),
        (gzip.compress(os.urandom(99_999))[:50_000], "image.encrypted"),
        (b"ANDROID!" + bytes(9999), "image.unknown"),
    ],
    ids=["empty", "text", "random", "luks", "cut gzip", "android"],
)
def test_no_root_at_all(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "image").write_bytes(content)
    with pytest.raises(NoRoot) as told:
        open_target(tmp_path / "image")
    assert told.value.code in (code, "image.truncated")
    assert told.value.remedy


def test_a_library_that_is_missing_is_named(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = build.squashfs(tree, tmp_path / "image", "zstd")

    def without(name: str) -> object:
        raise codecs.NoLibrary(f"It is packed with zstd, which needs the Python package {name}")

    monkeypatch.setattr(codecs, "library", without)
    with pytest.raises(NoRoot) as told:
        open_target(image)
    assert "zstandard" in told.value.sentence
    assert told.value.parts[0].kind == "squashfs"


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_files_are_closed_with_the_target(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "image").write_bytes(gzip.compress(build.tar(tree, tmp_path / "tar").read_bytes(), 1))
    before = descriptors()
    with open_target(tmp_path / "image") as target:
        assert len(descriptors()) == len(before) + 2
        target.root.listing("/")
    (tmp_path / "none").write_bytes(gzip.compress(b"x" * 99_999))
    with pytest.raises(NoRoot):
        open_target(tmp_path / "none")
    assert descriptors() == before


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_every_kind_of_fat(tmp_path: Path, tree: Path, bits: int) -> None:
    content = os.urandom(50_000)
    boot = grow(tmp_path / "boot", {"KERNEL.IMG": content, "sub/Mixed Case and long.txt": "x", "tiny": ""})
    blank = tmp_path / "fat"
    with blank.open("wb") as file:
        file.truncate({12: 1, 16: 16, 32: 64}[bits] * 1024 * 1024)
    build.run("mkfs.fat", "-F", str(bits), "-n", "BOOT", "-s", "1", blank)
    build.run("mcopy", "-s", "-i", blank, *sorted(boot.iterdir()), "::")
    disk = mbr((0x0C, blank.read_bytes()), (0x83, build.squashfs(tree, tmp_path / "s").read_bytes()))
    (tmp_path / "image").write_bytes(disk)
    with open_target(tmp_path / "image") as target:
        assert target.root.read("/boot/KERNEL.IMG") == content
        assert target.root.read("/boot/sub/Mixed Case and long.txt") == b"x"
        assert target.root.listing("/boot") == ("KERNEL.IMG", "sub", "tiny")


def test_gpt_and_partitions_by_their_label(tmp_path: Path) -> None:
    data = grow(tmp_path / "data", {f"file{number}": "x" for number in range(40)})
    own = grow(tmp_path / "own", {**TREE, "etc/fstab": "LABEL=store /srv/store ext4 rw 0 2\n", "srv/store/": ""})
    store = build.ext(data, tmp_path / "store", "ext4", "-L", "store", megabytes=2).read_bytes()
    root = build.ext(own, tmp_path / "root").read_bytes()
    entries = b""
    for number, (start, content) in enumerate(((2048, store), (8192, root)), 1):
        last = start + len(content) // 512 - 1
        entries += bytes([number]) * 16 + bytes([16 + number]) * 16 + start.to_bytes(8, "little")
        entries += last.to_bytes(8, "little") + bytes(80)
    head = b"EFI PART" + bytes(64) + (2).to_bytes(8, "little") + (2).to_bytes(4, "little") + (128).to_bytes(4, "little")
    protective = bytes(446) + bytes([0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0xFF, 0xFF, 0, 0]).ljust(64, b"\0")
    disk = (protective + b"\x55\xaa" + head.ljust(512, b"\0") + entries).ljust(2048 * 512, b"\0") + store
    (tmp_path / "image").write_bytes(disk.ljust(8192 * 512, b"\0") + root)
    with open_target(tmp_path / "image") as target:
        assert target.root.read("/srv/store/file39") == b"x"
        assert target.root.told.gaps == ()


def test_squashfs_in_a_volume_of_ubi(tmp_path: Path, tree: Path) -> None:
    build.squashfs(tree, tmp_path / "root.squashfs")
    section = "[root]\nmode=ubi\nimage=root.squashfs\nvol_id=0\nvol_type=dynamic\nvol_name=rootfs\nvol_size=1MiB\n"
    (tmp_path / "ubi.ini").write_text(section)
    build.run("ubinize", "-o", "image", "-p", "131072", "-m", "2048", "ubi.ini", cwd=tmp_path)
    with open_target(tmp_path / "image") as target:
        assert target.root.read("/etc/group") == b"root:x:0:\n"
        assert target.root.told.filesystem == "squashfs"
        assert target.parts[0].kind == "UBI"
        assert target.root.told.gaps == ()


def test_members_of_a_zip_are_read_in_windows_that_overlap(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    tree = grow(tmp_path / "tree", {"etc/a": "", "bin/large": content, "srv/late": b"x" * 200_000 + KEY.encode()})
    with open_target(build.zipped(tree, tmp_path / "image")) as target:
        assert target.root.read("/bin/large") == content
        assert target.root.read("/bin/large") == content
        assert ask(target.root, PrivateKeys()).proof == ("/srv/late (EC private key)",)


def test_the_kernel_in_boot_tells_its_configuration(tmp_path: Path) -> None:
    kernel = b"MZ" + bytes(0x4000) + gzip.compress(build.kernel("6.1.7"), 1) + bytes(40_000)
    tree = grow(tmp_path / "tree", {"etc/a": "", "bin/b": "", "boot/vmlinuz-6.1.7": kernel, "boot/zero": bytes(99_999)})
    with open_target(build.ext(tree, tmp_path / "image")) as target:
        assert target.root.told.kernel_release == "6.1.7"
        assert "CONFIG_STACKPROTECTOR=y" in (target.root.told.kernel_config or "")
        assert [part.kind for part in target.parts] == ["ext4"]
