"""One device as a page of text."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.cli.device import level_of
from holdfast.cli.terminal import ago, fields, heading, raw, show, table, word
from holdfast_core.kernel.instants import Instant


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
            ("labels", _labels(told["labels"])),
            ("last seen", ago(told.get("last_seen"), now)),
            ("next due", ago(told.get("next_due"), now) if told.get("next_due") else ""),
        ]
    )
    _answers(told)
    _appraisals(told, now)
    _directives(told)
    _credentials(told, now)
    _sections(told)


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def _answers(told: dict[str, Any]) -> None:
    answers = told["answers"]
    if answers:
        heading("Two questions")
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
    rows = [
        (str(d["id"]), d["kind"], "accepted" if d.get("accepted") else "sent", d["by"])
        for d in desired.get("open") or ()
    ]
    rows += [
        ("", s["kind"], " ".join(filter(None, (s["state"], s.get("code")))), "") for s in desired.get("settled") or ()
    ]
    if rows:
        heading("Directives")
        table(("no.", "what", "state", "asked by"), rows)


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


def _sections(told: dict[str, Any]) -> None:
    sections = {name: body for name, body in (told.get("sections") or {}).items() if body}
    if sections:
        heading("What it said last")
        fields([(name, msgspec.json.encode(body).decode()) for name, body in sections.items()])
