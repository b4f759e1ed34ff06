"""A control plane with the DDI API over it, put together from its parts, and clients that speak it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import msgspec
from holdfast.update.turns import Turns
from starlette.routing import Route, Router

from builders import ACTOR, FakeClock, enrolled, new_plane
from holdfast.adapters.artefacts.folder import FolderArtefacts
from holdfast.checkin.pace import Pace
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.credentials import Credentials
from holdfast.update.assigning import Assigner
from holdfast.update.ddi import CALLS_PER_CONTACT, DdiService
from holdfast.update.ddi_callers import DdiCallers
from holdfast.update.desk import Desk
from holdfast.update.ledger import Ledger
from holdfast.update.old_hashes import OldHashing
from holdfast.update.payloads import Payloads
from holdfast.update.release_index import ReleaseIndex
from holdfast.update.releases import ReleaseService
from holdfast.update.rollout_watch import RolloutWatch
from holdfast.update.rollouts import RolloutService
from holdfast.update.update_tokens import DEFAULT_TOKEN, UpdateTokens
from holdfast.web.device.ddi import ddi_routes
from holdfast.web.device.guarded import Guarded, nowhere
from holdfast.web.device.targets import PayloadServer, target_routes
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import MINUTE
from holdfast_core.supply.model import Nature, Offer, Payload, PayloadKind, Release
from holdfast_core.update.ddi import DdiClient
from holdfast_core.update.model import Assignment, Rollout, Selection, Thresholds, Wave

HOST = "plane.test:8444"
SOAK_S = 600
BOARD = "board-1"


class NoDirector:
    """Directs nobody, and remembers whom it should have."""

    def __init__(self):
        self.directed = []

    def direct(self, key, release, now):  # noqa: ARG002  (the port's)
        self.directed.append((key.device, release.id if release is not None else ""))
        return ()


class Lab:
    """The parts of `update` over a plane, with an ASGI application of the routes under test."""

    def __init__(self, plane, folder):
        self.plane, self.clock, self.scope = plane, plane.clock, plane.config.scope
        store, emit = plane.store, plane.emit
        self.store = store
        self.artefacts = FolderArtefacts(folder / "artefacts", reserve=0)
        self.ledger = Ledger(store, self.clock)
        self.director = NoDirector()
        self.releases = ReleaseService(
            store=store,
            clock=self.clock,
            emit=emit,
            artefacts=self.artefacts,
            published=lambda *_: True,
            index=ReleaseIndex(store),
        )
        self.desk = Desk(
            store=store,
            emit=emit,
            ledger=self.ledger,
            directing=self.director,
            releases=self.releases,
            exempts=lambda *_: False,
        )
        parts = {"assigner": Assigner(store), "turns": Turns(store=store, emit=emit)}
        self.rollouts = RolloutService(
            store=store, clock=self.clock, ledger=self.ledger, releases=self.releases, **parts
        )
        self.watch = RolloutWatch(store=store, clock=self.clock, ledger=self.ledger, **parts)
        self.tokens = UpdateTokens(store=store, clock=self.clock, randomness=plane.randomness, emit=emit)
        self.callers = DdiCallers(
            store=store, clock=self.clock, credentials=Credentials(store, emit, plane.issuers), scope=self.scope
        )
        self.service = DdiService(
            store=store, clock=self.clock, ledger=self.ledger, desk=self.desk, pace=Pace(CALLS_PER_CONTACT).admit
        )
        self.server = PayloadServer(self.artefacts)
        self.hashing = OldHashing(store, self.artefacts)
        self.routes = self.more_routes()
        self.app = Router([*self.routes, Route("/{path:path}", Guarded(nowhere))])

    def more_routes(self):
        return [
            *ddi_routes(self.callers, self.service, self.hashing, self.server),
            *target_routes(self.callers, Payloads(self.store).allowed, self.server),
        ]

    def key(self, name):
        return DeviceKey(self.scope, DeviceId(name))

    async def model(self, example="door-camera", **constraints):
        """An example model, with some of its constraints changed."""
        text = example_bytes(example).decode()
        if constraints:
            lines = "".join(f"  {name}: {value!r}\n".replace("'", '"') for name, value in constraints.items())
            kept = [line for line in text.splitlines() if line.strip().split(":")[0] not in constraints]
            text = "\n".join(kept).replace("constraints:\n", "constraints:\n" + lines, 1) + "\n"
        return await self.plane.inventory.add_model(self.scope, text.encode(), actor=ACTOR)

    async def device(self, name="cam-1", *, example="door-camera", labels=(("hardware", BOARD),), **constraints):
        """A device that is expected, and has never enrolled."""
        stored = await self.model(example, **constraints)
        await self.plane.inventory.add_device(
            self.scope, Row(1, DeviceId(name), stored.reference, labels=tuple(labels)), actor=ACTOR
        )
        return self.key(name)

    async def token(self, key, lifetime=DEFAULT_TOKEN):
        text, _ = await self.tokens.create(key, lifetime=lifetime, actor=ACTOR)
        return text

    async def client(self, name="cam-1", **about):
        """A client with a token, of a device that is added."""
        key = await self.device(name, **about)
        return Client(self, name, await self.token(key))

    async def release(self, version="2.0", counter=2, *, model="door-camera", data=None, nature=Nature.FEATURE,
                      kind=PayloadKind.SWUPDATE, file="", svn=0):  # fmt: skip
        """A release with its payload in the artefact store."""
        data = data if data is not None else version.encode() * 50_000
        upload = self.artefacts.begin()
        upload.write(data)
        stored = upload.finish()
        name = f"{model}:{version}"
        made = Release(
            self.scope,
            name,
            model=model,
            version=version,
            svn=svn,
            added_at=self.clock.now(),
            by=ACTOR,
            offer=Offer(name, counter, svn, kind, (BOARD,), nature),
            payload=Payload(kind, file or f"fw-{version}.swu", stored.size, stored.digest),
        )
        await self.store.commit([made])
        return made

    async def rollout(self, release, name="r1", *, soak_s=SOAK_S, back=False, **thresholds):
        """A rollout of a release to all devices of its model, begun."""
        await self.releases.set_policy(self.scope, approvals=0, lab_sites=(), actor=ACTOR)
        made = Rollout(
            self.scope,
            name,
            release=release.id,
            selection=Selection(release.model),
            waves=(Wave("all", soak_s=soak_s),),
            thresholds=Thresholds(**thresholds),
            back=back,
        )
        await self.rollouts.create(made, actor=ACTOR)
        return await self.rollouts.start(self.scope, name, actor=ACTOR)

    async def halt(self, name="r1"):
        await self.rollouts.abort(self.scope, name, why="a test", actor=ACTOR)

    def assignment(self, name="cam-1"):
        return self.store.kept(Assignment, self.scope, name)

    def stage(self, name="cam-1"):
        known = self.assignment(name)
        return known.stage.value if known is not None else ""

    def known(self, name="cam-1"):
        return self.store.kept(DdiClient, self.scope, name)

    async def certified(self, name, example="door-camera"):
        """A client with the certificate of a device that enrolled."""
        device = await enrolled(self.plane, name, example)
        return Client(self, name, fingerprint=device.fingerprint, device=device)


class Client:
    """A client of the DDI API; paths are below its device's root."""

    def __init__(self, lab, name, token="", *, fingerprint=None, device=None, tenant="DEFAULT", headers=None):
        self.lab, self.name, self.token, self.fingerprint = lab, name, token, fingerprint
        self.device, self.tenant, self.headers = device, tenant, headers or {}

    @property
    def root(self):
        return f"/{self.tenant}/controller/v1/{self.name}"

    async def ask(self, method, path, *, absolute=False, **about):
        async def app(scope, receive, send):
            await self.lab.app({**scope, "extensions": {"holdfast.peer": self.fingerprint}}, receive, send)

        headers = {**({"authorization": f"TargetToken {self.token}"} if self.token else {}), **self.headers}
        headers |= about.pop("headers", {})
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}", headers=headers) as client:
            return await client.request(method, path if absolute else self.root + path, **about)

    async def get(self, path="", **about):
        return await self.ask("GET", path, **about)

    async def poll(self):
        """The links of a poll, each as the path that it leads to."""
        answer = await self.get()
        assert answer.status_code == 200, answer.text
        links = answer.json()["_links"]
        return {name: link["href"].removeprefix(f"https://{HOST}") for name, link in links.items()}

    async def describe(self, mode=None, **attributes):
        body = {"data": attributes, **({"mode": mode} if mode else {})}
        return await self.ask("PUT", "/configData", json=body)

    async def follow(self, links, name):
        answer = await self.get(links[name], absolute=True)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def say(self, action, execution, finished="none", *details, progress=None, base="deploymentBase"):
        result = {"finished": finished, **({"progress": progress} if progress else {})}
        status = {"execution": execution, "result": result, "details": list(details)}
        body = {"id": str(action), "time": "20270101T000000", "status": status}
        return await self.ask("POST", f"/{base}/{action}/feedback", json=body)

    async def begin(self):
        """Poll and take the deployment; its action."""
        links = await self.poll()
        return (await self.follow(links, "deploymentBase"))["id"]

    async def install(self):
        """As an honest client: take the deployment, fetch it whole, say that it succeeded; its action."""
        links = await self.poll()
        deployment = await self.follow(links, "deploymentBase")
        artifact = deployment["deployment"]["chunks"][0]["artifacts"][0]
        href = artifact["_links"]["download"]["href"].removeprefix(f"https://{HOST}")
        fetched = await self.get(href, absolute=True)
        assert digest_of(fetched.content) == "sha256:" + artifact["hashes"]["sha256"]
        await self.say(deployment["id"], "proceeding", progress={"cnt": 1, "of": 2})
        assert (await self.say(deployment["id"], "closed", "success")).status_code == 200
        return deployment["id"]


def codes(answer):
    """Status and code of a problem."""
    told = answer.json()
    assert told["detail"]
    assert told["remedy"]
    return answer.status_code, told["code"]


@asynccontextmanager
async def ddi_lab(folder):
    async with new_plane(folder / "data", clock=FakeClock()) as plane:
        yield Lab(plane, folder)


async def after(lab, minutes=1):
    """Let time pass, and rollouts be judged."""
    lab.clock.forward(minutes * MINUTE)
    await lab.watch.tick()


def replaced(record, **changes):
    return msgspec.structs.replace(record, **changes)
