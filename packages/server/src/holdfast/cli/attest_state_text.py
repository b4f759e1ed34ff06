"""How a device stands with what it booted, as text: tier and freshness, the vector as a grid, registers in ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from holdfast.cli.terminal import Piece, ago, fields, raw, show
from holdfast_core.attestation.model import tier_of
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.instants import Instant

STYLES: Mapping[str, str] = MappingProxyType(
    {
        "affirming": "green",
        "warning": "yellow",
        "contraindicated": "bold red",
        "none": "cyan",
        "fresh": "green",
        "pending": "yellow",
        "stale": "yellow",
        "never": "cyan",
        "current": "green",
        "retired": "yellow",
        "superseded": "red",
        "revoked": "bold red",
    }
)
"""The colour that goes with a word; the word is always there too."""
MARKS: Mapping[Tier, str] = MappingProxyType(
    {Tier.NONE: "·", Tier.AFFIRMING: "✓", Tier.WARNING: "!", Tier.CONTRAINDICATED: "✗"}
)
MEANINGS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "instance-identity": {2: "recognized", 96: "untrustworthy", 97: "not recognized"},
        "configuration": {2: "approved", 32: "unsafe", 36: "not known", 96: "unsupportable"},
        "executables": {2: "approved, running", 3: "approved boot", 33: "not recognized", 96: "contraindicated"},
        "file-system": {2: "approved", 32: "unknown files", 96: "contraindicated"},
        "hardware": {2: "genuine", 32: "unsafe", 96: "contraindicated", 97: "not recognized"},
        "runtime-opaque": {},
        "storage-opaque": {},
        "sourced-data": {},
    }
)
"""AR4SI's claims in its order, and what their values say (section 2.3.4), in two words."""
CRYPTO_FAILED, SAYS_NOTHING = "cryptography failed", "nothing is known"
_COLUMN = 40
DIGEST_SHOWN = 19
"""Of a digest in a table: the algorithm's name and twelve hexadecimal digits."""


def told(value: str) -> tuple[str, str]:
    """A tier, freshness or standing in its colour."""
    return value, STYLES.get(value, "")


def ranges(registers: Sequence[int]) -> str:
    """Registers as ``0-7, 9``."""
    parts: list[list[int]] = []
    for register in sorted(registers):
        if parts and register == parts[-1][-1] + 1:
            parts[-1].append(register)
        else:
            parts.append([register])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def meaning(claim: str, value: int) -> str:
    """What a claim's value says, in two words; the number where nothing better is known."""
    if not value:
        return SAYS_NOTHING
    crypto_failed = 99
    if abs(value) == crypto_failed:
        return CRYPTO_FAILED
    return MEANINGS.get(claim, {}).get(value, tier_of(value).value)


def show_vector(vector: Mapping[str, int]) -> None:
    """Print the eight claims as a grid of two columns: a mark, the claim, and what it says."""
    cells = [_cell(claim, vector.get(claim, 0)) for claim in MEANINGS]
    half = len(cells) // 2
    for left, right in zip(cells[:half], cells[half:], strict=True):
        space = " " * max(1, _COLUMN - sum(len(text) for text, _ in left))
        show(*left, space, *right, indent=2)


def _cell(claim: str, value: int) -> tuple[tuple[str, str], ...]:
    tier = tier_of(value)
    style = STYLES[tier.value] if value else "dim"
    return (f"{MARKS[tier]} ", style), (f"{claim.replace('-', ' '):<18}", ""), (meaning(claim, value), style)


def show_reasons(reasons: Sequence[Mapping[str, Any]]) -> None:
    """Print reasons, each with what to do about it."""
    for reason in reasons:
        show("• ", reason["sentence"], (f" [{reason['code']}]", "dim"), indent=2)
        if reason["remedy"]:
            show(("fix: ", "bold"), reason["remedy"], indent=4)


def show_state(page: Mapping[str, Any], now: Instant) -> None:
    """Print how a device stands; `page` is what ``/devices/{id}/attestation`` answers."""
    tier, asked = page["tier"] or "none", page["asked"]
    show((page["device"], "bold"), "  ", told(tier), ", ", told(page["freshness"]), *_release(page))
    if asked["method"] == "none":
        show(
            "No evidence is asked for: its model has no root of trust that attests, or neither measures the boot nor "
            "needs attestation.",
            indent=2,
        )
    elif page["tier"] is None:
        show("Nothing was appraised yet. It is asked at its next check-in.", indent=2)
    show_reasons(page["reasons"])
    if page["refused"]:
        show(("The last evidence was refused:", "yellow"), indent=2)
        show_reasons([page["refused"]])
    if page["cloned"]:
        show(("Two TPMs take turns with its key. Only holdfast attest reset ends this.", "bold red"), indent=2)
    raw("")
    show_vector(page["vector"])
    raw("")
    fields(
        [
            ("appraised", _when(page, now)),
            ("evidence", f"number {page['evidence']}" if page["evidence"] else "none is kept"),
            ("asked", _asked(asked)),
            ("event log", page["log"][:DIGEST_SHOWN]),
            ("files", _files(page)),
            ("TPM", _counters(page["counters"])),
            ("key", _key(page["key"], now)),
        ]
    )


def _release(page: Mapping[str, Any]) -> tuple[Piece, ...]:
    return (f"  {page['release']} (svn {page['svn']})",) if page["release"] else ()


def _when(page: Mapping[str, Any], now: Instant) -> str:
    if not page["appraised_at"]:
        return "never"
    return f"{ago(page['appraised_at'], now)}, counts until {ago(page['valid_until'], now)}"


def _asked(asked: Mapping[str, Any]) -> str:
    if asked["method"] == "none":
        return "nothing"
    quoted = [f"PCRs {ranges(asked['pcrs'])} in {asked['bank']}"] if asked["pcrs"] else []
    wanted = {
        "the files that run (IMA)": asked["ima"],
        "Secure Boot on": asked["secure_boot"],
        "debug off": asked["debug_off"],
        "no tampering": asked["tamper_proof"],
        f"lifecycle {' or '.join(asked['lifecycle'])}": asked["lifecycle"],
        f"{len(asked['components'] or ())} parts of the hardware": asked["components"] is not None,
    }
    means = "by TPM" if asked["method"] == "tpm" else "by token"
    return ", ".join([means, *quoted, *(what for what, is_asked in wanted.items() if is_asked)])


def _files(page: Mapping[str, Any]) -> str:
    if not page["asked"]["ima"]:
        return ""
    return f"{page['files']} followed, {page['unknown_files']} of them unknown"


def _counters(counters: Mapping[str, Any] | None) -> str:
    if counters is None:
        return ""
    # A TPM shows both counters from an offset of its own to a key that is not under its endorsement hierarchy.
    counted = f"resets at {counters['resets']}, restarts at {counters['restarts']} (counted from the chip's own offset)"
    return f"{counted}, clock at {counters['clock'] // 1000} s"


def _key(key: Mapping[str, Any] | None, now: Instant) -> str:
    if key is None:
        return "none is bound"
    return f"{key['digest'][:DIGEST_SHOWN]}, {key['method']}, bound {ago(key['bound_at'], now)} by {key['by']}"
