"""The shell client against the real device port, under busybox's shell with its own applets, and dash.

Under busybox the PATH holds busybox's applets, curl and openssl and nothing else, so that the client cannot lean on
what a device lacks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders import ACTOR
from holdfast_core.identity.lifetimes import renewal_due
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import DAY, MINUTE
from served_builders import ServedPlane, served

CLIENT = Path(__file__).parents[2] / "clients" / "sh" / "holdfast.sh"
LOST_CLOCK = str(CLIENT.with_name("curl-lost-clock.sh"))
LARGEST = 10 * 1024
NEEDED = ("curl", "openssl")
KEY = "-----BEGIN"


@dataclass
class Shell:
    """One way to run the client, and a device of its own."""

    command: tuple[str, ...]
    path: str
    home: Path
    served: ServedPlane
    name: str = "cam-1"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def root(self) -> Path:
        return self.home / "root"

    def run(self, *arguments: str, stdin: str = "", first: Path | None = None, **more: str) -> tuple[int, str, str]:
        path = f"{first}:{self.path}" if first else self.path
        environ = {"PATH": path, "HOLDFAST_STATE": str(self.state), "HOLDFAST_ROOT": str(self.root), **more}
        done = subprocess.run(
            [*self.command, str(CLIENT), *arguments],
            env=environ, input=stdin, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def enroll(self, **more: str) -> None:
        claim = self.served.claim(self.name)
        code, _, err = self.run("enroll", self.served.url, self.name, self.served.root, HOLDFAST_CLAIM=claim, **more)
        assert code == 0, err

    def check_in(self, **more: str) -> str:
        code, out, err = self.run("check-in", **more)
        assert code == 0, err
        return out

    def reported(self) -> dict[str, dict[str, object]]:
        """What the device found, by control, as the server keeps it."""
        posture = self.served.posture(self.name)
        body = self.served.do(
            self.served.plane.store.body(posture.key, "baseline", posture.sections["baseline"].digest)
        )
        assert body is not None
        return {finding["control"]: finding for finding in json.loads(body)["findings"]}


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPlane]:
    with served(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


def _applets(folder: Path, busybox: str) -> str:
    """A PATH with busybox's applets and the two programs the client needs."""
    folder.mkdir()
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in listed:
        (folder / applet).symlink_to(busybox)
    for program in NEEDED:
        found = shutil.which(program)
        assert found, f"{program} is missing"
        (folder / program).unlink(missing_ok=True)
        (folder / program).symlink_to(found)
    return str(folder)


def _tree(root: Path) -> None:
    etc = root / "etc"
    (etc / "init.d").mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nservice:x:100:100::/home:/bin/sh\n")
    (etc / "shadow").write_text("root:!:19000::::::\nservice:$6$salt$hash:19000::::::\n")
    (etc / "shadow").chmod(0o600)
    (etc / "init.d" / "S50dropbear").write_text("#!/bin/sh\n# no telnetd here\ndropbear -s\n")
    (etc / "os-release").write_text('ID=tiny\nVERSION_ID="7"\n')


@pytest.fixture(params=["busybox", "dash"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, control_plane: ServedPlane) -> Shell:
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    _tree(tmp_path / "root")
    name = f"cam-{re.sub('[^a-z0-9]+', '-', request.node.name.lower())}"[:60].rstrip("-")
    if request.param == "busybox":
        return Shell((program, "sh"), _applets(tmp_path / "bin", program), tmp_path, control_plane, name)
    return Shell((program,), os.environ["PATH"], tmp_path, control_plane, name)


def _replace(tmp_path: Path, program: str, text: str) -> Path:
    """A folder whose `program` is a script that stands in for the real one."""
    folder = tmp_path / f"instead-of-{program}"
    folder.mkdir()
    (folder / program).write_text(text)
    (folder / program).chmod(0o755)
    return folder


def test_it_fits_on_a_small_device() -> None:
    assert CLIENT.stat().st_size <= LARGEST
    assert os.access(CLIENT, os.X_OK)


def test_enrolls_and_checks_in_twice(shell: Shell) -> None:
    shell.enroll()
    first, second = shell.check_in(), shell.check_in()
    assert re.search(r"next check-in in [0-9]+ s", first)
    assert second.split(";")[0] in {"trusted", "restricted", "quarantined"}
    posture = shell.served.posture(shell.name)
    assert {"baseline", "release", "metrics"} <= set(posture.sections)
    assert json.loads(posture.sections["release"].body) == {"build": "tiny-7"}
    assert [(s.kind, s.state.value) for s in posture.desired.settled][:1] == [("plan", "done")]
    assert posture.pin is not None
    assert posture.pin.size > 0


def test_everything_it_keeps_is_its_owners_alone(shell: Shell) -> None:
    shell.enroll()
    shell.check_in()
    assert stat.S_IMODE(shell.state.stat().st_mode) == 0o700
    files = [path for path in shell.state.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert sum(KEY in path.read_text(errors="replace") for path in files) == 2  # identity and root
    assert not list(shell.state.glob("*.new"))


def test_the_claim_comes_on_stdin_too_and_stays_nowhere(shell: Shell) -> None:
    claim = shell.served.claim(shell.name)
    code, out, err = shell.run("enroll", shell.served.url, shell.name, shell.served.root, stdin=f"{claim}\n")
    assert code == 0, err
    assert claim not in out + err
    assert all(claim not in path.read_text(errors="replace") for path in shell.state.iterdir())


def test_a_wrong_pin_ends_it_before_the_claim_is_sent(shell: Shell) -> None:
    claim = shell.served.claim(shell.name)
    wrong = "sha256:" + "0" * 64
    code, _, err = shell.run("enroll", shell.served.url, shell.name, wrong, HOLDFAST_CLAIM=claim)
    assert code == 1
    assert "claim was not sent" in err
    assert not (shell.state / "identity.pem").exists()
    code, _, err = shell.run("enroll", shell.served.url, shell.name, shell.served.root, HOLDFAST_CLAIM=claim)
    assert code == 0, err  # the control: the claim is still good


def test_a_refused_claim_says_what_to_do(shell: Shell) -> None:
    shell.served.claim(shell.name)
    code, _, err = shell.run("enroll", shell.served.url, shell.name, shell.served.root, HOLDFAST_CLAIM="hfc_wrong")
    assert code == 1
    assert "This claim does not admit this device. [claim.unknown]" in err
    assert "holdfast claim create" in err


def test_an_unchanged_audit_travels_as_its_digest(shell: Shell, tmp_path: Path) -> None:
    shell.enroll()
    shell.check_in()
    sends = _keeping(shell, tmp_path)
    sent = sends()
    section = sent["sections"]["baseline"]
    assert set(section) <= {"digest", "age_s"}
    assert section["digest"] == digest_of((shell.state / "findings").read_bytes())
    assert sent["nonce"] == re.search(r"^nonce (.*)$", (shell.state / "state").read_text(), re.MULTILINE).group(1)
    assert len((shell.state / "pending").read_bytes()) < 2048


def _keeping(shell: Shell, tmp_path: Path):
    """Run a check-in whose sending fails, and return what stays pending."""
    folder = _replace(tmp_path, "curl", "#!/bin/sh\nexit 7\n")

    def run() -> dict:  # type: ignore[type-arg]  # JSON
        code, _, err = shell.run("check-in", first=folder)
        assert code == 1
        assert "No answer from" in err
        return json.loads((shell.state / "pending").read_text().split("\n", 1)[1])

    return run


def test_killed_between_persisting_and_sending_it_sends_the_same_bytes_later(shell: Shell, tmp_path: Path) -> None:
    shell.enroll()
    shell.check_in()
    before = shell.served.posture(shell.name).sequence.last
    killer = _replace(tmp_path, "curl", "#!/bin/sh\nkill -9 $PPID\n")
    code, _, _ = shell.run("check-in", first=killer)
    assert code == -9
    header, pending = (shell.state / "pending").read_text().split("\n", 1)
    assert header.split()[0] == str(before + 1)
    assert shell.served.posture(shell.name).sequence.last == before
    shell.check_in()
    recent = dict(shell.served.posture(shell.name).sequence.recent)
    assert recent[before + 1] == digest_of(pending.encode())
    assert not (shell.state / "pending").exists()


def test_a_lost_reply_is_asked_for_again_and_nothing_happens_twice(shell: Shell, tmp_path: Path) -> None:
    shell.enroll()
    shell.check_in()
    curl = shutil.which("curl")
    loser = _replace(tmp_path, "curl", f'#!/bin/sh\n{curl} "$@" >/dev/null\nexit 56\n')
    code, _, _ = shell.run("check-in", first=loser)
    assert code == 1
    taken = shell.served.posture(shell.name)
    assert (shell.state / "pending").read_text().split()[0] == str(taken.sequence.last)
    code, out, _ = shell.run("status")
    assert (code, "not answered yet" in out) == (0, True)
    shell.check_in()
    posture = shell.served.posture(shell.name)
    assert posture.sequence.last == taken.sequence.last + 1  # the fresh one that follows an old one
    assert posture.hold is None


def test_a_revoked_device_prints_the_problem_and_fails(shell: Shell) -> None:
    shell.enroll()
    shell.check_in()
    plane = shell.served.plane
    shell.served.do(plane.identity.revoke(shell.served.key(shell.name), why="stolen", actor=ACTOR))
    code, _, err = shell.run("check-in")
    assert code == 1
    assert "This certificate was revoked at" in err
    assert "[identity.revoked]" in err
    assert "-> Stop calling." in err


def test_the_count_goes_on_after_a_new_enrollment(shell: Shell) -> None:
    shell.enroll()
    shell.check_in()
    last = shell.served.posture(shell.name).sequence.last
    shell.enroll()
    shell.check_in()
    posture = shell.served.posture(shell.name)
    assert posture.sequence.last > last
    assert posture.hold is None


def test_it_judges_what_it_can_and_says_so_of_the_rest(shell: Shell) -> None:
    shell.enroll()
    shell.check_in()
    found = shell.reported()
    judged = {name: found[name]["outcome"] for name in ("ACC-02", "ACC-05", "FS-08", "SVC-01")}
    assert judged == {"ACC-02": "pass", "ACC-05": "pass", "FS-08": "pass", "SVC-01": "pass"}
    rest = {"ACC-01", "SVC-03"}
    assert {found[name]["outcome"] for name in rest} == {"unknown"}
    assert {found[name]["reason"] for name in rest} == {"this client cannot judge it"}


def test_it_finds_what_careless_makers_leave(shell: Shell) -> None:
    etc = shell.root / "etc"
    with (etc / "passwd").open("a") as passwd:
        passwd.write("toor:x:0:0::/root:/bin/sh\nguest::200:200::/:/bin/sh\n")
    with (etc / "shadow").open("a") as shadow:
        shadow.write("toor::19000::::::\n")
    (etc / "shadow").chmod(0o644)
    (etc / "inetd.conf").write_text("telnet stream tcp nowait root /usr/sbin/telnetd telnetd\n")
    (etc / 'a"b\\c').write_text("")
    (etc / 'a"b\\c').chmod(0o666)
    shell.enroll()
    shell.check_in()
    found = shell.reported()
    assert {found[name]["outcome"] for name in ("ACC-02", "ACC-05", "FS-06", "FS-08", "SVC-01")} == {"fail"}
    assert found["ACC-05"]["proof"] == ["toor has uid 0"]
    assert sorted(found["ACC-02"]["proof"]) == ["guest has no password", "toor has no password"]
    assert found["FS-06"]["proof"] == ['/etc/a"b\\c']
    assert found["SVC-01"]["proof"] == ["/etc/inetd.conf"]


def test_an_audit_that_is_asked_for_is_carried_out_and_reported(shell: Shell) -> None:
    shell.enroll()
    shell.check_in()
    with (shell.root / "etc" / "passwd").open("a") as passwd:
        passwd.write("toor:x:0:0::/root:/bin/sh\n")
    shell.check_in()
    assert shell.reported()["ACC-05"]["outcome"] == "pass"  # the control: nothing was due
    plane = shell.served.plane
    shell.served.do(plane.baseline.audit_now(shell.served.key(shell.name), actor=ACTOR))
    shell.check_in()
    assert shell.reported()["ACC-05"]["outcome"] == "fail"
    desired = shell.served.posture(shell.name).desired
    assert not [entry for entry in desired.open if entry.wish.kind == "audit-now"]
    assert [s.state.value for s in desired.settled if s.kind == "audit-now"] == ["done"]


def test_what_it_cannot_do_is_refused_and_said(shell: Shell) -> None:
    shell.enroll()
    shell.check_in()
    plane = shell.served.plane
    shell.served.do(plane.baseline.harden(shell.served.key(shell.name), "FS-08", actor=ACTOR))
    shell.check_in()
    settled = {s.kind: s for s in shell.served.posture(shell.name).desired.settled}
    assert (settled["harden"].state.value, settled["harden"].code) == ("refused", "directive.unknown")


def test_health_comes_from_the_users_command(shell: Shell) -> None:
    shell.enroll()
    shell.check_in(HOLDFAST_HEALTH="true")
    assert json.loads(shell.served.posture(shell.name).sections["health"].body) == {"ok": True}
    shell.check_in(HOLDFAST_HEALTH="exit 3")
    assert json.loads(shell.served.posture(shell.name).sections["health"].body) == {"ok": False}


@pytest.mark.parametrize("shell", ["dash"], indirect=True)  # busybox's shell may find its applets without a PATH
def test_without_a_command_and_without_a_prober_health_is_left_out(shell: Shell, tmp_path: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    shell.path = _applets(tmp_path / "bin", busybox)
    (tmp_path / "bin" / "nc").unlink()
    shell.enroll()
    shell.check_in()
    assert "health" not in shell.served.posture(shell.name).sections


@pytest.mark.parametrize("shell", ["busybox"], indirect=True)  # its PATH is known: nc is there, or taken away
def test_without_a_command_the_models_port_is_tried(shell: Shell) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 8554))  # the port of the door camera's stream
        shell.enroll()
        shell.check_in()
        assert json.loads(shell.served.posture(shell.name).sections["health"].body) == {"ok": False}
        listening.listen()
        shell.check_in()
        assert json.loads(shell.served.posture(shell.name).sections["health"].body) == {"ok": True}


def test_two_runs_at_once_never_share_a_number(shell: Shell, tmp_path: Path) -> None:
    shell.enroll()
    curl = shutil.which("curl")
    slow = _replace(
        tmp_path, "curl", f'#!/bin/sh\ntouch {tmp_path}/in\nwhile [ ! -e {tmp_path}/go ]; do :; done\n{curl} "$@"\n'
    )
    environ = {"PATH": f"{slow}:{shell.path}", "HOLDFAST_STATE": str(shell.state), "HOLDFAST_ROOT": str(shell.root)}
    with subprocess.Popen([*shell.command, str(CLIENT), "check-in"], env=environ, stdout=subprocess.PIPE) as first:
        while not (tmp_path / "in").exists():
            assert first.poll() is None
        code, _, err = shell.run("check-in")
        (tmp_path / "go").touch()
        first.communicate(timeout=300)
    assert (code, first.returncode) == (1, 0)
    assert "Another run" in err
    assert shell.served.posture(shell.name).hold is None


def test_usage_and_a_device_that_never_enrolled(shell: Shell) -> None:
    assert shell.run()[0] == 2
    assert shell.run("enroll", "https://x")[0] == 2
    code, _, err = shell.run("check-in")
    assert code == 1
    assert "not enrolled" in err


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPlane]:
    """A control plane fourteen years ahead: seen from it, this machine's clock is lost."""
    with served(tmp_path_factory.mktemp("later"), ahead=14 * 365 * DAY) as plane:
        yield plane


def test_a_clock_that_is_lost_does_not_lock_the_device_out(shell: Shell, later: ServedPlane, tmp_path: Path) -> None:
    shell.served = later
    claim = later.claim(shell.name)
    epoch = _replace(tmp_path, "date", "#!/bin/sh\necho 0\n")
    enroll = ("enroll", later.url, shell.name, later.root)
    # The control: without the stand-in, and with it under a clock that looks sound, the certificate's dates count.
    for more in ({}, {"HOLDFAST_CURL": LOST_CLOCK}):
        code, _, err = shell.run(*enroll, HOLDFAST_CLAIM=claim, **more)
        assert (code, "clock" in err) == (1, True)
    code, _, err = shell.run(*enroll, first=epoch, HOLDFAST_CLAIM=claim, HOLDFAST_CURL=LOST_CLOCK)
    assert code == 0, err
    code, _, err = shell.run("check-in", first=epoch, HOLDFAST_CURL=LOST_CLOCK)
    assert code == 0, err
    assert later.posture(shell.name).sequence.last >= 2


def test_a_lost_clock_opens_no_door_to_another_authority(shell: Shell, later: ServedPlane, tmp_path: Path) -> None:
    shell.enroll()
    epoch = _replace(tmp_path, "date", "#!/bin/sh\necho 0\n")
    url, name = (shell.state / "config").read_text().splitlines()
    (shell.state / "config").write_text(f"{later.url}\n{name}\n")
    code, _, err = shell.run("check-in", first=epoch, HOLDFAST_CURL=LOST_CLOCK)
    assert code == 1
    assert "No answer from" in err
    (shell.state / "config").write_text(f"{url}\n{name}\n")
    code, _, err = shell.run("check-in", first=epoch, HOLDFAST_CURL=LOST_CLOCK)
    assert code == 0, err  # the control: its own server, with the same clock


def to_renewal(shell: Shell, more: int) -> None:
    """Let so much time pass that the newest certificate is due, and `more`."""
    newest = shell.served.plane.store.credentials_of(shell.served.key(shell.name))[-1]
    due = renewal_due(newest.spki, newest.issued_at, newest.not_after)
    shell.served.clock.forward(due - shell.served.clock.now() + more)


@pytest.fixture
def aging(shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A client whose control plane is its own, so that its time can be moved."""
    with served(tmp_path / "own") as plane:
        shell.served = plane
        yield shell


def test_it_renews_on_a_new_key_when_asked_and_when_its_time_is_over(aging: Shell) -> None:
    """Asked by a directive in the last part of a certificate's life; told ``identity.expired`` after its end."""
    shell = aging
    shell.enroll()
    shell.check_in()
    identity = shell.state / "identity.pem"
    served_plane, key = shell.served, shell.served.key(shell.name)
    for more in (MINUTE, 20 * DAY):
        before = identity.read_bytes()
        to_renewal(shell, more)
        assert "next check-in" in shell.check_in()
        assert identity.read_bytes() != before
        assert identity.read_bytes().count(b"-----BEGIN") == 2
        assert not (shell.state / "next").exists()
    methods = [credential.method.value for credential in served_plane.plane.store.credentials_of(key)]
    assert methods == ["claim", "renewal", "grace"]
    assert [c.revoked_at is None for c in served_plane.plane.store.credentials_of(key)] == [False, False, True]
    assert served_plane.posture(shell.name).hold is None


def test_a_renewal_whose_answer_was_lost_is_repeated_on_the_same_key(aging: Shell, tmp_path: Path) -> None:
    shell = aging
    shell.enroll()
    shell.check_in()
    to_renewal(shell, MINUTE)
    lossy = tmp_path / "lossy"
    lossy.mkdir()
    curl = lossy / "curl"
    real = shutil.which("curl")
    curl.write_text(f'#!/bin/sh\n{real} "$@" || exit\ncase "$*" in *simplereenroll*) printf 000; exit 56 ;; esac\n')
    curl.chmod(0o755)
    code, _, _ = shell.run("check-in", HOLDFAST_CURL=str(curl))
    assert (shell.state / "next").exists(), code
    shell.check_in()
    credentials = shell.served.plane.store.credentials_of(shell.served.key(shell.name))
    assert [c.revoked_at is None for c in credentials] == [False, True]
    assert shell.served.posture(shell.name).hold is None
