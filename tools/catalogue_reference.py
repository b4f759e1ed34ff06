"""Write docs/reference/catalogue.md from the compiled catalogue: every control, by group, and by what it is mapped to.

Usage: catalogue_reference.py [--check]

With --check nothing is written; exit 1 says that the page is stale.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from holdfast_core.baseline.control import Ask, Catalogue, Control, Group
from holdfast_core.baseline.probes import Elf, Manifest, parts
from holdfast_core.baseline.probes.programs import StatedDay, Updater
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.severity import Severity
from holdfast_probe.catalogue import shipped_catalogue

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "catalogue.md"
_TITLES = {
    Group.BOOT: "Boot chain",
    Group.KERN: "Kernel",
    Group.FS: "File systems and files",
    Group.SVC: "Services",
    Group.NET: "Network",
    Group.ACC: "Accounts",
    Group.CRY: "Keys and cryptography",
    Group.LOG: "Logs and clock",
    Group.UPD: "Updates and packages",
    Group.APP: "Programs",
    Group.PHY: "Hardware and place",
    Group.DAT: "Data",
}
_CLASSES = {
    DeviceClass.SERVER: "S",
    DeviceClass.GATEWAY: "G",
    DeviceClass.LINUX_IOT: "L",
    DeviceClass.OT: "O",
    DeviceClass.MCU: "M",
}
_ASKS = {Ask.REQUIRED: "●", Ask.COMPENSATE: "◐", Ask.MANIFEST: "▣", Ask.NOT_APPLICABLE: "·"}
_FRAMEWORKS = {
    "etsi": "ETSI EN 303 645",
    "cra": "Cyber Resilience Act, Annex I",
    "csf2": "NIST CSF 2.0",
    "nistir8259a": "NISTIR 8259A",
    "isvs": "OWASP ISVS 1.0",
    "nhi": "OWASP NHI 2025",
    "iec62443": "IEC 62443-4-2",
}
_HEAD = """\
<!-- Written by tools/catalogue_reference.py; do not edit. -->

# The catalogue

{count} controls, version {version}: {severities}.

`holdfast control show ID` tells all of one: why, what it asks of whom, what it costs, how to meet it and undo that.
What is asked of *your* device, and why, is `holdfast baseline show MODEL`: [tailoring](../explanation/baselines.md)
makes it from this list. [The control format](control-format.md) says how they are written.

- Classes: **S**erver, **G**ateway, **L**inux IoT, **O**T, **M**icrocontroller. ● required; ◐ the class cannot meet it,
  and other controls stand in; ▣ judged from the build manifest; · not asked, for the reason that `control show` gives.
- Fix: *planned*: `holdfast harden` works the change out and makes it when a person says so; *automatic*: the same, and
  it only takes permissions away; *by hand*: a person follows the steps. *Inspection*: a person looks.
- ↑: a fact of the model raises its severity. ⇄: a fact of the model puts other controls in its place. *Heavy*: it looks
  at the whole tree, or computes long.
"""


def render(catalogue: Catalogue) -> str:
    """The page."""
    counts = [
        f"{sum(control.severity is severity for control in catalogue.controls)} {severity.value}"
        for severity in sorted(Severity, key=lambda severity: severity.rank)
    ]
    told = ", ".join(count for count in counts if not count.startswith("0 "))
    pages = [_HEAD.format(count=len(catalogue.controls), version=catalogue.version, severities=told)]
    pages += [_group(catalogue, group) for group in Group]
    pages += [_forbidden(catalogue), _burdens(catalogue), _facts(catalogue), _mapped(catalogue)]
    return "\n".join(pages)


def _group(catalogue: Catalogue, group: Group) -> str:
    controls = [control for control in catalogue.controls if control.group is group]
    head = " | ".join(_CLASSES.values())
    rows = [f"| {' | '.join(_row(control))} |" for control in controls]
    marks = "|".join(":-:" for _ in _CLASSES)
    return "\n".join(
        [
            f"## {group.value}: {_TITLES[group]}\n",
            f"| control | what it asks | severity | {head} | fix |",
            f"|---|---|---|{marks}|---|",
            *rows,
            "",
        ]
    )


def _row(control: Control) -> Iterator[str]:
    yield f"`{control.id}`"
    yield f"{control.title}{' *(heavy)*' if control.cost.heavy else ''}"
    yield f"{control.severity.value}{' ↑' if control.raised else ''}{' ⇄' if control.replaced else ''}"
    for device_class in _CLASSES:
        yield _ASKS[control.classes[device_class].ask]
    yield "inspection" if control.inspected else control.remedy.fix.value.replace("_", " ")


def _forbidden(catalogue: Catalogue) -> str:
    rows = [
        f"| `{each.id}` | {each.title} | {each.severity.value} | {each.effect.value} | {_names(each.filesystems)} |"
        for each in catalogue.prohibitions
    ]
    return "\n".join(
        [
            "## Forbidden\n",
            "Common guides prescribe these. Where a device would not survive one, its baseline says so.\n",
            "| id | what must not be done | severity | what it does | file systems |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _burdens(catalogue: Catalogue) -> str:
    rows = [f"| `{burden.value}` | {_names(by)} |" for burden, by in catalogue.stand_ins.items()]
    return "\n".join(
        [
            "## What stands in for a burden\n",
            "Where all of them are looked at on the model; else what the control itself names.\n",
            "| burden | controls |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _facts(catalogue: Catalogue) -> str:
    """What a build can state, which value passes, and for which controls."""
    found: dict[str, tuple[set[str], list[str]]] = {}
    for control in catalogue.controls:
        for key, wanted in _stated(control):
            values, names = found.setdefault(key, (set(), []))
            values.add(wanted)
            names += [] if control.id in names else [control.id]
    rows = [
        f"| `{key}` | {'; '.join(sorted(values))} | {_names(tuple(names))} |"
        for key, (values, names) in sorted(found.items())
    ]
    return "\n".join(
        [
            "## What a build can state\n",
            "Facts of the [build manifest](audit-formats.md#files-that-go-in). What is not stated is unknown where the",
            "files do not tell. `*` stands for anything. For `APP-07` it states each file's digest, `file:PATH`.\n",
            "| fact | what passes | controls |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _stated(control: Control) -> Iterator[tuple[str, str]]:
    if control.manifest is not None:
        yield control.manifest.key, control.manifest.wanted
    for part in parts(control.probe) if control.probe is not None else ():
        match part:
            case Manifest():
                yield part.key, part.wanted
            case Elf() | Updater() if part.stated:
                yield part.stated, "true"
            case StatedDay():
                yield part.key, f"a day of the last {part.within_days}"


def _mapped(catalogue: Catalogue) -> str:
    tables = ["## By other catalogues\n", "Ids only: where the other one asks for the same, or for part of it.\n"]
    for field, title in _FRAMEWORKS.items():
        found: dict[str, list[str]] = defaultdict(list)
        for control in catalogue.controls:
            for name in getattr(control.mappings, field):
                found[name].append(control.id)
        rows = [f"| {name} | {_names(tuple(found[name]))} |" for name in sorted(found, key=_natural)]
        tables += [f"### {title}\n", "| id | controls |", "|---|---|", *rows, ""]
    return "\n".join(tables).rstrip() + "\n"


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """An order in which 5.10 comes after 5.9."""
    words = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((int(word), "") if word.isdecimal() else (0, word) for word in words)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def main(arguments: list[str]) -> int:
    """Write the page, or only compare it."""
    text = render(shipped_catalogue())
    if "--check" in arguments:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
