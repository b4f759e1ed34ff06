"""dnf and yum: repositories, and whether what comes from them is checked.

Source: dnf.conf(5). ``gpgcheck`` is off unless it is set; a repository's own setting counts before the common one.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_probe.programs.updates.sections import sectioned
from holdfast_probe.programs.updates.words import Word
from holdfast_probe.roots import Root
from holdfast_probe.services.texts import fitting, truthy

REPOSITORIES = "/etc/yum.repos.d/*.repo"
_COMMON = ("/etc/yum.conf", "/etc/dnf/dnf.conf")


def signed(root: Root) -> Iterator[Word]:
    """Every repository that is switched on."""
    common = ""
    for path in fitting(root, *_COMMON):
        common = sectioned(root, path).get("main", {}).get("gpgcheck", common)
    for path in fitting(root, REPOSITORIES):
        for name, keys in sectioned(root, path).items():
            if not truthy(keys.get("enabled", "1")):
                continue
            good = truthy(keys.get("gpgcheck", common))
            yield Word(good=good, said=f"{path}: packages of {name} are {'' if good else 'not '}checked")
