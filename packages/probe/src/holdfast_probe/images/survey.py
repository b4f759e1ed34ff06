"""What was found in an image: parts by name, trees, and what boot loader and kernel tell.

1. Everything that was seen is a part, understood or not; what was not understood is a gap as well, unless it is empty.
2. Parts are bounded; beyond the limit the rest is one gap.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping

import msgspec

from holdfast_probe.images.asides import put_aside, put_remains
from holdfast_probe.images.environment import Environment
from holdfast_probe.images.limits import Meter
from holdfast_probe.images.source import FileSource, Source
from holdfast_probe.images.tree import Node, Tree
from holdfast_probe.roots import Told

FEW = 16
"""A tree without ``/etc`` and with no more entries than this is a kernel's built-in stub, or boot files; no gap."""
_STARTERS = frozenset({"init", "linuxrc", "sbin", "bin"})
"""What a tree beside the root that starts something has at its top."""
_ROOT = 2
"""The rank of what has ``/etc``."""
_COMPARED = 1024 * 1024
_KINDS_OF_ROOT = ("bin", "sbin", "usr", "lib", "init")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an image."""

    name: str
    """Where it is: ``gzip at 0x40 > squashfs at 0x120000``."""
    kind: str
    offset: int
    """In what it lies in: the image, or the unpacked stream that `name` tells before."""
    size: int
    """0: not known."""
    understood: bool
    sentence: str


class Found(msgspec.Struct, kw_only=True):
    """One tree."""

    tree: Tree
    name: str
    label: str = ""
    uuid: str = ""
    partition: int = 0
    partuuid: str = ""
    source: Source | None = None
    """The bytes of it, so that two slots that hold one image are told to be the same."""

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The larger, the likelier it is the root: has ``/etc`` and programs, is whole, holds much."""
        names = self.tree.top.children or {}
        programs = any(name in names for name in _KINDS_OF_ROOT)
        etc = names.get("etc")
        return 2 * (etc is not None and not stat.S_ISREG(etc.mode)) + programs, not self.tree.damage, self.tree.count


class Survey:
    """Gathers what is found in one image.

    Args:
        meter: what reading may cost.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.parts: list[Part] = []
        self.trees: list[Found] = []
        self.gaps: list[str] = []
        self.remains: list[tuple[str, Source]] = []
        """What lies between the parts and is known to nobody: walked over as files."""
        self.kept: list[FileSource] = []
        """Open files, to be closed with the target."""
        self.encrypted = self.truncated = self.limited = False
        self._release = ""
        self._config: str | None = None
        self._lines: dict[str, None] = {}
        self._environment: Environment | None = None
        self._signed: bool | None = None

    def part(self, part: Part, *, gap: bool | None = None) -> None:
        """Name a part; one that is not understood is a gap."""
        if len(self.parts) < self.meter.limits.parts:
            self.parts.append(part)
        if (not part.understood) if gap is None else gap:
            self.gap(f"{part.name}: {part.sentence}")

    def gap(self, sentence: str) -> None:
        """Say what is not known."""
        if len(self.gaps) < self.meter.limits.parts and sentence not in self.gaps:
            self.gaps.append(sentence)

    def kernel(self, release: str) -> None:
        """A kernel's banner; the first counts."""
        self._release = self._release or release

    def config(self, text: str) -> None:
        """A kernel's configuration; the first counts."""
        self._config = self._config or text

    def command_line(self, line: str) -> None:
        """A kernel command line."""
        if line.strip() and len(self._lines) < self.meter.limits.parts:
            self._lines[line.strip()] = None

    def environment(self, found: Environment) -> None:
        """A block of the boot loader's variables; of two copies the newer."""
        if self._environment is None or found.flag > self._environment.flag:
            self._environment = found

    def fit(self, *, signed: bool) -> None:
        """A FIT image; one without a signature is enough for a boot loader that is to start anything."""
        self._signed = signed if self._signed is None else self._signed and signed

    def let_go(self, source: FileSource) -> None:
        """Close a file in which nothing is left to be read."""
        self.kept.remove(source)
        source.close()

    def learn(self, other: Survey) -> None:
        """Take over what another survey, of a kernel's file, found of it."""
        self._release = self._release or other._release
        self._config = self._config or other._config
        self._signed = other._signed if self._signed is None else self._signed

    def close(self) -> None:
        """Close what is open."""
        for source in self.kept:
            source.close()
        self.kept.clear()

    def knows_kernel(self) -> bool:
        """Whether a kernel was found, outside the files of the root."""
        return bool(self._release)

    def told(self, filesystem: str) -> Told:
        """All of it, for the root."""
        variables = self._environment.variables if self._environment else {}
        if "bootargs" in variables:
            self.command_line(variables["bootargs"])
        return Told(
            filesystem=filesystem,
            kernel_release=self._release,
            kernel_config=self._config,
            command_lines=tuple(self._lines),
            boot_environment=variables,
            signed_boot=self._signed,
            gaps=tuple(self.gaps),
        )


def rooted(found: Found) -> None:
    """Take the one folder that everything lies in for the root, where the top is none: archives are often made so."""
    for _ in range(3):
        if found.rank[0] or len(found.tree.top.children or {}) != 1:
            return
        (below,) = (found.tree.top.children or {}).values()
        if below.children is None:
            return
        found.tree.top.damage, damage = "", found.tree.top.damage
        found.tree.top = below
        below.damage = below.damage or damage


def choose(survey: Survey) -> Found | None:
    """The tree to judge; what else there is, is mounted where the root says so, or is a gap."""
    for found in survey.trees:
        rooted(found)
    ranked = sorted(survey.trees, key=lambda found: found.rank, reverse=True)
    if not ranked or not ranked[0].rank[0]:
        return None
    root, *others = ranked
    points = _mount_points(root.tree)
    for other in others:
        if _same(root, other, survey.meter):
            continue
        # What is a root itself is another slot, whatever number its partition has.
        if other.rank[0] < _ROOT and (where := _where(other, points)) and _mount(root.tree, where, other.tree):
            continue
        aside = other.rank[0] < _ROOT and put_aside(root.tree, other.name, other.tree)
        starts = aside and _STARTERS & set(other.tree.top.children or {})
        if other.rank[0] >= _ROOT or other.tree.count > FEW or other.tree.damage or starts:
            survey.gap(f"{other.name}: it holds {other.tree.count} files and directories beside the root; unjudged.")
    for name, source in survey.remains:
        put_remains(root.tree, name, source)
    return root


def _same(one: Found, other: Found, meter: Meter) -> bool:
    """Whether two slots hold the same image."""
    first, second = one.source, other.source
    if first is None or second is None or first.size != second.size or one.tree.kind != other.tree.kind:
        return False
    for at in range(0, first.size, _COMPARED):
        meter.look()
        if first.read_at(at, _COMPARED) != second.read_at(at, _COMPARED):
            return False
    return True


def _mount_points(tree: Tree) -> Mapping[str, str]:
    """What ``/etc/fstab`` mounts where."""
    found = {}
    for line in _fstab(tree).splitlines()[:256]:
        fields = line.split()
        if len(fields) > 1 and fields[0][0] != "#" and fields[1].startswith("/") and fields[1] != "/":
            found[fields[0].replace('"', "")] = fields[1]
    return found


def _fstab(tree: Tree) -> str:
    etc = (tree.top.children or {}).get("etc")
    node = ((etc.children or {}) if etc else {}).get("fstab")
    if node is None or node.content is None or not stat.S_ISREG(node.mode):
        return ""
    try:
        return node.content.read_at(0, min(node.size, 64 * 1024)).decode("utf-8", "replace")
    except OSError:
        return ""


def _where(found: Found, points: Mapping[str, str]) -> str:
    for device, path in points.items():
        key, _, value = device.partition("=")
        if key in ("LABEL", "UUID", "PARTUUID") and value:
            own = {"LABEL": found.label, "UUID": found.uuid, "PARTUUID": found.partuuid}[key]
            if own and own.replace("-", "").lower() == value.replace("-", "").lower():
                return path
        elif found.partition and _number_at_end(device) == found.partition:
            return path
    return ""


def _number_at_end(device: str) -> int:
    """The partition's number in ``/dev/mmcblk0p2`` or ``/dev/sda2``; 0: it names none."""
    digits = device[len(device.rstrip("0123456789")) :]
    return int(digits) if device.startswith("/dev/") and 0 < len(digits) <= 3 else 0  # noqa: PLR2004  (a number)


def _mount(tree: Tree, path: str, other: Tree) -> bool:
    """Put another tree's top where the root has an empty place for it."""
    names = [name for name in path.split("/") if name]
    node: Node = tree.top
    for name in names[:-1]:
        below = (node.children or {}).get(name)
        if below is None or below.children is None:
            return False
        node = below
    if not names or ".." in names or node.children is None:
        return False
    other.top.damage = other.top.damage or other.damage
    node.children[names[-1]] = other.top
    tree.count += other.count
    return True
