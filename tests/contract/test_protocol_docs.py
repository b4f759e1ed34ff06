"""The protocol reference says what the code does: its examples decode, its table lists every code there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from conftest import ROOT
from holdfast.web.problems import Problem
from holdfast_core.attestation.affirmed import Shortfall
from holdfast_core.baseline.delta import FindingsDelta
from holdfast_core.baseline.model import BuildManifest, Findings, Plan
from holdfast_core.inventory.erasure import ErasureReport
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import Ask, BootLog, Evidence, binding, unpack
from holdfast_core.wire.codec import decode_check_in, decode_reply
from holdfast_core.wire.frame import Health, InstalledRelease, LogNews, Metrics
from holdfast_core.wire.secrets import SecretTold
from holdfast_core.wire.sequence import Standing
from holdfast_core.wire.update import UpdateAnswer, UpdateArgs, UpdateReport
from holdfast_core.wire.update_metadata import Brought, Holding

PAGE = ROOT / "docs" / "reference" / "protocol.md"
PACKAGES = ROOT / "packages"
SOURCES = (
    "core/src/holdfast_core/wire/codec.py",
    "core/src/holdfast_core/wire/attestation.py",
    "core/src/holdfast_core/identity/fleet.py",
    "core/src/holdfast_core/identity/manufacturers.py",
    "core/src/holdfast_core/identity/rules.py",
    "core/src/holdfast_core/identity/requests.py",
    "core/src/holdfast_core/attestation/sealed.py",
    "core/src/holdfast_core/identity/secrets.py",
    "core/src/holdfast_core/baseline/rules.py",
    "core/src/holdfast_core/update/ddi.py",
    "core/src/holdfast_core/update/ddi_parsing.py",
    "core/src/holdfast_core/update/ranges.py",
    "server/src/holdfast/checkin/pace.py",
    "server/src/holdfast/checkin/service.py",
    "server/src/holdfast/identity/approvals.py",
    "server/src/holdfast/identity/certifying.py",
    "server/src/holdfast/identity/enrollment.py",
    "server/src/holdfast/identity/fleet.py",
    "server/src/holdfast/identity/fleet_claims.py",
    "server/src/holdfast/identity/idevid.py",
    "server/src/holdfast/identity/renewal.py",
    "server/src/holdfast/identity/secret_delivery.py",
    "server/src/holdfast/identity/service.py",
    "server/src/holdfast/ports/sections.py",
    "server/src/holdfast/adapters/artefacts/folder.py",
    "server/src/holdfast/adapters/hook.py",
    "server/src/holdfast/ports/artefacts.py",
    "server/src/holdfast/ports/attested.py",
    "server/src/holdfast/ports/tombstones.py",
    "server/src/holdfast/adapters/store/failures.py",
    "server/src/holdfast/update/ddi.py",
    "server/src/holdfast/update/ddi_callers.py",
    "server/src/holdfast/update/issuing.py",
    "server/src/holdfast/update/metadata.py",
    "server/src/holdfast/update/old_hashes.py",
    "server/src/holdfast/update/payloads.py",
    "server/src/holdfast/update/signing_keys.py",
    "server/src/holdfast/web/device/app.py",
    "server/src/holdfast/web/device/ddi.py",
    "server/src/holdfast/web/device/est.py",
    "server/src/holdfast/web/device/guarded.py",
    "server/src/holdfast/web/device/protocol.py",
    "server/src/holdfast/web/device/secrets.py",
    "server/src/holdfast/web/device/targets.py",
    "server/src/holdfast/web/device/updates.py",
    "server/src/holdfast/web/problems.py",
)
"""Every module that can refuse something on the device port."""
_STATUS = {
    "HostileData": 400,
    "LimitExceeded": 413,
    "IdentityRefused": 403,
    "Unsatisfiable": 416,
    "WorldError": 503,
    "Bug": 500,
}
_OF_OPERATORS = re.compile(
    r"token\.|claim\.(lifetime|none)$|enrollment\.(unknown|decided)$|manufacturer\.|model\.|fleet\.(unknown|invalid)$|sealed\.(empty|too_large|too_many)$|baseline\.other_catalogue$"
    r"|artefact\.(too_large|empty|other_digest|disk_full|range|ended)$"
)
_HELPERS = {
    "_claim_refused": ("", 401),
    "_over": ("", 403),
    "_hostile": ("baseline.findings_", 400),
    "_refused": ("ddi.", 401),
}
_KINDS = {
    "check-in": lambda data: decode_check_in(data, LIMITS),
    "reply": lambda data: decode_reply(data, LIMITS),
    "problem": lambda data: msgspec.json.decode(data, type=Problem),
    "health": lambda data: msgspec.json.decode(data, type=Health),
    "release": lambda data: msgspec.json.decode(data, type=InstalledRelease),
    "metrics": lambda data: msgspec.json.decode(data, type=Metrics),
    "log": lambda data: msgspec.json.decode(data, type=LogNews),
    "findings": lambda data: msgspec.json.decode(data, type=Findings),
    "delta": lambda data: msgspec.json.decode(data, type=FindingsDelta),
    "manifest": lambda data: msgspec.json.decode(data, type=BuildManifest),
    "attestation": lambda data: msgspec.json.decode(data, type=Evidence),
    "boot-log": lambda data: unpack(msgspec.json.decode(data, type=BootLog).log),
    "ask": lambda data: msgspec.json.decode(data, type=Ask),
    "erasure": lambda data: msgspec.json.decode(data, type=ErasureReport),
    "plan": lambda data: msgspec.json.decode(data, type=Plan),
    "secret": lambda data: msgspec.json.decode(data, type=SecretTold),
    "update": lambda data: msgspec.json.decode(data, type=UpdateReport),
    "update-answer": lambda data: msgspec.json.decode(data, type=UpdateAnswer),
    "update-args": lambda data: msgspec.json.decode(data, type=UpdateArgs),
    "holding": lambda data: msgspec.json.decode(data, type=Holding),
    "brought": lambda data: msgspec.json.decode(data, type=Brought),
}


def codes() -> dict[str, int]:
    """Every code that a device can meet, with its status."""
    found = {code: status for source in SOURCES for code, status in _codes(PACKAGES / source)}
    found |= {f"identity.{standing.value}": 409 for standing in Standing if standing.is_clone}
    found |= {f"sealed.{shortfall.value}": 403 for shortfall in Shortfall}
    return {code: status for code, status in found.items() if not _OF_OPERATORS.match(code)}


def _codes(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        code = node.args[0]
        if not (isinstance(code, ast.Constant) and isinstance(code.value, str)):
            continue
        if node.func.id in _HELPERS:
            prefix, status = _HELPERS[node.func.id]
            yield prefix + code.value, status
        elif node.func.id in _STATUS:
            said = [word.value for word in node.keywords if word.arg == "http_status"]
            own = [value.value for value in said if isinstance(value, ast.Constant)]
            yield code.value, int(str(own[0])) if own else _STATUS[node.func.id]


def listed() -> dict[str, int]:
    rows = re.findall(r"^\| `([a-z]+\.[a-z_-]+)` \| ([0-9]{3}) \| \S.* \|$", PAGE.read_text(), re.MULTILINE)
    return {code: int(status) for code, status in rows}


def examples() -> list[tuple[str, str]]:
    return re.findall(r"^```json ([a-z-]+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_table_lists_the_codes_of_the_source_and_no_others() -> None:
    assert listed() == codes()
    assert len(codes()) > 20


@pytest.mark.parametrize(("kind", "text"), examples(), ids=[f"{n}-{k}" for n, (k, _) in enumerate(examples())])
def test_an_example_is_what_it_says(kind: str, text: str) -> None:
    assert _KINDS[kind](text.encode()) is not None


def test_the_worked_binding_is_what_is_computed() -> None:
    (worked,) = re.findall(r"^binding\(.*\) = ([0-9a-f]{64})$", PAGE.read_text(), re.MULTILINE)
    (said,) = [data for kind, data in examples() if kind == "attestation" and '"type":"tpm"' in data]
    evidence = msgspec.json.decode(said, type=Evidence)
    assert binding(evidence.nonce, "gate-1", evidence.claims).hex() == worked


def test_every_kind_of_message_has_an_example() -> None:
    assert {kind for kind, _ in examples()} == set(_KINDS)


@pytest.mark.parametrize(
    "limit", ["check_in_bytes", "section_bytes", "sections", "directive_reports", "findings", "text", "csr_bytes"]
)
def test_the_limits_on_the_page_are_those_in_force(limit: str) -> None:
    assert re.search(rf"\| {getattr(LIMITS, limit)} \|", PAGE.read_text())
