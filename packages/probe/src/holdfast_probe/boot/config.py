"""The kernel's configuration and its release: the two probes that ask, and who else wants to know.

1. The configuration is what the kernel carries (``/proc/config.gz``, an image's own), else what lies beside it.
2. The release of a folder's kernel comes from its module directory, or else from the names of files in ``/boot``,
   never from this host's `uname`.
3. An option that the configuration does not mention is `not_applicable`: that kernel never had it.
4. Every configuration that would be booted counts; one of them that fails is a failure.

Sources: the kernel's kconfig-language, and kernel.org's list of long-term branches, which the probe's spec carries.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping

from holdfast_core.baseline.probes.boot import KernelBranch, KernelConfig, KernelSince
from holdfast_core.kernel.instants import DAY, parse_rfc3339
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.services.texts import fitting
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

CONFIG_BYTES = 4 * 1024 * 1024
_RELEASE_BYTES = 256
_GLOBS = ("/boot/config-*", "/usr/lib/modules/*/config", "/lib/modules/*/config", "/usr/lib/modules/*/build/.config")
_NAMED_AFTER = ("/boot/config-*", "/boot/vmlinuz-*", "/boot/vmlinux-*", "/boot/System.map-*")
_RUNNING = "/proc/config.gz"
_OPTION = re.compile(r"^(?:(CONFIG_\w+)=(.*)|# (CONFIG_\w+) is not set)$", re.MULTILINE | re.ASCII)
_RELEASE = re.compile(r"(\d{1,3})\.(\d{1,3})(?:[.\-+_ ].*)?", re.ASCII | re.DOTALL)

_NO_RELEASE = (
    "Nothing here tells the kernel's release: no directory of modules, and no file in /boot that is named after one."
)

Options = Mapping[str, str]


def see_kernel_config(case: Case, spec: KernelConfig) -> Sight:
    """Judge one `KernelConfig` probe."""
    configs = case.once(kernel_configs)
    if not configs:
        return unknown("No kernel configuration was found.")
    values = {path: options[spec.option] for path, options in configs.items() if spec.option in options}
    if not values:
        return not_applicable(f"This kernel does not know {spec.option}.")
    bad = [f"{spec.option} is {v} ({path}), wanted {spec.wanted}" for path, v in values.items() if not spec.accepts(v)]
    path, value = next(iter(values.items()))
    return judged(bad, f"{spec.option} is {value} ({path})")


def kernel_configs(root: Root) -> Mapping[str, Options]:
    """The options of the kernel that runs, or of those a root would boot, by where they stand. Raises `Unreadable`."""
    return {path: _options(text) for path, text in _texts(root)}


def _options(text: str) -> Options:
    found: dict[str, str] = {}
    for match in _OPTION.finditer(text):
        name, value, unset = match.groups()
        found[name or unset] = "n" if unset else value.strip().strip('"')
    return found


def _texts(root: Root) -> Iterator[tuple[str, str]]:
    if root.told.kernel_config is not None:
        yield "the kernel itself", root.told.kernel_config
        return
    if root.live:
        try:
            yield _RUNNING, _unzipped(root.read(_RUNNING, limit=CONFIG_BYTES))
        except Missing:
            yield from _beside(root, [running_release(root)])
        return
    yield from _beside(root, installed_releases(root))


def _beside(root: Root, releases: list[str]) -> Iterator[tuple[str, str]]:
    """The configurations of these releases; without a release, all that lie about."""
    paths = fitting(root, *_GLOBS)
    matching = [path for path in paths if any(release in path for release in releases)]
    for path in matching if matching or root.live else paths:
        yield path, root.read(path, limit=CONFIG_BYTES).decode("ascii", "replace")


def _unzipped(data: bytes) -> str:
    reader = zlib.decompressobj(wbits=31)
    try:
        text = reader.decompress(data, CONFIG_BYTES)
    except zlib.error:
        raise Unreadable(_RUNNING, "it does not decompress") from None
    if reader.unconsumed_tail:
        raise Unreadable(_RUNNING, f"it is larger than {CONFIG_BYTES} bytes")
    return text.decode("ascii", "replace")


def running_release(root: Root) -> str:
    """The release of the running kernel. Raises `Missing` or `Unreadable`."""
    return root.read("/proc/sys/kernel/osrelease", limit=_RELEASE_BYTES).decode("ascii", "replace").strip()


def releases(root: Root) -> list[str]:
    """The releases of the kernel that runs, or of those a root would boot; none where nothing tells."""
    if root.live:
        return [running_release(root)]
    return [root.told.kernel_release] if root.told.kernel_release else installed_releases(root)


def installed_releases(root: Root) -> list[str]:
    """The releases that a root has modules for; where it has none, those that files in ``/boot`` are named after."""
    names = {path.rsplit("/", 1)[-1] for glob in ("/lib/modules/*", "/usr/lib/modules/*") for path in root.glob(glob)}
    found = {name for name in names if _RELEASE.fullmatch(name)}
    for glob in () if found else _NAMED_AFTER:
        prefix = glob.rpartition("/")[2][:-1]
        names = {path.rsplit("/", 1)[-1].removeprefix(prefix) for path in fitting(root, glob)}
        found |= {name for name in names if _RELEASE.fullmatch(name)}
    return sorted(found)


def see_kernel_branch(case: Case, spec: KernelBranch) -> Sight:
    """Judge one `KernelBranch` probe."""
    found = releases(case.root)
    if not found:
        return unknown(_NO_RELEASE)
    if case.now is None:
        return unknown("No clock is trusted here, so nobody can say whether a branch is still supported.")
    ends = {_numbers(branch): day for branch, day in spec.ends}
    bad, good = [], []
    for release in found:
        branch = _numbers(release)
        if not branch or branch > max(ends):
            return unknown(f"Kernel {release[:80]} is of no branch that was known on {spec.known}.")
        day = ends.get(branch)
        if day is None:
            bad.append(f"kernel {release[:80]} is of no long-term branch")
        elif case.now >= parse_rfc3339(f"{day}T00:00:00Z") + DAY:
            bad.append(f"kernel {release[:80]}: its branch was supported until {day}")
        else:
            good.append(f"kernel {release[:80]}: its branch is supported until {day} (as known on {spec.known})")
    return judged(bad, good[0] if good else "")


def see_kernel_since(case: Case, spec: KernelSince) -> Sight:
    """Judge one `KernelSince` probe."""
    found = releases(case.root)
    if not found:
        return unknown(_NO_RELEASE)
    strange = [release for release in found if not _numbers(release)]
    if strange:
        return unknown(f"Nobody here can tell what kernel {strange[0][:80]} is.")
    bad = [f"kernel {each[:80]} is older than {spec.branch}" for each in found if older_than(each, spec.branch)]
    return judged(bad, f"kernel {found[0][:80]} is of {spec.branch} or newer")


def older_than(release: str, branch: str) -> bool:
    """Whether a release is of an older branch; one that cannot be read is not."""
    return bool(_numbers(release)) and _numbers(release) < _numbers(branch)


def _numbers(release: str) -> tuple[int, ...]:
    """Version and patch level of a release or a branch; none where it is neither."""
    match = _RELEASE.fullmatch(release)
    return (int(match.group(1)), int(match.group(2))) if match else ()
