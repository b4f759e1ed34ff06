"""The tree of commands."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer

from holdfast.cli import (
    attest,
    attest_device,
    attest_result,
    audit,
    backup,
    baseline,
    broker,
    ca,
    claim,
    control,
    crl,
    device,
    device_actions,
    device_ownership,
    device_report,
    doctor,
    enrollment,
    fleet_claim,
    harden,
    incident,
    init,
    keys,
    keys_bundle,
    keys_drill,
    keys_found,
    keys_propose,
    log,
    log_key,
    manufacturer,
    model,
    reference,
    reference_build,
    reference_explain,
    reference_keys,
    release,
    retirement,
    rollout,
    rollout_acts,
    rollout_watch,
    secret,
    serve,
    token,
    tpm,
    update_token,
    vault,
)

HELP = """Holdfast: the security control plane for IoT fleets.

Data goes to stdout, words to stderr. Exit: 0 fine, 1 failed, 2 usage, 3 findings, 4 could not decide."""


def _show_version(*, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"holdfast {metadata.version('holdfast')}\n")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=lambda value: _show_version(wanted=value), help="Which one."),
    ] = False,
) -> None:
    del version  # shown by its callback


def build() -> typer.Typer:
    """The command line, put together."""
    app = typer.Typer(name="holdfast", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_options)
    audit.register(app)
    harden.register(app)
    init.register(app)
    serve.register(app)
    for name, summary, registers in (
        ("model", "Device models: check a file, see its baseline, add it.", (model.register,)),
        ("baseline", "Baselines: what is asked of a model, and why.", (baseline.register,)),
        ("control", "Controls: the catalogue, and your own.", (control.register,)),
        (
            "device",
            "Devices: add, find, look at, act on.",
            (
                device.register,
                device_report.register,
                device_actions.register,
                device_ownership.register,
                retirement.register,
                rollout_watch.register_device,
                update_token.register,
            ),
        ),
        ("claim", "Claims: the right of one device to enroll, once.", (claim.register,)),
        ("enrollment", "Enrollments that wait for a person.", (enrollment.register,)),
        ("fleet-claim", "Fleet claims: the right of a production line.", (fleet_claim.register,)),
        ("manufacturer", "Manufacturers: whose certificates admit devices.", (manufacturer.register,)),
        ("broker", "Brokers: add, publish to, try, and what devices are granted there.", (broker.register,)),
        ("crl", "Revocation lists: export them, check what relying parties have.", (crl.register,)),
        ("token", "Tokens: a program's right to call the API.", (token.register,)),
        ("tpm", "TPMs: which chip is in which device, and who vouches for chips.", (tpm.register,)),
        ("incident", "Incidents: what needs looking at.", (incident.register,)),
        ("secret", "Local secrets: passwords that must be on a device itself.", (secret.register,)),
        ("ca", "The authorities that certify devices: show, roll over, export.", (ca.register,)),
        ("vault", "Keys and secrets at rest: rotate, encrypt, change the passphrase.", (vault.register,)),
        ("certificate", "Certificates of sanitization: verify them.", (retirement.register_certificate,)),
        ("log", "The record: show, export and verify it.", (log.register, log_key.register)),
        (
            "attest",
            "What devices booted: how they stand, their evidence, event logs.",
            (attest_device.register, attest_result.register, attest.register),
        ),
        (
            "reference",
            "Reference values: what a release looks like when it is booted.",
            (reference_build.register, reference.register, reference_explain.register, reference_keys.register),
        ),
        (
            "keys",
            "Keys of the update repositories: whose signatures devices take releases by.",
            (keys.register, keys_found.register, keys_drill.register, keys_bundle.register),
        ),
        (
            "release",
            "Releases: what devices can install, who agreed, where each runs.",
            (release.register, keys_propose.register),
        ),
        (
            "rollout",
            "Rollouts: a release on its way to many devices, wave by wave.",
            (rollout.register, rollout_acts.register, rollout_watch.register),
        ),
    ):
        group = typer.Typer(help=summary, no_args_is_help=True)
        for register in registers:
            register(group)
        app.add_typer(group, name=name)
    backup.register(app)
    doctor.register(app)
    return app
