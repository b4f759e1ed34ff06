"""The tables, and how each record becomes a row.

1. Every key starts with tenant and environment. The log is one for the whole server: `leaf` is keyed by its index and
   has both as columns, and `log_state` is one row.
2. A row holds the columns that are searched or joined, and the whole record as `body`; the body is the truth.
3. Rows are replaced whole, so a record's fields may grow without a migration; a new column needs one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table

from holdfast.ports.broker import Broker
from holdfast.ports.store import Blob, Body, Delivery, StoredModel
from holdfast_core.attestation.model import AttestationKey, KeptEvidence
from holdfast_core.attestation.reference import Reference, ReleaseKey
from holdfast_core.attestation.sealed import SealedSecret
from holdfast_core.identity.endorsement import EkRoot, TpmBinding
from holdfast_core.identity.fleet import FleetClaim
from holdfast_core.identity.issuers import IssuerState
from holdfast_core.identity.manufacturers import Allowance, Manufacturer
from holdfast_core.identity.model import Claim, Credential, Token
from holdfast_core.identity.ownership import PossessionCode, Transfer
from holdfast_core.identity.pending import PendingRequest
from holdfast_core.identity.secrets import LocalSecret
from holdfast_core.identity.usage import BrokerMark, TopicUse
from holdfast_core.identity.validity import Canary, IssuerLists
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.inventory.retirement import Retirement, Tombstone
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.kept import Kept
from holdfast_core.response.model import Incident
from holdfast_core.supply.model import Release
from holdfast_core.trust.posture import Posture
from holdfast_core.update.ddi import DdiClient, OldHashes, UpdateToken
from holdfast_core.update.model import Assignment, Clearance, Rollout, SlotHistory, UpdatePolicy
from holdfast_core.update.repository import Direction, OnlineKey, Proposal, Repository, Withdrawal
from holdfast_core.update.rollout import RolloutResult

metadata = MetaData()


def _scoped(name: str, *columns: Column[Any] | Index) -> Table:
    return Table(
        name,
        metadata,
        Column("tenant", String, primary_key=True),
        Column("environment", String, primary_key=True),
        *columns,
    )


def _body() -> Column[bytes]:
    return Column("body", LargeBinary, nullable=False)


device = _scoped("device", Column("device", String, primary_key=True), _body())
posture = _scoped("posture", Column("device", String, primary_key=True), Column("level", String), _body())
credential = _scoped(
    "credential", Column("fingerprint", String, primary_key=True), Column("device", String, nullable=False), _body()
)
claim = _scoped("claim", Column("digest", String, primary_key=True), _body())
token = _scoped("token", Column("digest", String, primary_key=True), _body())
model = _scoped("model", Column("reference", String, primary_key=True), _body())
evidence = _scoped(
    "evidence",
    Column("device", String, primary_key=True),
    Column("section", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("kept_at", Integer, nullable=False),
    _body(),
)
blob = _scoped("blob", Column("digest", String, primary_key=True), _body())
"""What several rows look back to; written once, never changed."""
attestation = _scoped(
    "attestation",
    Column("device", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    _body(),
)
"""Every evidence of a boot, with what its appraisal looked at; rows are only ever added."""
incident = _scoped(
    "incident",
    Column("id", String, primary_key=True),
    Column("device", String, nullable=False),
    Column("opened_at", Integer, nullable=False),
    Column("closed_at", Integer),
    _body(),
    Index("incident_by_device", "tenant", "environment", "device"),
)
kept = _scoped("kept", Column("kind", String, primary_key=True), Column("id", String, primary_key=True), _body())
"""Every type of small record; `kind` is its name in `KEPT`."""
delivery = _scoped("delivery", Column("id", String, primary_key=True), Column("done", Integer, nullable=False), _body())

leaf = Table(
    "leaf",
    metadata,
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("tenant", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("device", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("leaf_by_device", "tenant", "environment", "device", "index"),
)
"""The log. `body` are the exact bytes that were hashed; rows are only ever added."""

log_state = Table(
    "log_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("checkpoint", String, nullable=False),
)
"""One row: the log's compact range and its newest signed checkpoint, written with the leaves they cover."""


class Mapping(msgspec.Struct, frozen=True):
    """How one type of record lies in its table."""

    table: Table
    columns: Callable[[Any], dict[str, Any]]


def _of_scope(scope: Scope) -> dict[str, Any]:
    return {"tenant": scope.tenant, "environment": scope.environment}


def of_key(key: DeviceKey) -> dict[str, Any]:
    """The key columns of one device."""
    return {"tenant": key.scope.tenant, "environment": key.scope.environment, "device": key.device}


KEPT: dict[str, type[Kept]] = {
    "issuer": IssuerState,
    "local-secret": LocalSecret,
    "pending-request": PendingRequest,
    "manufacturer": Manufacturer,
    "allowance": Allowance,
    "possession-code": PossessionCode,
    "transfer": Transfer,
    "fleet-claim": FleetClaim,
    "issuer-lists": IssuerLists,
    "canary": Canary,
    "ek-root": EkRoot,
    "tpm": TpmBinding,
    "broker": Broker,
    "broker-mark": BrokerMark,
    "topic-use": TopicUse,
    "retirement": Retirement,
    "tombstone": Tombstone,
    "attestation-key": AttestationKey,
    "release": Release,
    "reference": Reference,
    "release-key": ReleaseKey,
    "sealed-secret": SealedSecret,
    "clearance": Clearance,
    "update-policy": UpdatePolicy,
    "rollout": Rollout,
    "rollout-result": RolloutResult,
    "assignment": Assignment,
    "slot-history": SlotHistory,
    "repository": Repository,
    "online-key": OnlineKey,
    "proposal": Proposal,
    "direction": Direction,
    "update-token": UpdateToken,
    "old-hashes": OldHashes,
    "ddi-client": DdiClient,
    "withdrawal": Withdrawal,
}
"""The types of small records by the name they are stored under; a name is for ever."""
KEPT_NAMES = {kind: name for name, kind in KEPT.items()}


def mapping_of(kind: type[Any]) -> type[Any]:
    """Under which type of `MAPPINGS` records of `kind` are stored."""
    return Kept if issubclass(kind, Kept) else kind


def row_of_kept(kind: type[Kept], scope: Scope, name: str) -> dict[str, Any]:
    """The key columns of one small record."""
    return {**_of_scope(scope), "kind": KEPT_NAMES[kind], "id": name}


MAPPINGS: dict[type[Any], Mapping] = {
    Device: Mapping(device, lambda r: of_key(r.key)),
    Posture: Mapping(posture, lambda r: {**of_key(r.key), "level": r.verdict.level.value}),
    Credential: Mapping(credential, lambda r: {**of_key(r.key), "fingerprint": r.fingerprint}),
    Claim: Mapping(claim, lambda r: {**_of_scope(r.key.scope), "digest": r.digest}),
    Token: Mapping(token, lambda r: {**_of_scope(r.scope), "digest": r.digest}),
    StoredModel: Mapping(model, lambda r: {**_of_scope(r.scope), "reference": r.reference}),
    Body: Mapping(
        evidence,
        lambda r: {**of_key(r.key), "section": r.section, "digest": r.digest, "kept_at": r.kept_at},
    ),
    Blob: Mapping(blob, lambda r: {**_of_scope(r.scope), "digest": r.digest}),
    KeptEvidence: Mapping(attestation, lambda r: {**of_key(r.key), "number": r.number}),
    Incident: Mapping(
        incident,
        lambda r: {**of_key(r.key), "id": r.id, "opened_at": r.opened_at, "closed_at": r.closed_at},
    ),
    Kept: Mapping(kept, lambda r: row_of_kept(type(r), r.scope, r.id)),
    Delivery: Mapping(delivery, lambda r: {**_of_scope(r.scope), "id": r.id, "done": int(r.done)}),
}
"""Every record type that can be put."""
