"""What one device runs, its slots and its update, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.cli.release_text import size
from holdfast.cli.terminal import Piece, ago, fields, heading, show, table, words
from holdfast_core.kernel.instants import Instant

_OUTCOMES = {"soaking": "stayed", "failed": "failed", "fell-back": "fell back"}
"""What became of a release on a device, in words."""


def show_slots(told: Mapping[str, Any], now: Instant) -> None:
    """Print what ``/devices/{device}/updates`` tells."""
    if not told["installer"]:
        show((told["device"], "bold"), "  has never said what it runs")
        words("Its agent does so once it is told of its slots: holdfast-agent enroll --slots FOLDER.")
        _part(told, now)
        return
    show((told["device"], "bold"), "  runs ", (told["running"] or "a release that it does not know", "bold"))
    fields(
        [
            ("proved", _proved(told)),
            ("counter", f"{told['counter']}; it takes nothing below {told['floor']}"),
            ("hardware", ", ".join(told["hardware"])),
            ("installs with", told["installer"]),
            ("power", _power(told)),
            ("metadata", ("has expired by its own sense of time: it takes no update", "red") if told["frozen"] else ""),
        ]
    )
    heading("Slots")
    rows = [
        (
            slot["slot"],
            slot["release"] or "-",
            str(slot["counter"] or "-"),
            ("may be booted", "green") if slot["good"] else ("may not be booted", "yellow"),
            ("runs", "bold") if slot["runs"] else "",
        )
        for slot in told["slots"]
    ]
    table(("slot", "release", "counter", "state", ""), rows, fold=("release",))
    _attempt(told["attempt"])
    _part(told, now)
    _history(told, now)


def _proved(told: Mapping[str, Any]) -> Piece:
    if not told["proved"]:
        return "by its own word alone"
    if told["proved"] != told["running"]:
        return f"its evidence is of {told['proved']}", "bold red"
    return "yes, by evidence that affirms it now", "green"


def _power(told: Mapping[str, Any]) -> str:
    if told["mains"] is None:
        return ""
    battery = f"battery {told['battery']} %" if told["battery"] is not None else ""
    return ", ".join(part for part in ("mains" if told["mains"] else "", battery) if part)


def _attempt(attempt: Mapping[str, Any] | None) -> None:
    if attempt is None:
        return
    heading("Its last update" if attempt["ended"] else "The update under way")
    by = "carried to it by a person" if not attempt["directive"] else f"directive {attempt['directive']}"
    fields(
        [
            ("release", f"{attempt['release']}, {by}"),
            ("step", attempt["step"] + (f", {attempt['percent']} %" if attempt["percent"] else "")),
            ("into slot", attempt["slot"]),
            ("fetched", size(attempt["fetched"]) if attempt["fetched"] else ""),
            ("it says", f"{attempt['sentence']} [{attempt['code']}]" if attempt["code"] else attempt["sentence"]),
        ]
    )


def _part(told: Mapping[str, Any], now: Instant) -> None:
    part = told["assignment"]
    if part is None:
        return
    heading("Its part in a rollout")
    weak = ", by its own word" if part["weak"] else ""
    fields(
        [
            ("rollout", f"{part['rollout']}: {part['release']}"),
            ("stage", f"{part['stage'].replace('-', ' ')}, {ago(part['at'], now)}{weak}"),
            ("try", str(part["trial"]) if part["trial"] > 1 else ""),
            ("why", f"{part['sentence']} [{part['code']}]" if part["code"] else part["sentence"]),
        ]
    )


def _history(told: Mapping[str, Any], now: Instant) -> None:
    if not told["history"]:
        return
    heading("What it ran")
    rows = [
        (
            ago(each["at"], now),
            each["release"],
            each["slot"],
            _OUTCOMES.get(each["outcome"], each["outcome"]),
            each["code"],
        )
        for each in told["history"]
    ]
    table(("when", "release", "slot", "outcome", "code"), rows, fold=("release", "code"))
