"""An audit's pace: a share of a core, and a sitting that ends."""

from __future__ import annotations

from holdfast_agent.pace import Pace
from holdfast_core.baseline.model import AuditBudget


class World:
    """CPU time and wall time that pass when told; sleeping passes wall time only."""

    def __init__(self) -> None:
        self.cpu = self.wall = self.slept = 0.0

    def work(self, seconds: float) -> None:
        self.cpu += seconds
        self.wall += seconds

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.slept += seconds

    def pace(self, budget: AuditBudget) -> Pace:
        return Pace(budget, cpu=lambda: self.cpu, wall=lambda: self.wall, sleep=self.sleep)


def test_a_quarter_of_a_core_is_slept_three_times_as_long_as_worked() -> None:
    world = World()
    pace = world.pace(AuditBudget(cpu_s=60, cpu_percent=25))
    for _ in range(400):
        world.work(0.01)
        assert not pace()
    assert 11.9 < world.slept < 12.1


def test_a_whole_core_is_never_slept_away() -> None:
    world = World()
    pace = world.pace(AuditBudget(cpu_s=60, cpu_percent=100))
    world.work(5)
    assert not pace()
    assert world.slept == 0


def test_a_sitting_ends_with_its_seconds() -> None:
    world = World()
    pace = world.pace(AuditBudget(cpu_s=10, cpu_percent=50))
    world.work(9.9)
    assert not pace()
    world.work(0.2)
    assert pace()


def test_a_starved_audit_does_not_keep_the_device_for_ever() -> None:
    world = World()
    pace = world.pace(AuditBudget(cpu_s=10, cpu_percent=50))
    world.wall += 39
    assert not pace()
    world.wall += 2
    assert pace()
