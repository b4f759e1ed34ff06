"""The commands in the README and the how-to pages, run as they stand, one after another, page by page.

1. A line of a ``console`` block that begins with ``$`` or ``#`` is a command; what follows is output, not compared.
2. A command ends with 0, or with 3 or 4 where it ran fine and found something; anything else fails the page.
3. Names, addresses, paths and secrets that only stand for the reader's own are replaced (`Reader.said`), and what the
   text tells the reader to do by hand is done by the page's test. Nothing else is added.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from attest_builders import booted
from attesting_builders import Builder
from broker_builders import free_port, has_started, wait_for
from builders import FakeClock, data_folder, enrolled, plane_on
from holdfast.adapters.pki.files import certificate_fingerprint
from holdfast.adapters.system import SystemClock
from holdfast_core.kernel.instants import MINUTE
from maker_builders import Maker
from reference_builders import DEVICE, attested_folder, key_files
from release_builders import an_updater, offered
from server_process import ServerProcess, configured
from tpm_builders import maker, running_chip

BIN = Path(sys.executable).parent
RAN_FINE = {0, 3, 4}
ELSEWHERE = ("unsquashfs", "useradd", "install", "systemctl")
"""Programs of others, which the pages use on a machine that this is not."""
ALLOWED_S = 300
ADDING = (
    "holdfast release add rootfs.img --model door-camera --version 2.4.0 --counter 12"
    " --hardware camera-rev2 --nature security --kind file --svn 7"
)
"""The release that the page on keys signs."""


def commands(page: Path) -> list[str]:
    """The commands of a page's console blocks."""
    found: list[str] = []
    for block in re.findall(r"^ *```console\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
        found += [line.strip()[2:] for line in block.splitlines() if line.strip()[:2] in {"$ ", "# "}]
    assert found, f"{page} has no commands"
    return found


class Reader:
    """Somebody who copies the commands of a page into a shell, in a folder of their own."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder, self.data, self.agent = folder, folder / "data", folder / "agent"
        self.own: dict[str, str] = {}
        self._background: list[subprocess.Popen[bytes]] = []
        (folder / "bin").mkdir()
        (folder / "bin" / "holdfast.sh").symlink_to(checkout / "clients/sh/holdfast.sh")
        path = f"{folder / 'bin'}:{BIN}:{os.environ['PATH']}"
        shell = {"PATH": path, "HOLDFAST_DATA": str(self.data), "HOLDFAST_STATE": str(folder / "sh")}
        self._environ = {**os.environ, **shell, "HOLDFAST_ROOT": str(folder / "rootfs"), "COLUMNS": "80"}

    def said(self, command: str) -> str:
        """The command with the reader's own names in place of those that stand for them."""
        state = f"\\g<0> --state {self.agent}"
        command = re.sub(r"holdfast-agent (enroll|check-in|run|status|attest)", state, command)
        for written, own in {"/var/lib/holdfast": str(self.data), "path/to/": "", **self.own}.items():
            command = command.replace(written, own)
        return command

    def run(self, command: str) -> tuple[str, str]:
        """Run one command; what it printed on stdout and stderr."""
        words, background, _ = self.said(command).partition(" &")
        if words.startswith(ELSEWHERE):
            return "", ""
        if background:
            with (self.folder / "background.log").open("ab") as log:
                started = subprocess.Popen(
                    ["bash", "-c", f"exec {words}"], cwd=self.folder, env=self._environ, stdout=log, stderr=log
                )
            self._background.append(started)
            return "", ""
        done = subprocess.run(
            ["bash", "-c", words],
            cwd=self.folder, env=self._environ, capture_output=True, text=True, check=False, timeout=ALLOWED_S,
        )  # fmt: skip
        assert done.returncode in RAN_FINE, f"{command}\nended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout, done.stderr

    def leave(self) -> None:
        """End what still runs."""
        for process in self._background:
            process.terminate()
            process.wait(60)


@pytest.fixture
def reader(tmp_path: Path, checkout: Path) -> Iterator[Reader]:
    who = Reader(tmp_path, checkout)
    (tmp_path / "rootfs" / "etc").mkdir(parents=True)
    (tmp_path / "rootfs" / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    yield who
    who.leave()


@pytest.fixture
def site(reader: Reader, tmp_path: Path) -> Iterator[None]:
    """A running server with an expected device, as the pages for a device take for granted."""
    folder = tmp_path / "plane"
    configured(folder)
    with ServerProcess(folder) as server:
        config = server.config

        def ask(*words: str) -> dict[str, str]:
            argv = [str(BIN / "holdfast"), *words, "--json", "--data", str(folder)]
            told: dict[str, str] = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
            return told

        model = tmp_path / "m.yaml"
        example = [str(BIN / "holdfast"), "model", "example", "door-camera"]
        model.write_bytes(subprocess.run(example, capture_output=True, check=True).stdout)
        ask("model", "add", str(model))
        ask("device", "add", "cam-1", "--model", "door-camera@1.0.0")
        claim = ask("claim", "create", "cam-1")
        reader.own |= {
            "hfc_...": claim["claim"],
            "sha256:2f6c...": certificate_fingerprint(folder / "keys" / "root.pem"),
            "https://holdfast.example:8444": f"https://localhost:{config.device_port}",
        }
        yield


def test_readme(reader: Reader, checkout: Path) -> None:
    reader.own |= ports()
    for command in commands(checkout / "README.md"):
        reader.run(command)
        serving(reader, command)


def test_running_a_control_plane(reader: Reader, checkout: Path) -> None:
    reader.own |= {**ports(), "--name holdfast.example": "--name localhost", " --pin cam-1.pin": ""}
    for command in commands(checkout / "docs/how-to/run-a-control-plane.md"):
        _, told = reader.run(command)
        serving(reader, command)
        if command.startswith("holdfast init"):
            key = re.search(r"^Log key +(.*)$", told, re.MULTILINE)
            assert key is not None
            (reader.folder / "log.key").write_text(key[1])


def test_auditing_a_device_or_image(reader: Reader, checkout: Path) -> None:
    page = checkout / "docs/how-to/audit-a-device-or-image.md"
    build = {"type": "manifest", "build": "sensor-2.1", "facts": {"stack_protector": True}}
    (reader.folder / "build-manifest.json").write_text(json.dumps(build))
    (reader.folder / "inspections.yaml").write_text("[]")
    with tarfile.open(reader.folder / "firmware.bin", "w") as image:
        image.add(reader.folder / "rootfs", ".")
    (written,) = re.findall(r"```yaml\n( *- control: .*?)```", page.read_text(), re.DOTALL)
    (reader.folder / "waivers.yaml").write_text(textwrap.dedent("   " + written.lstrip()))
    for command in commands(checkout / "docs/how-to/audit-a-device-or-image.md"):
        reader.run(command)
    assert json.loads((reader.folder / "holdfast.sarif").read_text())["version"] == "2.1.0"
    assert json.loads((reader.folder / "release-1.json").read_text())["format"] == 1
    assert "</html>" in (reader.folder / "release-2.html").read_text()


def test_hardening_a_device(reader: Reader, checkout: Path) -> None:
    shadow = reader.folder / "rootfs/etc/shadow"
    shadow.write_text("root:*:19000:0:99999:7:::\n")
    modes = []
    for command in commands(checkout / "docs/how-to/harden-a-device.md"):
        reader.run(command)
        modes.append(shadow.stat().st_mode & 0o777)
    assert modes == [0o644, 0o644, 0o644, 0o640, 0o644, 0o644, 0o644]
    assert "</html>" in (reader.folder / "guide.html").read_text()


def test_writing_your_own_controls(reader: Reader, checkout: Path) -> None:
    page = checkout / "docs/how-to/write-your-own-controls.md"
    (reader.folder / "acme").mkdir()
    written = re.findall(r"`(acme/[a-z]+\.yaml)`:\n\n *```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    for name, text in written:
        (reader.folder / name).write_text(textwrap.dedent("   " + text.lstrip()))
    assert len(written) == 3
    tunnel = reader.folder / "rootfs/etc/rc.d/S95support-tunnel"
    tunnel.parent.mkdir()
    tunnel.write_text("#!/bin/sh\nsupport-tunnel\n")
    (tunnel.parent / "S10system").write_text("#!/bin/sh\nhostname device\n")
    told = ""
    for command in commands(checkout / "docs/how-to/write-your-own-controls.md"):
        told, said = reader.run(command)
        if command.startswith("holdfast control lint"):
            assert "nothing to complain of" in said
        if command.startswith("holdfast baseline"):
            assert "Nobody there sees that it is on." in " ".join(told.split())
    before = json.loads((reader.folder / "before.json").read_text())
    assert {entry["control"]: entry["outcome"] for entry in before["judged"]}["SVC-51"] == "fail"
    assert before["catalogue"]["version"].endswith("+acme-1")
    assert re.search(r"fixed.*SVC-51|SVC-51.*fixed", told, re.DOTALL)


@pytest.mark.usefixtures("site")
def test_inspecting_a_device(reader: Reader, checkout: Path, tmp_path: Path) -> None:
    page = checkout / "docs/how-to/inspect-a-device.md"
    reader.own["2027-06-30"] = f"{int(time.strftime('%Y')) + 1}-06-30"
    enrolling = next(line for line in commands(checkout / "docs/how-to/run-the-agent.md") if "enroll" in line)
    reader.run(f"{enrolling} --root rootfs")
    reader.run("holdfast-agent check-in")
    (reader.folder / "casing.jpg").write_bytes(b"a picture")
    (written,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    (reader.folder / "inspections.yaml").write_text(written)
    at_site = f"\\g<0> --data {tmp_path / 'plane'}"
    for command in commands(checkout / "docs/how-to/inspect-a-device.md"):
        told, _ = reader.run(re.sub(r"^holdfast (device|log) [a-z]+", at_site, command))
        if command.startswith("holdfast log"):
            assert told.count("inspected") == 2


def test_keeping_keys(reader: Reader, checkout: Path) -> None:
    """The folder that `install` would make is there; nothing but the passphrase is moved."""
    reader.own |= {**ports(), "/etc/holdfast": str(reader.folder / "etc")}
    (reader.folder / "etc").mkdir()
    reader.run("holdfast init --data /var/lib/holdfast")
    for command in commands(checkout / "docs/how-to/keep-keys.md"):
        told, said = reader.run(command)
        assert "passphrase_beside" not in told + said, command


def test_running_the_authority(reader: Reader, checkout: Path) -> None:
    reader.own |= ports()
    reader.run("holdfast init --data /var/lib/holdfast")
    for command in commands(checkout / "docs/how-to/run-the-authority.md"):
        reader.run(command)
    assert (reader.folder / "anchors.pem").read_text().count("BEGIN CERTIFICATE") == 2


@pytest.mark.usefixtures("site")
def test_using_an_est_client(reader: Reader, checkout: Path, tmp_path: Path) -> None:
    (reader.folder / "root.pem").write_bytes((tmp_path / "plane" / "keys" / "root.pem").read_bytes())
    for command in commands(checkout / "docs/how-to/use-an-est-client.md"):
        reader.run(command)
    first, second = ((reader.folder / name).read_text() for name in ("device.pem", "next.pem"))
    assert first.count("BEGIN CERTIFICATE") == second.count("BEGIN CERTIFICATE") == 1
    assert first != second


@pytest.mark.usefixtures("site")
def test_enrolling_devices(reader: Reader, checkout: Path, tmp_path: Path) -> None:
    acme = Maker(tmp_path / "acme")
    (reader.folder / "root.pem").write_bytes((tmp_path / "plane" / "keys" / "root.pem").read_bytes())
    (reader.folder / "acme-roots.pem").write_bytes(acme.roots)
    (reader.folder / "idevid.pem").write_bytes(acme.idevid("SN-0042").read_bytes())
    at_site = f"\\g<0> --data {tmp_path / 'plane'}"
    for command in commands(checkout / "docs/how-to/enroll-devices.md"):
        told, _ = reader.run(re.sub(r"^holdfast [a-z-]+ [a-z]+", at_site, command))
        if command.startswith("holdfast enrollment pending"):
            assert (reader.folder / "fingerprint").read_text()[:4] in told
    for name in ("cam-1.p7", "cam-2.p7", "cam-3.p7"):
        assert (reader.folder / name).stat().st_size
    assert "<svg" in (reader.folder / "label.svg").read_text()


def test_local_secrets(reader: Reader, checkout: Path) -> None:
    page = checkout / "docs/how-to/local-secrets.md"
    reader.own |= ports()
    reader.run("holdfast init --data /var/lib/holdfast")
    reader.run("holdfast model example door-camera > camera.yaml")
    (written,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    camera = reader.folder / "camera.yaml"
    camera.write_text(camera.read_text().replace("1.0.0", "1.0.1", 1) + written)
    reader.run("holdfast model add camera.yaml")
    reader.run("holdfast device add cam-1 --model door-camera@1.0.1")
    (reader.folder / "sticker.txt").write_text("as delivered\n")
    reader.run("holdfast secret import cam-1 service --from sticker.txt --why 'so that there is one to show'")
    for command in commands(checkout / "docs/how-to/local-secrets.md"):
        told, _ = reader.run(command)
        if command.startswith("holdfast secret show cam-1 ADMIN"):
            assert len(told.strip()) == 16


def test_running_a_broker(reader: Reader, checkout: Path) -> None:
    """The folders that `install` would make are made by the command; each broker has started before it is told."""
    reader.own |= {
        **ports(),
        "/etc/holdfast-broker": str(reader.folder / "broker"),
        "/etc/holdfast-nats": str(reader.folder / "nats"),
        "--kind mosquitto": "--kind mosquitto --run-as root",
        "--port 8883 --control-port 8884": f"--port {free_port()} --control-port {free_port()}",
        "--port 8893 --control-port 8222": f"--port {free_port()} --control-port {free_port()}",
        "--leaf-port 7422": f"--leaf-port {free_port()}",
    }
    reader.run("holdfast init --data /var/lib/holdfast")
    for command in commands(checkout / "docs/how-to/run-a-broker.md"):
        reader.run(command)
        if command.endswith("&"):
            folder = reader.folder / ("nats" if command.startswith("nats") else "broker")
            assert wait_for(lambda folder=folder: has_started(folder), 20)


def test_retiring_a_device(reader: Reader, checkout: Path) -> None:
    page = checkout / "docs/how-to/retire-a-device.md"
    (written,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    reader.own |= ports()
    _, told = reader.run("holdfast init --data /var/lib/holdfast")
    key = re.search(r"^Log key +(.*)$", told, re.MULTILINE)
    assert key is not None
    (reader.folder / "log.key").write_text(key[1])
    (reader.folder / "receipt.jpg").write_bytes(b"a receipt")
    reader.run("holdfast model example door-camera > camera.yaml")
    camera = reader.folder / "camera.yaml"
    camera.write_text(camera.read_text() + written)
    reader.run("holdfast model check camera.yaml")

    async def in_use() -> None:
        async with plane_on(reader.data) as plane:
            for name in ("cam-1", "cam-2"):
                await enrolled(plane, name)

    asyncio.run(in_use())
    for command in commands(checkout / "docs/how-to/retire-a-device.md"):
        told, _ = reader.run(command)
        if command.startswith("holdfast certificate"):
            assert "Verified" in told
    assert "</html>" in (reader.folder / "cam-1.html").read_text()


@pytest.mark.usefixtures("site")
def test_running_the_agent(reader: Reader, checkout: Path) -> None:
    for command in commands(checkout / "docs/how-to/run-the-agent.md"):
        reader.run(command)


@pytest.mark.usefixtures("site")
def test_running_the_shell_client(reader: Reader, checkout: Path) -> None:
    for command in commands(checkout / "docs/how-to/shell-client.md"):
        reader.run(command)


@pytest.mark.usefixtures("site")
def test_enrolling_with_a_tpm(reader: Reader, checkout: Path, tmp_path: Path) -> None:
    (reader.folder / "OptigaEccRootCA.pem").write_bytes(maker().issuer)
    reader.own["gateway-1"] = "cam-1"
    with running_chip() as tcti:
        where = {"holdfast ": f" --data {tmp_path / 'plane'}", "holdfast-agent ": f" --tcti {tcti}"}
        for command in commands(checkout / "docs/how-to/enroll-with-a-tpm.md"):
            more = next(words for program, words in where.items() if command.startswith(program))
            told, _ = reader.run(command + more + (" --root rootfs" if "enroll" in command else ""))
            if command == "holdfast-agent tpm":
                reader.own["sha256:5f0c..."] = told.strip()
    assert (reader.agent / "identity.pem").read_text().startswith("-----BEGIN TSS2 PRIVATE KEY-----")


def test_attesting_devices(reader: Reader, checkout: Path) -> None:
    """The gateway of the page booted what the page builds, and attested; the release before was added under its key."""
    reader.own |= {"gateway-1": DEVICE, "2027-06-30": f"{int(time.strftime('%Y')) + 1}-06-30"}
    for name, (_, _, data) in zip(
        ("spl.bin", "boot.img", "vmlinuz", "initrd.img", "cmdline.txt"), booted("2.3.1"), strict=True
    ):
        (reader.folder / name).write_bytes(data)
    builder = Builder()
    attested_folder(reader.data, builder=builder, versions=("2.3.0",), runs="2.3.1")
    told = {}
    for command in commands(checkout / "docs/how-to/attest-devices.md"):
        words, said = reader.run(command)
        told[" ".join(command.split()[1:3])] = words + said
        if "genpkey" in command:
            key_files(reader.folder, builder)
            (reader.folder / "builder.pem").rename(reader.folder / "release.pem")
        if command.startswith("holdfast attest show"):
            assert "contraindicated" in words, "the release was added after the device had attested"
    assert "booted site-gateway:2.3.1" in told["reference explain"]
    assert "Genuine" in told["attest verify"]
    assert "The same verdict" in told["attest replay"]


def test_releasing_secrets(reader: Reader, checkout: Path) -> None:
    """The device has just proved its boot, so a person may have what is sealed for it."""
    reader.own["cam-1"] = DEVICE
    (reader.folder / "disk.key").write_bytes(b"the disk's key")
    attested_folder(reader.data)
    for command in commands(checkout / "docs/how-to/release-secrets.md"):
        reader.run(command)
        if "release" in command:
            assert (reader.folder / "disk.out").read_bytes() == b"the disk's key"


def test_releasing_an_update(reader: Reader, checkout: Path) -> None:
    """What the second person does with a token of their own is done by the test."""
    cameras(reader.data, bench="door-camera:2.4.0")
    for name in ("rootfs-2.4.0.img", "bom.json", "report.xml"):
        (reader.folder / name).write_bytes(b"as it was built")
    ready = False
    for command in commands(checkout / "docs/how-to/release-an-update.md"):
        if command.startswith("holdfast release validate"):
            approved(reader.data, "door-camera:2.4.0")
        told, _ = reader.run(command)
        ready = ready or "ready" in told
        if command.startswith("holdfast release show"):
            assert "It may roll out." in told
    assert ready


def test_rolling_out_an_update(reader: Reader, checkout: Path) -> None:
    page = checkout / "docs/how-to/roll-out-an-update.md"
    cameras(reader.data, release="2.4.0")
    approved(reader.data, "door-camera:2.4.0")
    (written,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    (reader.folder / "rollout.yaml").write_text(written)
    reader.run("holdfast rollout create from-file --file rollout.yaml")
    for command in commands(checkout / "docs/how-to/roll-out-an-update.md"):
        told, _ = reader.run(command)
        if command.startswith("holdfast rollout plan"):
            assert "FALLS SILENT" in told
    assert "aborted" in told
    assert json.loads(reader.run("holdfast rollout watch cameras-2.4 --json")[0])["state"] == "aborted"


def test_keeping_update_keys(reader: Reader, checkout: Path) -> None:
    """Passphrases and the word yes are typed by the test, which also adds the release that is signed."""
    (reader.folder / "passphrase").write_text("as long as it has to be\n")
    typed = " --passphrase-file passphrase"
    for who in ("anna", "ben", "cleo", "dora"):
        reader.own |= {f"--key {who}.pem": f"--key {who}.pem{typed} --yes", f"-o {who}.pem": f"-o {who}.pem{typed}"}
    cameras(reader.data)
    (reader.folder / "rootfs.img").write_bytes(b"as it was built")
    said, told = "", ""
    for command in commands(checkout / "docs/how-to/keep-update-keys.md"):
        if command == "holdfast keys fetch -o todo.json":
            reader.run(ADDING)
        told, _ = reader.run(command)
        if command.startswith("holdfast keys sign todo"):
            assert "door-camera:2.4.0 (security)" in told
            assert "WARNING" not in told
        said += told
    assert said.count("director root") == 3
    assert "held: no device goes back behind what it saw" in told
    assert "NOT HELD" not in told


def cameras(folder: Path, *, bench: str = "", release: str = "") -> None:
    """Cameras that said what they run, one of them in the lab, and a release that its signers signed."""

    async def said() -> None:
        clock = FakeClock(SystemClock().now() - 5 * MINUTE)
        async with plane_on(data_folder(folder), clock=clock) as plane:
            for number in range(4):
                device = await an_updater(plane, f"cam-{number}", site="berlin", labels=(("ring", str(number)),))
                await device.say()
            device = await an_updater(plane, "bench-1", site="lab")
            device.runs = bench or device.runs
            await device.say()
            if release:
                await offered(plane, release)

    asyncio.run(said())


def approved(folder: Path, release: str) -> None:
    """Somebody else than who added it approved a release."""

    async def approve() -> None:
        async with plane_on(folder, clock=FakeClock(SystemClock().now())) as plane:
            await plane.updating.releases.approve(plane.config.scope, release, actor="token:anna")

    asyncio.run(approve())


def test_every_page_with_commands_is_read_here(checkout: Path) -> None:
    """A page that is added must be run too."""
    pages = [checkout / "README.md", *sorted((checkout / "docs" / "how-to").glob("*.md"))]
    with_commands = {page.name for page in pages if "```console" in page.read_text()}
    read = set(re.findall(r'commands\(checkout / "(?:docs/how-to/)?([a-zA-Z-]+\.md)"\)', Path(__file__).read_text()))
    assert with_commands == read


def ports() -> dict[str, str]:
    """`holdfast init` with ports that are free here."""
    chosen = {}
    for name in ("device", "operator", "metrics"):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            chosen[name] = sock.getsockname()[1]
    given = "".join(f" --{name}-port {port}" for name, port in chosen.items())
    return {"holdfast init": "holdfast init" + given, "localhost:8443": f"localhost:{chosen['operator']}"}


def serving(reader: Reader, command: str) -> None:
    """After `holdfast serve &`: wait until it answers, as a reader sees from its first lines."""
    if command.startswith("holdfast serve"):
        for _ in range(ALLOWED_S * 10):
            if (reader.data / "operator.sock").is_socket():
                return
            time.sleep(0.1)
        pytest.fail((reader.folder / "background.log").read_text())
