"""What a rollout will be like, as text: its waves in time, and the worst that a bad release would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.cli.release_text import many, size
from holdfast.cli.terminal import Piece, heading, show, table, words
from holdfast_core.kernel.instants import SECOND, in_words


def show_plan(told: Mapping[str, Any]) -> None:
    """Print a plan as ``/rollouts/{rollout}/plan`` tells it."""
    show((told["rollout"], "bold"), f"  {told['release']}, as if it began now")
    away = f", {told['away']:,} away" if told["away"] else ""
    show(f"{many(told['devices'])}{away}; {size(told['bytes'])} to send; {told['peak']:,} under way at most", indent=2)
    if told["reason"]:
        show(("It would halt by itself: ", "bold red"), told["reason"]["sentence"], indent=2)
        if told["reason"].get("remedy"):
            show(("do this: ", "bold"), told["reason"]["remedy"], indent=2)
    else:
        late = f", {_after(told['late_ends_s'])} if much is late" if told["late_ends_s"] is not None else ""
        show(f"It ends {_after(told['ends_s'])}{late}.", indent=2)
    heading("Waves")
    rows = [
        (
            wave["name"],
            f"{wave['devices']:,}" + (f" + {wave['away']:,} away" if wave["away"] else ""),
            _after(wave["opens_s"]),
            _after(wave["half_s"]),
            _after(wave["good_s"]),
            _after(wave["late_good_s"]),
        )
        for wave in told["waves"]
    ]
    table(("wave", "devices", "opens", "half done", "good", "if late"), rows, fold=("devices",))
    heading("If the release is bad, and nobody sees it before this wave")
    worst = [(wave["name"], _worst(wave["loud"]), _worst(wave["mute"])) for wave in told["waves"]]
    table(("wave", "every device falls back", "every device falls silent"), worst, fold=("every device falls silent",))
    words("Given the release by then, devices of earlier waves included.")
    heading("Taken for granted")
    for each in told["assumed"]:
        show("• ", each, indent=2)


def _after(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    return "at once" if not seconds else f"after {in_words(seconds * SECOND)}"


def worst(told: Mapping[str, Any]) -> str:
    """In a sentence, how far a release comes that is bad from the first device on."""
    first = told["waves"][0]
    found = [each for each in (first["loud"], first["mute"]) if each is not None]
    if not found:
        return "What it would do at worst cannot be told: nobody is there to try it."
    most = max(each["devices"] for each in found)
    if any(each["halts_s"] is None for each in found):
        return f"A bad release would reach {many(most)} and not halt."
    return f"A release that is bad everywhere reaches {many(most)} before it halts."


def _worst(exposure: Mapping[str, Any] | None) -> Piece:
    if exposure is None:
        return "-"
    share = f"{exposure['devices']:,} ({exposure['share']:g} %)"
    if exposure["halts_s"] is None:
        return f"{share}, and it would never halt", "bold red"
    return f"{share}, halts {_after(exposure['halts_s'])}"
