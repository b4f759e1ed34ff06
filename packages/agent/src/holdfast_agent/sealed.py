"""``holdfast-agent secret``: what an operator sealed for this device, fetched at a start for whoever needs it.

1. The secret goes to the caller and nowhere else: no file, log, argument, environment or error has it.
2. Where the server misses fresh evidence, the device checks in with it, once, and asks once more. An audit that is due
   is left for later: somebody waits.
3. While another agent holds the state folder, checking in is that one's; this one only asks.
4. What cannot be a secret is none: nobody opens a disk with an empty answer.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from holdfast_agent.clock import Clock
from holdfast_agent.dialing import dial
from holdfast_agent.loop import OVER, RENEW_FIRST, Agent, say
from holdfast_agent.state import Config, Folder
from holdfast_agent.transport import Channel, Failed
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import parse_name
from holdfast_core.wire.device import Refusal
from holdfast_core.wire.sealed import LARGEST, PATH

ATTEST_FIRST = frozenset({"sealed.not_attested", "sealed.pending", "sealed.stale"}) | RENEW_FIRST
"""Refusals that a check-in with fresh evidence may answer."""
Connect = Callable[[Folder, Config], Channel]


def checked_name(name: str) -> str:
    """Return `name` if a secret may have it, or raise HostileData ``name.invalid``."""
    return parse_name(name, what="name of a secret")


def secret_for(folder: Folder, config: Config, clock: Clock, name: str, connect: Connect = dial) -> bytes:
    """The secret `name` of this device: 1 to 8192 bytes.

    Args:
        folder: the agent's state; locked by nobody here.
        config: what was decided at enrollment.
        clock: its sense of time.
        name: what the operator sealed it under.
        connect: makes a connection.

    Raises:
        HostileData: ``name.invalid``.
        Failed: ``sealed.*``, ``identity.*``, or why the server could not be reached.
        WorldError: ``agent.*``.
    """
    path = PATH + quote(checked_name(name), safe="")
    try:
        return _fetched(folder, config, path, connect)
    except Failed as refusal:
        if refusal.code not in ATTEST_FIRST or not _attested(folder, config, clock, connect):
            raise
    return _fetched(folder, config, path, connect)


def _fetched(folder: Folder, config: Config, path: str, connect: Connect) -> bytes:
    channel = connect(folder, config)
    try:
        secret = channel.call("POST", path, b"")
    finally:
        channel.close()
    if not 1 <= len(secret) <= LARGEST:
        raise Failed(
            Refusal(
                0,
                "agent.bad_secret",
                f"The server's answer has {len(secret)} bytes; a secret has 1 to {LARGEST}.",
                "Check that the address is Holdfast's device port.",
            )
        )
    return secret


def _attested(folder: Folder, config: Config, clock: Clock, connect: Connect) -> bool:
    """Check in with evidence; whether it is worth to ask again. Raises Failed where the check-in came to nothing."""
    try:
        with folder.locked():
            agent = Agent(folder, config, clock, connect)
            taken = agent.contact(audit=False)
            if agent.retired:
                say(OVER)
                return False
            agent.give_up_trial()
    except WorldError as error:
        if error.code != "agent.busy":
            raise
        say("Another agent runs here; it sends fresh evidence at its next check-in.")
        return False
    if not taken and agent.state.trouble is not None:
        raise Failed(agent.state.trouble)
    return taken
