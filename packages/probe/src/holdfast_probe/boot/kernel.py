"""The probes of the kernel: its parameters, its configuration, its command line, and the drivers it may load.

1. A running system is asked through its own ``/proc``; a folder through the files that would set it at boot.
2. The release of a folder's kernel comes from its module directory, never from this host's `uname`.
3. An option that the configuration does not mention is `not_applicable`: that kernel never had it.

Sources: sysctl.d(5), modprobe.d(5), the kernel's kconfig-language and admin-guide/kernel-parameters.
"""

from __future__ import annotations

import fnmatch
import re
import zlib
from collections.abc import Iterator

from holdfast_core.baseline.probes import Cmdline, KernelConfig, RootFsDriver, Sysctl
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

_CONFIG_BYTES = 4 * 1024 * 1024
_SYSCTL_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
_MODPROBE_FOLDERS = (
    "/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d",
)  # fmt: skip
_CONFIG_GLOBS = ("/boot/config-*", "/usr/lib/modules/*/config", "/lib/modules/*/config")
_LOADERS = (
    ("/boot/cmdline.txt", re.compile(r"^(.+)$", re.MULTILINE)),
    ("/boot/firmware/cmdline.txt", re.compile(r"^(.+)$", re.MULTILINE)),
    ("/etc/kernel/cmdline", re.compile(r"^(.+)$", re.MULTILINE)),
    ("/boot/extlinux/extlinux.conf", re.compile(r"^\s*append\s+(.+)$", re.MULTILINE | re.IGNORECASE)),
    ("/boot/loader/entries/*.conf", re.compile(r"^options\s+(.+)$", re.MULTILINE)),
    ("/boot/grub/grub.cfg", re.compile(r"^\s*linux(?:16|efi)?\s+\S+\s+(.+)$", re.MULTILINE)),
    ("/etc/default/grub", re.compile(r"^GRUB_CMDLINE_LINUX(?:_DEFAULT)?=[\"']?([^\"'\n]*)", re.MULTILINE)),
)
"""Where boot loaders keep the command line; of each file the first counts, later ones are rescue entries."""


def see_sysctl(case: Case, spec: Sysctl) -> Sight:
    """Judge one `Sysctl` probe."""
    root = case.root
    if root.live:
        pattern = "/proc/sys/" + (spec.key if "/" in spec.key else spec.key.replace(".", "/"))
        values = [(" ".join(root.read(path).decode("ascii", "replace").split()), path) for path in root.glob(pattern)]
        if not values:
            return not_applicable(f"This kernel has no parameter {spec.key}.")
    else:
        last = _sysctl_set(root, spec.key.replace("/", "."))
        if last is None:
            return unknown(f"Nothing in this folder sets {spec.key}; the kernel's default is not in it.")
        values = [last]
    bad = [
        f"{spec.key} is {value!r} ({where}), wanted {spec.wanted}" for value, where in values if not spec.accepts(value)
    ]
    return judged(bad, f"{spec.key} is {values[0][0]!r} ({values[0][1]})")


def _sysctl_set(root: Root, key: str) -> tuple[str, str] | None:
    """The last value that the files set: ``sysctl.d`` in order of name, then ``sysctl.conf``."""
    last = None
    paths = [*_by_name(root, _SYSCTL_FOLDERS), *root.glob("/etc/sysctl.conf")]
    for path in paths:
        for line in _lines(root, path):
            name, sign, value = line.lstrip("-").partition("=")
            name = name.strip().replace("/", ".")
            if sign and (name == key or ("*" in name and fnmatch.fnmatchcase(key, name))):
                last = (" ".join(value.split()), path)
    return last


def see_kernel_config(case: Case, spec: KernelConfig) -> Sight:
    """Judge one `KernelConfig` probe."""
    root = case.root
    configs = dict(_configs(root))
    if not configs:
        return unknown("No kernel configuration was found.")
    pattern = re.compile(rf"^(?:{spec.option}=(.*)|# {spec.option} is not set)$", re.MULTILINE)
    values = {path: (m.group(1) or "n").strip('"') for path, text in configs.items() if (m := pattern.search(text))}
    if not values:
        return not_applicable(f"This kernel does not know {spec.option}.")
    bad = [f"{spec.option} is {v} ({path}), wanted {spec.wanted}" for path, v in values.items() if not spec.accepts(v)]
    path, value = next(iter(values.items()))
    return judged(bad, f"{spec.option} is {value} ({path})")


def _configs(root: Root) -> Iterator[tuple[str, str]]:
    """The configuration of the kernel that runs, or of those a folder would boot. Raises `Unreadable`."""
    if root.live:
        try:
            yield "/proc/config.gz", _unzipped(root.read("/proc/config.gz"))
        except Missing:
            release = root.read("/proc/sys/kernel/osrelease").decode("ascii", "replace").strip()
            for glob in _CONFIG_GLOBS:
                for path in root.glob(glob.replace("*", release)):
                    yield path, _config_text(root, path)
        return
    paths = [path for glob in _CONFIG_GLOBS for path in root.glob(glob)]
    releases = {p.rsplit("/", 1)[-1] for p in root.glob("/lib/modules/*")}
    matching = [p for p in paths if any(release in p for release in releases)]
    for path in matching or paths:
        yield path, _config_text(root, path)


def _config_text(root: Root, path: str) -> str:
    return root.read(path, limit=_CONFIG_BYTES).decode("ascii", "replace")


def _unzipped(data: bytes) -> str:
    reader = zlib.decompressobj(wbits=31)
    try:
        text = reader.decompress(data, _CONFIG_BYTES)
    except zlib.error:
        raise Unreadable("/proc/config.gz", "it does not decompress") from None
    if reader.unconsumed_tail:
        raise Unreadable("/proc/config.gz", f"it is larger than {_CONFIG_BYTES} bytes")
    return text.decode("ascii", "replace")


def see_cmdline(case: Case, spec: Cmdline) -> Sight:
    """Judge one `Cmdline` probe."""
    root = case.root
    lines = dict(_cmdlines(root))
    if not lines:
        return unknown("No boot loader file with a kernel command line was found.")
    bad = [
        f"{word[:80]} ({path})"
        for path, text in lines.items()
        for word in text.split()
        if any(word == token or (token.endswith("=") and word.startswith(token)) for token in spec.forbid)
    ]
    return judged(bad, f"none of {', '.join(spec.forbid)} ({', '.join(sorted(lines))})")


def _cmdlines(root: Root) -> Iterator[tuple[str, str]]:
    if root.live:
        yield "/proc/cmdline", root.read("/proc/cmdline").decode("utf-8", "replace")
        return
    for glob, pattern in _LOADERS:
        for path in root.glob(glob):
            text = root.read(path).decode("utf-8", "replace")
            lines = pattern.findall(text)
            if lines:
                yield path, " ".join(lines) if path == "/etc/default/grub" else lines[0]


def see_root_fs_driver(case: Case, _spec: RootFsDriver) -> Sight:
    """Judge one `RootFsDriver` probe."""
    root, plan = case.root, case.plan
    if not plan.root_fs_drivers:
        return not_applicable("The model declares no root file system driver.")
    needed = {name.replace("-", "_") for name in plan.root_fs_drivers}
    bad = []
    for path in [*_by_name(root, _MODPROBE_FOLDERS), *root.glob("/etc/modprobe.conf")]:
        for line in _lines(root, path):
            words = line.split()
            if len(words) > 1 and words[1].replace("-", "_") in needed and _disables(words):
                bad.append(f"{' '.join(words)[:120]} ({path})")
    return judged(bad, f"nothing disables {', '.join(sorted(needed))}")


def _disables(words: list[str]) -> bool:
    if words[0] == "blacklist":
        return True
    dummies = ("true", "false", "nologin", ":", "null")
    return words[0] == "install" and len(words) > 2 and words[2].rsplit("/", 1)[-1] in dummies  # noqa: PLR2004


def _by_name(root: Root, folders: tuple[str, ...]) -> list[str]:
    """The ``.conf`` files of the folders in order of name; of one name only the first folder's counts."""
    chosen: dict[str, str] = {}
    for folder in folders:
        for path in root.glob(f"{folder}/*.conf"):
            chosen.setdefault(path.rsplit("/", 1)[-1], path)
    return [chosen[name] for name in sorted(chosen)]


def _lines(root: Root, path: str) -> list[str]:
    text = root.read(path).decode("utf-8", "replace").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#;"]
