"""What every act of the story works with, and the looks at the fleet that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from holdfast_sim.demo.api import Api, ApiRefused
from holdfast_sim.demo.cast import Member
from holdfast_sim.demo.fleet import Fleet
from holdfast_sim.demo.stage import Mark, Stage
from holdfast_sim.demo.watching import wait_for
from holdfast_sim.updating.workshop import Workshop

TRUSTED, RESTRICTED, QUARANTINED = "trusted", "restricted", "quarantined"
_CLAIM_SECONDS = 600


class Scene:
    """The stage, the control plane as it is seen from outside, and the fleet."""

    def __init__(
        self, stage: Stage, api: Api, fleet: Fleet, folder: Path, *, verifier_key: str, workshop: Workshop
    ) -> None:
        self.stage = stage
        self.api = api
        self.fleet = fleet
        self.folder = folder
        self.verifier_key = verifier_key
        self.workshop = workshop
        self.missing: tuple[str, ...] = ()
        """Programs without which nothing here can prove what it booted."""
        self.told_late = False
        """Whether the verdict of the machine itself is still to be told."""

    def claim(self, member: Member) -> str:
        """A single-use claim, made by the operator."""
        return str(self.api.post("/claims", {"device": member.device, "lifetime_s": _CLAIM_SECONDS})["claim"])

    def device(self, member: Member) -> Any:
        """Everything the server knows of a device."""
        return self.api.device(member.device)

    def report(self, member: Member) -> Any | None:
        """The judged audit; `None` before there is one."""
        with suppress(ApiRefused):
            return self.api.get(f"/devices/{member.device}/report")
        return None

    def outcome(self, member: Member, control: str) -> Any | None:
        """How a control came out when the device was last judged; `None` before there is a report."""
        report = self.report(member)
        return next((e for e in report["judged"] if e["control"] == control), None) if report else None

    def failures(self, member: Member) -> list[Any]:
        """The controls that failed, worst first."""
        report = self.report(member)
        return worst_first(report["judged"]) if report else []

    def wait(self, member: Member, what: str, look: Callable[[Any], Any | None]) -> Any:
        """Wait until `look` finds what it wants in everything that is known of a device. Raises `NotObserved`."""
        return wait_for(
            what,
            lambda: look(self.device(member)),
            lambda: self.seen(member),
            log=self.fleet.log(member),
        )

    def wait_for_level(self, member: Member, level: str, *, without: str = "") -> Any:
        """Wait for a verdict, without a reason of the code `without`. Raises `NotObserved`."""
        words = f" without {without}" if without else ""
        return self.wait(
            member,
            f"{member.device} to be {level}{words}",
            lambda page: page if page["level"] == level and without not in codes(page) else None,
        )

    def wait_for_incident(self, member: Member, cause: str, *, is_open: bool, name: str = "") -> Any:
        """Wait for the newest incident of `cause` (or the one called `name`) to be open or closed."""

        def look(_page: Any) -> Any | None:
            found = [i for i in self.api.incidents(member.device) if i["cause"] == cause and name in ("", i["id"])]
            return found[0] if found and (found[0]["closed_at"] is None) == is_open else None

        state = "open" if is_open else "closed"
        return self.wait(member, f"the {cause} incident of {member.device} to be {state}", look)

    def seen(self, member: Member) -> str:
        """What the API says of a device, in a line."""
        page = self.device(member)
        reasons = ", ".join(codes(page)) or "no reason"
        return f"{member.device} is {page['level']} ({reasons}), last seen {page['last_seen'] or 'never'}"

    def verdict(self, member: Member, page: Any, text: str, **data: Any) -> None:
        """Tell a verdict; `data` is for programs."""
        mark = Mark.SEEN if page["level"] == TRUSTED else Mark.FOUND
        self.stage.tell(mark, member.device, text, level=page["level"], reasons=codes(page), **data)


_RANKS = {"critical": 0, "high": 1, "medium": 2, "low": 3}


def worst_first(judged: list[Any]) -> list[Any]:
    """The failed controls, worst first."""
    failed = [entry for entry in judged if entry["outcome"] == "fail"]
    return sorted(failed, key=lambda entry: _RANKS.get(entry["severity"], len(_RANKS)))


def met(report: Any) -> str:
    """How many of the controls that concern the device are met, in words; what stands in for one counts."""
    outcomes = [entry["outcome"] for entry in report["judged"]]
    good = sum(outcome in {"pass", "compensated"} for outcome in outcomes)
    return f"{good} of {sum(outcome != 'not_applicable' for outcome in outcomes)} controls met"


def codes(page: Any) -> list[str]:
    """The codes of a verdict's reasons."""
    verdict = page["verdict"]
    return [reason["code"] for reason in verdict["reasons"]] if verdict else []


def percent(share: float) -> str:
    """A share in whole percent, rounded down: 100 % means all."""
    return f"{int(share * 100)} %"
