"""Reading what clients of hawkBit's DDI API send: bounded documents, and what of them is kept for people.

1. Bodies, numbers of attributes, names and values are bounded; text is made fit to be shown before it is kept.
2. Details of a feedback are lines of a log: their beginning is kept, for that is where the cause stands.

Source: Eclipse hawkBit, Direct Device Integration API v1.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.printable import printable
from holdfast_core.update.ddi_shapes import ConfigData, Feedback

LARGEST_FEEDBACK = 128 * 1024
"""Bytes; SWUpdate sends up to 48 lines of its log at once."""
LARGEST_CONFIG = 32 * 1024
ATTRIBUTES = 64
ATTRIBUTE_NAME = 63
ATTRIBUTE_VALUE = 256
"""Characters."""
SAID = 400
"""Characters that are kept of what a client says of a failure."""
SHORTEST_S = 30
LONGEST_S = 24 * 3600 - 1
"""Of a polling interval: two digits of hours."""
_T = TypeVar("_T")
_FEEDBACK = msgspec.json.Decoder(Feedback)
_CONFIG = msgspec.json.Decoder(ConfigData)


def parse_feedback(data: bytes) -> Feedback:
    """A client's feedback on an action.

    Raises:
        LimitExceeded: ``ddi.too_large``.
        HostileData: ``ddi.malformed``.
    """
    return _parsed(data, LARGEST_FEEDBACK, _FEEDBACK)


def parse_config(data: bytes) -> ConfigData:
    """A client's attributes; values are made fit to be shown.

    Raises:
        LimitExceeded: ``ddi.too_large``.
        HostileData: ``ddi.malformed``, ``ddi.attributes``.
    """
    config = _parsed(data, LARGEST_CONFIG, _CONFIG)
    if len(config.data) > ATTRIBUTES:
        raise bad_attributes(f"There are {len(config.data)} attributes.")
    for name, value in config.data.items():
        if not 0 < len(name) <= ATTRIBUTE_NAME or not name.isprintable():
            raise bad_attributes("The name of an attribute is empty, too long or not printable.")
        if len(value) > ATTRIBUTE_VALUE:
            raise bad_attributes(f"The value of {name!r} has {len(value)} characters.")
    return config


def _parsed(data: bytes, largest: int, decoder: msgspec.json.Decoder[_T]) -> _T:
    if len(data) > largest:
        raise LimitExceeded("ddi.too_large", f"The body is over {largest} bytes.", remedy="Send fewer details.")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HostileData(
            "ddi.malformed",
            f"This is no document of the DDI API: {printable(str(error))[:200]}.",
            remedy="Send what hawkBit's Direct Device Integration API v1 describes.",
        ) from None


def bad_attributes(sentence: str) -> HostileData:
    """The refusal of attributes."""
    return HostileData(
        "ddi.attributes",
        sentence,
        remedy=f"Send at most {ATTRIBUTES} attributes, names of up to {ATTRIBUTE_NAME} and values of up to "
        f"{ATTRIBUTE_VALUE} characters.",
    )


def said(feedback: Feedback) -> str:
    """The lines of a feedback as one sentence, bounded and fit to be shown."""
    kept: list[str] = []
    room = SAID
    for line in feedback.status.details:
        if text := line[:SAID].strip():
            kept.append(printable(text))
            room -= len(kept[-1]) + 2
        if room <= 0:
            break
    return ("; ".join(kept) or "The client gave no details.")[:SAID]


def percent_of(feedback: Feedback, before: int) -> int:
    """How far it is, of 100; as `before` where it does not say."""
    progress = feedback.status.result.progress
    if progress is None or not progress.of > 0 or progress.cnt > progress.of:
        return before
    return 100 * progress.cnt // progress.of


def sleep_text(seconds: int) -> str:
    """A polling interval as ``HH:MM:SS``, within what clients take."""
    bounded = max(SHORTEST_S, min(seconds, LONGEST_S))
    return f"{bounded // 3600:02d}:{bounded // 60 % 60:02d}:{bounded % 60:02d}"
