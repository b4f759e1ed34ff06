"""``holdfast-agent tuf``: the cases of the public TUF conformance suite, rebuilt on a repository of our own."""

from __future__ import annotations

import copy
import json
import shutil
import time

import pytest
from tuf.api.metadata import Root

from holdfast_core.kernel.instants import DAY, SECOND, Instant
from tuf_builders import PAYLOAD, TufRepository, key
from tuf_server import Client, TufServer

NOW = Instant(int(time.clock_gettime(time.CLOCK_REALTIME)) * SECOND)


@pytest.fixture
def repository():
    return TufRepository("plain", now=NOW)


@pytest.fixture
def server(repository):
    with TufServer(repository) as served:
        yield served


@pytest.fixture
def client(tmp_path, server):
    made = Client(tmp_path / "client", server)
    assert made.init() == 0
    return made


# ---- basic


def test_control_init_and_refresh(client, server):
    assert client.refresh() == 0
    assert server.metadata_asked() == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert client.versions() == (1, 1, 1, 1)
    assert client.refresh() == 0
    assert server.metadata_asked() == ["2.root.json", "timestamp.json"]


def test_init_alone_asks_nobody(client, server):
    assert server.metadata_asked() == []
    assert client.versions() == (1, None, None, None)
    assert json.loads((client.metadata / "root.json").read_bytes()) == json.loads(server.repository.first_root)


def test_a_download_refreshes_first_even_where_there_is_no_such_target(client, server):
    assert client.download("nonexistent artifact") == 1
    assert server.metadata_asked() == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert client.versions() == (1, 1, 1, 1)
    assert client.got() == []


@pytest.mark.parametrize("broken", ["unsigned", "versionless", "garbage", "empty"])
def test_an_initial_root_that_is_none(tmp_path, repository, server, broken):
    whole = json.loads(repository.first_root)
    if broken == "unsigned":
        whole["signatures"][0]["sig"] = "00" * 64
    elif broken == "versionless":
        del whole["signed"]["version"]
    data = {"garbage": b"{", "empty": b" "}.get(broken, json.dumps(whole).encode())
    client = Client(tmp_path / "c", server)
    assert client.init(data) == 1
    assert client.refresh() == 1
    assert server.metadata_asked() == []


def test_a_refresh_without_init_and_an_address_that_is_none(tmp_path, client, server):
    assert Client(tmp_path / "other", server).refresh() == 1
    server.url = "ftp://127.0.0.1"
    assert client.refresh() == 1
    server.url = "http://[:1"
    assert client.refresh() == 1


def test_a_second_init_begins_anew(client):
    assert client.refresh() == 0
    other = TufRepository("other", now=NOW)
    client.server.repository = other
    assert client.refresh() == 1
    assert client.init(other.first_root) == 0
    assert client.versions() == (1, None, None, None)
    assert client.refresh() == 0
    assert client.version("root") == 1


def test_a_second_init_with_a_later_root_leaves_nothing_of_the_first(client):
    other = TufRepository("other", now=NOW)
    other.rotate("root", "other-anew")
    other.publish()
    client.server.repository = other
    assert client.init(other.files["2.root.json"]) == 0
    assert client.refresh() == 0
    assert client.version("root") == 2


def test_a_timestamp_that_changed_without_a_new_version_is_not_taken(client, repository):
    assert client.refresh() == 0
    repository.timestamp.snapshot_meta.version = 100
    repository.files["timestamp.json"] = repository.sign(repository.timestamp)
    client.refresh()
    kept = json.loads((client.metadata / "timestamp.json").read_bytes())["signed"]
    assert kept["meta"]["snapshot.json"]["version"] == 1


def test_members_that_nobody_knows_are_part_of_what_is_signed(client, repository):
    keyid = repository.root.roles["root"].keyids[0]
    repository.root.unrecognized_fields["x"] = {"a": [1, "2", None, True]}
    repository.root.keys[keyid].unrecognized_fields["extra"] = {"a": 1}
    repository.root.roles["root"].unrecognized_fields["another"] = "value"
    repository.publish_root()
    repository.targets.unrecognized_fields["y"] = "z"
    repository.publish()
    assert client.refresh() == 0
    assert client.versions() == (2, 2, 2, 2)
    assert json.loads((client.metadata / "targets.json").read_bytes())["signed"]["y"] == "z"


@pytest.mark.parametrize("hashes", [False, True])
@pytest.mark.parametrize("consistent", [False, True])
def test_consistent_snapshots_and_plain_ones(tmp_path, consistent, hashes):
    repository = TufRepository("plain", now=NOW, consistent=consistent, hashes=hashes)
    repository.add("a/b.bin")
    repository.publish()
    with TufServer(repository) as server:
        client = Client(tmp_path / "c", server)
        client.init()
        assert client.download("a/b.bin") == 0
        assert client.got() == [PAYLOAD]
        digest = repository.targets.targets["a/b.bin"].hashes["sha256"]
        asked = f"/targets/a/{digest}.b.bin" if consistent else "/targets/a/b.bin"
        assert asked in server.asked
        assert ("/metadata/2.targets.json" in server.asked) is consistent
        repository.publish()
        assert client.refresh() == 0


# ---- keys


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_role_below_its_threshold(client, repository, role):
    assert client.refresh() == 0
    before = client.versions()
    for name in ("two", "three"):
        repository.root.add_key(copy.deepcopy(key(name).public_key), role)
    repository.root.roles[role].threshold = 3
    repository.signers[role].append(key("two"))
    repository.publish_root()
    repository.publish()
    assert client.refresh() == 1
    assert client.version("targets") == before[3]
    repository.signers[role].append(key("three"))
    repository.files[f"{repository.root.version}.root.json"] = repository.sign(repository.root)
    repository.publish()
    assert client.refresh() == 0
    assert client.version("targets") == 3


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_key_that_is_listed_twice_counts_once(client, repository, role):
    repository.root.add_key(copy.deepcopy(key("two").public_key), role)
    repository.root.roles[role].threshold = 2
    repository.publish_root()
    repository.publish()
    data = next(data for name, data in repository.files.items() if name.endswith("timestamp.json"))
    assert data
    assert client.refresh() == 1
    name = "timestamp.json" if role == "timestamp" else f"2.{role}.json"
    whole = json.loads(repository.files[name])
    whole["signatures"] *= 2
    repository.files[name] = json.dumps(whole).encode()
    assert client.refresh() == 1
    whole["signatures"] = [*whole["signatures"][:1], dict(whole["signatures"][0], keyid=key("two").public_key.keyid)]
    repository.files[name] = json.dumps(whole).encode()
    assert client.refresh() == 1


def test_the_same_key_id_twice_in_a_root_is_no_root(client, repository):
    whole = json.loads(repository.publish_root())
    whole["signed"]["roles"]["root"]["keyids"] *= 2
    repository.files["2.root.json"] = json.dumps(whole).encode()
    assert client.refresh() == 1


def test_a_chain_of_roots(client, repository, server):
    for number in range(6):
        repository.rotate("root", f"r{number}")
    repository.publish()
    assert client.refresh() == 0
    assert client.version("root") == 7
    server.metadata_asked()
    assert client.refresh() == 0
    assert server.metadata_asked() == ["8.root.json", "timestamp.json"]


@pytest.mark.parametrize("people", [("fresh",), ("plain-root-0",)], ids=["new-alone", "old-alone"])
def test_a_root_that_only_one_side_signed(client, repository, people):
    repository.rotate("root", "fresh", people=[key(name) for name in people])
    assert client.refresh() == 1
    assert client.version("root") == 1


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_new_keys_of_a_role_and_old_ones_that_count_no_more(client, repository, role):
    assert client.refresh() == 0
    old = repository.signers[role]
    repository.rotate(role, f"{role}-fresh")
    repository.publish()
    assert client.refresh() == 0
    repository.signers[role] = old
    repository.publish()
    assert client.refresh() == 1


def test_a_root_of_a_version_that_is_not_the_next(client, repository):
    repository.root.version = 5
    repository.files["2.root.json"] = repository.sign(repository.root)
    assert client.refresh() == 1
    assert client.version("root") == 1


# ---- time


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_an_expired_role(client, repository, role):
    repository.now = Instant(NOW - 400 * DAY)
    expired = repository.after(role)
    repository.now = NOW
    if role == "root":
        repository.root.expires = expired
        repository.publish_root()
    elif role == "timestamp":
        repository.publish()
        repository.timestamp.expires = expired
        repository.files["timestamp.json"] = repository.sign(repository.timestamp)
    else:
        getattr(repository, role).expires = expired
        repository.publish()
    assert client.refresh() == 1
    assert client.version("targets") is None
    if role == "root":
        assert client.version("root") == 2  # it verified, and is what comes before the next


def test_an_expired_root_is_a_step_to_the_next(client, repository):
    fresh = repository.root.expires
    repository.root.expires = repository.root.expires.replace(year=2020)
    repository.publish_root()
    repository.root.expires = fresh
    repository.publish_root()
    assert client.refresh() == 0
    assert client.version("root") == 3


def test_an_expired_timestamp_still_refuses_what_is_older(client, repository):
    repository.publish()
    assert client.refresh() == 0
    old = copy.deepcopy(repository.files)
    repository.publish()
    repository.timestamp.expires = repository.timestamp.expires.replace(year=2020)
    repository.files["timestamp.json"] = repository.sign(repository.timestamp)
    assert client.refresh() == 1
    repository.files["timestamp.json"] = old["timestamp.json"].replace(b'"version":2', b'"version":1')
    assert client.refresh() == 1


@pytest.mark.parametrize(("moment", "code"), [("-2 days", 0), ("+3 days", 0), ("+8 days", 1), ("2019-01-01", 0)])
def test_the_command_goes_by_the_machine_s_clock(client, moment, code):
    assert client.refresh(faketime=moment) == code


def test_metadata_that_expires_while_a_client_holds_it(client, repository):
    assert client.refresh() == 0
    assert client.refresh(faketime="+10 days") == 1
    repository.now = Instant(NOW + 10 * DAY)
    repository.publish()
    assert client.refresh(faketime="+10 days") == 0
    assert client.version("timestamp") == 2


# ---- rollback, mix and match


def test_older_metadata_of_each_kind(client, repository):
    repository.publish()
    repository.publish()
    assert client.refresh() == 0
    seen = client.versions()
    good = copy.deepcopy(repository.files)
    repository.timestamp.version = 1
    repository.files["timestamp.json"] = repository.sign(repository.timestamp)
    assert client.refresh() == 1
    repository.timestamp.version = 3
    repository.snapshot.version = 1
    repository.publish_timestamp()
    assert client.refresh() == 1
    assert client.versions() == seen
    repository.files.update(good)
    repository.snapshot.version = 4
    repository.targets.version = 1
    repository.publish_snapshot()
    assert client.refresh() == 1
    assert client.version("targets") == seen[3]


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_fast_forward_is_undone_by_new_keys(client, repository, role):
    repository.targets.version = repository.snapshot.version = repository.timestamp.version = 99_999
    repository.publish(bump=False)
    assert client.refresh() == 0
    repository.rotate("snapshot", "snapshot-fresh")
    if role != "targets":
        repository.rotate("timestamp", "timestamp-fresh")
    if role == "timestamp":
        repository.timestamp.version = 0
    elif role == "snapshot":
        repository.snapshot.version = 0
    else:
        repository.targets.version = 0
    repository.publish()
    assert client.refresh() == 0
    assert client.version(role) == 1


@pytest.mark.parametrize("role", ["snapshot", "targets"])
@pytest.mark.parametrize("hashes", [False, True])
def test_a_file_that_is_not_the_listed_one(tmp_path, role, hashes):
    repository = TufRepository("plain", now=NOW, hashes=hashes)
    with TufServer(repository) as server:
        client = Client(tmp_path / "c", server)
        client.init()
        assert client.refresh() == 0
        signed = getattr(repository, role)
        repository.publish()
        if hashes:
            signed.unrecognized_fields["x"] = 1
        else:
            signed.version += 5
        repository.files[f"2.{role}.json"] = repository.sign(signed)
        assert client.refresh() == 1
        assert client.version(role) == 1


def test_a_snapshot_that_lists_a_role_no_more(client, repository):
    repository.delegate("role1", ["*"])
    repository.publish()
    assert client.refresh() == 0
    del repository.delegated["role1"]
    repository.snapshot.version += 1
    repository.publish_snapshot()
    assert client.refresh() == 1


# ---- delegations


def test_delegations_by_path_by_hash_prefix_and_in_bins(tmp_path):
    repository = TufRepository("plain", now=NOW)
    repository.delegate("role1", ["dir/*"])
    repository.delegate("role2", None, prefixes=[f"{number:x}" for number in range(16)])
    repository.add("dir/one", b"one", role="role1")
    repository.add("two", b"two", role="role2")
    repository.add("dir/deep/one", b"deep", role="role1")
    repository.publish()
    with TufServer(repository) as server:
        client = Client(tmp_path / "c", server)
        client.init()
        assert client.download("dir/one", "two") == 0
        assert client.got() == [b"one", b"two"]
        assert client.download("dir/deep/one") == 1  # a pattern ends at a slash
    binned = TufRepository("plain", now=NOW)
    roles = binned.delegate_succinctly(3, "bin")
    binned.add("file-1", b"in a bin", role=roles.get_role_for_target("file-1"))
    binned.publish()
    with TufServer(binned) as server:
        client = Client(tmp_path / "d", server)
        client.init()
        assert client.download("file-1") == 0
        assert client.got() == [b"in a bin"]
        assert sum("bin-" in path for path in server.asked) == 1


def tree(repository, *edges, terminating=()):
    for parent, child in edges:
        delegator = None if parent == "targets" else parent
        repository.delegate(child, ["*"], delegator=delegator, terminating=(parent, child) in terminating)


@pytest.mark.parametrize(
    ("edges", "terminating", "visited"),
    [
        ([("targets", "A"), ("targets", "B")], (), ["A", "B"]),
        ([("targets", "A"), ("targets", "B"), ("A", "C")], (), ["A", "C", "B"]),
        ([("targets", "A"), ("targets", "B"), ("A", "C")], [("targets", "A")], ["A", "C"]),
        ([("targets", "A"), ("A", "B"), ("A", "C"), ("B", "D"), ("C", "D")], (), ["A", "B", "D", "C"]),
        ([("targets", "A"), ("A", "B"), ("B", "A")], (), ["A", "B"]),
        ([("targets", "A"), ("A", "B"), ("A", "C")], [("A", "B")], ["A", "B"]),
    ],
    ids=["flat", "deep-first", "terminating", "diamond", "cycle", "nested-terminating"],
)
def test_the_graph_of_delegations_is_walked_in_order(client, repository, edges, terminating, visited):
    tree(repository, *edges, terminating=terminating)
    repository.publish()
    assert client.download("missing") == 1
    names = [name.split(".")[1] for name in client.server.metadata_asked()]
    assert names[2:] == ["snapshot", "targets", *visited]


def test_a_delegated_role_that_is_expired_unsigned_or_of_the_wrong_keys(client, repository):
    repository.delegate("A", ["*"])
    repository.add("one", b"one", role="A")
    right = repository.signers["A"]
    for signers in ([], [key("somebody")], repository.signers["targets"]):
        repository.signers["A"] = signers
        repository.publish()
        assert client.download("one") == 1
    repository.signers["A"] = right
    fresh = repository.delegated["A"].expires
    repository.delegated["A"].expires = fresh.replace(year=2020)
    repository.publish()
    assert client.download("one") == 1
    repository.delegated["A"].expires = fresh
    repository.publish()
    assert client.download("one") == 0


@pytest.mark.parametrize("role", ["?", "#", "/delegatedrole", "../delegatedrole", "a b", "ä"])
def test_role_names_that_mean_something_to_urls_and_file_systems(client, repository, server, role):
    repository.delegate(role, ["*"], "odd")
    repository.publish()
    assert client.download("nonexistent target") == 1
    asked = [name for name in server.metadata_asked() if "root" not in name]
    assert len(asked) == 4
    assert "/" not in asked[-1]
    assert len([path for path in client.metadata.iterdir() if path.suffix == ".json"]) == 5
    assert not (client.folder / "delegatedrole.json").exists()


# ---- targets


def test_a_target_is_fetched_once(client, repository, server, capsys):
    repository.add("path/to/a file.txt", b"content")
    repository.publish()
    assert client.download("path/to/a file.txt") == 0
    place = capsys.readouterr().out.strip()
    assert client.targets in type(client.targets)(place).parents
    server.asked.clear()
    assert client.download("path/to/a file.txt") == 0
    assert not [path for path in server.asked if path.startswith("/targets/")]
    assert capsys.readouterr().out.strip() == place
    repository.add("path/to/a file.txt", b"changed")
    repository.publish()
    assert client.download("path/to/a file.txt") == 0
    assert client.got() == [b"changed"]


@pytest.mark.parametrize("evil", [b"tampered", b"target content and more", b""])
def test_a_target_that_is_not_the_listed_one_is_not_kept(client, repository, evil):
    made = repository.add("one", b"target content")
    repository.publish()
    repository.artefacts = dict.fromkeys(("one", f"{made.hashes['sha256']}.one"), evil)
    assert client.download("one") == 1
    assert client.got() == []


def test_several_targets_and_one_that_is_not_there(client, repository):
    repository.add("one", b"1")
    repository.add("two", b"2")
    repository.publish()
    assert client.download("one", "two") == 0
    assert client.got() == [b"1", b"2"]
    assert client.download("one", "three") == 1
    assert client.run("download") == 2


# ---- power cuts


@pytest.mark.parametrize("torn", ["root_history/1.root.json", "root_history/2.root.json", "root.json", "targets.json"])
@pytest.mark.parametrize("how", ["empty", "half", "gone"])
def test_a_file_that_a_power_cut_tore_is_fetched_again(client, repository, torn, how):
    repository.rotate("root", "r2")
    repository.publish()
    assert client.refresh() == 0
    file = client.metadata / torn
    data = file.read_bytes()
    if torn == "root.json" or how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"" if how == "empty" else data[: len(data) // 2])
    repository.publish()
    assert client.refresh() == 0
    assert client.versions() == (2, 3, 3, 3)


def test_the_history_of_roots_is_gone(client, repository):
    repository.publish_root()
    assert client.refresh() == 0
    newest = (client.metadata / "root.json").read_bytes()
    shutil.rmtree(client.metadata / "root_history")
    assert client.refresh() == 1  # nothing is trusted any more
    (client.metadata / "root.json").unlink()
    (client.metadata / "root.json").write_bytes(newest)
    assert client.refresh() == 0
    assert client.version(Root.type) == 2
