"""The drill: what whoever stole a key could do, what he could not, and what ends it; played, not asserted.

1. Every attack is carried out with the twin's stand-in keys against python-tuf's client and the device's own rule, and
   the words tell how it came out: where the real thresholds are too low, the drill says that the thief gets through.
2. Thieves of people's keys are given the server's keys, too: whoever broke in there stands in between already.
3. Then what ends the loss is carried out alike, and the thief tries once more with the keys of people that he had,
   though the keys of the server are new.

Source: TUF specification 1.0.34, 1.5.2 (attacks) and 6.1 (key management); Uptane standard 2.1.0, 6.
"""

from __future__ import annotations

import msgspec

from holdfast.update.ceremony import Ceremony
from holdfast.update.drill_attacks import (
    Signers,
    directed,
    own_key,
    path_of,
    refusal,
    signers_of,
    stamped,
    with_evil,
)
from holdfast.update.drill_twin import DrillClient, Team, Twin
from holdfast.update.online_files import OnlineSigner
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.repository import Name, Online

BEFORE, FIRST, LATER, HEALED, LAST = 5, 10, 20, 25, 30
"""Versions of snapshot and timestamp in the order of the play."""
SERVER = "--new director --new timestamp --new snapshot --new bundle"
GOES_ON = "the thief goes on as before"


class Loss(msgspec.Struct, frozen=True):
    """One loss, played. `held`: no device took what too few people signed, and the loss can be ended."""

    loss: str
    title: str
    held: bool
    verdict: str
    could: tuple[str, ...]
    could_not: tuple[str, ...]
    ends: tuple[str, ...]
    afterwards: str


class Play(msgspec.Struct, frozen=True):
    """How a play came out: why the theft was refused, why the healed files were, why the thief's second try was."""

    refused: str
    clean: str
    again: str

    @property
    def held(self) -> bool:
        """Whether the thief got nowhere, and was got rid of."""
        return bool(self.refused) and not self.clean and bool(self.again)

    def afterwards(self, whose: str) -> str:
        """What comes after, in words."""
        if self.clean:
            return f"devices do not take {whose}: {self.clean}"
        return f"devices take {whose}, and refuse the thief's: {self.again}" if self.again else GOES_ON


def drill(ceremony: Ceremony, now: Instant) -> tuple[Loss, ...]:
    """Play the loss of each key, each on a twin of its own.

    Args:
        ceremony: everything in force (``holdfast keys fetch --all``).
        now: the moment.

    Raises:
        HostileData: ``repository.not_founded``.
    """
    twin = Twin(ceremony, now)
    found = [play(Twin(ceremony, now)) for play in (_director, _timestamp, _snapshot)]
    found.extend(_signer(Twin(ceremony, now), role) for role in twin.teams)
    return (*found, _root(Twin(ceremony, now)))


def _director(twin: Twin) -> Loss:
    thief = twin.signer(Online.DIRECTOR)
    with DrillClient(twin, Name.DIRECTOR) as director, DrillClient(twin, Name.IMAGE) as image:
        image.take(twin.files(FIRST))
        taken = director.take(directed(twin, thief, LATER))
        refused = refusal(director, image, twin.now)
        twin.online[Online.DIRECTOR] = own_key()
        twin.rotate(Name.DIRECTOR)
        clean = director.take(directed(twin, twin.signer(Online.DIRECTOR), FIRST))
        play = Play(refused, clean, director.take(directed(twin, thief, LAST)))
    could = (
        "name any published release, or none, for any device, and keep devices from hearing of new ones",
        "tell a device a time that is wrong by as much as its metadata is old",
    )
    return Loss(
        loss="director",
        title="The director's online key is stolen",
        held=play.held,
        verdict="devices install only what people signed" if refused else "the thief installs what he likes",
        could=could if not taken else (),
        could_not=(f"install anything of his own: {refused}",) if refused else (),
        ends=_commands("--new director"),
        afterwards=play.afterwards("the new director's word"),
    )


def _timestamp(twin: Twin) -> Loss:
    thief, own = twin.signer(Online.TIMESTAMP), OnlineSigner(own_key())
    with DrillClient(twin, Name.IMAGE) as image:
        image.take(twin.files(FIRST))
        frozen = image.take(stamped(twin, (FIRST, LATER), signers_of(twin)))
        refused = image.take(stamped(twin, (LATER, LATER + 1), Signers(own, thief)))
        twin.online[Online.TIMESTAMP] = own_key()
        twin.rotate(Name.IMAGE)
        clean = image.take(twin.files(HEALED))
        play = Play(
            refused, clean, image.take(stamped(twin, (HEALED, LAST), Signers(twin.signer(Online.SNAPSHOT), thief)))
        )
    return Loss(
        loss="timestamp",
        title="The timestamp's online key is stolen",
        held=play.held,
        verdict="a device can be kept waiting, and shown nothing false" if refused else "the thief shows what he likes",
        could=("hold devices at what they have, for as long as he stands in between",) if not frozen else (),
        could_not=(f"show files that were never published together: {refused}",) if refused else (),
        ends=_commands("--new timestamp"),
        afterwards=play.afterwards("the new timestamp"),
    )


def _snapshot(twin: Twin) -> Loss:
    thief = twin.signer(Online.SNAPSHOT)
    older = twin.state.parts["targets"]
    with DrillClient(twin, Name.IMAGE) as image:
        twin.put("targets", twin.next_of("targets"))
        image.take(twin.files(FIRST))
        alone = image.take(stamped(twin, (LATER, LATER), Signers(thief, OnlineSigner(own_key()))))
        refused = image.take(stamped(twin, (LATER, LATER), signers_of(twin), older))
        twin.online[Online.SNAPSHOT] = own_key()
        twin.rotate(Name.IMAGE)
        clean = image.take(twin.files(HEALED))
        play = Play(
            alone and refused,
            clean,
            image.take(stamped(twin, (LAST, LAST), Signers(thief, twin.signer(Online.TIMESTAMP)))),
        )
    return Loss(
        loss="snapshot",
        title="The snapshot's online key is stolen",
        held=play.held,
        verdict="no device goes back behind what it saw" if refused else "the thief brings old files back",
        could=("with the timestamp's key too: show older files that people signed to devices that saw no newer ones",),
        could_not=tuple(
            words
            for words in (
                f"do anything with it alone: {alone}" if alone else "",
                f"bring an older file back, the timestamp's key stolen too: {refused}" if refused else "",
            )
            if words
        ),
        ends=_commands("--new snapshot"),
        afterwards=play.afterwards("the new snapshot"),
    )


def _signer(twin: Twin, role: str) -> Loss:
    """One key of a role of people, in the hands of somebody who has the server's keys."""
    team, path = twin.teams[role], path_of(role)
    with DrillClient(twin, Name.IMAGE) as image:
        image.take(twin.files(FIRST))
        refused = image.take(with_evil(twin, role, LATER, team, 1), path)
        # A snapshot that the thief signed may list files that were never there; it goes with the keys that signed it.
        twin.online = {which: own_key() for which in Online}
        twin.exchange(role, Team((own_key(), *team.keys[1:]), team.threshold))
        if role != "targets":
            twin.rotate(Name.IMAGE)
        clean = image.take(twin.files(HEALED, path), "" if role == "targets" else path)
        play = Play(refused, clean, image.take(with_evil(twin, role, LAST, team, 1), path))
    need, have = team.threshold, len(team.keys)
    low = "one key is enough: raise the threshold"
    return Loss(
        loss=role,
        title=f"One signer's key of {role} is stolen, and the server with it",
        held=play.held,
        verdict=f"{need} of {have} have to sign" if refused else low,
        could=("all that the server's own keys are good for",) if refused else ("sign any release: devices take it",),
        could_not=(f"sign a release: {refused}",) if refused else (),
        ends=_commands(SERVER, "--targets-key … (all who sign from now on)")
        if role == "targets"
        else (*_commands(SERVER), f"holdfast keys delegate {role} --signer … (then fetch, sign and publish it)"),
        afterwards=play.afterwards("what the others sign"),
    )


def _root(twin: Twin) -> Loss:
    team, lost = twin.root_team, max(1, twin.root_team.threshold - 1)
    left = team.keys[lost:]
    own = Team((own_key(),), 1)
    with DrillClient(twin, Name.IMAGE) as image:
        image.take(twin.files(FIRST))
        refused = _forge_root(twin, image, own, lost)
        clean = "too few signers are left to sign a root; every device has to be given another by hand"
        if len(left) >= team.threshold:
            # Those who are left sign for the old threshold and for the new one.
            healed = Team((*left, *(own_key() for _ in range(lost))), team.threshold)
            twin.root_team = Team((*left, *team.keys[:lost]), team.threshold)
            twin.rotate(Name.IMAGE, root=healed)
            twin.root_team = team
            clean = image.take(twin.files(HEALED))
        play = Play(refused, clean, _forge_root(twin, image, own, lost))
    return Loss(
        loss="root",
        title=f"{lost} of {len(team.keys)} keys that sign roots are stolen, and lost to their holders",
        held=play.held,
        verdict=f"{team.threshold} of {len(team.keys)} have to sign a root, {len(left)} are left"
        if refused
        else "that is enough for a root: raise the threshold",
        could=() if refused else ("name keys of his own for every role",),
        could_not=(f"make a root: {refused}",) if refused else (),
        ends=_commands("", "--root-key … (all who sign from now on)"),
        afterwards=play.afterwards("the root that the others signed"),
    )


def _forge_root(twin: Twin, image: DrillClient, own: Team, lost: int) -> str:
    """Why a root of the thief's is refused that `lost` of the real signers' keys signed; empty where it is not."""
    team = twin.root_team
    made = twin.next_root(Name.IMAGE, own, own)
    data = own.sign(team.sign(made.data, lost))
    why = image.take({**twin.files(LAST), f"{made.root.version}.root.json": data})
    return "" if image.trusts(data) else why


def _commands(fresh: str, changed: str = "") -> tuple[str, ...]:
    """The commands of a rotation."""
    return (
        f"holdfast keys online {fresh} -o online.json".replace("  ", " "),
        "holdfast keys fetch --all -o all.json",
        f"holdfast keys root --from all.json --online online.json {changed} -o next.json".replace("  ", " "),
        "holdfast keys sign next.json --key KEY (by as many as have to sign)",
        "holdfast keys publish next.json",
    )
