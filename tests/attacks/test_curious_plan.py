"""A server that was taken over asks by plans of its own: what is in a file that only root reads does not come back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent_builders import a_plan
from holdfast_agent.audit import look_heavy
from holdfast_agent.state import Config
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.probes import (
    AccountCheck,
    Accounts,
    PrivateKeys,
    ProbeSpec,
    Setting,
    Syntax,
    Sysctl,
    Words,
)
from holdfast_core.inventory.model import HealthProbe
from holdfast_core.kernel.digests import canonical
from probe_builders import ask, grow

HASH = "$6$salt$NotForAnybodyElse"
SHADOW = f"root:{HASH}:19000:0:99999:7:::\n"
WIFI = 'network={\n psk="correct horse"\n pin: 1234\n note: free coffee\n}\n'


def planted(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/shadow": SHADOW, "etc/wifi.conf": WIFI, "etc/ssh/sshd_config": "PermitRootLogin yes\n"})
    (tmp_path / "etc/shadow").chmod(0o640)
    (tmp_path / "etc/wifi.conf").chmod(0o644)
    (tmp_path / "etc/ssh/sshd_config").chmod(0o600)


@pytest.mark.parametrize("wanted", ["nope", "*"], ids=["by what failed", "by what passed"])
@pytest.mark.parametrize(
    ("file", "key", "secret"),
    [
        ("/etc/shadow", "root", "NotForAnybodyElse"),
        ("/etc/shadow", "ROOT", "19000"),
        ("/etc/wifi.conf", "psk", "horse"),
    ],
)
@pytest.mark.parametrize("syntax", [Syntax.KEYVALUE, Syntax.SSHD])
def test_a_value_asked_for_by_name_is_not_shown(
    tmp_path: Path, *, file: str, key: str, secret: str, wanted: str, syntax: Syntax
) -> None:
    planted(tmp_path)
    seen = ask(tmp_path, Setting(file=file, syntax=syntax, key=key, one_of=(wanted,)))
    assert seen.outcome in {Outcome.PASS, Outcome.FAIL}
    assert secret not in repr(seen)


def test_a_short_number_is_no_reason_to_show_a_password(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/x.conf": "wps_psk=1234\n"})
    assert "1234" not in repr(
        ask(tmp_path, Setting(file="/etc/x.conf", syntax=Syntax.KEYVALUE, key="wps_psk", maximum=0))
    )


def test_what_is_no_secret_is_shown_still(tmp_path: Path) -> None:
    planted(tmp_path)
    root_login = Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="PermitRootLogin", one_of=("no",))
    assert "'yes'" in ask(tmp_path, root_login).proof[0]
    note = Setting(file="/etc/wifi.conf", syntax=Syntax.KEYVALUE, key="note", one_of=("no",))
    assert "free coffee" in ask(tmp_path, note).proof[0]


def test_a_line_that_holds_a_word_is_not_shown(tmp_path: Path) -> None:
    planted(tmp_path)
    seen = ask(tmp_path, Words(paths=("/etc/shadow",), forbid=("root",)))
    assert seen.outcome is Outcome.FAIL
    assert HASH not in repr(seen)


@pytest.mark.parametrize("key", ["../../etc/shadow", "kernel/../../../etc/shadow", "/etc/shadow", "kernel//x", "a..b"])
def test_a_kernel_parameter_is_no_way_to_another_file(key: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kind": "sysctl", "key": key, "one_of": ["1"]}, ProbeSpec)


@pytest.mark.parametrize(
    "key", ["kernel.kptr_restrict", "net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.*.rp_filter"]
)
def test_a_kernel_parameter_is_written_as_before(key: str) -> None:
    spec = msgspec.convert({"kind": "sysctl", "key": key, "one_of": ["1"]}, ProbeSpec)
    assert isinstance(spec, Sysctl)
    assert spec.key == key


def asked_of_a_device(tmp_path: Path, probe: ProbeSpec) -> Finding:
    """What an agent answers to one probe that came with its plan."""
    own = {"NET-51": msgspec.Raw(canonical(probe))}
    plan = msgspec.structs.replace(a_plan("NET-51", health=HealthProbe("self-reported")), probes=own)
    config = Config("https://x", "cam-1", root=str(tmp_path))
    (found,) = look_heavy(plan, None, config, wall_s=0, breath=lambda: False, walk=b"").findings.findings
    return found


@pytest.mark.parametrize(
    "probe",
    [
        Words(paths=("/etc/shadow",), forbid=("$6$salt$N",)),
        Setting(file="/etc/shadow", syntax=Syntax.KEYVALUE, key="root", one_of=("$6$salt$N*",)),
        Accounts(check=AccountCheck.HASH_STRENGTH),
    ],
    ids=["word by word", "by pattern", "through another probe"],
)
def test_a_hash_is_not_guessed_out_of_a_file_by_asking_often(tmp_path: Path, probe: ProbeSpec) -> None:
    planted(tmp_path)
    grow(tmp_path, {"etc/passwd": "root:x:0:0::/:/bin/sh\n"})
    found = asked_of_a_device(tmp_path, probe)
    assert found.outcome is Outcome.UNKNOWN
    assert "came with the plan" in found.reason


def test_what_everybody_may_read_is_answered(tmp_path: Path) -> None:
    planted(tmp_path)
    assert asked_of_a_device(tmp_path, Words(paths=("/etc/wifi.conf",), forbid=("coffee",))).outcome is Outcome.FAIL


def test_a_plan_does_not_send_a_device_through_all_its_files(tmp_path: Path) -> None:
    planted(tmp_path)
    assert asked_of_a_device(tmp_path, PrivateKeys()).outcome is Outcome.UNKNOWN


def test_probes_of_a_plan_go_at_its_pace(tmp_path: Path) -> None:
    planted(tmp_path)
    many = {
        f"NET-{n}": msgspec.Raw(canonical(Words(paths=("/etc/wifi.conf",), forbid=(str(n),)))) for n in range(50, 60)
    }
    plan = msgspec.structs.replace(a_plan(*many, health=HealthProbe("self-reported")), probes=many)
    breaths: list[bool] = []
    config = Config("https://x", "cam-1", root=str(tmp_path))
    look_heavy(plan, None, config, wall_s=0, breath=lambda: bool(breaths.append(True)), walk=b"")
    assert len(breaths) >= len(many)
