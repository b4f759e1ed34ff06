"""One device as a page of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.cli.device import level_of
from holdfast.cli.device_report import show_inspections
from holdfast.cli.terminal import ago, fields, heading, raw, show, table, word
from holdfast_core.kernel.instants import Instant

_TOLD = {
    "secret.no_account": "The device has no such account: make it there, or take it out of its model's local_accounts.",
    "secret.not_set": "The agent may not change passwords, or chpasswd refused: docs/how-to/local-secrets.md.",
    "agent.no_enforcer": "Nothing on the device can enforce a network profile: the network around it has to.",
    "mcu.no_enforcer": "Nothing on the device can enforce a network profile: the network around it has to.",
}
"""What a code that says little means."""


def show_device(told: dict[str, Any], now: Instant) -> None:
    """Print the page; `told` is what ``/devices/{id}`` answers."""
    verdict = told.get("verdict") or {}
    show((told["device"], "bold"), "  ", word(level_of(told)), f"  ({told['lifecycle']})")
    if verdict.get("until"):
        show(f"holds until {verdict['until']}, {ago(verdict['until'], now)}", indent=2)
    for reason in verdict.get("reasons") or ():
        show("• ", reason["sentence"], (f" [{reason['code']}]", "dim"), indent=2)
        if reason.get("remedy"):
            show(("fix: ", "bold"), reason["remedy"], indent=4)
    if told.get("hold"):
        hold = told["hold"]
        show(("held ", "bold red"), f"by {hold.get('by', '?')}: release it with holdfast device release", indent=2)
    raw("")
    fields(
        [
            ("model", told.get("model") or "none: it may not enroll"),
            ("owner", told.get("owner") or ""),
            ("site", told.get("site") or ""),
            ("zone", told.get("zone") or ""),
            ("serial number", told.get("serial") or ""),
            ("replaces", told.get("replaces") or ""),
            ("replaced by", told.get("replaced_by") or ""),
            ("labels", _labels(told["labels"])),
            ("last seen", ago(told.get("last_seen"), now)),
            ("next due", ago(told.get("next_due"), now) if told.get("next_due") else ""),
            ("attestation", _attested(told)),
        ]
    )
    _retirement(told, now)
    _answers(told)
    _appraisals(told, now)
    _directives(told)
    show_inspections(told["inspections"])
    _credentials(told, now)
    _sections(told, now)


def _attested(told: dict[str, Any]) -> str:
    """What its evidence came to, in a line; all of it is in ``holdfast attest show``."""
    attested = told.get("attestation")
    if not attested:
        return ""
    tier = next((each["tier"] for each in told["appraisals"] if each["feature"] == "attestation"), "none")
    refused = f"; the last evidence was refused ({attested['refused']})" if attested["refused"] else ""
    return f"{tier}, {attested['freshness']}, {attested['release'] or 'of no known release'}{refused}"


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())


_STEPS = {
    "ordered": "asked to erase itself; waited for",
    "by-hand": "to be erased by hand: confirm it with holdfast device erased",
    "reported": "the device reported that it erased itself",
    "confirmed": "erased, on the word of",
    "unverified": "not verified: nobody knows whether it was erased",
    "not-owed": "nothing had to be erased",
}


def _retirement(told: dict[str, Any], now: Instant) -> None:
    ended = told.get("retirement")
    if not ended:
        return
    heading("The end of its life")
    by = f" {ended['verified_by']}" if ended["step"] == "confirmed" else ""
    waits = ended["step"] in ("ordered", "by-hand")
    fields(
        [
            ("why", f"{ended['why']} ({ended['by']}, {ago(ended['at'], now)})"),
            ("erasure", _STEPS[ended["step"]] + by),
            ("method", ended["method"]),
            ("until", f"{ended['deadline']}, {ago(ended['deadline'], now)}" if waits else ""),
            ("in the way", ended["shortfall"]),
            ("rights elsewhere", "" if ended["withdrawn"] else "not taken back everywhere yet; it is tried again"),
            ("certificate", "holdfast device certificate " + told["device"] if ended["certified"] else ""),
        ]
    )
    for item in ended["items"]:
        show(f"{item['path']}: {item['technique']} {item['why']}".rstrip(), indent=2)


def _answers(told: dict[str, Any]) -> None:
    answers = told["answers"]
    if answers:
        heading("Two questions, and one more")
    for answer in answers:
        show(f"{answer['asks']}  ", word(answer["says"]), indent=2)
        show(answer["sentence"], indent=4)


def _appraisals(told: dict[str, Any], now: Instant) -> None:
    appraisals = told.get("appraisals") or ()
    if appraisals:
        heading("Appraisals")
        rows = [(a["feature"], a["tier"], f"valid until {ago(a.get('valid_until'), now)}") for a in appraisals]
        table(("feature", "reading", "holds"), rows)


def _directives(told: dict[str, Any]) -> None:
    desired = told.get("desired") or {}
    settled = desired.get("settled") or ()
    rows = [
        (str(d["id"]), f"{d['kind']} {_asked(d['args'])}", "accepted" if d.get("accepted") else "sent", d["by"])
        for d in desired.get("open") or ()
    ]
    rows += [
        (str(s["id"] or ""), f"{s['kind']} {s['about']}", f"{s['state']} {s['code']}".strip(), s["by"]) for s in settled
    ]
    if rows:
        heading("Asked of it: what is open, and how the last of each kind ended")
        table(("no.", "what", "state", "asked by"), rows, fold=("asked by",))
    for code in dict.fromkeys(s.get("code") for s in settled):
        if code in _TOLD:
            show((f"{code}: ", "dim"), _TOLD[code], indent=2)


def _asked(args: Any) -> str:
    """The control that a wish to mend names."""
    return str(args["control"]) if isinstance(args, dict) and "control" in args else ""


def _credentials(told: dict[str, Any], now: Instant) -> None:
    credentials = told.get("credentials") or ()
    if credentials:
        heading("Keys")
        rows = [
            (
                c["fingerprint"][:23] + "…",
                f"revoked {ago(c['revoked_at'], now)}" if c.get("revoked_at") else f"ends {ago(c['not_after'], now)}",
            )
            for c in credentials
        ]
        table(("certificate", "state"), rows)


def _sections(told: dict[str, Any], now: Instant) -> None:
    sections = {name: said for name, said in (told.get("sections") or {}).items() if said}
    if sections:
        heading("What it said last")
        fields([(name, _said(said, now)) for name, said in sections.items()])


def _said(said: dict[str, Any], now: Instant) -> str:
    words = ", ".join(_words(said.get("body")))
    return f"{words or 'nothing that is kept here'} ({ago(said.get('gathered_at'), now)})"


def _words(body: Any, name: str = "") -> Iterator[str]:
    """A value of JSON as names and values, in a line."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield from _words(value, f"{name}.{key}" if name else str(key))
    elif isinstance(body, list):
        if body:
            yield f"{name} {' '.join(word for each in body for word in _words(each))}".strip()
    elif body not in (None, ""):
        yield f"{name} {'yes' if body is True else 'no' if body is False else body}".strip()
