from __future__ import annotations

import json
import tarfile
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from typer.testing import CliRunner

from baseline_builders import catalogue, control, findings, model
from document_builders import audit_of
from holdfast.adapters.system import SystemClock
from holdfast.cli.app import build
from holdfast.cli.audit import exit_of
from holdfast.cli.session import Exit
from holdfast.inventory import model_file
from holdfast_core.baseline.document import Document, Target
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.waivers import Waiver
from holdfast_core.kernel.instants import DAY, Instant, rfc3339
from holdfast_core.kernel.severity import Severity

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"})


def _document(*outcomes: tuple[Outcome, Severity], waived: bool = False) -> Document:
    numbered = [(f"FS-{number:02}", *each) for number, each in enumerate(outcomes)]
    of = catalogue(*(control(name, severity) for name, _, severity in numbered))
    body = findings((), (), *(Finding(name, outcome, reason="So it is.") for name, outcome, _ in numbered))
    waivers = [Waiver(name, "It is known and excused.", "Ada", "2026-12-31") for name, _, _ in numbered]
    return audit_of(body, of, model(), waivers=tuple(waivers) if waived else ())


BAD, BLIND, GOOD = Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS


@pytest.mark.parametrize(
    ("document", "fail_on", "code"),
    [
        (_document((GOOD, Severity.CRITICAL)), Severity.LOW, Exit.FINE),
        (_document((BLIND, Severity.LOW), (GOOD, Severity.HIGH)), Severity.LOW, Exit.FINE),
        (_document((BAD, Severity.LOW)), Severity.LOW, Exit.FINDINGS),
        (_document((BAD, Severity.LOW)), Severity.MEDIUM, Exit.FINE),
        (_document((BAD, Severity.HIGH)), Severity.MEDIUM, Exit.FINDINGS),
        (_document((BAD, Severity.HIGH)), Severity.CRITICAL, Exit.FINE),
        (_document((BAD, Severity.HIGH), waived=True), Severity.LOW, Exit.FINE),
        (_document((BAD, Severity.LOW), (BLIND, Severity.CRITICAL)), Severity.LOW, Exit.FINDINGS),
        (_document((BAD, Severity.LOW), (BLIND, Severity.CRITICAL)), Severity.HIGH, Exit.UNDECIDED),
        (_document((GOOD, Severity.HIGH), (BLIND, Severity.CRITICAL)), Severity.LOW, Exit.UNDECIDED),
        (_document((BLIND, Severity.LOW)), Severity.LOW, Exit.UNDECIDED),
        (_document(), Severity.LOW, Exit.UNDECIDED),
    ],
    ids=[
        "all pass",
        "a low unknown",
        "a failure",
        "below the bar",
        "above the bar",
        "high below critical",
        "waived",
        "failure beats unknown",
        "a lesser failure does not",
        "critical unknown",
        "nothing decided",
        "empty",
    ],
)
def test_exit_codes_of_an_audit(document: Document, fail_on: Severity, code: Exit) -> None:
    assert exit_of(document, fail_on) is code


def test_a_target_that_was_not_understood_is_never_fine() -> None:
    fine = _document((GOOD, Severity.LOW))
    blind = msgspec.structs.replace(fine, target=Target("fw.bin", "image", trouble="It is encrypted."))
    assert exit_of(blind, Severity.LOW) is Exit.UNDECIDED


@pytest.fixture
def careless(tmp_path: Path) -> Path:
    etc = tmp_path / "rootfs" / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\n")
    (etc / "shadow").write_text("root::19000:0:99999:7:::\n")
    (etc / "shadow").chmod(0o644)
    return tmp_path / "rootfs"


def test_the_page_tells_coverage_questions_and_fixes(careless: Path) -> None:
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot"])
    assert result.exit_code == 3
    assert result.stdout.index("Coverage") < result.stdout.index("Two questions")
    assert "Two questions" in result.stdout
    assert "An account can be entered without any password." in result.stdout
    assert "fix:" in result.stdout
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_bare_class_does_not_fail_what_only_a_model_could_declare(careless: Path, tmp_path: Path) -> None:
    bare = json.loads(runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "--json"]).stdout)
    outcomes = {each["control"]: each for each in bare["judged"]}
    assert outcomes["ACC-10"]["outcome"] == "unknown"
    assert "--model" in outcomes["ACC-10"]["reason"]
    file = tmp_path / "camera.yaml"
    file.write_bytes(model_file.example_bytes("door-camera"))
    told = json.loads(runner.invoke(build(), ["audit", str(careless), "--model", str(file), "--json"]).stdout)
    assert {each["control"]: each["outcome"] for each in told["judged"]}["ACC-10"] == "fail"
    assert [each["question"] for each in told["answers"]] == ["integrity", "update"]


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("out.sarif", b'{\n "$schema"'),
        ("out.json", b'{\n "format": 1'),
        ("out.html", b"<!doctype html>"),
        ("out.xml", b"<?xml"),
    ],
)
def test_a_file_is_written_beside_the_page_in_the_format_of_its_name(
    careless: Path, tmp_path: Path, name: str, beginning: bytes
) -> None:
    target = tmp_path / name
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "-o", str(target)])
    assert result.exit_code == 3
    assert "Coverage" in result.stdout
    assert target.read_bytes().lstrip().startswith(beginning)


@pytest.mark.parametrize(
    ("wanted", "key"), [("sarif", "runs"), ("oscal", "assessment-results"), ("json", "judged"), ("html", "")]
)
def test_without_a_file_the_format_is_all_of_stdout(careless: Path, wanted: str, key: str) -> None:
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "--format", wanted])
    assert result.exit_code == 3
    if key:
        assert key in json.loads(result.stdout)
    else:
        assert result.stdout.lstrip().startswith("<!doctype html>")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "report"],
        ["--format", "table", "-o", "report.txt"],
        ["--format", "sarif", "--json"],
        ["--fail-on", "never"],
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_looked_at(careless: Path, arguments: list[str]) -> None:
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", *arguments])
    assert result.exit_code == 2


def test_an_earlier_audit_is_compared_with(careless: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    assert runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "-o", str(earlier)]).exit_code == 3
    (careless / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (careless / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n")
    arguments = ["audit", str(careless), "--class", "linux-iot", "--compare", str(earlier)]
    told = json.loads(runner.invoke(build(), [*arguments, "--json"]).stdout)
    shifts = {each["control"]: each["shift"] and each["shift"]["change"] for each in told["judged"]}
    assert (shifts["ACC-02"], shifts["ACC-05"], shifts["FS-08"]) == ("fixed", "new", "unchanged")
    page = runner.invoke(build(), arguments).stdout
    assert "fixed" in page
    assert "new" in page


def test_a_waived_finding_is_shown_with_its_owner_and_does_not_count(careless: Path, tmp_path: Path) -> None:
    told = json.loads(runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "--json"]).stdout)
    failed = [each["control"] for each in told["judged"] if each["outcome"] == "fail"]
    entries = (
        f"- control: {name}\n  reason: It is known and excused.\n  owner: Ada Holm\n  expires: {_soon()}\n"
        for name in failed
    )
    file = tmp_path / "waivers.yaml"
    file.write_text("".join(entries))
    arguments = ["audit", str(careless), "--class", "linux-iot", "--waivers", str(file)]
    result = runner.invoke(build(), arguments)
    assert result.exit_code in {0, 4}
    assert "Ada Holm" in result.stdout
    assert f"{len(failed)} waived" in result.stdout
    again = json.loads(runner.invoke(build(), [*arguments, "--json"]).stdout)
    assert again["counts"]["waived"] == len(failed)


def _soon() -> str:
    return rfc3339(Instant(SystemClock().now() + 30 * DAY))[:10]


@pytest.mark.parametrize(
    ("option", "text", "code"),
    [
        ("--waivers", "- {control: FS-08, owner: Ada, expires: 2027-01-01}", "waivers.shape"),
        (
            "--waivers",
            "- {control: FS-08, reason: Known and excused., owner: A, expires: 2027-01-01, colour: red}",
            "waivers.shape",
        ),
        (
            "--waivers",
            "- {control: FS-08, reason: Known and excused., owner: Ada, expires: 2027-02-30}",
            "waivers.date",
        ),
        ("--waivers", "waivers: &a []", "waivers.alias"),
        ("--waivers", "- a: 1\n  a: 2", "waivers.duplicate_key"),
        ("--waivers", "", "waivers.shape"),
        ("--inspections", "- {control: PHY-01, outcome: perhaps}", "inspections.shape"),
        (
            "--inspections",
            "- {control: PHY-01, outcome: pass, inspector: Ada, date: 2026-01-01, expires: 2025-01-01}",
            "inspections.date",
        ),
        ("--manifest", "{}", "audit.manifest"),
        ("--compare", "{}", "compare.not_a_document"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_its_code(
    careless: Path, tmp_path: Path, option: str, text: str, code: str
) -> None:
    file = tmp_path / "given"
    file.write_text(text)
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", option, str(file)])
    assert result.exit_code == 1
    assert f"[{code}]" in " ".join(result.stderr.split())


@pytest.mark.parametrize("wanted", ["table", "json", "sarif", "html", "junit", "oscal"])
def test_no_format_shows_a_secret(careless: Path, wanted: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    hashed = "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"
    (careless / "etc/shadow").write_text(f"root:{hashed}:19000:0:99999:7:::\n")
    (careless / "etc/device.key").write_bytes(key)
    (careless / "etc/cloud.conf").write_text("password=Tr0ub4dor-and-3\napi_key=AKIAZ7QJ5HTLR2VKPW3D\n")
    arguments = ["audit", str(careless), "--class", "linux-iot", "--format", wanted, "--all"]
    told = runner.invoke(build(), arguments)
    assert told.exit_code == 3
    text = "".join(told.stdout.split())
    body = key.decode().splitlines()[1]
    for secret in (hashed, "qjXMvbEw8oaL", body, "Tr0ub4dor-and-3", "AKIAZ7QJ5HTLR2VKPW3D"):
        assert secret not in text


def test_proof_that_is_not_shown_is_counted(careless: Path) -> None:
    lines = [f"twin{number:02}:x:0:0::/:/bin/sh" for number in range(40)]
    (careless / "etc/passwd").write_text("\n".join(["root:x:0:0:root:/root:/bin/sh", *lines]) + "\n")
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot"])
    assert "and 37 more" in result.stdout


def test_a_file_name_cannot_speak_to_the_terminal(careless: Path) -> None:
    (careless / "etc/passwd").write_bytes(b"root:x:0:0:root:/root:/bin/sh\n\x1b[2J<script>:x:0:0::/:/bin/sh\n")
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "--all"])
    assert "\x1b" not in result.stdout
    assert "<script>" in result.stdout


def test_deciding_nothing_is_no_pass(tmp_path: Path) -> None:
    manifest = tmp_path / "build.json"
    manifest.write_text('{"type": "manifest", "build": "1", "facts": {}}')
    result = runner.invoke(build(), ["audit", str(manifest), "--class", "mcu", "--json"])
    assert json.loads(result.stdout)["decided"] == 0
    assert result.exit_code == 4


def test_a_file_that_is_no_build_manifest_is_refused_with_a_remedy(tmp_path: Path) -> None:
    image = tmp_path / "fw.bin"
    image.write_bytes(b"\x00" * 64)
    result = runner.invoke(build(), ["audit", str(image), "--class", "mcu"])
    assert result.exit_code == 1
    assert "audit.manifest" in result.stderr
    result = runner.invoke(build(), ["audit", str(tmp_path / "none"), "--class", "server"])
    assert result.exit_code == 1
    assert "image.missing" in result.stderr


@pytest.fixture
def image(careless: Path, tmp_path: Path) -> Path:
    """The careless tree in one file."""
    with tarfile.open(tmp_path / "rootfs.tar", "w") as archive:
        archive.add(careless, ".")
    return tmp_path / "rootfs.tar"


def test_an_image_is_audited_as_its_tree_is_and_its_parts_are_told(image: Path) -> None:
    result = runner.invoke(build(), ["audit", str(image), "--class", "linux-iot"])
    assert result.exit_code == 3
    assert "What it is made of" in result.stdout
    told = json.loads(runner.invoke(build(), ["audit", str(image), "--class", "linux-iot", "--json"]).stdout)
    assert told["target"]["kind"] == "image"
    assert told["target"]["parts"]
    assert {each["control"]: each["outcome"] for each in told["judged"]}["ACC-02"] == "fail"


@pytest.mark.parametrize("wanted", ["table", "json", "sarif", "html", "junit", "oscal"])
def test_what_holds_no_root_is_told_in_every_format_and_is_no_pass(tmp_path: Path, wanted: str) -> None:
    odd = tmp_path / "odd.bin"
    odd.write_bytes(bytes(range(256)) * 64)
    result = runner.invoke(build(), ["audit", str(odd), "--class", "linux-iot", "--format", wanted])
    assert result.exit_code == 4
    assert "No root" in " ".join(result.stdout.split())


def test_a_kind_of_device_must_be_said(tmp_path: Path) -> None:
    assert runner.invoke(build(), ["audit", str(tmp_path)]).exit_code == 2


def test_model_check_tells_contradictions_with_exit_3(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_bytes(model_file.example_bytes("door-camera"))
    assert runner.invoke(build(), ["model", "check", str(good)]).exit_code == 0
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(good.read_bytes().replace(b"kind: single-image", b"kind: package-manager"))
    result = runner.invoke(build(), ["model", "check", str(bad)])
    assert result.exit_code == 3
    assert "model.immutable_packages" in result.stdout


def test_model_show_gives_a_reason_for_every_control(tmp_path: Path) -> None:
    file = tmp_path / "camera.yaml"
    file.write_bytes(model_file.example_bytes("door-camera"))
    told = json.loads(runner.invoke(build(), ["model", "show", str(file), "--json"]).stdout)
    assert told["lines"]
    assert all(line["reason"] for line in told["lines"])


def test_the_reference_page_is_current(checkout: Path) -> None:
    import importlib.util  # noqa: PLC0415  (a script, not a module)

    spec = importlib.util.spec_from_file_location("cli_reference", checkout / "tools" / "cli_reference.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (checkout / "docs" / "reference" / "cli.md").read_text() == script.render(), "run tools/cli_reference.py"


def test_an_audit_says_which_kind_of_system_it_looked_at(careless: Path) -> None:
    (careless / "etc" / "os-release").write_text("NAME=Buildroot\nVERSION_ID=2024.02\n")
    (careless / "etc" / "inittab").write_text("")
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "--json"])
    told = json.loads(result.stdout)
    assert told["target"]["layout"] == "Buildroot 2024.02, BusyBox init"
    advised = {entry["outcome"] for entry in told["judged"] if entry["advice"] is not None}
    assert advised == {"fail", "unknown"}, "what came out well needs no advice in a file"
