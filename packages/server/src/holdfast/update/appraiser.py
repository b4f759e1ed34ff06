"""The part of `update` in the check-in: section ``update``, its answer, and the directive ``update``.

1. The section moves the device's assignment (`Desk`), in the same commit as everything else of the check-in.
2. It is no ground for a verdict: what a device says of its slots proves nothing. What it booted is `attestation`'s.
3. It is read after ``attestation`` and ``health``, so that the proof of a boot may come in the same check-in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from holdfast.ports.appraisal import Appraised, Context, SectionEvidence
from holdfast.update.desk import Desk, Word
from holdfast.update.memory import UpdateMemory, encode, memory_of
from holdfast.update.proof import proof_of
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.trust.model import Verdict
from holdfast_core.trust.posture import Desired, Wish, wish
from holdfast_core.wire.codec import decode_body
from holdfast_core.wire.update import DIRECTIVE, SECTION, UpdateAnswer, UpdateArgs, UpdateReport

_REPORT = msgspec.json.Decoder(UpdateReport)
_ARGS = msgspec.json.Decoder(UpdateArgs)
_encode_args = msgspec.json.Encoder(order="sorted").encode


def directive_of(desired: Desired, memory: UpdateMemory) -> int:
    """The number under which the device was last directed, where that was for what it is directed to."""
    if memory.args is None:
        return memory.directive
    wanted = wish(DIRECTIVE, _encode_args(memory.args)).digest
    numbers = [entry.id for entry in desired.open if entry.wish.kind == DIRECTIVE and entry.wish.digest == wanted]
    numbers += [entry.id for entry in desired.settled if entry.kind == DIRECTIVE and entry.digest == wanted]
    return numbers[0] if numbers and not memory.args.stop else memory.directive


class UpdateAppraiser:
    """Reads section ``update``.

    Args:
        desk: what follows from it.
        director: the version of the newest director timestamp for a device.
    """

    section = SECTION

    def __init__(self, desk: Desk, director: Callable[[DeviceKey], int]) -> None:
        self._desk = desk
        self._director = director

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """See the port."""
        memory = memory_of(context.posture)
        said = memory.report
        if evidence.body is not None:
            said = decode_body(evidence.body, _REPORT, section=SECTION)
        elif said is None or context.posture.sections[SECTION].digest != evidence.digest:
            return Appraised(wants_body=True)
        directive = directive_of(context.posture.desired, memory)
        proof = proof_of(context.model.model, context.posture, context.now)
        heard = self._desk.hear(context.device, context.model, Word(said, proof, directive), context.now)
        answer = UpdateAnswer(
            directive=said.attempt.directive if said.attempt is not None else 0,
            order=heard.order,
            director=self._director(context.device.key),
        )
        args = heard.args or _called_off(context.posture.desired)
        return Appraised(
            state=encode(UpdateMemory(said, args, directive)),
            changes=heard.changes,
            answer=msgspec.json.encode(answer),
        )


def _called_off(desired: Desired) -> UpdateArgs | None:
    """What calls the open directive off, where a device is directed to nothing more: no order is left open."""
    entry = next((entry for entry in desired.open if entry.wish.kind == DIRECTIVE), None)
    if entry is None:
        return None
    return msgspec.structs.replace(_ARGS.decode(entry.wish.args), stop=True)


class UpdateContributor:
    """Wishes that a device runs what it is directed to."""

    def wishes(self, context: Context, _verdict: Verdict) -> Sequence[Wish]:
        """The directive ``update``, for a device that has said what it runs."""
        if SECTION not in context.sections or context.posture.hold is not None:
            return ()
        args = memory_of(context.posture).args
        return (wish(DIRECTIVE, _encode_args(args)),) if args is not None else ()
