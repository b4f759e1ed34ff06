"""The commands beside a running server: they reach it over its socket, and its memory is what they speak of."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from holdfast.bootstrap import Plane
from holdfast.cli.app import build
from holdfast.inventory.model_file import example_bytes
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.wire.codec import encode
from holdfast_core.wire.frame import CheckIn, Section
from server_process import Caller, ServerProcess, configured, enroll_on_disk

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"})


class Site:
    """A running server with one enrolled device, and the commands on its folder."""

    def __init__(self, server: ServerProcess, plan: tuple[str, tuple[str, ...]]) -> None:
        self.server, self._plan, self._seq = server, plan, 0

    def run(self, *arguments: str, code: int = 0, stdin: str | bytes | None = None) -> Result:
        result = runner.invoke(build(), [*arguments, "--data", str(self.server.folder)], input=stdin)
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str, code: int = 0) -> dict[str, object]:
        told: dict[str, object] = json.loads(self.run(*arguments, "--json", code=code).stdout)
        return told

    def operator(self, token: str) -> int:
        """The status that the operator port answers a token with."""
        context = ssl.create_default_context(cafile=str(self.server.folder / "keys" / "root.pem"))
        connection = http.client.HTTPSConnection("localhost", self.server.config.operator_port, context=context)
        connection.request("GET", "/api/v1/status", headers={"authorization": f"Bearer {token}"})
        status = connection.getresponse().status
        connection.close()
        return status

    def check_in(self, *failing: str) -> tuple[int, dict[str, object]]:
        self._seq += 1
        plan, controls = self._plan
        found = [Finding(c, Outcome.FAIL if c in failing else Outcome.PASS) for c in controls]
        body = msgspec.json.encode(Findings(plan, tuple(found)))
        sections = {
            "health": Section(body=msgspec.Raw(b'{"ok":true}')),
            "baseline": Section(body=msgspec.Raw(body)),
        }
        message = CheckIn(v=1, boot="boot-0001", seq=self._seq, sections=sections)
        with Caller(self.server, self.server.folder / "cam-1.pem") as caller:
            status, answer = caller.post(encode(message))
        return status, json.loads(answer)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("served")
    config = configured(folder)

    async def prepare() -> tuple[str, tuple[str, ...]]:
        plane = Plane.open(config, folder)
        try:
            await enroll_on_disk(plane, folder)
            device = plane.inventory.device(DeviceKey(config.scope, DeviceId("cam-1")))
            plan = plane.baseline.show(plane.store.model(config.scope, device.model)).plan
            return digest_of(canonical(plan)), plan.controls
        finally:
            await plane.close()

    plan = asyncio.run(prepare())
    with ServerProcess(folder) as server:
        yield Site(server, plan)


@pytest.fixture
def trusted(site: Site) -> Site:
    """The site with its device trusted."""
    status, reply = site.check_in()
    assert (status, reply["verdict"]["level"]) == (200, "trusted")
    return site


def test_a_device_with_a_verdict_is_listed_and_shown(trusted: Site) -> None:
    assert "trusted" in trusted.run("device", "list").stdout
    shown = trusted.run("device", "show", "cam-1").stdout
    for said in ("Appraisals", "affirming", "Keys", "ends in", "What it said last"):
        assert said in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_report_tells_coverage_failures_with_their_fix_and_who_inspected(trusted: Site) -> None:
    trusted.run(
        "device", "inspect", "cam-1", "PHY-11", "--outcome", "pass", "--inspector", "Ada", "--expires", "2099-01-31"
    )  # fmt: skip
    assert trusted.check_in("ACC-02")[0] == 200
    told = trusted.run("device", "report", "cam-1").stdout
    for said in ("Coverage ", "1 failed", "critical  ACC-02", "why:", "fix:", "Inspected by a person", "Ada on 20"):
        assert said in told
    assert "Seen: Ada inspected it on" not in told
    assert "Seen: Ada inspected it on" in trusted.run("device", "report", "cam-1", "--all").stdout
    document = trusted.json("device", "report", "cam-1")
    assert isinstance(document["inspections"], list)
    assert document["inspections"][0]["inspector"] == "Ada"
    assert "Ada on 20" in trusted.run("device", "show", "cam-1").stdout
    assert trusted.check_in()[0] == 200


def test_quarantine_and_release_reach_the_device_at_its_next_check_in(trusted: Site) -> None:
    trusted.run("device", "quarantine", "cam-1", "--why", "smoke")
    assert "held by os-user:" in trusted.run("device", "show", "cam-1").stdout
    assert trusted.check_in()[1]["verdict"]["level"] == "quarantined"
    trusted.run("device", "release", "cam-1", "--why", "no fire")
    assert trusted.check_in()[1]["verdict"]["level"] == "trusted"
    again = trusted.run("device", "release", "cam-1", "--why", "no fire", code=1)
    assert "response.not_held" in again.stderr


def test_an_incident_opens_is_shown_and_closes_with_its_cause(trusted: Site) -> None:
    assert trusted.json("incident", "list")["items"] == []
    trusted.check_in("ACC-05")
    (incident,) = trusted.json("incident", "list")["items"]
    listed = trusted.run("incident", "list").stdout
    assert incident["id"] in listed
    assert "critical" in listed
    shown = trusted.run("incident", "show", incident["id"]).stdout
    assert "baseline.fail.ACC-05" in shown
    assert "fix:" in shown
    assert max(map(len, shown.splitlines())) <= 80
    trusted.check_in()
    assert "No open incidents." in trusted.run("incident", "list").stderr
    assert "closed" in trusted.run("incident", "list", "--all").stdout
    assert "why it was closed: verdict is trusted" in trusted.run("incident", "show", incident["id"]).stdout


def test_an_incident_is_closed_by_hand_with_a_reason(trusted: Site) -> None:
    trusted.check_in("ACC-05")
    (incident,) = trusted.json("incident", "list")["items"]
    refused = trusted.run("incident", "close", incident["id"], "--why", " ", code=1)
    assert "why.missing" in refused.stderr
    trusted.run("incident", "close", incident["id"], "--why", "a drill")
    assert trusted.json("incident", "show", incident["id"])["closed_why"].endswith("a drill")
    trusted.check_in()


def test_a_device_moves_to_a_newer_version_of_its_model(trusted: Site, tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_bytes(example_bytes("door-camera").replace(b"1.0.0", b"1.1.0").replace(b"8554", b"8555"))
    trusted.run("model", "add", str(file))
    trusted.run("device", "model", "cam-1", "door-camera@1.1.0")
    assert trusted.json("device", "show", "cam-1")["model"] == "door-camera@1.1.0"
    judged = trusted.check_in()[1]["verdict"]  # it still audits by the plan of the old one
    assert (judged["level"], judged["reasons"][0]["code"]) == ("restricted", "baseline.other_plan")
    trusted.run("device", "model", "cam-1", "door-camera@1.0.0")
    assert trusted.check_in()[1]["verdict"]["level"] == "trusted"


def test_an_audit_and_a_mending_become_directives(trusted: Site) -> None:
    trusted.run("device", "audit", "cam-1")
    trusted.run("device", "harden", "cam-1", "FS-06")
    assert {"audit-now", "harden"} <= {d["kind"] for d in trusted.check_in()[1]["directives"]}
    shown = trusted.run("device", "show", "cam-1").stdout
    assert "audit-now" in shown
    assert "harden FS-06" in shown
    assert "os-user:" in shown
    trusted.run("harden", "--device", "cam-1", "--control", "FS-08")
    asked = [d["args"]["control"] for d in trusted.check_in()[1]["directives"] if d["kind"] == "harden"]
    assert asked == ["FS-08"], "the newest wish counts"
    refused = trusted.run("device", "harden", "cam-1", "NOPE-99", code=1)
    assert "[" in refused.stderr


def test_a_model_is_added_listed_shown_and_given_to_a_device(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_bytes(example_bytes("pump-controller").replace(b"1.0.0", b"7.0.0"))
    assert site.run("model", "add", str(file)).stdout.strip() == "pump-controller@7.0.0"
    assert "pump-controller@7.0.0" in site.run("model", "list").stdout
    of_server, of_file = site.json("model", "show", "pump-controller@7.0.0"), site.json("model", "show", str(file))
    assert of_server["lines"] == of_file["lines"]
    assert site.run("model", "show", "pump-controller@7.0.0").stdout == site.run("model", "show", str(file)).stdout
    assert "was there already" in site.run("model", "add", str(file)).stderr
    site.run("device", "add", "pump-9")
    site.run("device", "model", "pump-9", "pump-controller@7.0.0")
    assert site.json("device", "show", "pump-9")["lifecycle"] == "expected"
    file.write_bytes(file.read_bytes() + b"# another\n")


def test_a_server_that_starts_says_where_each_port_is(site: Site) -> None:
    said, config = (site.server.folder / "serve.log").read_text(), site.server.config
    for port in (config.device_port, config.est_port, config.operator_port, config.metrics_port):
        assert f":{port}" in said
    assert "revocation lists" not in said, "nothing is served where no address is configured"


def test_a_token_made_beside_the_server_is_known_to_it_at_once(site: Site) -> None:
    text = site.run("token", "create", "robot").stdout.strip()
    assert site.operator(text) == 200
    site.run("token", "revoke", "robot")
    assert site.operator(text) == 401


def test_a_backup_beside_the_server_is_on_record(site: Site, tmp_path: Path) -> None:
    site.run("backup", str(tmp_path / "b.tar.gz"))
    kinds = [item["entry"]["kind"] for item in site.json("log", "show", "--limit", "1")["items"]]
    assert kinds == ["backup.made"]


def test_an_export_beside_the_server_is_verified_offline(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    told = site.json("log", "export", str(file))
    key = site.json("log", "show")["verifier_key"]
    report = site.json("log", "verify", str(file), "--key", key)
    assert (report["outcome"], report["leaves"]) == ("verified", told["leaves"])
    assert "Newest checkpoint" in site.run("log", "show").stderr
    assert "device.enrolled" in site.run("log", "show", "--device", "cam-1", "--limit", "200").stdout


def test_a_restore_and_an_upgrade_beside_the_server_are_refused(site: Site, tmp_path: Path) -> None:
    site.run("backup", str(tmp_path / "b.tar.gz"))
    assert "data.in_use" in site.run("restore", str(tmp_path / "b.tar.gz"), code=1).stderr
    assert "data.in_use" in site.run("upgrade", code=1).stderr


def test_a_revoked_device_is_refused_at_its_next_check_in(trusted: Site) -> None:
    assert trusted.run("device", "revoke", "cam-1", "--why", "stolen", code=2).stderr
    trusted.run("device", "revoke", "cam-1", "--why", "stolen", "--yes")
    # Its verdict does not wait for the silence that must follow.
    shown = trusted.json("device", "show", "cam-1")
    assert (shown["level"], shown["reason"]["code"]) == ("quarantined", "identity.revoked")
    assert [i["reasons"][0]["code"] for i in trusted.json("incident", "list")["items"]] == ["identity.revoked"]
    status, problem = trusted.check_in()
    assert (status, problem["code"]) == (403, "identity.revoked")
