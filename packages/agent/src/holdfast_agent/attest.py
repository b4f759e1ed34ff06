"""The agent's half of attestation: which evidence of the device's boot goes into a check-in, and when.

1. Evidence is for a nonce that came in this boot and is still taken; without one the agent asks, and the reply that
   brings one wants the section again, in the same contact.
2. One contact holds evidence once, and again where the server wants it again or the key became another: a quote costs
   the chip a signature.
3. What the server last asked (`Ask`) decides the registers and where the IMA list goes on; where it wants neither
   quote nor token, the agent leaves the sections out.
4. The IMA list is read after the quote, so it is never shorter than what was quoted. Registers travel where there is
   no event log to explain them; they are read around the quote until both agree.
5. A chip or program that fails is told as such (`Unable`), never a reason not to check in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from holdfast_agent.boot_log import BootLogFile
from holdfast_agent.claims import claims
from holdfast_agent.ima import take
from holdfast_agent.means import Means, asks, means_of
from holdfast_agent.state import Config, Folder, ImaPlaces
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import (
    BOOT_LOG,
    SECTION,
    Ask,
    Asking,
    Claims,
    Evidence,
    ImaSlice,
    TokenEvidence,
    TpmEvidence,
    Unable,
    binding,
)
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.device import DeviceState, Part

if TYPE_CHECKING:
    from holdfast_agent.quoting import Quoter

FRAME_BYTES = 48 * 1024
"""Of a check-in that are left to its frame: reports, names and digests."""
SLICE_BYTES = 512
"""What a slice adds to the evidence beside its packed lines."""
_WORDS: Mapping[str, str] = {
    "agent.tpm_key_gone": "key-gone",
    "agent.tpm_tools": "no-tools",
    "agent.attest_token": "token-failed",
}
"""Words for the server, by the code of what failed; the rest is ``tpm-failed``."""


def heard(state: DeviceState) -> Ask | None:
    """What the server last asked of the evidence; `None` before it did, or where that cannot be read."""
    try:
        return msgspec.json.decode(state.answers.get(SECTION, ""), type=Ask)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Attester:
    """Gathers evidence, contact after contact.

    Args:
        folder: where the attestation key's place is kept.
        config: where to look.
        say: tells a person what failed; the same thing once only.
        places: what is remembered of the IMA list.
    """

    def __init__(
        self, folder: Folder, config: Config, say: Callable[[str], None], places: ImaPlaces | None = None
    ) -> None:
        self._folder = folder
        self._config = config
        self._say = say
        self._said = ""
        self._log = BootLogFile(config)
        self._quoter: Quoter | None = None
        self._spoken = False
        self._void: str | None = None
        """A nonce that was given to the key before."""
        self.places = places or ImaPlaces()

    def begin(self) -> None:
        """A contact begins."""
        self._spoken = False

    def rekeyed(self, nonce: str | None) -> None:
        """The attestation key is another one: `nonce`, the last one, is not for it, and it has not spoken yet."""
        self._void, self._spoken = nonce, False

    def parts(self, state: DeviceState, now: Moment, others: int = 0) -> tuple[Part, ...]:
        """The sections ``attestation`` and ``boot-log`` of the next check-in.

        Args:
            state: what the protocol remembers.
            now: the moment.
            others: bytes of the other sections.
        """
        ask, wanted = heard(state), {SECTION, BOOT_LOG} & set(state.wants)
        means = means_of(self._folder, self._config, ask)
        if not asks(ask) or (self._spoken and not wanted):
            return ()
        self._spoken = True
        room = LIMITS.check_in_bytes - FRAME_BYTES - others
        log = self._log.body(now.boot) if means.key is not None else b""
        log = log if len(log) <= room else b""
        evidence = self._evidence(state, now, ask, means, room - len(log), logged=bool(log))
        spoken = Part(SECTION, msgspec.json.encode(evidence))
        if log and (isinstance(evidence, TpmEvidence) or BOOT_LOG in wanted):
            return spoken, Part(BOOT_LOG, log)
        return (spoken,)

    def _evidence(
        self, state: DeviceState, now: Moment, ask: Ask | None, means: Means, room: int, *, logged: bool
    ) -> Evidence:
        if means.why:
            return Unable(means.why)
        if ask is None or state.nonce in (None, self._void) or not _taken(ask, state, now):
            return Asking()
        said, _ = claims(self._config)
        try:
            evidence = self._attested(state.nonce, ask, means, said, logged=logged)
        except (WorldError, HostileData) as error:
            self._tell(str(error))
            return Unable(_WORDS.get(error.code, "tpm-failed"))
        self._tell("")
        if isinstance(evidence, TpmEvidence) and ask.ima:
            return msgspec.structs.replace(evidence, ima=self._ima(ask, now.boot, evidence, room))
        return evidence

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._said:
            self._say(trouble)
        self._said = trouble

    def _attested(self, nonce: str, ask: Ask, means: Means, said: Claims, *, logged: bool) -> Evidence:
        """Evidence without the IMA list. Raises WorldError, HostileData."""
        bound = binding(nonce, self._config.device, said)
        if means.key is None or means.way is None:
            from holdfast_agent.token_command import token_for  # noqa: PLC0415  (only where there is such a program)

            return TokenEvidence(nonce, token_for(self._config.attest_token, bound), said)
        from holdfast_agent.quoting import Quoter  # noqa: PLC0415  (only where there is a chip)
        from holdfast_agent.registers import quoted_with_values  # noqa: PLC0415  (the same)
        from holdfast_agent.tpm_commands import BANKS  # noqa: PLC0415  (the same)

        if ask.bank not in BANKS:
            return Unable("unknown-bank")
        if self._quoter is None or self._quoter.key != means.key:
            self._quoter = Quoter(means.key, means.way, self._config.tcti)
        if logged:
            quote = self._quoter.quote(bound, ask.bank, ask.registers)
            return TpmEvidence(nonce, quote.quote, quote.signature, said)
        quote, values = quoted_with_values(self._quoter, self._config, bound, ask)
        return TpmEvidence(nonce, quote.quote, quote.signature, said, registers=values)

    def _ima(self, ask: Ask, boot: str, evidence: TpmEvidence, room: int) -> ImaSlice | None:
        """The next slice, as large as the section and the check-in allow."""
        left = min(room, LIMITS.section_bytes) - len(msgspec.json.encode(evidence)) - SLICE_BYTES
        taken = take(self._config, ask.ima_from, self.places, boot, left * 3 // 4)
        if taken is None:
            return None
        self.places = taken.places
        return taken.part


def _taken(ask: Ask, state: DeviceState, now: Moment) -> bool:
    """Whether the nonce of the last reply is still taken: it came in this boot, and not too long ago."""
    age = now.since(state.answered) if state.answered is not None else None
    return age is not None and age <= ask.nonce_s
