"""Settings in sections, in one file without drop-ins, as updaters have them."""

from __future__ import annotations

from holdfast_probe.roots import Root
from holdfast_probe.services.texts import lines


def sectioned(root: Root, path: str) -> dict[str, dict[str, str]]:
    """The keys and values by section; empty where there is no file. What stands before a section is left out."""
    found: dict[str, dict[str, str]] = {}
    inside: dict[str, str] = {}
    for line in lines(root, path) or ():
        if line.startswith("[") and line.endswith("]"):
            inside = found.setdefault(line[1:-1].strip(), {})
            continue
        key, sign, value = line.partition("=")
        if sign:
            inside[key.strip()] = value.strip()
    return found
