"""The one composition root: what a control plane is made of, and who listens to what.

1. Everything is built here and handed in; no module keeps an engine, a loop or a configuration of its own.
2. `listeners` in `Plane` is the one table of who listens to which event.
3. A data folder has one user at a time: the lock is taken before the database is opened.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from holdfast.adapters.artefacts.folder import FolderArtefacts
from holdfast.adapters.artefacts.inspector import Keys, ToolInspector
from holdfast.adapters.broker import AuthorityTrust, adapter_for
from holdfast.adapters.hook import ProgramHook
from holdfast.adapters.pki import FileAuthority, FileLogSigner, Passphrase, find_passphrase
from holdfast.adapters.pki.canary import X509CanaryMaker, validity_extensions
from holdfast.adapters.pki.crl import CrlMaker
from holdfast.adapters.pki.keyfiles import FileKeyStore
from holdfast.adapters.pki.keystores import open_key_store
from holdfast.adapters.pki.ocsp import OcspResponder
from holdfast.adapters.published import ListFetcher
from holdfast.adapters.store import EmbeddedStore, open_engine
from holdfast.adapters.store.schema import check_version
from holdfast.adapters.system import SystemClock, SystemRandomness
from holdfast.adapters.tls_probe import TlsProbe
from holdfast.adapters.vault import FILE as VAULT
from holdfast.adapters.vault import FileVault
from holdfast.adapters.webhook_secret import WebhookSecret
from holdfast.attestation.appraiser import AttestationAppraiser, BootLogAppraiser
from holdfast.attestation.grounds import Grounds
from holdfast.attestation.references import ReferenceService
from holdfast.attestation.sealed import SealedListener, SealedSecrets
from holdfast.attestation.service import AttestationService
from holdfast.baseline.catalogue_file import catalogue_with
from holdfast.baseline.inspections import InspectionService
from holdfast.baseline.service import BaselineAppraiser, BaselineService, Compiler, PlanContributor
from holdfast.checkin.pace import Pace
from holdfast.checkin.service import CheckInService
from holdfast.config import Config
from holdfast.identity.answers import StatusAnswers
from holdfast.identity.approvals import ApprovalService
from holdfast.identity.broker_watch import BrokerWatch
from holdfast.identity.broker_watches import BrokerWatches
from holdfast.identity.brokers import BrokerService
from holdfast.identity.canaries import Canaries
from holdfast.identity.certifying import Certifier
from holdfast.identity.enrollment import EnrollmentService
from holdfast.identity.fleet import FleetEnrollment
from holdfast.identity.fleet_claims import FleetClaimService
from holdfast.identity.idevid import IDevIDEnrollment
from holdfast.identity.lists import RevocationLists
from holdfast.identity.manufacturers import ManufacturerService
from holdfast.identity.ownership import OwnershipService
from holdfast.identity.relying_parties import RelyingParties
from holdfast.identity.renewal import RenewalContributor, RenewalService
from holdfast.identity.rollover import RolloverService
from holdfast.identity.secret_delivery import SecretContributor, SecretDelivery
from holdfast.identity.secrets import SecretService
from holdfast.identity.service import IdentityService
from holdfast.identity.tokens import TokenService
from holdfast.identity.tpm_enrollment import TpmEnrollment
from holdfast.identity.tpm_registry import TpmRegistry
from holdfast.identity.vaulting import VaultService
from holdfast.inventory.erasing import ErasureAppraiser, ErasureListener
from holdfast.inventory.evidence import small_sections
from holdfast.inventory.replacing import ReplacementService
from holdfast.inventory.retiring import RetirementService
from holdfast.inventory.service import InventoryService
from holdfast.ports.appraisal import Appraiser, Contributor
from holdfast.ports.artefacts import ArtefactStore
from holdfast.ports.broker import Broker
from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.credentials import Credentials
from holdfast.ports.events import Emit, Event
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.keystore import KeyStore
from holdfast.ports.signer import LogSigner
from holdfast.ports.store import Change, Store
from holdfast.ports.tombstones import Tombstones
from holdfast.ports.validity import AuthorityIssuers
from holdfast.ports.verdicts import Verdicts
from holdfast.record.evidence import LogAppraiser
from holdfast.record.service import RecordService, leaves_of
from holdfast.response.service import IncidentListener, NetworkProfileContributor, ResponseService
from holdfast.trust.service import VerdictService
from holdfast.update.appraiser import UpdateAppraiser, UpdateContributor
from holdfast.update.assigning import Assigner
from holdfast.update.bundle import Bundles
from holdfast.update.bundling import Bundling
from holdfast.update.ddi import CALLS_PER_CONTACT, DdiService
from holdfast.update.ddi_callers import DdiCallers
from holdfast.update.desk import Desk
from holdfast.update.director import Director
from holdfast.update.image_repository import ImageRepository
from holdfast.update.ledger import Ledger
from holdfast.update.metadata import MetadataAnswers
from holdfast.update.old_hashes import OldHashing
from holdfast.update.payloads import Payloads
from holdfast.update.planner import Planner
from holdfast.update.pruning import Pruning, WithdrawalListener
from holdfast.update.release_index import ReleaseIndex
from holdfast.update.releases import ReleaseService
from holdfast.update.releasing import Releasing
from holdfast.update.rollout_watch import RolloutWatch
from holdfast.update.rollouts import RolloutService
from holdfast.update.turns import Turns
from holdfast.update.update_tokens import UpdateTokens
from holdfast.update.upkeep import Upkeep
from holdfast.update.uploads import Uploads
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.limits import Limits
from holdfast_core.supply.model import PayloadKind
from holdfast_probe.catalogue import shipped_catalogue

DATABASE = "holdfast.db"
LOCK = "holdfast.lock"
ARTEFACTS = "artefacts"
"""The folder of payloads, in the data folder."""
PAYLOAD_KEYS = "payloads"
"""The folder in ``keys`` with what payloads are checked by: ``rauc.pem``, ``swupdate.pem``, ``mcuboot.pem``."""
SOCKET = "operator.sock"


class FolderLock:
    """The exclusive right to a data folder.

    Raises:
        WorldError: ``data.in_use``.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise WorldError(
                "data.in_use",
                f"Another Holdfast works on {folder}.",
                remedy="Commands reach a running server by themselves; stop it only for restore and upgrade.",
            ) from None

    def release(self) -> None:
        """Give the right back."""
        os.close(self._handle)


@dataclass(frozen=True)
class Attesting:
    """The services of `attestation`, and its part in the check-in; all stand on the same grounds."""

    service: AttestationService
    references: ReferenceService
    appraisers: tuple[Appraiser, ...]


def _attesting(store: Store, clock: Clock, verdicts: Verdicts, emit: Emit, signer: LogSigner) -> Attesting:
    grounds = Grounds(store)
    return Attesting(
        service=AttestationService(
            store=store, clock=clock, verdicts=verdicts, emit=emit, grounds=grounds, signer=signer
        ),
        references=ReferenceService(store=store, clock=clock, verdicts=verdicts, emit=emit, grounds=grounds),
        appraisers=(BootLogAppraiser(), AttestationAppraiser(store, grounds)),
    )


@dataclass(frozen=True)
class Updating:
    """The services of `update`, and its part in the check-in; all stand on the same ledger."""

    artefacts: ArtefactStore
    uploads: Uploads
    ledger: Ledger
    desk: Desk
    releases: ReleaseService
    rollouts: RolloutService
    watch: RolloutWatch
    planner: Planner
    images: ImageRepository
    director: Director
    releasing: Releasing
    answers: MetadataAnswers
    payloads: Payloads
    credentials: Credentials
    ddi: DdiService
    callers: DdiCallers
    hashing: OldHashing
    bundling: Bundling
    pruning: Pruning
    upkeep: Upkeep
    tokens: UpdateTokens
    appraiser: Appraiser
    contributor: Contributor


@dataclass(frozen=True)
class Ground:
    """What every feature stands on: the store, time, chance, who hears of events."""

    store: Store
    clock: Clock
    randomness: Randomness
    emit: Emit
    credentials: Credentials


def _updating(ground: Ground, keys: KeyStore, folder: Path, config: Config) -> Updating:
    store, clock, emit = ground.store, ground.clock, ground.emit
    artefacts = FolderArtefacts(folder / ARTEFACTS)
    ledger = Ledger(store, clock)
    images = ImageRepository(store=store, clock=clock, keys=keys, emit=emit)
    director = Director(store=store, images=images)
    releasing = Releasing(images=images, store=store, clock=clock)
    index = ReleaseIndex(store)
    releases = ReleaseService(
        store=store, clock=clock, emit=emit, artefacts=artefacts, published=images.is_published, index=index
    )
    uploads = Uploads(artefacts, ToolInspector(_payload_keys(folder / "keys" / PAYLOAD_KEYS)), index, clock)
    desk = Desk(store=store, emit=emit, ledger=ledger, directing=director, releases=releases, exempts=images.exempts)
    assigner, turns = Assigner(store), Turns(store=store, emit=emit)
    rollouts = RolloutService(
        store=store, clock=clock, ledger=ledger, releases=releases, assigner=assigner, turns=turns
    )
    return Updating(
        artefacts=artefacts,
        uploads=uploads,
        ledger=ledger,
        desk=desk,
        releases=releases,
        rollouts=rollouts,
        watch=RolloutWatch(store=store, clock=clock, ledger=ledger, assigner=assigner, turns=turns),
        planner=Planner(store=store, clock=clock, ledger=ledger, releases=releases, rollouts=rollouts),
        images=images,
        director=director,
        releasing=releasing,
        upkeep=Upkeep(store=store, clock=clock, images=images, releasing=releasing),
        answers=MetadataAnswers(store=store, clock=clock, images=images, director=director),
        payloads=Payloads(store),
        credentials=ground.credentials,
        ddi=DdiService(store=store, clock=clock, ledger=ledger, desk=desk, pace=Pace(CALLS_PER_CONTACT).admit),
        callers=DdiCallers(store=store, clock=clock, credentials=ground.credentials, scope=config.scope),
        hashing=OldHashing(store, artefacts),
        bundling=Bundling(
            store=store,
            clock=clock,
            emit=emit,
            bundles=Bundles(store=store, images=images, director=director),
            releases=releases,
        ),
        pruning=Pruning(
            store=store,
            clock=clock,
            emit=emit,
            artefacts=artefacts,
            index=index,
            uploads=uploads,
            images=images,
            changing=releases.changing,
        ),
        tokens=UpdateTokens(store=store, clock=clock, randomness=ground.randomness, emit=emit),
        appraiser=UpdateAppraiser(desk, director.version),
        contributor=UpdateContributor(),
    )


def _payload_keys(folder: Path) -> Keys:
    """What payloads are checked by, as far as it was put there."""
    kinds = (PayloadKind.RAUC, PayloadKind.SWUPDATE, PayloadKind.MCUBOOT)
    files = {kind.value: folder / f"{kind.value}.pem" for kind in kinds}
    return Keys(**{kind: str(file) for kind, file in files.items() if file.is_file()})


class Plane:
    """A control plane, put together. Use `open`."""

    def __init__(
        self,
        *,
        config: Config,
        folder: Path,
        lock: FolderLock,
        store: EmbeddedStore,
        signer: FileLogSigner,
        authority: FileAuthority,
        passphrase: Passphrase,
        update_keys: KeyStore,
        clock: Clock,
        randomness: Randomness,
        limits: Limits,
    ) -> None:
        self.config, self.folder, self.limits = config, folder, limits
        self.store, self.authority, self.clock, self.randomness = store, authority, clock, randomness
        self._lock, self.passphrase = lock, passphrase
        self.vault = FileVault(folder / "keys" / VAULT, passphrase)
        self.webhook_secret = WebhookSecret(folder / "keys", self.vault)
        incidents = IncidentListener(store=store, randomness=randomness, webhook=bool(config.webhook_url))
        listeners = (leaves_of, incidents, ErasureListener(store), SealedListener(store), WithdrawalListener(store))

        def emit(event: Event) -> Sequence[Change]:
            return [change for listener in listeners for change in listener(event)]

        compiler = Compiler(catalogue_with(tuple(map(Path, config.catalogues))), shipped_catalogue())
        self.emit = emit
        self.issuers = IssuerBook(store, authority)
        credentials = Credentials(store, emit, self.issuers)
        self.verdicts = VerdictService(store=store, clock=clock, emit=emit)
        self.inventory = InventoryService(store=store, clock=clock, verdicts=self.verdicts, emit=emit)
        self.chips = TpmRegistry(store=store, clock=clock, emit=emit)
        self.tombstones = Tombstones(store=store, clock=clock, emit=emit)
        self.ownership = OwnershipService(
            store=store, clock=clock, randomness=randomness, verdicts=self.verdicts, emit=emit
        )
        self.certifier = Certifier(
            store=store,
            clock=clock,
            randomness=randomness,
            authority=authority,
            book=self.issuers,
            verdicts=self.verdicts,
            emit=emit,
            limits=limits,
            chips=self.chips,
            tombstones=self.tombstones,
        )
        self.secrets = SecretService(store=store, vault=self.vault, clock=clock, randomness=randomness, emit=emit)
        self.secret_delivery = SecretDelivery(
            store=store,
            credentials=credentials,
            vault=self.vault,
            clock=clock,
            randomness=randomness,
            emit=emit,
        )
        self.sealed = SealedSecrets(store=store, vault=self.vault, clock=clock, credentials=credentials, emit=emit)
        self.vault_keys = VaultService(
            vault=self.vault,
            sealings=(self.webhook_secret, self.secrets, self.sealed),
            store=store,
            clock=clock,
            emit=emit,
        )
        self.identity = IdentityService(
            store=store,
            clock=clock,
            randomness=randomness,
            certifier=self.certifier,
            verdicts=self.verdicts,
            emit=emit,
            tombstones=self.tombstones,
        )
        self.renewal = RenewalService(
            store=store,
            clock=clock,
            certifier=self.certifier,
            credentials=credentials,
            book=self.issuers,
            verdicts=self.verdicts,
            emit=emit,
            limits=limits,
        )
        self.approvals = ApprovalService(
            store=store, clock=clock, certifier=self.certifier, emit=emit, limits=limits, scope=config.scope
        )
        self.manufacturers = ManufacturerService(
            store=store,
            clock=clock,
            authority=authority,
            book=self.issuers,
            services=authority.services,
            emit=emit,
            limits=limits,
        )
        hook = ProgramHook(config.provisioning_hook, limits) if config.provisioning_hook else None
        self.fleet_claims = FleetClaimService(store=store, clock=clock, hook=hook, emit=emit, limits=limits)
        self.enrollment = EnrollmentService(
            store=store,
            authority=authority,
            services=authority.services,
            book=self.issuers,
            identity=self.identity,
            renewal=self.renewal,
            ways=(
                IDevIDEnrollment(store=store, clock=clock, certifier=self.certifier, emit=emit, limits=limits),
                FleetEnrollment(
                    store=store,
                    clock=clock,
                    certifier=self.certifier,
                    claims=self.fleet_claims,
                    emit=emit,
                    limits=limits,
                ),
            ),
            approvals=self.approvals,
        )
        self.rollover = RolloverService(store=store, clock=clock, authority=authority, book=self.issuers, emit=emit)
        broker_trust = AuthorityTrust(authority, self.issuers, store)
        self.brokers = BrokerService(
            store=store,
            clock=clock,
            emit=emit,
            issuers=self.issuers,
            trust=broker_trust,
            adapters=adapter_for,
        )

        def watched(broker: Broker) -> BrokerWatch:
            return BrokerWatch(
                broker,
                service=self.brokers,
                adapter=adapter_for(broker),
                trust=broker_trust,
                store=store,
                clock=clock,
                emit=emit,
            )

        self.broker_watches = BrokerWatches(store=store, service=self.brokers, watched=watched)
        self.retirement = RetirementService(
            store=store,
            clock=clock,
            verdicts=self.verdicts,
            emit=emit,
            signer=signer,
            withdrawals=(self.ownership, self.broker_watches),
        )
        self.replacement = ReplacementService(store=store, clock=clock, emit=emit, retirement=self.retirement)
        self.tokens = TokenService(store=store, clock=clock, randomness=randomness, emit=emit)
        self.tpm = TpmEnrollment(
            store=store,
            clock=clock,
            randomness=randomness,
            certifier=self.certifier,
            registry=self.chips,
            verdicts=self.verdicts,
            emit=emit,
            scope=config.scope,
            limits=limits,
        )
        self.attesting = _attesting(store, clock, self.verdicts, emit, signer)
        self.updating = _updating(Ground(store, clock, randomness, emit, credentials), update_keys, folder, config)
        self.baseline = BaselineService(store=store, clock=clock, emit=emit, compiler=compiler)
        self.inspections = InspectionService(store=store, clock=clock, emit=emit, catalogue=compiler.catalogue)
        self.lists = RevocationLists(
            store=store,
            clock=clock,
            issuers=AuthorityIssuers(authority, self.issuers),
            maker=CrlMaker(),
            base_url=config.validation_url,
        )
        authority.extensions = lambda issuer, serial: validity_extensions(self.lists.addresses(issuer, serial))
        self.answers = StatusAnswers(store=store, clock=clock, lists=self.lists, responder=OcspResponder(limits))
        self.canaries = Canaries(store=store, clock=clock, lists=self.lists, maker=X509CanaryMaker())
        self.relying_parties = RelyingParties(
            store=store,
            clock=clock,
            lists=self.lists,
            canaries=self.canaries,
            fetcher=ListFetcher(limits),
            emit=emit,
            limits=limits,
            scope=config.scope,
            published=config.watched_lists,
            probes=tuple(TlsProbe(party, config.scope) for party in config.watched_parties),
        )
        self.response = ResponseService(
            store=store, clock=clock, verdicts=self.verdicts, emit=emit, incidents=incidents
        )
        self.record = RecordService(store=store, signer=signer, clock=clock)
        self.check_ins = CheckInService(
            store=store,
            clock=clock,
            randomness=randomness,
            verdicts=self.verdicts,
            credentials=credentials,
            emit=emit,
            appraisers=(
                *small_sections(),
                BaselineAppraiser(compiler),
                LogAppraiser(),
                ErasureAppraiser(),
                *self.attesting.appraisers,
                self.updating.appraiser,
            ),
            contributors=(
                PlanContributor(compiler),
                NetworkProfileContributor(),
                RenewalContributor(self.issuers),
                SecretContributor(store),
                self.updating.contributor,
            ),
            limits=limits,
        )

    @classmethod
    def open(
        cls,
        config: Config,
        folder: Path,
        *,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        limits: Limits | None = None,
        passphrase: Passphrase | None = None,
    ) -> Self:
        """Take the data folder and build the control plane on it.

        Raises:
            WorldError: ``data.in_use``, ``store.*``, ``files.missing``, ``passphrase.*``, ``keystore.*``.
        """
        lock = FolderLock(folder)
        try:
            keys = folder / "keys"
            passphrase = passphrase or find_passphrase(keys, os.environ)
            signer = FileLogSigner(keys, passphrase)
            authority = FileAuthority(keys, open_key_store(config, keys, passphrase, os.environ))
            engine = open_engine(folder / DATABASE)
            check_version(engine)
            store = EmbeddedStore(engine, signer)
        except BaseException:
            lock.release()
            raise
        return cls(
            config=config,
            folder=folder,
            lock=lock,
            store=store,
            signer=signer,
            authority=authority,
            passphrase=passphrase,
            # Ed25519, which many tokens do not know: what these keys may do is bounded by people's thresholds.
            update_keys=FileKeyStore(keys, passphrase),
            clock=clock or SystemClock(),
            randomness=randomness or SystemRandomness(),
            limits=limits or config.limits,
        )

    async def __aenter__(self) -> Self:
        """The plane itself, closed when the block ends."""
        await self.updating.images.load()
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `close`."""
        await self.close()

    async def close(self) -> None:
        """Finish what is being written, then give the folder back."""
        await self.store.settled()
        self.store.close()
        self._lock.release()
