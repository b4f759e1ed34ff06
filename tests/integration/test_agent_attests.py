"""The agent attests with a real chip in software: one command a quote, and a server that hears what it asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec
import pytest

from agent_builders import CLAIM, FakeServer, device_root, serving
from attest_agent_builders import HANDLE, QUOTE, Sysfs, answer, counting, lines_of, verified
from builders import ACTOR
from holdfast_agent import transport
from holdfast_agent.clock import Clock
from holdfast_agent.loop import Agent
from holdfast_agent.means import Way
from holdfast_agent.quoting import Quoter, quote, registers_of, sender
from holdfast_agent.state import QUOTING, STATE, Config, Enrollment, Folder, Kept, KeyPlace, QuotingKey, Stored
from holdfast_agent.tpm import PLACES, opened
from holdfast_agent.tpm_enroll import after, remove_all, remove_earlier
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import BOOT_LOG, SECTION, Ask, Asking, Evidence, TpmEvidence, Unable, binding
from holdfast_core.wire.codec import decode_check_in
from served_builders import served
from tpm_builders import managed, need, running_chip

NONCE = bytes(range(32))
SHA256 = 0x000B
REGISTERS = (0, 1, 7, 10)
SYSTEM = "/usr/bin/python3"
PACKAGES = "/usr/lib/python3/dist-packages"


def keep(tcti):
    """What an enrollment leaves of the attestation key."""
    with opened(tcti) as chip:
        ak, _ = chip.make_keys()
        handle, why = chip.keep_attestation()
    return QuotingKey(ak.public, ak.private, handle, why)


def tool(tcti, *command):
    environment = {**os.environ, "TPM2TOOLS_TCTI": tcti}
    return subprocess.run(command, env=environment, check=True, capture_output=True).stdout.decode()


@pytest.fixture
def chip():
    need("tpm2_send")
    with running_chip(certified=False) as tcti:
        yield tcti


# The contract of both ways


def test_the_tools_quote_with_one_command(chip, tmp_path):
    key = keep(chip)
    with counting(chip, tmp_path) as (tcti, seen):
        made = quote(sender(Way.TOOLS, tcti), key.handle, NONCE, SHA256, REGISTERS)
    attestation = verified(made.quote, made.signature, key.public, NONCE)
    assert attestation.attested.selections[0].registers == REGISTERS
    assert seen == [QUOTE]


BY_PYTSS = """
import sys, json
sys.path += json.loads(sys.argv[1])  # last: it needs the cryptography that Debian built it with
from holdfast_agent.means import Way
from holdfast_agent.quoting import quote, registers_of, sender
from holdfast_core.kernel.errors import WorldError
send = sender(Way.PYTSS, sys.argv[2])
made = quote(send, int(sys.argv[3]), bytes(range(32)), 0xB, (0, 1, 7, 10))
values = registers_of(send, 0xB, range(24)) if sys.argv[4] == "all" else {}
try:
    sender(Way.PYTSS, "swtpm:path=/nonexistent/socket")(b"")
except WorldError as error:
    code = error.code
print(json.dumps([made.quote.hex(), made.signature.hex(), len(values), code]))
"""


def by_pytss(tcti, handle, what):
    """The same by tpm2-pytss, in the Python that Debian built it for."""
    if subprocess.run([SYSTEM, "-c", "import tpm2_pytss"], check=False, capture_output=True).returncode:
        pytest.skip("python3-tpm2-pytss is not installed")
    if (
        subprocess.run([SYSTEM, "-VV"], check=True, capture_output=True).stdout[:11]
        != f"Python {sys.version[:4]}".encode()
    ):
        pytest.skip("Debian's Python is of another version than this one, whose msgspec it would have to load")
    paths = [path for path in sys.path if path.endswith(("src", "site-packages"))]
    command = [SYSTEM, "-c", BY_PYTSS, json.dumps(paths), tcti, str(handle), what]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "TSS2_LOG": "all+NONE"}
    )
    assert done.returncode == 0, done.stderr
    made, signature, count, code = json.loads(done.stdout)
    return bytes.fromhex(made), bytes.fromhex(signature), count, code


def test_tpm2_pytss_quotes_with_one_command(chip, tmp_path):
    key = keep(chip)
    with counting(chip, tmp_path) as (tcti, seen):
        made, signature, _, code = by_pytss(tcti, key.handle, "quote")
    attestation = verified(made, signature, key.public, NONCE)
    assert attestation.attested.selections[0].registers == REGISTERS
    assert seen == [QUOTE]
    assert code == "agent.tpm"
    assert by_pytss(chip, key.handle, "all")[2] == 24


def test_a_quote_goes_through_a_resource_manager(chip, monkeypatch):
    key = keep(chip)
    with managed(chip, monkeypatch) as tcti:
        made = quote(sender(Way.TOOLS, tcti), key.handle, NONCE, SHA256, REGISTERS)
    verified(made.quote, made.signature, key.public, NONCE)


# The key's place in the chip


def test_the_attestation_key_survives_a_reset_of_the_chip(chip):
    key = keep(chip)
    assert key.handle == HANDLE == PLACES[0]
    before = verified(*_quoted(chip, key), key.public, NONCE)
    path = chip.removeprefix("swtpm:path=")
    subprocess.run(["swtpm_ioctl", "--unix", f"{path}.ctrl", "-i"], check=True, capture_output=True)
    tool(chip, "tpm2_startup", "-c")
    after_reset = verified(*_quoted(chip, key), key.public, NONCE)
    assert after_reset.clock.resets == before.clock.resets + 1


def _quoted(tcti, key):
    made = quote(sender(Way.TOOLS, tcti), key.handle, NONCE, SHA256, REGISTERS)
    return made.quote, made.signature


def test_a_key_that_the_chip_has_no_room_for_is_loaded_once_and_quotes(chip, monkeypatch):
    monkeypatch.setattr("holdfast_agent.tpm.PLACES", range(HANDLE, HANDLE + 1))
    keep(chip)
    key = keep(chip)
    assert (key.handle, "are taken" in key.why) == (0, True)
    quoter = Quoter(key, Way.TOOLS, chip)
    for _ in range(2):
        made = quoter.quote(NONCE, "sha256", REGISTERS)
        verified(made.quote, made.signature, key.public, NONCE)


def test_a_chip_that_refuses_to_keep_the_key_is_said_why(chip):
    with opened(chip) as without_keys:
        handle, why = without_keys.keep_attestation()
    assert handle == 0
    assert "tpm2_evictcontrol" in why


def test_the_key_before_goes_once_the_new_one_is_kept_and_nobody_elses_does(chip, tmp_path):
    folder = Folder(tmp_path / "state")
    first, other = keep(chip), keep(chip)
    second = after(first, keep(chip))
    assert second.earlier == (Kept(first.handle, first.public),)
    wrong = Kept(other.handle, first.public)  # the handle now holds a key that is not the one remembered
    folder.write(QUOTING, msgspec.json.encode(msgspec.structs.replace(second, earlier=(*second.earlier, wrong))))
    remove_earlier(folder, chip)
    there = tool(chip, "tpm2_getcap", "handles-persistent").lower()
    assert [f"{key.handle:#x}" in there for key in (first, other, second)] == [False, True, True]
    assert folder.quoting().earlier == ()
    remove_all(folder, chip)
    assert f"{second.handle:#x}" not in tool(chip, "tpm2_getcap", "handles-persistent").lower()


# Check-ins


class Wire:
    """A channel to a server that answers by a script; it keeps what was sent."""

    def __init__(self):
        self.asks, self.sent = [], []

    def call(self, _method, _path, body=b"", _headers=None):
        check_in = decode_check_in(body, LIMITS)
        self.sent.append(check_in)
        ask, wants = self.asks.pop(0) if self.asks else (None, ())
        return answer(check_in.seq, ask, wants=wants)[2]

    def close(self):
        pass

    def evidence(self, number):
        return msgspec.json.decode(bytes(self.sent[number].sections[SECTION].body), type=Evidence)


class Device:
    """A device that was enrolled with its chip."""

    def __init__(self, folder, tcti, key):
        self.sysfs, self.proc = Sysfs(folder), folder / "proc"
        self.reboot("1")
        root = device_root(folder)
        self.config = Config(
            "https://x", "cam-1", root=str(root), proc=str(self.proc), key=KeyPlace.TPM, tcti=tcti,
            sys=str(self.sysfs.path),
        )  # fmt: skip
        self.folder = Folder(folder / "state")
        self.folder.enroll(Enrollment("", "", self.config, Stored(), "", key))
        self.wire = Wire()

    def reboot(self, name):
        path = self.proc / "sys/kernel/random/boot_id"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    def agent(self):
        return Agent(self.folder, self.config, Clock("cam-1", self.proc), lambda _folder, _config: self.wire)

    def contact(self, *asks, agent=None):
        """One contact; the server's asks in turn, each with what it wants again. Returns the check-ins."""
        self.wire.asks, before = list(asks), len(self.wire.sent)
        assert (agent or self.agent()).contact()
        return range(before, len(self.wire.sent))


@pytest.fixture
def device(chip, tmp_path):
    key = keep(chip)
    with counting(chip, tmp_path) as (tcti, seen):
        made = Device(tmp_path, tcti, key)
        made.key, made.seen = key, seen
        yield made


ASK = Ask(registers=REGISTERS, ima=True, nonce_s=900)
AGAIN = (SECTION,)


def test_a_device_asks_and_attests_in_the_same_contact_with_one_command(device):
    device.sysfs.log(b"events " * 100)
    device.sysfs.ima(0, 3)
    first, second = device.contact((ASK, AGAIN), (ASK, ()))
    assert device.wire.evidence(first) == Asking()
    evidence = device.wire.evidence(second)
    assert evidence.nonce == device.wire.sent[second].nonce
    bound = binding(evidence.nonce, "cam-1", evidence.claims)
    verified(evidence.quote, evidence.signature, device.key.public, bound)
    assert device.wire.sent[second].sections[BOOT_LOG].body
    assert device.seen == [QUOTE]


def test_the_event_log_travels_as_its_digest_once_the_server_holds_it(device):
    device.sysfs.log(bytes(range(256)) * 20)
    device.contact((ASK, AGAIN), (ASK, ()))
    (third,) = device.contact((ASK, ()))
    assert device.wire.sent[third].sections[BOOT_LOG].body is msgspec.UNSET
    assert isinstance(device.wire.evidence(third), TpmEvidence)
    wanting = device.contact((ASK, (BOOT_LOG, SECTION)), (ASK, ()))
    assert device.wire.sent[wanting[-1]].sections[BOOT_LOG].body
    assert device.seen == [QUOTE] * 4


@pytest.mark.parametrize("resident", [True, False])
def test_the_ima_list_goes_on_where_the_server_asks_also_in_a_new_process(device, resident):
    agent = device.agent() if resident else None
    device.sysfs.log(b"events")
    device.sysfs.ima(0, 10)
    _, second = device.contact((ASK, AGAIN), (msgspec.structs.replace(ASK, ima_from=10), ()), agent=agent)
    assert len(lines_of(device.wire.evidence(second))) == 10
    device.sysfs.ima(10, 4)
    (third,) = device.contact((msgspec.structs.replace(ASK, ima_from=14), ()), agent=agent)
    evidence = device.wire.evidence(third)
    assert (evidence.ima.start, len(lines_of(evidence))) == (10, 4)
    assert device.folder.state().ima.places[-1][0] == 14


def test_a_reboot_begins_the_list_anew_and_needs_a_new_nonce(device):
    device.sysfs.log(b"events")
    device.sysfs.ima(0, 10)
    device.contact((ASK, AGAIN), (msgspec.structs.replace(ASK, ima_from=10), ()))
    device.reboot("2")
    first, second = device.contact((msgspec.structs.replace(ASK, ima_from=10), AGAIN), (ASK, ()))
    assert device.wire.evidence(first) == Asking()
    assert device.wire.evidence(second).ima.start == 0


def test_a_lost_state_finds_its_place_in_the_list_by_counting(device):
    device.sysfs.log(b"events")
    device.sysfs.ima(0, 10)
    device.contact((ASK, AGAIN), (ASK, ()))
    device.folder.write(STATE, msgspec.json.encode(Stored(device.folder.state().protocol)))
    device.sysfs.ima(10, 2)
    second = device.contact((msgspec.structs.replace(ASK, ima_from=10), AGAIN), (ASK, ()))[-1]
    evidence = device.wire.evidence(second)
    assert (evidence.ima.start, len(lines_of(evidence))) == (10, 2)


def test_registers_of_the_real_chip_explain_the_quote_where_there_is_no_log(device):
    tool(device.config.tcti, "tpm2_pcrextend", f"7:sha256={'ab' * 32}")
    _, second = device.contact((ASK, AGAIN), (ASK, ()))
    values = registers_of(sender(Way.TOOLS, device.config.tcti), SHA256, REGISTERS)
    assert device.wire.evidence(second).registers == {str(number): value.hex() for number, value in values.items()}


def test_an_unanswered_message_is_sent_again_as_it_was_and_quotes_nothing(device):
    device.sysfs.log(b"events")
    device.contact((ASK, ()))
    agent, real = device.agent(), device.wire.call

    def lost(*arguments):
        real(*arguments)
        raise transport.Failed(_refusal())

    device.wire.call = lost
    assert not agent.contact()
    quotes = len(device.seen)
    device.wire.call = real
    device.wire.asks = [(ASK, ())]
    assert device.agent().contact()
    assert device.wire.sent[-1] == device.wire.sent[-2]
    assert len(device.seen) == quotes == 1


def _refusal():
    from holdfast_core.wire.device import Refusal  # noqa: PLC0415  (one test needs it)

    return Refusal(0, "agent.unreachable", "It was lost.", "Wait.")


def test_a_chip_that_was_cleared_is_told_and_the_check_in_goes_on(device):
    device.sysfs.log(b"events")
    device.contact((ASK, ()))
    tool(device.config.tcti, "tpm2_clear")
    (number,) = device.contact((ASK, ()))
    assert device.wire.evidence(number) == Unable("key-gone")


def test_a_quote_imports_no_cryptography(device, tmp_path):
    device.sysfs.log(b"events")
    device.contact((ASK, ()))
    code = (
        "import sys, json; from pathlib import Path\n"
        "from holdfast_agent.dry_run import dry_run; from holdfast_agent.clock import Clock\n"
        "from holdfast_agent.state import Folder\n"
        "folder = Folder(Path(sys.argv[1])); config = folder.config()\n"
        "shown = dry_run(folder, config, Clock('cam-1', Path(config.proc)), 'aabbccdd')\n"
        "print(json.dumps([shown['attestation']['type'], sorted(sys.modules)]))"
    )
    told = subprocess.run([sys.executable, "-I", "-c", code, tmp_path / "state"], check=True, capture_output=True)
    kind, modules = json.loads(told.stdout)
    assert kind == "tpm"
    assert not {"cryptography", "asyncio", "tempfile", "shutil", "tpm2_pytss", "holdfast_agent.tpm"} & set(modules)


# Through the commands, with a real server


def agent(*arguments, claim=None):
    environment = {name: value for name, value in os.environ.items() if name != "HOLDFAST_CLAIM"}
    if claim is not None:
        environment["HOLDFAST_CLAIM"] = claim
    command = [sys.executable, "-m", "holdfast_agent", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_an_enrolled_device_shows_its_evidence_and_what_it_attests_with(chip, tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    sysfs, state = Sysfs(tmp_path), tmp_path / "state"
    with served(tmp_path / "server") as server, managed(chip, monkeypatch) as tcti:
        server.claim("cam-1", "site-gateway")  # whose model asks for evidence of the boot
        digest = json.loads(agent("tpm", "--tcti", tcti, "--json").stdout)["digest"]
        server.do(server.plane.chips.pin(server.key("cam-1"), digest, actor=ACTOR))
        done = agent(
            "enroll", server.url, "--device", "cam-1", "--ca", server.root, "--state", state,
            "--root", tmp_path / "root", "--key", "tpm", "--tcti", tcti, "--sys", sysfs.path,
            "--claims-file", tmp_path / "claims.json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        first = Folder(state).quoting()
        assert first.handle in PLACES
        assert agent("check-in", "--state", state).returncode == 0
        appraisal = server.posture("cam-1").appraisal("attestation")
        assert appraisal is not None
        assert appraisal.tier is not Tier.CONTRAINDICATED
        server.clock.forward(29 * 86_400_000)
        assert agent("check-in", "--state", state, "--now").returncode == 0
        renewed = Folder(state).quoting()
        assert renewed.public != first.public
        there = tool(tcti, "tpm2_getcap", "handles-persistent").lower()
        assert [f"{key.handle:#x}" in there for key in (first, renewed)] == [False, True]
        shown = agent("attest", "--nonce", "00112233445566778899aabbccddeeff", "--state", state)
        assert shown.returncode == 0, shown.stderr
        evidence = msgspec.convert(json.loads(shown.stdout)["attestation"], TpmEvidence)
        bound = binding("00112233445566778899aabbccddeeff", "cam-1", evidence.claims)
        verified(evidence.quote, evidence.signature, renewed.public, bound)
        status = agent("status", "--state", state).stdout
        assert "attestation: tpm2-tools, the key stays in the chip at 0x810101" in status
        assert f"{tmp_path}/claims.json cannot be read" in status


def test_a_device_without_a_chip_says_so_in_its_first_check_in_and_its_status(tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_CLAIM", CLAIM)
    root = device_root(tmp_path)
    with serving(FakeServer(), tmp_path) as server:
        state = tmp_path / "state"
        options = ("--device", "cam-1", "--ca", server.authority.digest, "--state", state, "--root", root)
        wrong = agent("enroll", server.url, *options, "--attest-token", "token --psa", claim=CLAIM)
        assert (wrong.returncode, "enroll.attest_token" in wrong.stderr) == (2, True)
        assert agent("enroll", server.url, *options, claim=CLAIM).returncode == 0
        assert agent("check-in", "--state", state).returncode == 0
        body = bytes(server.check_ins[0].sections[SECTION].body)
        assert msgspec.json.decode(body, type=Evidence) == Unable("no-tpm")
        assert (
            "attestation: none: this device was not enrolled with a TPM (no-tpm)"
            in agent("status", "--state", state).stdout
        )
