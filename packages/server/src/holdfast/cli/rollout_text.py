"""Rollouts as text: waves as bars, why one stands still and what to do, who fails and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from holdfast.cli.terminal import Piece, ago, fields, heading, out, show, table, text, words
from holdfast_core.kernel.instants import SECOND, Instant, in_words

BAR = 30
"""Columns of a bar."""
TURNS = 12
"""Turns that are shown; the rest is in --json and the record."""
ROWS_SHOWN = 500
PARTS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("done", ("done",), "█", "green"),
    ("soaking", ("soaking",), "▓", "cyan"),
    ("under way", ("directed", "installing", "tried"), "▒", "yellow"),
    ("failed", ("failed",), "x", "red"),
    ("fell back", ("fell_back",), "<", "red"),
    ("silent", ("silent",), "?", "magenta"),
    ("called off", ("withdrawn",), "/", "dim"),
)
"""Of a bar, in order: the word, the counts it sums up, its sign and colour. Who waits or is away follows."""
_STATES = {
    "draft": "cyan",
    "running": "green",
    "paused": "yellow",
    "halted": "bold red",
    "aborted": "red",
    "finished": "bold green",
    "waiting": "dim",
    "open": "yellow",
    "good": "green",
}
_BAD = {"failed": "red", "fell-back": "red", "silent": "magenta", "done": "green", "soaking": "cyan"}


def state(value: str) -> Piece:
    """A state in its colour."""
    return value, _STATES.get(value, "")


def show_list(items: Sequence[Mapping[str, Any]], now: Instant) -> None:
    """Print rollouts as ``/rollouts`` lists them."""
    if not items:
        words("No rollouts. Write one down: holdfast rollout create NAME --release MODEL:VERSION")
        return
    rows = [
        (
            each["rollout"],
            state(each["state"]),
            each["release"],
            each["wave"],
            f"{each['done']:,} of {each['devices']:,}" if each["started_at"] else "-",
            (f"{each['bad'] + each['silent']:,}", "red" if each["bad"] + each["silent"] else ""),
            ago(each["created_at"], now),
        )
        for each in items
    ]
    table(("rollout", "state", "release", "wave", "done", "bad", "made"), rows, fold=("release",))


def rollout_lines(told: Mapping[str, Any], now: Instant) -> list[Text]:
    """A rollout at a glance: what it is, why it stands still, each wave as a bar with its words below."""
    head = text((told["rollout"], "bold"), "  ", state(told["state"]), f"  {told['release']}")
    begun = f"begun {ago(told['started_at'], now)}" if told["started_at"] else "not begun"
    lines = [head, text(f"  {told['selected']:,} devices, {told['exposed']:,} given the release, {begun}")]
    halted = told["halted"]
    if halted:
        lines += [
            text(("  It stands still: ", "bold red"), halted["sentence"], (f" [{halted['code']}]", "dim")),
            text(("  do this: ", "bold"), halted["remedy"]),
        ]
    elif told["bad"] or told["silent"]:
        lines.append(text(("  Look: ", "bold"), f"holdfast rollout devices {told['rollout']} --bad"))
    widest = max(len(wave["name"]) for wave in told["waves"])
    for wave in told["waves"]:
        lines.append(Text(""))
        lines.append(_bar(wave, widest))
        lines.append(_counts(wave, widest))
    if told["weak"]:
        lines.append(Text(""))
        lines.append(text(f"  {told['weak']:,} are done or soaking by their own word: their model cannot attest."))
    return lines


def show_rollout(told: Mapping[str, Any], now: Instant) -> None:
    """Print a rollout at a glance."""
    console = out()
    for line in rollout_lines(told, now):
        console.print(line)


def _bar(wave: Mapping[str, Any], widest: int) -> Text:
    tally = wave["tally"]
    whole = tally["members"] + tally["away"]
    made = text(f"  {wave['name'].ljust(widest)}  ")
    if not whole:
        made.append("·" * BAR, "dim")
    else:
        for sign, style, columns in _columns(tally, whole):
            made.append(sign * columns, style)
    made.append("  ")
    made.append(*_styled(state(wave["state"])))
    return made


def _styled(piece: Piece) -> tuple[str, str]:
    return (piece, "") if isinstance(piece, str) else piece


def _columns(tally: Mapping[str, int], whole: int) -> list[tuple[str, str, int]]:
    """How many columns each part of a bar has: what is there at all is seen, and the bar is never longer."""
    counts = [(sign, style, sum(tally[key] for key in keys)) for _, keys, sign, style in PARTS]
    made: list[tuple[str, str, int]] = []
    left = BAR
    for place, (sign, style, count) in enumerate(counts):
        after = sum(1 for _, _, more in counts[place + 1 :] if more)
        columns = min(max(round(count * BAR / whole), 1), max(left - after, 0)) if count else 0
        made.append((sign, style, columns))
        left -= columns
    away = min(round(tally["away"] * BAR / whole), left)
    return [*made, ("·", "dim", left - away), ("-", "dim", away)]


def _counts(wave: Mapping[str, Any], widest: int) -> Text:
    tally = wave["tally"]
    pieces: list[Piece] = [" " * (widest + 4)]
    for word, keys, sign, style in PARTS:
        if count := sum(tally[key] for key in keys):
            pieces += [(f"{sign} ", style), f"{word} {count:,}   "]
    waiting = tally["waiting"] - tally["away"]
    if waiting:
        pieces += [("· ", "dim"), f"waiting {waiting:,}   "]
    if tally["away"]:
        pieces += [("- ", "dim"), f"away {tally['away']:,}   "]
    if len(pieces) == 1:
        pieces.append((_wanted(wave), "dim"))
    return text(*pieces)


def _wanted(wave: Mapping[str, Any]) -> str:
    """Who a wave is for, as it was written."""
    if wave["devices"]:
        return f"{len(wave['devices'])} named devices"
    if wave["labels"]:
        return "devices with " + ", ".join(f"{key}={value}" for key, value in wave["labels"].items())
    return f"up to {wave['percent']:g} % of all"


def show_turns(told: Mapping[str, Any], spread: Mapping[str, int], now: Instant) -> None:
    """Print where its release runs, how it is set, and what happened, the newest last."""
    limits, guards, waves = told["thresholds"], told["guards"], told["waves"]
    heading("How it stands and is set")
    soaks = {wave["soak_s"] for wave in waves}
    fields(
        [
            ("its release", f"runs on {spread['running']:,} devices here, {spread['proved']:,} of them proved it"),
            ("halts at", f"{limits['failed']:g} % failed, {limits['silent']:g} % silent"),
            ("a wave is good at", f"{limits['succeeded']:g} % done"),
            ("soak", " to ".join(duration(each) for each in sorted({min(soaks), max(soaks)}))),
            ("deadline", duration(limits["deadline_s"])),
            ("battery", f"{guards['battery']} % without mains"),
            ("when it halts", "devices on trial fall back at once" if told["back"] else ""),
        ]
    )
    turns = told["turns"]
    heading("What happened")
    if len(turns) > TURNS:
        show(f"{len(turns) - TURNS} turns before these: see --json", indent=2)
    for turn in turns[-TURNS:]:
        code = f" [{turn['code']}]" if turn["code"] else ""
        why = f": {turn['why']}" if turn["why"] else ""
        show(f"{ago(turn['at'], now)}  ", (turn["what"], "bold"), f" by {turn['by']}{why}{code}", indent=2)


def duration(seconds: int) -> str:
    """Seconds for a person."""
    return in_words(seconds * SECOND) if seconds else "none"


def show_devices(items: Sequence[Mapping[str, Any]], waves: Sequence[str], now: Instant, *, bad: bool) -> None:
    """Print the devices of a rollout."""
    if not items:
        words("No device failed, fell back or fell silent." if bad else "No device fits.")
        return
    rows = [
        (
            each["device"],
            waves[each["wave"]],
            _stage(each),
            ago(each["at"], now),
            ago(each["last_seen"], now),
            _says(each),
        )
        for each in items[:ROWS_SHOWN]
    ]
    table(("device", "wave", "stage", "since", "seen", "what it says"), rows, fold=("device", "what it says"))
    if len(items) > ROWS_SHOWN:
        words(f"And {len(items) - ROWS_SHOWN:,} more: see --json.")


def _stage(each: Mapping[str, Any]) -> Piece:
    percent = f" {each['percent']} %" if each["stage"] == "installing" and each["percent"] else ""
    return each["stage"].replace("-", " ") + percent, _BAD.get(each["stage"], "")


def _says(each: Mapping[str, Any]) -> str:
    code = f"[{each['code']}]" if each["code"] else ""
    trial = f"try {each['trial']}" if each["trial"] > 1 else ""
    weak = "by its own word" if each["weak"] else ""
    return " ".join(part for part in (each["sentence"], code, trial, weak) if part)
