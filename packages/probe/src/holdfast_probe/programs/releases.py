"""Until when the release in ``os-release`` gets security fixes.

1. The maker's own SUPPORT_END counts before our table: who builds a product knows its branch best.
2. A maker's own name for a distribution says nothing; the branch it was made from may stand beside it (Yocto's
   DISTRO_CODENAME, OpenWrt's ``openwrt_release``).
3. A branch that the table does not know leaves it open: no release is old because we have never heard of it.

The days are those that the projects publish: Debian with LTS, Ubuntu's standard support, Alpine, OpenWrt, Yocto (as its
reference distribution poky), Buildroot's long-term branches.
"""

from __future__ import annotations

from holdfast_core.baseline.probes.programs import ReleaseAge
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, in_words, parse_rfc3339
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.texts import lines, unquoted
from holdfast_probe.sight import Sight, failed, passed, unknown

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_OPENWRT = "/etc/openwrt_release"
_ENDS: dict[str, dict[str, str]] = {
    "debian": {
        "7": "2018-05-31", "8": "2020-06-30", "9": "2022-06-30", "10": "2024-06-30", "11": "2026-08-31",
        "12": "2028-06-30", "13": "2030-06-30",
    },
    "ubuntu": {
        "14.04": "2019-04-30", "16.04": "2021-04-30", "18.04": "2023-05-31", "20.04": "2025-05-31",
        "22.04": "2027-04-30", "23.10": "2024-07-11", "24.04": "2029-05-31", "24.10": "2025-07-10",
        "25.04": "2026-01-15",
    },
    "alpine": {
        "3.12": "2022-05-01", "3.13": "2022-11-01", "3.14": "2023-05-01", "3.15": "2023-11-01", "3.16": "2024-05-23",
        "3.17": "2024-11-22", "3.18": "2025-05-09", "3.19": "2025-11-01", "3.20": "2026-04-01", "3.21": "2026-11-01",
        "3.22": "2027-05-01",
    },
    "openwrt": {
        "15.05": "2016-03-16", "17.01": "2019-05-31", "18.06": "2020-12-31", "19.07": "2022-04-30",
        "21.02": "2023-05-01", "22.03": "2024-04-30", "23.05": "2025-08-31",
    },
    "poky": {
        "2.5": "2019-11-30", "2.6": "2020-10-31", "2.7": "2020-11-30", "3.0": "2021-02-28", "3.1": "2024-04-30",
        "3.2": "2021-06-30", "3.3": "2022-04-30", "3.4": "2022-07-31", "4.0": "2026-04-30", "4.1": "2023-05-31",
        "4.2": "2023-11-30", "4.3": "2024-05-31", "5.0": "2028-04-30", "5.1": "2025-05-31",
    },
    "buildroot": {
        "2019.02": "2020-03-31", "2020.02": "2021-04-30", "2021.02": "2022-03-31", "2022.02": "2023-03-31",
        "2023.02": "2024-03-31", "2024.02": "2025-03-31",
    },
    "yocto": {
        "sumo": "2019-11-30", "thud": "2020-10-31", "warrior": "2020-11-30", "zeus": "2021-02-28",
        "dunfell": "2024-04-30", "gatesgarth": "2021-06-30", "hardknott": "2022-04-30", "honister": "2022-07-31",
        "kirkstone": "2026-04-30", "langdale": "2023-05-31", "mickledore": "2023-11-30", "nanbield": "2024-05-31",
        "scarthgap": "2028-04-30", "styhead": "2025-05-31",
    },
}  # fmt: skip
_SAME = {"raspbian": "debian"}
"""Distributions that follow another's branches."""


def see_release_age(case: Case, _spec: ReleaseAge) -> Sight:
    """Judge one `ReleaseAge` probe."""
    given = case.once(os_release)
    branches = _branches(given, case.once(openwrt_release))
    name = " ".join(filter(None, branches[0])) or "an unnamed system"
    own = given.get("SUPPORT_END", "")
    day = own or next(filter(None, (_ends(*branch) for branch in branches)), "")
    if not day:
        return unknown(f"Nothing says until when {name} gets security fixes.")
    if case.now is None:
        return unknown("There is no clock to trust.")
    try:
        end = parse_rfc3339(f"{day}T00:00:00Z") + DAY
    except HostileData:
        return failed([f"SUPPORT_END={own} is no day"])
    if case.now >= end:
        return failed([f"{name} has had no security fixes since {day}, {in_words(case.now - end)} ago"])
    return passed(f"{name} gets security fixes until {day}")


def os_release(root: Root) -> dict[str, str]:
    """The fields of ``os-release``; none where there is no such file."""
    return next((found for path in _OS_RELEASE if (found := _fields(root, path))), {})


def openwrt_release(root: Root) -> dict[str, str]:
    """The fields of ``openwrt_release``, which a maker who renames the system often leaves as they were."""
    return _fields(root, _OPENWRT)


def _fields(root: Root, path: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines(root, path) or ())
    return {key: unquoted(value) for key, sign, value in pairs if sign}


def _branches(given: dict[str, str], openwrt: dict[str, str]) -> list[tuple[str, str]]:
    """The names and versions to look up, the system's own first."""
    return [
        (given.get("ID", ""), given.get("VERSION_ID", "")),
        ("yocto", given.get("DISTRO_CODENAME", "")),
        (openwrt.get("DISTRIB_ID", "").lower(), openwrt.get("DISTRIB_RELEASE", "")),
    ]


def _ends(name: str, version: str) -> str:
    """The last day of the branch that a version belongs to: ``23.05.3`` is of ``23.05``."""
    table = _ENDS.get(_SAME.get(name, name), {})
    parts = version.split(".")
    return next((table[b] for b in (".".join(parts[:n]) for n in range(len(parts), 0, -1)) if b in table), "")
