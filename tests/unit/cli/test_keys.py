"""``holdfast keys``: made, written down, signed in words, published; the server is the service itself."""

from __future__ import annotations

import asyncio
import base64
import json
import zipfile
from contextlib import contextmanager
from urllib.parse import unquote

import msgspec
import pytest
import typer
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner

from builders import START
from holdfast.adapters.pki.passphrase import Passphrase, read_passphrase
from holdfast.cli import keys, keys_bundle, keys_drill, keys_found, keys_propose
from holdfast.cli.keys_files import make_key, parse_public, public_pem
from holdfast.update.bundle import Bundles
from holdfast.update.ceremony import decode_ceremony
from holdfast.update.drill import drill
from holdfast.update.making import Holders
from holdfast.update.standing import standing
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.instants import DAY, Instant, parse_rfc3339, rfc3339
from holdfast_core.update.agreement import Exemption
from holdfast_core.update.repository import Name, Online
from repository_builders import ACTOR, DEVICE, MODEL, SCOPE, Plant, a_release

SECRET = "a passphrase that is long enough"  # noqa: S105  (of a test)
runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "100"})


class FakeApi:
    """The routes of the operator API, on the services of a plant."""

    def __init__(self, plant):
        self.plant = plant
        self.bundles = Bundles(store=plant.store, images=plant.images, director=plant.director)

    def get(self, path, **query):
        images = self.plant.images
        told = {
            "/update/ceremony": lambda: images.ceremony(SCOPE, whole=query.get("whole") == "true"),
            "/update/repositories": lambda: standing(images, SCOPE),
        }[path]()
        return msgspec.to_builtins(told)

    def post(self, path, body=None, *, content=b""):
        run = asyncio.run
        if path == "/update/keys":
            fresh = tuple(Online(each) for each in body["fresh"])
            publics = run(self.plant.images.online(SCOPE, fresh=fresh))
            return {"scope": str(SCOPE), "keys": {which.value: public_pem(key) for which, key in publics.items()}}
        if path == "/update/ceremony":
            files = decode_ceremony(content).files
            return {"items": msgspec.to_builtins(run(self.plant.images.submit(SCOPE, files, actor=ACTOR)))}
        if path == "/update/bundles":
            made = self.bundles.make(SCOPE, body["site"], now=self.plant.now, life=body["days"] * DAY)
            artefacts = [each._asdict() for each in made.artefacts]
            files = {name: base64.b64encode(data).decode() for name, data in made.files.items()}
            return {"site": made.site, "expires": rfc3339(made.expires), "files": files, "artefacts": artefacts}
        releasing = self.plant.releasing
        if unquote(path) == f"/update/releases/{MODEL}:1.0.0/withdraw":
            asked = releasing.propose_withdrawal(SCOPE, f"{MODEL}:1.0.0", why=body["why"], actor=ACTOR)
            return {"items": [msgspec.to_builtins(run(asked))]}
        if path == "/update/exemptions":
            until = parse_rfc3339(body["until"])
            leave = Exemption(body["release"], tuple(body["devices"]), until, body["why"])
            made = run(releasing.propose_exemption(SCOPE, body["name"], leave, actor=ACTOR))
            return {"items": [msgspec.to_builtins(made)]}
        holders = Holders(tuple(parse_public(pem.encode(), "x") for pem in body["keys"]), body["threshold"])
        made = run(self.plant.releasing.propose_delegation(SCOPE, body["model"], holders, actor=ACTOR))
        return {"items": [msgspec.to_builtins(made)]}


@pytest.fixture
def plant(monkeypatch):
    made = Plant()

    @contextmanager
    def connected(_folder):
        yield FakeApi(made)

    monkeypatch.setattr("holdfast.cli.connection.connected", connected)
    monkeypatch.setattr("holdfast.adapters.system.SystemClock.now", lambda _self: START)
    return made


@pytest.fixture
def call():
    app = typer.Typer()
    app.callback()(lambda: None)
    for module in (keys, keys_found, keys_drill, keys_bundle, keys_propose):
        module.register(app)

    def invoke(*arguments, ok=0):
        result = runner.invoke(app, [str(each) for each in arguments])
        assert result.exit_code == ok, result.output
        return result

    return invoke


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def people(call, folder, secret, count=3):
    for number in range(count):
        call("new", f"p{number}", "-o", folder / f"p{number}.pem", "--passphrase-file", secret)
    return [folder / f"p{number}.pem" for number in range(count)]


def test_people_found_it_by_hand_each_with_a_key_of_their_own(plant, call, tmp_path, secret):
    private = people(call, tmp_path, secret)
    assert (private[0].stat().st_mode & 0o777, b"ENCRYPTED" in private[0].read_bytes()) == (0o600, True)
    call("online", "-o", tmp_path / "online.json")
    signers = [each for path in private for each in ("--root-key", path.with_suffix(".pub"))]
    signers += [each for path in private for each in ("--targets-key", path.with_suffix(".pub"))]
    founding = tmp_path / "founding.json"
    call("root", "--online", tmp_path / "online.json", "-o", founding, *signers)
    refused = call("publish", founding, ok=1)
    assert "repository.threshold" in refused.stderr
    words = call("sign", founding, "--key", private[0], "--passphrase-file", secret, "--yes")
    assert "root: 2 of 3 keys have to sign" in words.stdout
    call("sign", founding, "--key", private[2], "--passphrase-file", secret, "--yes")
    told = call("publish", founding, "--json")
    assert all(each["in_force"] for each in json.loads(told.stdout)["items"])
    assert plant.images.shelf(SCOPE).is_live
    assert "exemptions" in call("show").stdout


def test_one_command_founds_it_all_and_a_release_is_signed_from_hand_to_hand(plant, call, tmp_path):
    call("found", "--folder", tmp_path / "team")
    team = tmp_path / "team"
    asyncio.run(plant.releasing.propose_release(SCOPE, a_release(), actor=ACTOR))
    assert f"Waits: {MODEL}" in call("show").stdout
    copies = [tmp_path / "a.json", tmp_path / "b.json"]
    for number, copy in enumerate(copies, 1):
        call("fetch", "-o", copy)
        key = ("--key", team / f"person-{number}.pem", "--passphrase-file", team / "passphrase")
        said = call("sign", copy, *key, "--root", team / "founding.json", "--yes")
        assert f"+ {MODEL}:1.0.0" in " ".join(said.stdout.split())
        assert "WARNING" not in said.stdout
        call("sign", copy, *key, "--yes", ok=3)
    call("publish", *copies)
    assert plant.images.is_published(SCOPE, a_release())


def test_without_a_terminal_nothing_is_signed_unasked(plant, call, tmp_path):
    call("found", "--folder", tmp_path / "team")
    asyncio.run(plant.releasing.propose_release(SCOPE, a_release(), actor=ACTOR))
    call("fetch", "-o", tmp_path / "a.json")
    before = (tmp_path / "a.json").read_bytes()
    call("sign", tmp_path / "a.json", "--key", tmp_path / "team" / "person-1.pem", ok=2)
    assert (tmp_path / "a.json").read_bytes() == before


def test_people_and_the_directors_key_are_rotated_by_command(plant, call, tmp_path, secret):
    call("found", "--folder", tmp_path / "team")
    team = tmp_path / "team"
    new = people(call, tmp_path, secret)
    call("online", "-o", tmp_path / "online.json", "--new", "director")
    call("fetch", "-o", tmp_path / "all.json", "--all")
    signers = [each for path in new for each in ("--root-key", path.with_suffix(".pub"))]
    signers += [each for path in new for each in ("--targets-key", path.with_suffix(".pub"))]
    file = tmp_path / "next.json"
    call("root", "--online", tmp_path / "online.json", "--from", tmp_path / "all.json", "-o", file, *signers)
    for path in new[:2]:
        call("sign", file, "--key", path, "--passphrase-file", secret, "--yes")
    assert "repository.threshold" in call("publish", file, ok=1).stderr, "control: the old signers have to agree"
    for number in (1, 2):
        key = ("--key", team / f"person-{number}.pem", "--passphrase-file", team / "passphrase")
        call("sign", file, *key, "--root", team / "founding.json", "--yes")
    call("publish", file)
    state = plant.images.shelf(SCOPE).state
    assert state.root(Name.IMAGE).root.version == 2
    assert state.root(Name.DIRECTOR).root.version == 1_000_002
    assert {role: part.version for role, part in state.parts.items()} == {"targets": 2, "exemptions": 2}


def test_a_models_role_is_given_to_others_by_command(plant, call, tmp_path, secret):
    call("found", "--folder", tmp_path / "team")
    (path,) = people(call, tmp_path, secret, 1)
    call("delegate", "door-camera", "--signer", path.with_suffix(".pub"), "--threshold", "1")
    (waits,) = plant.images.proposals(SCOPE)
    assert "give door-camera to 1 key(s)" in waits.proposal.whys[0]


@pytest.mark.usefixtures("plant")
def test_a_wrong_passphrase_and_a_key_given_twice_are_told_in_words(call, tmp_path, secret):
    private = people(call, tmp_path, secret, 1)
    call("online", "-o", tmp_path / "online.json")
    public = private[0].with_suffix(".pub")
    twice = ("--root-key", public, "--root-key", public, "--targets-key", public)
    assert "keys.twice" in call("root", "--online", tmp_path / "online.json", "-o", tmp_path / "x", *twice, ok=1).stderr
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase, as long\n")
    once = ("--root-key", public, "--root-threshold", "1", "--targets-key", public, "--targets-threshold", "1")
    call("root", "--online", tmp_path / "online.json", "-o", tmp_path / "x.json", *once)
    told = call("sign", tmp_path / "x.json", "--key", private[0], "--passphrase-file", wrong, "--yes", ok=1)
    assert "keys.passphrase_wrong" in told.stderr


def test_a_key_is_never_overwritten(tmp_path):
    make_key(tmp_path / "k.pem", Passphrase(SECRET))
    with pytest.raises(Exception, match="exists already"):
        make_key(tmp_path / "k.pem", Passphrase(SECRET))


def test_the_drill_is_a_table_and_a_document(plant, call, tmp_path):
    call("found", "--folder", tmp_path / "team")
    told = json.loads(call("drill", "--json").stdout)
    assert {each["loss"] for each in told["losses"]} == {
        each.loss for each in drill(plant.images.ceremony(SCOPE, whole=True), START)
    }
    assert all(each["held"] for each in told["losses"])
    assert "director" in call("drill").stdout


def test_a_release_is_withdrawn_and_devices_are_exempted_by_command(plant, call, tmp_path):
    call("found", "--folder", tmp_path / "team")
    founded(plant, tmp_path)
    until = rfc3339(Instant(START + DAY))
    about = ("--device", "cam-1", "--name", "back", "--until", until, "--why", "2.0.0 loses the camera")
    assert "exemptions" in call("exempt", f"{MODEL}:1.0.0", *about).stderr
    assert MODEL in call("withdraw", f"{MODEL}:1.0.0", "--why", "it bricks").stderr
    assert {each.proposal.id for each in plant.images.proposals(SCOPE)} == {"exemptions", MODEL}


def test_a_bundle_is_a_zip_of_metadata_and_the_payloads_that_were_given(plant, call, tmp_path):
    call("found", "--folder", tmp_path / "team")
    founded(plant, tmp_path)
    plant.store.fleet.append(Device(DEVICE, Lifecycle.ENROLLED, START, f"{MODEL}@1", site="mine-4"))
    asyncio.run(plant.direct(a_release()))
    payload, other = tmp_path / "rootfs.img", tmp_path / "other.img"
    payload.write_bytes(b"image1.0.0")
    other.write_bytes(b"image2.0.0")
    out = tmp_path / "mine-4.zip"
    assert "bundle.payload" in call("bundle", "mine-4", "-o", out, "--payload", other, ok=1).stderr
    assert not out.exists()
    call("bundle", "mine-4", "-o", out, "--payload", payload, "--days", "30")
    with zipfile.ZipFile(out) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".rootfs.img")]
        assert archive.read(name) == b"image1.0.0"
        assert "bundle.json" in archive.namelist()


def founded(plant, folder):
    """A first release, signed by two of the team."""
    team = folder / "team"
    secret = read_passphrase(team / "passphrase")
    plant.people.keys = [load_pem_private_key((team / f"person-{n}.pem").read_bytes(), secret.reveal()) for n in (1, 2)]
    asyncio.run(plant.publish(a_release()))
