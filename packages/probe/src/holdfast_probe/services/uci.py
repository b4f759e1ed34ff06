"""Reading OpenWrt's configuration: sections with their options and lists, in order.

Source: OpenWrt's UCI syntax. A value in quotes may hold blanks; everything else is a word.
"""

from __future__ import annotations

import msgspec

from holdfast_probe.roots import Root
from holdfast_probe.services.texts import numbered, words


class Section(msgspec.Struct, frozen=True):
    """One ``config`` section."""

    kind: str
    name: str
    where: str
    options: dict[str, list[str]]

    def last(self, option: str, default: str = "") -> str:
        """The value of an option; of a list, the last."""
        return self.options.get(option, [default])[-1]

    def all(self, option: str) -> list[str]:
        """Every value of a list, blanks apart as well."""
        return [word for value in self.options.get(option, []) for word in value.split()]


def sections(root: Root, path: str) -> list[Section]:
    """The sections of a file; none where there is no such file."""
    found: list[Section] = []
    for number, line in numbered(root, path) or ():
        parts = words(line)
        if len(parts) > 1 and parts[0] == "config":
            found.append(Section(parts[1], parts[2] if len(parts) > 2 else "", f"{path}:{number}", {}))  # noqa: PLR2004  (a name is the third word)
        elif len(parts) > 2 and found and parts[0] in ("option", "list"):  # noqa: PLR2004  (a value is the third word)
            values = found[-1].options.setdefault(parts[1], [])
            if parts[0] == "option":
                values.clear()
            values.append(parts[2])
    return found
