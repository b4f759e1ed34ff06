"""What the operator API is served from; the composition root fills it."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.attestation.references import ReferenceService
from holdfast.attestation.sealed import SealedSecrets
from holdfast.attestation.service import AttestationService
from holdfast.baseline.inspections import InspectionService
from holdfast.baseline.service import BaselineService
from holdfast.identity.approvals import ApprovalService
from holdfast.identity.broker_watches import BrokerWatches
from holdfast.identity.brokers import BrokerService
from holdfast.identity.fleet_claims import FleetClaimService
from holdfast.identity.lists import RevocationLists
from holdfast.identity.manufacturers import ManufacturerService
from holdfast.identity.ownership import OwnershipService
from holdfast.identity.relying_parties import RelyingParties
from holdfast.identity.renewal import RenewalService
from holdfast.identity.rollover import RolloverService
from holdfast.identity.secrets import SecretService
from holdfast.identity.service import IdentityService
from holdfast.identity.tokens import TokenService
from holdfast.identity.tpm_registry import TpmRegistry
from holdfast.identity.vaulting import VaultService
from holdfast.inventory.replacing import ReplacementService
from holdfast.inventory.retiring import RetirementService
from holdfast.inventory.service import InventoryService
from holdfast.ports.clock import Clock
from holdfast.ports.store import Store
from holdfast.record.service import RecordService
from holdfast.response.service import ResponseService
from holdfast.update.bundling import Bundling
from holdfast.update.image_repository import ImageRepository
from holdfast.update.planner import Planner
from holdfast.update.pruning import Pruning
from holdfast.update.releases import ReleaseService
from holdfast.update.releasing import Releasing
from holdfast.update.rollouts import RolloutService
from holdfast.update.update_tokens import UpdateTokens
from holdfast.update.uploads import Uploads
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.limits import Limits


@dataclass(frozen=True)
class Services:
    """The services, and the scope in which the local socket works."""

    store: Store
    clock: Clock
    inventory: InventoryService
    retirement: RetirementService
    replacement: ReplacementService
    identity: IdentityService
    renewal: RenewalService
    approvals: ApprovalService
    manufacturers: ManufacturerService
    fleet_claims: FleetClaimService
    ownership: OwnershipService
    rollover: RolloverService
    brokers: BrokerService
    broker_watches: BrokerWatches
    tokens: TokenService
    secrets: SecretService
    sealed: SealedSecrets
    vault: VaultService
    chips: TpmRegistry
    attestation: AttestationService
    references: ReferenceService
    uploads: Uploads
    releases: ReleaseService
    rollouts: RolloutService
    planner: Planner
    images: ImageRepository
    releasing: Releasing
    update_tokens: UpdateTokens
    bundling: Bundling
    pruning: Pruning
    baseline: BaselineService
    inspections: InspectionService
    lists: RevocationLists
    relying_parties: RelyingParties
    response: ResponseService
    record: RecordService
    scope: Scope
    limits: Limits
    device_url: str
    """Where devices call, for the command that a claim prints."""
    root_fingerprint: Digest
    """What devices pin, for the same command."""
