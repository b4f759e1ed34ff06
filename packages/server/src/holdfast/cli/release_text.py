"""Releases that can be installed, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.cli.terminal import Piece, ago, fields, heading, show, table, words
from holdfast_core.kernel.instants import DAY, Instant, in_words, parse_rfc3339

MEGABYTE = 1_000_000
SOON = 180 * DAY
"""A support end nearer than this is told as near."""
_KINDS = {"file": "plain image", "rauc": "RAUC bundle", "swupdate": "SWUpdate archive", "mcuboot": "MCUboot image"}


def size(count: int) -> str:
    """A number of bytes for a person."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    value, unit = float(count), 0
    while value >= 1_000 and unit < len(units) - 1:  # noqa: PLR2004  (SI)
        value, unit = value / 1_000, unit + 1
    return f"{value:.3g} {units[unit]}"


def many(count: int, what: str = "device") -> str:
    """A number of things."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def show_list(items: Sequence[Mapping[str, Any]]) -> None:
    """Print releases as ``/update/releases`` lists them."""
    if not items:
        words("No release can be installed yet. Add one: holdfast release add FILE --model NAME --version V …")
        return
    rows = [
        (
            each["release"],
            str(each["counter"]),
            _nature(each),
            f"{each['spread']['running']:,}",
            f"{each['spread']['given']:,}",
            ("ready", "green") if not each["lacks"] else (f"lacks {'; '.join(each['lacks'])}", "yellow"),
        )
        for each in items
    ]
    table(("release", "counter", "nature", "runs on", "given to", "state"), rows, fold=("state",))


def _nature(each: Mapping[str, Any]) -> Piece:
    return ("security", "bold") if each["nature"] == "security" else "feature"


def show_release(told: Mapping[str, Any], rollouts: Sequence[Mapping[str, Any]], now: Instant) -> None:
    """Print a release as ``/update/releases/{release}`` shows it, and the rollouts of it."""
    show((told["release"], "bold"), f"  {told['nature']} update, counter {told['counter']}, svn {told['svn']}")
    _readiness(told)
    heading("What devices install")
    fields(
        [
            ("payload", f"{told['file']}, {size(told['size'])}, {_KINDS.get(told['kind'], told['kind'])}"),
            ("digest", told["digest"]),
            ("hardware", ", ".join(told["hardware"])),
            ("installs over", f"release counter {told['needs']} and later" if told["needs"] else "any release"),
            ("support ends", _support(told["support_end"], now)),
            ("reference values", told["statement"] or "none: devices' own word has to do"),
            ("bill of materials", told["sbom"] or "none"),
        ]
    )
    heading("Who agreed")
    votes = [f"{vote['actor']}, {ago(vote['at'], now)}" for vote in told["approvals"]]
    fields(
        [
            ("added by", f"{told['by']}, {ago(told['added_at'], now)}"),
            ("approved by", "; ".join(votes) or f"nobody; {told['approvals_needed']} needed"),
            ("validated", _validated(told["validation"], now)),
        ]
    )
    heading("Where it is")
    spread = told["spread"]
    fields(
        [
            ("given to", many(spread["given"])),
            ("runs on", f"{many(spread['running'])} by their own word, {spread['proved']:,} of them proved it"),
        ]
    )
    for each in rollouts:
        show("rollout ", (each["rollout"], "bold"), f"  {_reach(each)}", indent=2)


def _reach(rollout: Mapping[str, Any]) -> str:
    """How far a rollout came, and where to learn how far it could at worst."""
    if not rollout["started_at"]:
        return f"draft; at worst: holdfast rollout plan {rollout['rollout']}"
    given = f"given to {rollout['exposed']:,} of {rollout['devices']:,}"
    bad = rollout["bad"] + rollout["silent"]
    return f"{rollout['state']}, wave {rollout['wave']}, {given}, {rollout['done']:,} done" + (
        f", {bad:,} bad or silent" if bad else ""
    )


def _readiness(told: Mapping[str, Any]) -> None:
    if not told["lacks"]:
        show(("It may roll out.", "green"), indent=2)
        return
    show(("It may not roll out yet. It lacks:", "yellow"), indent=2)
    for each in told["lacks"]:
        show("• ", each, indent=4)
    if not told["lacks_in_lab"]:
        show("At lab sites alone it may.", indent=2)


def show_lacks(told: Mapping[str, Any]) -> None:
    """Say what a release still lacks, or what comes next."""
    if told["lacks"]:
        words(f"It still lacks {'; '.join(told['lacks'])}.")
    else:
        words(f"It may roll out. Next: holdfast rollout create NAME --release {told['release']}")


def _support(day: str, now: Instant) -> Piece:
    if not day:
        return "no date is declared"
    left = parse_rfc3339(f"{day}T23:59:59Z") - now
    if left < 0:
        return (f"{day}: it is over", "bold red")
    return (f"{day}, in {in_words(left // DAY * DAY)}", "yellow" if left < SOON else "")


def _validated(validation: Mapping[str, Any] | None, now: Instant) -> str:
    if validation is None:
        return "not yet"
    weak = ", by their own word" if validation["weak"] else ""
    devices = ", ".join(validation["devices"])
    return f"{ago(validation['at'], now)} by {validation['actor']}, {validation['ticket']}, on {devices}{weak}"


def show_added(told: Mapping[str, Any]) -> None:
    """Say what was added, what its payload says of itself, and what it lacks."""
    release = told["release"]
    words(("✓ ", "green"), f"{release['release']} is here: {release['file']}, {size(release['size'])}.")
    for fact in told["payload_says"]:
        words(f"  {fact['name']}: {fact['value']}")
    if told["proposed"]:
        show_proposed()
    show_lacks(release)


def show_proposed() -> None:
    """Say that signers have to sign now, and how."""
    words("It waits for its signers: holdfast keys fetch -o todo.json, then each: holdfast keys sign todo.json --key …")
    words("Then: holdfast keys publish todo.json")


def show_pruned(told: Mapping[str, Any]) -> None:
    """Say which payloads may go, or went."""
    if not told["items"]:
        words("Every payload is needed. Take a release out first: holdfast release withdraw MODEL:VERSION --why …")
        return
    rows = [(", ".join(each["releases"]) or "no release", size(each["size"]), each["digest"]) for each in told["items"]]
    table(("of", "size", "payload"), rows, fold=("of",))
    count = many(len(rows), "payload")
    if told["gone"]:
        words(("✓ ", "green"), f"{count} left the disk: {size(told['size'])}.")
    else:
        words(f"{count} may go: {size(told['size'])}. Let them go: holdfast release prune --yes")


def show_policy(told: Mapping[str, Any]) -> None:
    """Print who has to agree."""
    sites = told["lab_sites"]
    fields(
        [
            ("approvals", f"{told['approvals']} by people who did not add the release"),
            ("labs", ", ".join(sites) or "none: no validation is needed"),
        ]
    )
    if not told["approvals"]:
        words("Nobody has to agree: whoever adds a release can roll it out alone.")
