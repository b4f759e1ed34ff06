"""The typed probes: what a control can look at, as data.

1. A probe is a value with typed fields, never a shell string and never an expression to evaluate.
2. Every probe says in its docstring when it passes, when it fails and when it cannot say. An input that is missing
   because the thing does not exist here is `not_applicable`; one that exists and cannot be read is `unknown`.
3. Paths are absolute, seen from the root that is audited; ``*``, ``?`` and ``[...]`` match inside one component.
4. Probes run on the device (`holdfast_probe`), except `Manifest`, which is judged here from what the build says.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.model import BuildManifest, ControlId, Finding, Outcome
from holdfast_core.kernel.errors import HostileData

PathGlob = Annotated[str, msgspec.Meta(pattern=r"^/", max_length=512)]
Paths = Annotated[tuple[PathGlob, ...], msgspec.Meta(min_length=1, max_length=64)]
Names = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]
Values = Annotated[tuple[str, ...], msgspec.Meta(max_length=32)]


class AccountCheck(StrEnum):
    """What `Accounts` asks of ``/etc/passwd`` and ``/etc/shadow``."""

    EMPTY_PASSWORD = "empty_password"  # noqa: S105  (the name of a check)
    """No account has an empty password field."""
    DEFAULT_PASSWORD = "default_password"  # noqa: S105  (the name of a check)
    """No account opens with a notorious vendor default or with its own name."""
    UID_ZERO = "uid_zero"
    """Only ``root`` has uid 0."""
    HASH_STRENGTH = "hash_strength"
    """Every password hash is sha256-crypt or stronger."""
    UNEXPECTED_LOGIN = "unexpected_login"
    """Every account that can log in is in the plan's `accounts`."""


class Syntax(StrEnum):
    """How a settings file is written."""

    SSHD = "sshd"
    """``Keyword value``; first value wins; ``Include`` is followed; values inside ``Match`` blocks count as well."""
    KEYVALUE = "keyvalue"
    """``key=value``, ``key: value`` or ``key value``; ``#`` and ``;`` comments; last value wins;
    ``<file>.d/*.conf`` is read after the file. A key ``Section/Key`` is looked up under ``[Section]`` only."""
    UCI = "uci"
    """OpenWrt's configuration; a key is ``section.option`` (a section's type or its name); every match must do."""


class ElfProperty(StrEnum):
    """What `Elf` asks of each program and library."""

    NX = "nx"
    PIE = "pie"
    RELRO = "relro"
    RPATH = "rpath"
    """No RPATH or RUNPATH entry that is relative, empty or in a directory that others can write."""


class _Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", omit_defaults=True):
    """Base of the probes."""


class _Wanting(_Probe, frozen=True):
    """A probe of one value: `one_of` the accepted spellings, or a whole number >= `minimum`.

    Spellings are compared without case; ``*``, ``?`` and ``[...]`` in them match.
    """

    one_of: Values = ()
    minimum: int | None = None

    def __post_init__(self) -> None:
        """Refuse a probe that accepts nothing."""
        if not self.one_of and self.minimum is None:
            raise HostileData(
                "probe.wants_nothing",
                f"A {type(self).__name__} probe has neither 'one_of' nor 'minimum'.",
                remedy="Say which values pass.",
            )

    def accepts(self, value: str) -> bool:
        """Whether `value` is one of the accepted spellings, or a whole number that reaches the minimum."""
        text = value.strip().lower()
        if any(fnmatchcase(text, wanted.lower()) for wanted in self.one_of):
            return True
        if self.minimum is None:
            return False
        try:
            return int(text, 0) >= self.minimum
        except ValueError:
            return False

    @property
    def wanted(self) -> str:
        """What passes, in words."""
        parts = [" or ".join(self.one_of)] if self.one_of else []
        if self.minimum is not None:
            parts.append(f"at least {self.minimum}")
        return " or ".join(parts)


class Absent(_Probe, frozen=True, tag="absent"):
    """None of `paths` exists. A dangling link does not count as existing."""

    paths: Paths


class Present(_Probe, frozen=True, tag="present"):
    """At least one match of `paths` exists; none: fail. A dangling link does not count as existing."""

    paths: Paths


class Words(_Probe, frozen=True, tag="words"):
    """No line of the files that match `paths` contains any of `forbid`; lines that start with ``#`` are left out.

    No such file: not applicable.
    """

    paths: Paths
    forbid: Names


class FileMode(_Probe, frozen=True, tag="file_mode"):
    """Every match of `paths` has no permission bit outside `max_mode` (and belongs to `uid`); no match: not applicable.

    `max_mode` is a number: 0o640 is 416.
    """

    paths: Paths
    max_mode: Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
    uid: int | None = None


class WorldWritable(_Probe, frozen=True, tag="world_writable"):
    """No regular file is writable by everyone, and no directory is unless it is sticky. Walks."""


class Unowned(_Probe, frozen=True, tag="unowned"):
    """Every file's uid and gid is in ``/etc/passwd`` and ``/etc/group``; unknown where ownership was lost. Walks."""


class Setuid(_Probe, frozen=True, tag="setuid"):
    """Every setuid or setgid program is in the plan's `setuid`; unknown where the bits were lost. Walks."""


class WritableList(_Probe, frozen=True, tag="writable_list"):
    """Every directory that everyone can write is, or lies below, an entry of the plan's `writable`. Walks."""


class Accounts(_Probe, frozen=True, tag="accounts"):
    """One `check` of the accounts; no ``/etc/passwd`` (or ``/etc/shadow`` where needed): not applicable."""

    check: AccountCheck


class Service(_Probe, frozen=True, tag="service"):
    """None of `names` is started by systemd, rc.d, init or inetd. An applet or a program lying about is no service.

    A name is compared with unit, script and program names without suffix and start number; ``*`` and ``?`` match:
    ``telnetd`` matches ``S50telnetd``, ``telnetd.socket`` and ``::respawn:/usr/sbin/telnetd -l /bin/sh``.
    """

    names: Names


class Autostart(_Probe, frozen=True, tag="autostart"):
    """Everything that starts by itself is in the plan's `autostart` (names without suffix and start number)."""


class Listening(_Probe, frozen=True, tag="listening"):
    """Every listening TCP or bound UDP port is in the plan's `listening`; no running kernel to ask: unknown.

    Ports bound to loopback only are left out unless `loopback`; so are UDP ports of the kernel's ephemeral range, which
    are a client's and change with every query.
    """

    loopback: bool = False


class Setting(_Wanting, frozen=True, kw_only=True, tag="setting"):
    """`key` in `file` has an accepted value; `default` counts when the key is absent (none: fail).

    No such file: not applicable.
    """

    file: Annotated[str, msgspec.Meta(pattern=r"^/", max_length=512)]
    syntax: Syntax
    key: str
    default: str | None = None


class Sysctl(_Wanting, frozen=True, kw_only=True, tag="sysctl"):
    """The kernel parameter `key` (dotted) has an accepted value.

    Live: ``/proc/sys``; no such parameter: not applicable. A folder: ``sysctl.conf`` and ``sysctl.d`` in their
    precedence; not set there: unknown, since the kernel's own default is not in the folder.
    """

    key: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.*/-]+$", max_length=128)]


class KernelConfig(_Wanting, frozen=True, kw_only=True, tag="kernel_config"):
    """`option` (``CONFIG_...``) has an accepted value; ``n`` is what "is not set" says.

    An option the kernel's configuration does not mention is not applicable; no configuration found is unknown.
    """

    option: Annotated[str, msgspec.Meta(pattern=r"^CONFIG_[A-Za-z0-9_]+$", max_length=128)]


class Cmdline(_Probe, frozen=True, tag="cmdline"):
    """The kernel command line has none of `forbid`: whole words, or a prefix when it ends in ``=`` (``init=``).

    Live: ``/proc/cmdline``. A folder: what its boot loader files pass; none there: unknown.
    """

    forbid: Names


class Mount(_Probe, frozen=True, tag="mount"):
    """`path` is a mount of its own with all of `options`; a folder is judged by ``/etc/fstab`` (none: unknown)."""

    path: Annotated[str, msgspec.Meta(pattern=r"^/", max_length=512)]
    options: Names


class PrivateKeys(_Probe, frozen=True, tag="private_keys"):
    """No file holds a private key that decodes (PEM, DER, OpenSSH, dropbear), but for matches of `allow`. Walks, reads.

    A program that merely contains the words of a header has no key.
    """

    allow: Annotated[tuple[PathGlob, ...], msgspec.Meta(max_length=64)] = ()


class Elf(_Probe, frozen=True, tag="elf"):
    """Every program and library has `property`; kernel modules and objects are left out. Walks, reads.

    `under` narrows the search to directories; empty means everywhere. Files that do not say (no PT_GNU_STACK: the
    architecture decides) make the outcome unknown when nothing fails outright.
    """

    property: ElfProperty
    under: Annotated[tuple[PathGlob, ...], msgspec.Meta(max_length=32)] = ()


class RootFsDriver(_Probe, frozen=True, tag="root_fs_driver"):
    """No modprobe rule disables a file system of the plan's `root_fs_drivers`; none declared: not applicable."""


class CoreFiles(_Probe, frozen=True, tag="core_files"):
    """No core dump and no shell or client history lies about. Walks."""


class Manifest(_Wanting, frozen=True, kw_only=True, tag="manifest"):
    """The build manifest's fact `key` has an accepted value (yes, no: ``true``, ``false``); absent: unknown."""

    key: str


Simple: TypeAlias = (
    Absent
    | Present
    | Words
    | FileMode
    | WorldWritable
    | Unowned
    | Setuid
    | WritableList
    | Accounts
    | Service
    | Autostart
    | Listening
    | Setting
    | Sysctl
    | KernelConfig
    | Cmdline
    | Mount
    | PrivateKeys
    | Elf
    | RootFsDriver
    | CoreFiles
    | Manifest
)
"""Any probe that looks at one thing."""


class Every(_Probe, frozen=True, tag="every"):
    """All of `of` at once: fail when any fails, else unknown when any is, not applicable when all are, else pass."""

    of: Annotated[tuple[Simple, ...], msgspec.Meta(min_length=2, max_length=8)]


ProbeSpec: TypeAlias = Simple | Every
"""Any probe; msgspec decodes it by its ``kind``."""


def judge_manifest(control: ControlId, probe: Manifest, manifest: BuildManifest | None) -> Finding:
    """What the build manifest says of one control; a fact that is not stated is `unknown`, never a pass."""
    if manifest is None:
        return Finding(control, Outcome.UNKNOWN, reason="There is no build manifest.")
    fact = manifest.facts.get(probe.key)
    if fact is None:
        return Finding(control, Outcome.UNKNOWN, reason=f"The build manifest does not state {probe.key}."[:512])
    text = str(fact).lower() if isinstance(fact, bool) else str(fact)
    proof = (f"{probe.key} = {text}"[:512],)
    if probe.accepts(text):
        return Finding(control, Outcome.PASS, proof)
    return Finding(control, Outcome.FAIL, (f"{probe.key} = {text}, wanted {probe.wanted}"[:512],))
