"""opkg and apk: feeds of small devices.

Sources: opkg.conf(5) (``option check_signature``), apk-repositories(5), apk-keys(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_probe.programs.updates.words import Word
from holdfast_probe.roots import Root
from holdfast_probe.services.texts import fitting, lines, names, numbered

OPKG = ("/etc/opkg.conf", "/etc/opkg/*.conf")
OPKG_KEYS = "/etc/opkg/keys"
APK = ("/etc/apk/repositories", "/etc/apk/repositories.d/*.list")
APK_KEYS = ("/etc/apk/keys", "/usr/share/apk/keys")
_OFF = frozenset({"0", "no", "false", "off"})


def opkg_options(root: Root) -> dict[str, tuple[str, str]]:
    """The options of opkg: value and place; an option without a value is ``1``."""
    found = {}
    for path in fitting(root, *OPKG):
        for number, line in numbered(root, path) or ():
            words = line.split()
            if words[0] == "option" and len(words) > 1:
                found[words[1]] = (words[2] if len(words) > 2 else "1", f"{path}:{number}")  # noqa: PLR2004  (a value is the third word)
    return found


def opkg_in_use(root: Root) -> bool:
    """Whether opkg has a feed."""
    return any(line.startswith("src") for path in fitting(root, *OPKG) for line in lines(root, path) or ())


def opkg_signed(root: Root) -> Iterator[Word]:
    """That opkg checks, which it does only if it is told to, and with the keys in its folder."""
    if not opkg_in_use(root):
        return
    value, where = opkg_options(root).get("check_signature", ("", ""))
    if not value or value in _OFF:
        yield Word(good=False, said=f"opkg does not check signatures ({where or 'check_signature is not set'})")
    else:
        yield Word(good=True, said=f"opkg checks signatures ({where})")


def opkg_verified(root: Root) -> Iterator[Word]:
    """Options that let damaged or unsigned packages in."""
    if not opkg_in_use(root):
        return
    given = opkg_options(root)
    bad = [
        f"{given[o][1]} sets {o}" for o in ("force_checksum", "force_signature") if given.get(o, ("0",))[0] not in _OFF
    ]
    yield from (Word(good=False, said=said) for said in bad)
    if not bad:
        yield Word(good=True, said="opkg lets nothing in unchecked")


def opkg_forward(root: Root) -> Iterator[Word]:
    """That opkg takes no older version, which it does not unless it is told to."""
    if opkg_in_use(root):
        value, where = opkg_options(root).get("force_downgrade", ("0", ""))
        good = value in _OFF
        yield Word(good=good, said="opkg takes no older version" if good else f"{where} sets force_downgrade")


def apk_in_use(root: Root) -> bool:
    """Whether apk has a repository."""
    return any(lines(root, path) for path in fitting(root, *APK))


def apk_signed(root: Root) -> Iterator[Word]:
    """That apk has keys: it always checks, with the keys in its folder."""
    if apk_in_use(root):
        count = sum(len(names(root, folder)) for folder in APK_KEYS)
        said = f"apk checks with {count} keys" if count else "apk has repositories and no key to check them with"
        yield Word(good=bool(count), said=said)


def apk_verified(root: Root) -> Iterator[Word]:
    """Nothing to find: apk has no setting that does without the check."""
    if apk_in_use(root):
        yield Word(good=True, said="apk lets nothing in unchecked")


def apk_forward(root: Root) -> Iterator[Word]:
    """What a repository has is what apk takes, be it older; only its signed index keeps order."""
    if apk_in_use(root):
        yield Word(good=None, said="apk follows its repository's index, whatever version that names")
