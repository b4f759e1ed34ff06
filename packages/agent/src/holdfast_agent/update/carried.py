"""What a bundle says that this device should run: the device's half of updates without a network (ADR 33).

1. The roots of image repository and director in it continue the chains that the device trusts; they were signed by
   people, so they count online, too. Nothing else of a bundle does.
2. Its own root (``offline``) was signed by the image root's signers, and names the repository and the device's scope.
   From there it is a TUF repository with marks and kept files of its own: an older bundle after a newer is a rollback.
3. The director's word was signed by the director's key, is of the same issue as the bundle's timestamp, and has not
   expired. So the word of one bundle does not direct to what stands in another.
4. Then both must agree, by the rule that counts online (`agreement.accept`). The device's floor of time is enough.

Source: Uptane standard 2.1.0, 5.4.4; TUF specification 1.0.34, 5.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from holdfast_agent.update.bundle import Bundle
from holdfast_agent.update.clock import Timepiece
from holdfast_agent.update.exemptions import contents_in, exempting
from holdfast_agent.update.metadata_view import TARGETS, view
from holdfast_agent.update.scopes import check_place, foreign
from holdfast_agent.update.store import Marks, Store
from holdfast_agent.update.targets import stated
from holdfast_agent.update.verified import DIRECTOR, IMAGE, Verified
from holdfast_core.formats.dsse import open_envelope
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.update.agreement import Board, Target, accept
from holdfast_core.update.repository import BUNDLE_TYPE, Name, SiteTarget, SiteTargets

if TYPE_CHECKING:
    from holdfast_agent.update.repository import Repository

OFFLINE = Name.OFFLINE.value


class Carrier:
    """Takes bundles.

    Args:
        verified: what the device trusts online.
        store: what is kept of bundles.
        time: the device's sense of time; what bundles say of it stays with them.
    """

    def __init__(self, verified: Verified, store: Store, time: Timepiece) -> None:
        self._verified, self._store = verified, store
        floor = store.marks().get(OFFLINE, Marks()).floor
        self._time = time.aside(OFFLINE, floor)

    def target(self, bundle: Bundle, board: Board) -> Target:
        """The target that the device takes. Raises HostileData, WorldError: see `Trust.carried`."""
        director, image = self._followed(bundle)
        root = bundle.newest_root(OFFLINE)
        image.vouch_for(root, f"root signers' word for the {OFFLINE} root")
        scope = self._verified.scope
        said = view(root)
        if said.repository != OFFLINE:
            raise _refused("other_root", f"The bundle's root is of the repository {said.repository!r}.")
        check_place(said, OFFLINE, scope)
        offline = Verified(self._store, board.device, self._time, (OFFLINE,))
        repository = offline.open(OFFLINE, root, bundle.metadata, scope)
        timestamp = repository.timestamp()
        word = self._word(bundle, director, scope, Instant(timestamp.issued if timestamp else 0))
        mine = next((each for each in word.targets if board.device in each.devices), None)
        imaged = self._imaged(offline, mine.path) if mine else None
        exempt = contents_in(offline, OFFLINE, bundle.small).values() if mine else ()
        offline.save()
        return accept(
            board,
            _directed(mine) if mine else None,
            imaged,
            named=board.device,
            now=self._time.sense().now,
            exemptions=exempting(exempt, mine.offer.release) if mine else (),
        )

    def _followed(self, bundle: Bundle) -> tuple[Repository, Repository]:
        """The director's and the image repository, as far as the bundle's roots lead."""
        try:
            opened = self._verified.followed(bundle.roots(DIRECTOR), bundle.roots(IMAGE))
        finally:
            self._verified.save()
        return opened[DIRECTOR], opened[IMAGE]

    def _word(self, bundle: Bundle, director: Repository, scope: str, issued: Instant) -> SiteTargets:
        """The director's word, once it is proven to be this bundle's."""
        try:
            payload = open_envelope(bundle.word, BUNDLE_TYPE, director.root.keys_of(TARGETS)).payload
            word = msgspec.json.decode(payload, type=SiteTargets)
        except HostileData as error:
            raise _refused("word", f"The director's word in the bundle was refused: {error.sentence}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise _refused("word", f"The director's word in the bundle is not what it should be: {error}.") from None
        if scope and word.scope != scope:
            raise foreign("The director's word in the bundle", word.scope, scope)
        if word.issued != issued:
            raise _refused("mixed", "The director's word and the metadata are of two bundles.")
        if self._time.sense().now >= word.expires:
            raise _refused("expired", f"The director's word in the bundle expired {rfc3339(word.expires)}.")
        return word

    def _imaged(self, offline: Verified, path: str) -> Target | None:
        found = offline.look_up(OFFLINE, path)
        return None if found is None else stated(path, found.length, found.hashes, found.custom)


def _directed(site: SiteTarget) -> Target:
    return Target(site.path, site.length, site.digest, site.offer)


def _refused(name: str, sentence: str) -> HostileData:
    return HostileData(
        f"update.bundle_{name}", sentence, remedy="Nothing was installed. Make a new bundle: holdfast keys bundle."
    )
