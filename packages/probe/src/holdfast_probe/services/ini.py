"""Reading settings in sections with their drop-ins, as systemd has them.

1. The vendor's and the administrator's drop-ins follow the file in the order of their names; the last value counts.
2. An empty value takes back what stood before.

Source: systemd.syntax(7).
"""

from __future__ import annotations

from holdfast_probe.roots import Root
from holdfast_probe.services.texts import fitting, numbered

_VENDOR = ("/usr/lib/", "/usr/local/lib/", "/run/", "/etc/")


def values(root: Root, path: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Value and place by section and key of `path` (below ``/etc``) and all its drop-ins."""
    below = path.removeprefix("/etc/")
    main = next(iter(fitting(root, *(f"{base}{below}" for base in reversed(_VENDOR)))), None)
    drops = fitting(root, *(f"{base}{below}.d/*.conf" for base in _VENDOR))
    # The same name in a folder of more weight replaces the other.
    drops = list({drop.rsplit("/", 1)[-1]: drop for drop in drops}.values())
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for each in ([main] if main else []) + sorted(drops, key=lambda drop: drop.rsplit("/", 1)[-1]):
        inside = ""
        for number, line in numbered(root, each, "#;") or ():
            if line.startswith("["):
                inside = line.strip("[]")
                continue
            key, sign, value = line.partition("=")
            if sign:
                found[inside, key.strip()] = (value.strip(), f"{each}:{number}")
    return found
