"""The named limits. Every loop, body, chain and list that outsiders can grow is bounded by one of these."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Bounds on what a peer may send. Sizes in bytes, times in seconds."""

    check_in_bytes: int = 256 * 1024
    """One check-in, all sections together."""
    sections: int = 16
    section_bytes: int = 128 * 1024
    answer_bytes: int = 2 * 1024
    """What a server may have a device remember of one section."""
    directive_reports: int = 32
    findings: int = 512
    proof_items: int = 8
    text: int = 512
    """Any single string from a device that is stored or shown."""
    csr_bytes: int = 8 * 1024
    certifying: int = 64
    """Certificates being made at once."""
    ocsp_bytes: int = 2 * 1024
    """One OCSP request; one for one certificate has about 120, with a long nonce 250."""
    validation_requests: int = 5_000
    """Of one address to the validation port within 10 s; a whole site may stand behind one address."""
    crl_bytes: int = 64 * 1024 * 1024
    """One certificate revocation list of others, or ours as others hold it: about a million entries."""
    crl_lists: int = 64
    """Lists in one file: one for each issuer of an environment."""
    secret_request_bytes: int = 1024
    """A device's request for a local secret: a version's number."""
    pending_requests: int = 256
    """Of one scope that wait for a person."""
    pending_per_device: int = 4
    """Of them, keys under one name."""
    manufacturer_bytes: int = 48 * 1024
    """A manufacturer's certificates as PEM."""
    manufacturer_certificates: int = 16
    manufacturers: int = 64
    """Of one scope."""
    fleet_claims: int = 64
    """Of one scope, in force."""
    hooks: int = 8
    """Provisioning hooks running at once."""
    hook_bytes: int = 16 * 1024
    hook_seconds: float = 10.0
    tpm_bytes: int = 64 * 1024
    """One step of an enrollment with a TPM: its public keys, and the certificates that lead to its maker."""
    tpm_finished: int = 65_536
    """Exchanges of TPM enrollments that got as far as the secret and are remembered, so that none is used twice."""
    tpm_finished_per_chip: int = 64
    """Of them, one chip's within ten minutes; an honest one comes once, and again when an answer was lost."""
    model_bytes: int = 256 * 1024
    model_depth: int = 16
    """How deep a model file may nest."""
    model_nodes: int = 20_000
    """Keys, values, lists and mappings of a model file, all together."""
    model_items: int = 256
    """Entries of any one list of a model file."""
    topic_bytes: int = 256
    """One topic filter of a model file; brokers take up to 65,535."""
    topic_levels: int = 16
    device_filters: int = 64
    """Topic filters of one device, each way."""
    rows_text: int = 32 * 1024 * 1024
    """Characters of a CSV import."""
    rows: int = 100_000
    labels: int = 32
    """Labels of one device."""
    operator_bytes: int = 64 * 1024
    """One JSON request of the operator API; model files and lists have limits of their own."""
    header_bytes: int = 16 * 1024
    header_seconds: float = 20.0
    body_seconds: float = 30.0
    handshake_seconds: float = 20.0
    connections: int = 4096
    connections_per_device: int = 8
    """Of one certificate. Who shows none, as before enrollment, shares a quarter of all."""
    handshakes: int = 256
    """Under way at once; beyond it the oldest gives way, for an honest one takes milliseconds."""
    answer_seconds: float = 60.0
    """From the end of a request until its answer was taken off our hands."""
    anonymous_seconds: int = 10
    """How long a connection without a certificate may idle between two requests."""
    remembered_sequences: int = 16
    """Check-ins of a device that can still be told apart from a clone's when they come late."""
    remembered_boots: int = 8
    check_ins_per_contact: int = 64
    """Check-ins of one device within its model's contact interval."""
    open_directives: int = 16
    erased_paths: int = 16
    """Places that one retiring device is asked to erase."""
    erased_path: int = 120
    """Characters of one of them, and of each thing a person says of an erasure."""
    note_bytes: int = 16 * 1024
    """One signed note (a checkpoint), signatures included."""
    note_signatures: int = 64
    leaf_bytes: int = 32 * 1024
    """One leaf of the record, as hashed."""
    export_line_bytes: int = 128 * 1024
    """One line of an exported record; a leaf's text at most doubles when it is quoted."""
    export_pins: int = 4096
    """Checkpoints held elsewhere that one export is compared with."""


LIMITS = Limits()
"""The limits in force where nobody configured others."""
