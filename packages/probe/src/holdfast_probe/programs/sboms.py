"""The parts list of a build: CycloneDX or SPDX, in JSON, and whether it still says what is installed.

1. Bounded in bytes, in files and in depth; a list that cannot be read is never taken for one that fits.
2. Versions are compared as they are written; an epoch that one side leaves out does not count.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from holdfast_core.baseline.probes.programs import Components, Sbom
from holdfast_probe.case import Case
from holdfast_probe.patterns import fits_any
from holdfast_probe.programs.packages import Package, installed
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.texts import fitting
from holdfast_probe.sight import Sight, failed, judged, not_applicable, passed, unknown

LIST_PATHS = ("/usr/share/sbom/*", "/usr/lib/sbom/*", "/etc/sbom/*", "/usr/share/doc/sbom/*")
"""Where builds leave their parts list."""
_LIST_BYTES = 8 * 1024 * 1024
_MOST_LISTS = 8
_MOST_PARTS = 100_000
_MOST_DEPTH = 16
_TOOLS = (
    "gcc", "gcc-*", "g++", "g++-*", "cpp", "clang*", "tcc", "binutils*", "make", "cmake", "gdb", "gdbserver", "strace",
    "ltrace", "perf", "linux-perf*", "valgrind", "build-essential", "dpkg-dev", "tcpdump", "nmap", "python3-pip", "npm",
    "perl", "python3", "python3-light", "ruby", "php*-cli", "lua", "lua5.*", "nodejs", "node", "tclsh", "tcl",
)  # fmt: skip
"""What builds, looks into or writes programs."""


class _Part(msgspec.Struct):
    name: str = ""
    version: str = ""
    versionInfo: str = ""  # noqa: N815  (the format's name)
    components: list[_Part] = []


class _List(msgspec.Struct):
    bomFormat: str = ""  # noqa: N815  (the format's name)
    spdxVersion: str = ""  # noqa: N815  (the format's name)
    components: list[_Part] = []
    packages: list[_Part] = []


def see_sbom(case: Case, spec: Sbom) -> Sight:
    """Judge one `Sbom` probe."""
    packages = case.once(installed)
    paths = fitting(case.root, *spec.paths)
    if not paths:
        if packages:
            return passed(f"the package database names {len(packages)} packages")
        return failed(["there is neither an SBOM nor a package database"])
    parts, path = _first_list(case.root, paths)
    if not packages:
        return passed(f"{path} names {len(parts)} parts")
    wrong = (_difference(package, parts, path) for package in packages)
    return judged((each for each in wrong if each), f"{path} names all {len(packages)} installed packages")


def see_components(case: Case, _spec: Components) -> Sight:
    """Judge one `Components` probe."""
    declared = case.plan.components
    if not declared:
        return not_applicable("The model declares no components.")
    names = [package.name for package in case.once(installed)]
    if not names:
        paths = fitting(case.root, *LIST_PATHS)
        if not paths:
            return unknown("There is neither a package database nor an SBOM to compare with.")
        names = sorted(_first_list(case.root, paths)[0])
    extra = [name for name in names if not fits_any(name, declared)]
    tools = [name for name in extra if fits_any(name, _TOOLS)]
    # A capital sorts before every package's name, so that the tools are shown even where much else is too many.
    items = [f"A tool for building or looking into programs is not declared: {name}" for name in tools]
    return judged((*items, *(f"{name} is not declared" for name in extra if name not in tools)), "all are declared")


def _difference(package: Package, parts: dict[str, set[str]], path: str) -> str:
    versions = parts.get(package.name.lower())
    if versions is None:
        return f"{package.name} {package.version} is installed and not in {path}"
    plain = package.version.partition(":")[2] or package.version
    if not versions & {package.version, plain}:
        return f"{package.name} {package.version} is installed, {path} says {min(versions) or 'no version'}"
    return ""


def _first_list(root: Root, paths: list[str]) -> tuple[dict[str, set[str]], str]:
    """The versions by name of the first file that is a parts list. Raises `Unreadable` where none is."""
    for path in paths[:_MOST_LISTS]:
        try:
            found = msgspec.json.decode(root.read(path, limit=_LIST_BYTES), type=_List)
        except (msgspec.MsgspecError, RecursionError):
            continue
        if found.bomFormat == "CycloneDX" or found.spdxVersion.startswith("SPDX-"):
            parts: dict[str, set[str]] = {}
            for part in _flat([*found.components, *found.packages], path):
                parts.setdefault(part.name.lower(), set()).add(part.version or part.versionInfo)
            return parts, path
    raise Unreadable(paths[0], "it is neither a CycloneDX nor an SPDX list in JSON")


def _flat(parts: list[_Part], path: str) -> Iterator[_Part]:
    """Every part and what it is made of."""
    todo = [(part, 1) for part in parts]
    count = 0
    while todo:
        part, depth = todo.pop()
        count += 1
        if count > _MOST_PARTS or depth > _MOST_DEPTH:
            raise Unreadable(path, f"it has more than {_MOST_PARTS} parts, or is nested deeper than {_MOST_DEPTH}")
        yield part
        todo += [(inner, depth + 1) for inner in part.components]
