"""Releases, what changed between two, and why a boot is of none: as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.attestation.differing import Change
from holdfast.cli.attest_state_text import DIGEST_SHOWN, ranges, told
from holdfast.cli.terminal import ago, fields, heading, show, table, words
from holdfast_core.attestation.reference import Statement
from holdfast_core.kernel.instants import Instant

HEX_SHOWN = 16
ROWS_SHOWN = 200
"""Of measurements or changes; all of them are in --json."""


def show_list(items: Sequence[Mapping[str, Any]], now: Instant) -> None:
    """Print releases as ``/releases`` lists them."""
    if not items:
        words("No releases. Build one where it is built (holdfast reference build), then: holdfast reference add FILE")
        return
    rows = [
        (each["release"], str(each["svn"]), told(each["standing"]), _ends(each, now), _says(each), each["signer"])
        for each in items
    ]
    table(("release", "svn", "standing", "until", "PCRs", "signed by"), rows, fold=("PCRs", "signed by"))


def _ends(each: Mapping[str, Any], now: Instant) -> str:
    if each["revoked_at"]:
        return ago(each["revoked_at"], now)
    return ago(each["retire_at"], now) if each["retire_at"] else "-"


def _says(each: Mapping[str, Any]) -> str:
    return ranges(each["pcrs"]) or f"{each['components']} components of a token"


def show_release(page: Mapping[str, Any], now: Instant) -> None:
    """Print a release as ``/releases/{id}`` shows it."""
    show((page["release"], "bold"), "  ", told(page["standing"]), f", svn {page['svn']}")
    if page["revoked_at"]:
        show(("revoked ", "bold red"), f"{ago(page['revoked_at'], now)}: {page['revoked_why']}", indent=2)
    if page["learned"]:
        learned = page["learned"]
        how = "learned in part, from an event log: " if page["artefacts"] else "learned, not built: "
        show((how, "yellow"), f"from {learned['device']}, because {learned['why']}", indent=2)
    fields(
        [
            ("signed by", page["signer"]),
            ("statement", page["statement"]),
            ("built", ago(page["made_at"], now)),
            ("added", ago(page["added_at"], now)),
            ("good until", f"{page['retire_at']}, {ago(page['retire_at'], now)}" if page["retire_at"] else "no date"),
            ("PCRs", f"{ranges(page['pcrs'])} in {page['bank']}" if page["pcrs"] else ""),
            ("files", f"{page['files']} by digest" if page["files"] else ""),
            ("file keys", str(page["file_keys"]) if page["file_keys"] else ""),
        ]
    )
    _artefacts(page["artefacts"])
    show_measured([(m["pcr"], m["what"], m["digest"], m["optional"]) for m in page["measured"]])
    if page["golden"]:
        heading("Whole registers")
        table(("pcr", "value"), [(str(g["pcr"]), g["value"]) for g in page["golden"]], fold=("value",))
    show_components([(c["kind"], c["version"], c["digest"], c["signer"]) for c in page["token"]])
    if "devices" in page:
        heading("Known to run it" if page["devices"] else "No device is known to run it")
        for device in page["devices"]:
            show(device, indent=2)


def _artefacts(artefacts: Sequence[Mapping[str, Any]]) -> None:
    if artefacts:
        heading("Built from")
        rows = [(a["name"], a["kind"], f"{a['size']:,}", a["digest"][:DIGEST_SHOWN]) for a in artefacts]
        table(("file", "kind", "bytes", "digest"), rows, fold=("file",))


def show_measured(measured: Sequence[tuple[int, str, str, bool]]) -> None:
    """Print what a boot measures: register, what, digest, and whether it may be missing."""
    if not measured:
        return
    heading("A boot of it measures")
    rows = [
        (str(register), what + (" (may be missing)" if optional else ""), digest[:HEX_SHOWN])
        for register, what, digest, optional in measured[:ROWS_SHOWN]
    ]
    table(("pcr", "what", "digest"), rows, fold=("what",))
    _rest(len(measured))


def show_components(components: Sequence[tuple[str, str, str, str]]) -> None:
    """Print the components of a token: kind, version, digest, signer."""
    if components:
        heading("Its token names")
        rows = [(kind, version, digest[:HEX_SHOWN], signer[:HEX_SHOWN]) for kind, version, digest, signer in components]
        table(("component", "version", "digest", "signer"), rows, fold=("component",))


def _rest(count: int) -> None:
    if count > ROWS_SHOWN:
        words(f"And {count - ROWS_SHOWN} more: see --json.")


def show_changes(before: Statement, after: Statement, changes: Sequence[Change]) -> None:
    """Print what changed from one release to another."""
    show((before.id, "bold"), " → ", (after.id, "bold"), f"  svn {before.svn} → {after.svn}")
    if after.svn < before.svn:
        show(("The security version number falls: devices would refuse or be warned of this as a downgrade.", "red"))
    if not changes:
        words("They measure the same.")
        return
    rows = [
        (
            (each.sign, "red" if each.sign == "-" else "green"),
            each.part.value,
            "-" if each.register is None else str(each.register),
            each.what,
            each.digest[:HEX_SHOWN],
        )
        for each in changes[:ROWS_SHOWN]
    ]
    table(("", "part", "pcr", "what", "digest"), rows, fold=("what",))
    _rest(len(changes))
    counts = Counter(each.sign for each in changes)
    words(f"{counts['-']} gone, {counts['+']} new.")


def show_explanation(page: Mapping[str, Any], *, about: str, proved: bool) -> None:
    """Print why a boot is of the release that it is, or of none; `proved` is whether a TPM signed what was booted."""
    known = told(page["standing"] or "nothing to compare with")
    show((about, "bold"), "  ", ("of no known release", "bold red") if page["differences"] else known)
    show(page["summary"])
    for each in page["differences"]:
        show(("✗ ", "red"), each["sentence"], indent=2)
        show((each["digest"], "dim"), indent=4)
        for place in each["known_as"][1:]:
            show(("also: ", "dim"), place, indent=4)
    if not page["release"]:
        words(
            "Build its values where the release is built (holdfast reference build), then: holdfast reference add FILE"
        )
    if page["differences"]:
        signed = " The digests are what the TPM signed." if proved else ""
        words(f"What the log calls an event is the log's own word.{signed}")
        words("If it is a release of yours, add its values: holdfast reference add. If not, find out who put it there.")
    if not proved:
        words("A log in a file proves nothing by itself. What a TPM signed: holdfast attest show DEVICE")
