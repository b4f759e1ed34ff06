"""A microcontroller without the agent: ``python -m holdfast_sim.mcu URL DEVICE CA STATE``.

Its claim stands in ``HOLDFAST_CLAIM``. It composes its check-ins itself from the frames of `holdfast_core.wire` and is
judged by its build manifest, and by the tokens of its security processor, where the maker's key lies in the folder.

1. The sequence number is on the disk before the message is sent; a number never carries two messages: one that may
   not have arrived is given up, and the next number is used.
2. A body goes out once; after that its digest does, unless the server asks for the body again.
3. It carries out one directive, the renewal of its certificate; every other is reported as refused, with a code.
4. It keeps the newest signed checkpoint of the log that it was shown (``checkpoint.note``), whole: with it anybody can
   tell whether the log was cut or rewritten.
5. A token is for the nonce of the last reply, where the server asks for one; without a nonce it asks.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from holdfast_agent.enroll import enroll
from holdfast_agent.renewal import RenewArgs, renew
from holdfast_agent.state import IDENTITY, ROOT, Config, Folder
from holdfast_agent.transport import Client, parse_server, pinned_context
from holdfast_core.baseline.model import BuildManifest
from holdfast_core.kernel.digests import Digest, canonical, digest_of, parse_digest
from holdfast_core.kernel.errors import HoldfastError, WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import SECTION, Ask, Asking, Claims, Evidence, TokenEvidence, binding
from holdfast_core.wire.codec import decode_reply, encode
from holdfast_core.wire.frame import (
    VERSION,
    CheckIn,
    Directive,
    DirectiveReport,
    DirectiveState,
    Health,
    InstalledRelease,
    Reply,
    Section,
)
from holdfast_sim.link import OK, Answer, Link
from holdfast_sim.psa import KEY, Processor
from holdfast_sim.stated import today

CHECKPOINT = "checkpoint.note"
COUNT = "count.json"
RENEW = "renew"
PAUSE_S = 3
"""Between two attempts when the server could not be reached or refused."""
ROUNDS = 4
"""Check-ins at a stretch, while the server still asks for bodies."""

RELEASE = "1.8.2"
BUILD = f"soil-sensor-{RELEASE}+g3f9c2d1"
FACTS: dict[str, bool | int | str] = {
    # How it boots and is updated.
    "image_signed": True,
    "boot_chain_verified": True,
    "anti_rollback": True,
    "test_keys": False,
    "recovery_slot": True,
    "watchdog": True,
    "update_signed": True,
    "update_verified": True,
    "update_monotonic": True,
    "update_fallback": True,
    "update_source_encrypted": True,
    "update_guarded": True,
    "update_key": "sha256:2f4c8e1ab7d05936c1e2f3a4b5968778695a4b3c2d1e0f9fa8b7c6d5e4f30211",
    # What it is made of.
    "sbom": "sha256:6d1f0b8a7c5e4932a1b0c9d8e7f6051423324150617f8e9dacbdceefd0e1f203",
    "signed_manifest": "sha256:90b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f",
    "support_end": "2033-12-31",
    "release_supported": True,
    "crypto_supported": True,
    "stack_protector": True,
    "mpu": True,
    # Who it is, and how it speaks.
    "default_password": False,
    "unique_identity": True,
    "pairing_closed": True,
    "device_key": "psa",
    "key_bits_ok": True,
    "tls_min": "1.3",
    "peers_checked": True,
    "revocation_checked": True,
    "entropy_source": True,
    "wifi_security": "none",
    "radios_off": True,
    "usb_closed": True,
    "serial_shell_off": True,
    "segment_as_assigned": True,
    "rate_limited": True,
    # What it keeps.
    "data_encrypted": True,
    "data_inventory": True,
    "telemetry_opt_out": "none",
    "factory_reset_tested": True,
    "reset_wipes": True,
    "ownership_wiped": True,
    "config_integrity": "signature",
    "security_events_logged": True,
    "events_survive_power_loss": True,
    "boots_recorded": True,
    "tamper_event": True,
    "debug_pads": "dead",
}
"""What the build states of its firmware; the controls of class ``mcu`` ask for these facts."""
FUSES: dict[str, bool | int | str] = {
    "root_key_fused": True,
    "debug_port_locked": True,
    "rom_loader_locked": True,
    "readout_protected": True,
    "lifecycle": "secured",
}
"""What was read off the chip after production."""


def manifest() -> BuildManifest:
    """The manifest; the parts list was compared with the known exploited flaws on the day of the demo."""
    return BuildManifest(BUILD, {**FACTS, "kev_free": today()}, FUSES)


class Memory(msgspec.Struct, frozen=True):
    """What the device keeps between check-ins."""

    seq: int = 0
    nonce: str | None = None
    acked: dict[str, Digest] = {}
    reports: tuple[DirectiveReport, ...] = ()
    token: bool = False
    """Whether the server wants tokens."""


def bodies() -> dict[str, bytes]:
    """The sections of every check-in."""
    return {
        "baseline": canonical(manifest()),
        "health": canonical(Health(ok=True, detail="Moisture was reported over CoAP.")),
        "release": canonical(InstalledRelease(BUILD, RELEASE, "A")),
    }


def compose(memory: Memory, boot: str, sections: dict[str, bytes]) -> CheckIn:
    """The next check-in: bodies that the server has not acknowledged, digests of the others."""
    spoken = {
        name: Section(digest=digest_of(body))
        if name != SECTION and memory.acked.get(name) == digest_of(body)
        else Section(body=msgspec.Raw(body))
        for name, body in sections.items()
    }
    return CheckIn(
        v=VERSION, boot=boot, seq=memory.seq + 1, sections=spoken, nonce=memory.nonce, reports=memory.reports
    )


def heard(memory: Memory, reply: Reply, sections: dict[str, bytes]) -> Memory:
    """The memory after an answer to the check-in with the newest number."""
    acked = {name: digest_of(body) for name, body in sections.items() if name not in reply.wants}
    others = [each for each in reply.directives[: LIMITS.directive_reports] if each.kind != RENEW]
    asked = msgspec.json.decode(reply.answers[SECTION], type=Ask).token if SECTION in reply.answers else memory.token
    return Memory(memory.seq, reply.nonce, acked, tuple(map(_refused, others)), asked)


def evidence(memory: Memory, device: str, processor: Processor) -> bytes:
    """Section ``attestation``: a token, or the question for a nonce."""
    said: Evidence = Asking()
    if memory.token and memory.nonce is not None:
        said = TokenEvidence(memory.nonce, processor.token(binding(memory.nonce, device, Claims())))
    return msgspec.json.encode(said)


def _refused(directive: Directive) -> DirectiveReport:
    sentence = "A microcontroller enforces nothing by itself; its gateway has to."
    return DirectiveReport(directive.id, DirectiveState.REFUSED, "mcu.no_enforcer", sentence)


class Sensor:
    """The device in a state folder; it is enrolled already. Raises WorldError ``link.failed``."""

    def __init__(self, url: str, folder: Folder) -> None:
        self._url = url
        self._folder = folder
        self._boot = os.urandom(16).hex()
        self._memory = _remembered(folder.path / COUNT)
        self._device = folder.config().device
        self._processor = Processor(folder.path, BUILD) if (folder.path / KEY).exists() else None
        self._link = Link(url, folder.path / ROOT, folder.path / IDENTITY)

    def contact(self) -> int:
        """Check in, again while the server asks for something; returns seconds until the next time."""
        wait = PAUSE_S
        for _ in range(ROUNDS):
            sections = self._sections()
            message = compose(self._memory, self._boot, sections)
            self._memory = msgspec.structs.replace(self._memory, seq=message.seq)
            self._keep()
            reply = _reply(self._link.check_in(encode(message)))
            self._memory = heard(self._memory, reply, sections)
            for directive in reply.directives:
                if directive.kind == RENEW:
                    self._renew(directive)
            self._keep()
            if reply.checkpoint is not None:
                self._folder.write(CHECKPOINT, reply.checkpoint.encode())
            wait = reply.next_s
            if not reply.wants and not self._memory.reports:
                break
        return wait

    def _sections(self) -> dict[str, bytes]:
        if self._processor is None:
            return bodies()
        return {**bodies(), SECTION: evidence(self._memory, self._device, self._processor)}

    def _renew(self, directive: Directive) -> None:
        """Get the next certificate, and speak with it from here on; what fails is asked for again."""
        config, link = self._folder.config(), self._link
        root = (self._folder.path / ROOT).read_text("ascii")
        client = Client(parse_server(self._url), pinned_context(root, self._folder.path / IDENTITY))
        try:
            renew(self._folder, config, client, msgspec.json.decode(directive.args, type=RenewArgs))
        except HoldfastError as error:
            sys.stderr.write(f"{error}\n")
            return
        finally:
            client.close()
        report = DirectiveReport(directive.id, DirectiveState.DONE)
        self._memory = msgspec.structs.replace(self._memory, reports=(*self._memory.reports, report))
        self._link = Link(self._url, self._folder.path / ROOT, self._folder.path / IDENTITY)
        link.close()

    def close(self) -> None:
        """Close the connection: the radio goes to sleep."""
        self._link.close()

    def _keep(self) -> None:
        self._folder.write(COUNT, msgspec.json.encode(self._memory))


def _remembered(path: Path) -> Memory:
    return msgspec.json.decode(path.read_bytes(), type=Memory) if path.exists() else Memory()


def _reply(answer: Answer) -> Reply:
    if answer.status == OK:
        return decode_reply(answer.body, LIMITS)
    raise WorldError(
        "mcu.refused",
        f"The server answered {answer.status}: {answer.body[: LIMITS.text].decode(errors='replace')}",
        remedy="Do what the server's answer says.",
    )


def main(arguments: list[str]) -> int:
    """Enroll if that is still to be done, then check in for ever; returns only when enrollment fails."""
    url, device, ca, state = arguments
    folder = Folder(Path(state))
    try:
        with folder.locked():
            if not folder.enrolled:
                claim = os.environ.get("HOLDFAST_CLAIM", "")
                enroll(folder, Config(server=url, device=device), ca=parse_digest(ca), claim=claim)
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    while True:
        time.sleep(_session(url, folder))


def _session(url: str, folder: Folder) -> int:
    """One waking of the radio; seconds until the next."""
    try:
        sensor = Sensor(url, folder)
        try:
            return sensor.contact()
        finally:
            sensor.close()
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        return PAUSE_S


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
