"""Updaters of whole images: RAUC, SWUpdate, Mender, OSTree.

Sources: RAUC's reference of system.conf, SWUpdate's swupdate.cfg, Mender's mender.conf, ostree.repo-config(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from holdfast_probe.programs.updates.sections import sectioned
from holdfast_probe.programs.updates.words import Word
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.services.texts import exists, fitting, lines, text, unquoted

RAUC = ("/etc/rauc/system.conf", "/usr/lib/rauc/system.conf")
SWUPDATE = ("/etc/swupdate.cfg", "/etc/swupdate/swupdate.cfg", "/etc/swupdate/conf.d/*", "/usr/lib/swupdate/conf.d/*")
_SWUPDATE_ARGUMENTS = ("/etc/default/swupdate", "/etc/swupdate/conf.d/*", "/usr/lib/swupdate/conf.d/*")
MENDER = "/etc/mender/mender.conf"
_MENDER_PERSISTENT = ("/var/lib/mender/mender.conf", "/data/mender/mender.conf")
"""What the installation itself wrote, such as the partitions; the settings in /etc count before it."""
_OSTREE = ("/ostree/repo/config", "/sysroot/ostree/repo/config")
_ARGUMENTS = 65_536
"""Characters of a file of arguments that are searched."""
_SLOT = re.compile(r"slot\.[\w-]+\.\d+")
_CHOICE_FLAG = re.compile(r"(?:-e|--select)[ =]?[\"']?\w{1,64},\w{1,64}", re.ASCII)
_KEY_FLAG = re.compile(r"(?:^|\s|\")(?:-k|--key)[ =]?\"?(/[^\s\"']+)")


def rauc_keyring(root: Root) -> list[str]:
    """The files of RAUC's keyring."""
    found = []
    for path in fitting(root, *RAUC):
        ring = sectioned(root, path).get("keyring", {})
        folder = path.rpartition("/")[0]
        if named := ring.get("path"):
            found += fitting(root, named if named.startswith("/") else f"{folder}/{named}")
        if named := ring.get("directory"):
            found += fitting(root, f"{named if named.startswith('/') else f'{folder}/{named}'}/*")
    return found


def rauc_signed(root: Root) -> Iterator[Word]:
    """RAUC installs signed bundles only; it needs a keyring."""
    for path in fitting(root, *RAUC):
        ring = rauc_keyring(root)
        yield Word(
            good=bool(ring), said=f"RAUC checks with {ring[0]}" if ring else f"{path} names no keyring that is there"
        )


def rauc_forward(root: Root) -> Iterator[Word]:
    """A lowest version, where one is set."""
    for path in fitting(root, *RAUC):
        lowest = sectioned(root, path).get("system", {}).get("min-bundle-version")
        said = f"RAUC takes nothing older than {lowest}" if lowest else f"{path} sets no min-bundle-version"
        yield Word(good=bool(lowest) or None, said=said)


def rauc_fallback(root: Root) -> Iterator[Word]:
    """Two bootable slots, and a boot loader that is told which."""
    for path in fitting(root, *RAUC):
        conf = sectioned(root, path)
        slots = [name for name, keys in conf.items() if _SLOT.fullmatch(name) and "bootname" in keys]
        loader = conf.get("system", {}).get("bootloader", "noop")
        good = len(slots) > 1 and loader != "noop"
        yield Word(good=good, said=f"{path} has {len(slots)} bootable slots, boot loader {loader}")


def swupdate_values(root: Root, key: str) -> list[str]:
    """What SWUpdate's settings give `key`."""
    found = []
    for path in fitting(root, *SWUPDATE):
        for line in lines(root, path) or ():
            name, sign, value = line.partition("=")
            if sign and name.strip() == key:
                found.append(unquoted(value.strip().rstrip(";").strip()))
    return found


def swupdate_keys(root: Root) -> list[str]:
    """The files of the keys that SWUpdate checks with."""
    named = [*swupdate_values(root, "public-key-file"), *swupdate_values(root, "ca-path")]
    for path in fitting(root, *_SWUPDATE_ARGUMENTS):
        named += _KEY_FLAG.findall(text(root, path)[:_ARGUMENTS])
    return fitting(root, *(path for path in named if path.startswith("/")))


def swupdate_signed(root: Root) -> Iterator[Word]:
    """SWUpdate checks only if it has a key."""
    if fitting(root, *SWUPDATE):
        keys = swupdate_keys(root)
        yield Word(
            good=bool(keys), said=f"SWUpdate checks with {keys[0]}" if keys else "SWUpdate has no public-key-file"
        )


def swupdate_forward(root: Root) -> Iterator[Word]:
    """The lowest version that is taken."""
    if fitting(root, *SWUPDATE):
        lowest = swupdate_values(root, "no-downgrading")
        said = f"SWUpdate takes nothing older than {lowest[0]}" if lowest else "SWUpdate has no no-downgrading version"
        yield Word(good=bool(lowest), said=said)


def swupdate_fallback(root: Root) -> Iterator[Word]:
    """One of two copies is chosen on the command line, or else by what each image carries, which is not here."""
    if fitting(root, *SWUPDATE):
        chosen = any(_CHOICE_FLAG.search(text(root, path)[:_ARGUMENTS]) for path in fitting(root, *_SWUPDATE_ARGUMENTS))
        said = "SWUpdate chooses between two copies" if chosen else "SWUpdate's slots are named in the images, not here"
        yield Word(good=chosen or None, said=said)


def mender_settings(root: Root) -> dict[str, object]:
    """Mender's settings; empty where there are none. Raises `Unreadable`."""
    given: dict[str, object] = {}
    for path in (*_MENDER_PERSISTENT, MENDER):
        try:
            found = msgspec.json.decode(root.read(path))
        except Missing:
            continue
        except (msgspec.MsgspecError, RecursionError):
            raise Unreadable(path, "it is not JSON") from None
        given.update(found if isinstance(found, dict) else {})
    return given


def mender_keys(root: Root) -> list[str]:
    """The files of the keys that Mender checks with."""
    given = mender_settings(root)
    many = given.get("ArtifactVerifyKeys")
    named = [given.get("ArtifactVerifyKey"), *(many if isinstance(many, list) else [])]
    return fitting(root, *(path for path in named if isinstance(path, str) and path.startswith("/")))


def mender_signed(root: Root) -> Iterator[Word]:
    """Mender checks only if it has a key."""
    if mender_settings(root):
        keys = mender_keys(root)
        yield Word(
            good=bool(keys), said=f"Mender checks with {keys[0]}" if keys else f"{MENDER} has no ArtifactVerifyKey"
        )


def mender_fallback(root: Root) -> Iterator[Word]:
    """Two partitions for the root."""
    if given := mender_settings(root):
        both = all(given.get(key) for key in ("RootfsPartA", "RootfsPartB"))
        yield Word(good=both or None, said=f"{MENDER} names {'both' if both else 'not both'} root partitions")


def ostree_fallback(root: Root) -> Iterator[Word]:
    """OSTree keeps the former deployment and switches at once."""
    if any(exists(root, path) for path in _OSTREE):
        yield Word(good=True, said="OSTree keeps the former deployment")


def ostree_signed(root: Root) -> Iterator[Word]:
    """Remotes that do without a signature."""
    for path in fitting(root, *_OSTREE):
        remotes = {name: keys for name, keys in sectioned(root, path).items() if name.startswith("remote ")}
        for name, keys in remotes.items():
            blind = keys.get("gpg-verify", "true") == "false" and keys.get("sign-verify", "false") == "false"
            yield Word(good=not blind, said=f"{path}: {name} is {'not ' if blind else ''}checked")


def verified(root: Root) -> Iterator[Word]:
    """With a key, these check an image before anything of it is started."""
    for name, keys in (("RAUC", rauc_keyring), ("SWUpdate", swupdate_keys), ("Mender", mender_keys)):
        if keys(root):
            yield Word(good=True, said=f"{name} checks an image before it is started")
