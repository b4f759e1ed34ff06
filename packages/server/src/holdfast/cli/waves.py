"""Waves of a rollout as they are written on a command line: ``NAME:SHARE`` or ``NAME:label=KEY=VALUE``.

::

    canary:1%                      as many devices as make 1 % of the rollout
    lab:label=ring=0               those with the label ring=0
    first:device=gw-1,device=gw-2  those two
    early:10%,soak=2h,at-once=50,per-hour=200
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from holdfast.cli.session import usage

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
DEFAULT = ("canary:1%", "early:10%", "rest:100%")
"""Where no wave is named."""
_DURATION = re.compile(r"([0-9]{1,9})(s|min|m|h|d)?", re.ASCII)
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)%", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)


def seconds(text: str, what: str) -> int:
    """A duration such as ``90s``, ``30min``, ``2h``, ``1d`` in seconds; a bare number is of seconds."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        usage(f"{what} {text}: write a number and s, min, h or d, such as 90min.")
    return int(found[1]) * UNITS[found[2] or "s"]


def wave(text: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """One wave as the API takes it; `defaults` are what is not said of it."""
    name, colon, rest = text.partition(":")
    if not colon or not rest:
        _wrong(text)
    made: dict[str, Any] = {"name": name, **defaults}
    for item in rest.split(","):
        _item(text, item.strip(), made)
    return made


def _item(text: str, item: str, made: dict[str, Any]) -> None:
    if share := _SHARE.fullmatch(item):
        made["percent"] = float(share[1])
        return
    key, _, value = item.partition("=")
    if key == "label" and "=" in value:
        label, _, wanted = value.partition("=")
        made.setdefault("labels", {})[label] = wanted
    elif key == "device" and value:
        made.setdefault("devices", []).append(value)
    elif key == "soak":
        made["soak_s"] = seconds(value, f"--wave {text}: soak")
    elif key in ("at-once", "per-hour") and _COUNT.fullmatch(value):
        made[key.replace("-", "_")] = int(value)
    else:
        _wrong(text)


def _wrong(text: str) -> NoReturn:
    usage(
        f"--wave {text}: write NAME:SHARE% or NAME:label=KEY=VALUE or NAME:device=ID, and after a comma soak=2h, "
        "at-once=50, per-hour=200."
    )
