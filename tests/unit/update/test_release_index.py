"""Releases by payload, by counter and in pages: the same answers as a search through all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.ports.store import Removed
from holdfast.update.release_index import ReleaseIndex
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.supply.model import Nature, Offer, Payload, PayloadKind, Release

OURS, THEIRS = Scope("acme", "production"), Scope("acme", "staging")


def a_release(scope: Scope, model: str, number: int, payload: int, *, installable: bool = True) -> Release:
    name = f"{model}:{number}"
    offer = Offer(name, number, 0, PayloadKind.FILE, ("rev-1",), Nature.FEATURE)
    file = Payload(PayloadKind.FILE, "image", 1, digest_of(bytes([payload])))
    return Release(
        scope,
        name,
        model=model,
        version=str(number),
        svn=0,
        added_at=Instant(0),
        by="somebody",
        offer=offer if installable else None,
        payload=file if installable else None,
    )


class Feed:
    """A store that only has releases."""

    def __init__(self):
        self.kept, self.watchers = {}, []

    def all_kept(self, _kind, scope=None):
        return [each for each in self.kept.values() if scope in (None, each.scope)]

    def watch_changes(self, watcher):
        self.watchers.append(watcher)

    def commit(self, *changes):
        for change in changes:
            if isinstance(change, Removed):
                self.kept.pop((change.scope, change.id), None)
            else:
                self.kept[change.scope, change.id] = change
        for watcher in self.watchers:
            watcher(changes)


releases = st.builds(
    a_release,
    st.sampled_from((OURS, THEIRS)),
    st.sampled_from(("cam", "cam-2", "gateway")),
    st.integers(0, 6),
    st.integers(0, 3),
    installable=st.booleans(),
)
changes = st.lists(
    st.one_of(releases, releases.map(lambda each: Removed(Release, each.scope, each.id))), min_size=0, max_size=40
)


def listed(feed: Feed, scope: Scope, model: str = "") -> list[Release]:
    """What a search through all of them finds."""
    found = [each for each in feed.all_kept(Release, scope) if each.offer and model in ("", each.model)]
    return sorted(found, key=lambda each: (each.model, -each.offer.counter))


@given(changes, st.integers(0, 40), st.integers(1, 5))
def test_it_answers_as_a_search_through_all_releases_does(changes, begun, size):
    feed = Feed()
    feed.commit(*changes[:begun])
    index = ReleaseIndex(feed)
    feed.commit(*changes[begun:])
    for scope in (OURS, THEIRS):
        for model in ("", "cam", "cam-2", "gateway", "none"):
            found, after = [], ""
            while page := index.page(scope, model, after=after, limit=size):
                found.extend(page)
                after = page[-1].id
            assert found == listed(feed, scope, model)
        for number in range(7):
            held = [each for each in listed(feed, scope, "cam") if each.offer.counter == number]
            assert index.of_counter(scope, "cam", number) == (held[0] if held else None)
        for payload in range(4):
            digest = digest_of(bytes([payload]))
            everywhere = [each for each in feed.kept.values() if each.payload and each.payload.digest == digest]
            assert index.names(scope, digest) == any(each.scope == scope for each in everywhere)
            assert sorted(index.of_payload(digest), key=repr) == sorted(everywhere, key=repr)


def test_a_release_that_gets_its_payload_later_is_found_from_then_on():
    feed = Feed()
    index = ReleaseIndex(feed)
    feed.commit(a_release(OURS, "cam", 1, 1, installable=False))
    assert index.page(OURS, limit=9) == []
    feed.commit(a_release(OURS, "cam", 1, 1))
    assert [each.id for each in index.page(OURS, limit=9)] == ["cam:1"]
    assert index.names(OURS, digest_of(b"\x01"))


def test_a_page_after_a_release_that_is_not_there_is_empty():
    feed = Feed()
    feed.commit(a_release(OURS, "cam", 1, 1))
    assert ReleaseIndex(feed).page(OURS, after="cam:9", limit=9) == []
