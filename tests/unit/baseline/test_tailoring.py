"""Tailoring: what is asked of a model, and why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseline_builders import (
    EVERYWHERE,
    NOW,
    by_manifest,
    catalogue,
    compensated,
    control,
    excused,
    model,
)
from holdfast_core.baseline.conditions import ConstraintIs, Declares, HasFlow, HoldsData
from holdfast_core.baseline.control import (
    Ask,
    Burden,
    Catalogue,
    Control,
    Effect,
    MetBy,
    Prohibition,
    Raise,
    Remedy,
    Replacement,
)
from holdfast_core.baseline.model import Cost, Demand, Line
from holdfast_core.baseline.tailoring import compile_plan, tailor
from holdfast_core.inventory.model import (
    Classification,
    Compensation,
    DataItem,
    DeviceClass,
    DeviceModel,
    Direction,
    Expected,
    Flow,
    Power,
    RootFilesystem,
    SharedService,
    Transport,
    Update,
    UpdateKind,
)
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, Instant, parse_rfc3339
from holdfast_core.kernel.severity import Severity
from holdfast_probe.catalogue import shipped_catalogue

REBOOTS = Remedy(("Boot the device anew.",), ("Boot it anew again.",), reboot=True)
SIGNED = Compensation("FS-01", ("FS-02",), "The vendor is slow", "Ada", "2027-01-31")


def lines(of: Catalogue, model_: DeviceModel, now: Instant = NOW) -> dict[str, Line]:
    return {line.control: line for line in tailor(of, model_, now).lines}


def line(tested: Control, model_: DeviceModel, *others: Control, now: Instant = NOW) -> Line:
    return lines(catalogue(tested, *others), model_, now)[tested.id]


def test_what_is_asked_is_required_with_a_sentence() -> None:
    made = line(control("FS-01"), model())
    assert made.demand is Demand.REQUIRED
    assert "Linux IoT device" in made.reason
    assert "Rationale of FS-01." in made.reason


def test_what_a_class_is_excused_from_carries_the_class_reason() -> None:
    classes = {**EVERYWHERE, DeviceClass.SERVER: excused("Servers have none.")}
    made = line(control("FS-01", classes=classes), model(DeviceClass.SERVER))
    assert (made.demand, made.reason) == (Demand.NOT_APPLICABLE, "Servers have none.")
    assert line(control("FS-01", classes=classes), model()).demand is Demand.REQUIRED


def test_a_class_that_cannot_meet_it_leans_on_its_stand_in() -> None:
    tested = control("FS-01", classes={**EVERYWHERE, DeviceClass.OT: compensated("FS-02")})
    made = line(tested, model(DeviceClass.OT), control("FS-02"))
    assert (made.demand, made.by) == (Demand.COMPENSATED, ("FS-02",))
    assert "FS-02" in made.reason


def test_a_class_whose_stand_in_is_forbidden_here_is_not_excused() -> None:
    tested = control("FS-01", classes={**EVERYWHERE, DeviceClass.OT: compensated("FS-02")})
    made = line(tested, model(DeviceClass.OT, forbidden=("FS-02",)), control("FS-02"))
    assert made.demand is Demand.REQUIRED
    assert "not looked at here" in made.reason


def test_a_condition_that_does_not_hold_is_the_reason() -> None:
    flow = HasFlow(otherwise="It accepts no connections.", direction=Direction.IN)
    tested = control("NET-01", applies_if=(flow,))
    assert line(tested, model()).reason == "It accepts no connections."
    listening = model(flows=(Flow("ssh", Direction.IN, Transport.TCP, 22, "site", "service"),))
    assert line(tested, listening).demand is Demand.REQUIRED


@pytest.mark.parametrize(
    ("constraint", "words"),
    [({"vendor_locked": True}, "Only Lamps Ltd"), ({"reboot_allowed": False}, "must not reboot")],
    ids=["a locked vendor", "no reboot"],
)
def test_what_a_device_cannot_bear_is_stood_in_for(constraint: dict[str, Any], words: str) -> None:
    tested = control("FS-01", stand_in=("FS-02",), remedy=REBOOTS)
    made = line(tested, model(**constraint), control("FS-02", Severity.CRITICAL))
    assert (made.demand, made.by) == (Demand.COMPENSATED, ("FS-02",))
    assert words in made.reason
    assert line(tested, model(), control("FS-02")).demand is Demand.REQUIRED


def test_what_nothing_can_stand_in_for_stays_required_until_a_person_signs() -> None:
    made = line(control("FS-01", remedy=REBOOTS), model(reboot_allowed=False))
    assert made.demand is Demand.REQUIRED
    assert "until a person signs" in made.reason


def test_an_open_door_is_never_too_much_to_ask() -> None:
    tested = control("FS-01", Severity.CRITICAL, stand_in=("FS-02",))
    assert line(tested, model(vendor_locked=True), control("FS-02")).demand is Demand.REQUIRED


def test_a_probe_the_device_has_no_memory_for_is_neither_asked_nor_excused_for_nothing() -> None:
    large = control("FS-01", cost=Cost(cpu_ms=1, memory_kib=4096), stand_in=("FS-02",))
    of = catalogue(large, control("FS-02"))
    small = model(memory_mib=16)
    baseline = tailor(of, small, NOW)
    assert baseline.lines[0].demand is Demand.COMPENSATED
    assert compile_plan(baseline, small, of).controls == ("FS-02",)


def test_a_signed_compensation_carries_owner_and_last_day() -> None:
    made = line(control("FS-01"), model(compensations=(SIGNED,)), control("FS-02"))
    assert (made.demand, made.by, made.owner) == (Demand.COMPENSATED, ("FS-02",), "Ada")
    assert made.expires == parse_rfc3339("2027-02-01T00:00:00Z")
    assert "Ada answers for it until 2027-01-31" in made.reason


def test_a_compensation_counts_on_its_last_day_and_not_a_millisecond_longer() -> None:
    end = parse_rfc3339("2027-02-01T00:00:00Z")
    on = model(compensations=(SIGNED,))
    assert line(control("FS-01"), on, control("FS-02"), now=Instant(end - 1)).demand is Demand.COMPENSATED
    made = line(control("FS-01"), on, control("FS-02"), now=end)
    assert made.demand is Demand.REQUIRED
    assert "lapsed after 2027-01-31" in made.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"by": ()}, "names no stand-in", id="by nothing"),
        pytest.param({"by": ("FS-99",)}, "leans on FS-99", id="by a control that does not exist"),
        pytest.param({"by": ("FS-01",)}, "leans on FS-01", id="by itself"),
        pytest.param({"by": ("FS-03",)}, "leans on FS-03", id="by a control that is not asked of the class"),
    ],
)
def test_a_compensation_without_a_verified_stand_in_excuses_nothing(change: dict[str, Any], words: str) -> None:
    unasked = control("FS-03", classes={**EVERYWHERE, DeviceClass.LINUX_IOT: excused()})
    declared = model(compensations=(msgspec.structs.replace(SIGNED, **change),))
    made = line(control("FS-01"), declared, control("FS-02"), unasked)
    assert made.demand is Demand.REQUIRED
    assert words in made.reason


def test_a_compensation_with_no_date_is_refused() -> None:
    with pytest.raises(HostileData) as refused:
        line(control("FS-01"), model(compensations=(msgspec.structs.replace(SIGNED, expires="soon"),)))
    assert refused.value.code == "model.date"


def test_a_model_may_forbid_a_control_but_not_an_open_door() -> None:
    declared = model(forbidden=("FS-01", "FS-02"))
    assert line(control("FS-01"), declared).demand is Demand.FORBIDDEN
    assert line(control("FS-02", Severity.CRITICAL), declared).demand is Demand.REQUIRED


def test_an_immutable_root_says_once_where_a_failure_is_put_right() -> None:
    of = catalogue(control("FS-01"))
    (remark,) = tailor(of, model(root_filesystem=RootFilesystem.IMMUTABLE), NOW).remarks
    assert "next image" in remark
    assert tailor(of, model(), NOW).remarks == ()


def test_a_battery_device_is_asked_for_costly_things_once_a_week() -> None:
    of = catalogue(control("FS-01", cost=Cost(cpu_ms=900, heavy=True)))
    on_battery, on_mains = model(power=Power.BATTERY), model()
    assert "once a week" in tailor(of, on_battery, NOW).lines[0].reason
    assert compile_plan(tailor(of, on_battery, NOW), on_battery, of).heavy_interval_s == 7 * 86_400
    assert compile_plan(tailor(of, on_mains, NOW), on_mains, of).heavy_interval_s == 86_400


def test_a_shared_service_is_held_to_its_strictest_dependant() -> None:
    classes = {**EVERYWHERE, DeviceClass.SERVER: excused("Servers are not asked.")}
    tested = control("SVC-01", classes=classes, shared=True)
    alone = model(DeviceClass.SERVER)
    sharing = model(DeviceClass.SERVER, shared_services=(SharedService("broker", (DeviceClass.OT,)),))
    assert line(tested, alone).demand is Demand.NOT_APPLICABLE
    made = line(tested, sharing)
    assert made.demand is Demand.REQUIRED
    assert "broker also serves OT devices" in made.reason
    own = control("FS-01", classes=classes)
    assert line(own, sharing).demand is Demand.NOT_APPLICABLE, "only controls of services are inherited"


def test_the_plan_asks_for_what_is_required_and_for_the_stand_ins() -> None:
    leaning = control("FS-01", classes={**EVERYWHERE, DeviceClass.OT: compensated("FS-03")})
    unasked = control("FS-02", classes={**EVERYWHERE, DeviceClass.OT: excused()})
    never = Declares(what="writable", otherwise="Nothing is declared.")
    stand_in = control("FS-03", applies_if=(never,))
    of = catalogue(leaning, unasked, stand_in, by_manifest("BOOT-01", "signed"))
    flows = (
        Flow("modbus", Direction.IN, Transport.TCP, 502, "plc", "process"),
        Flow("syslog", Direction.OUT, Transport.UDP, 514, "log", "logging"),
    )
    device = model(DeviceClass.OT, flows=flows, expected=Expected(accounts=("root",), autostart=("plc",)))
    baseline = tailor(of, device, NOW)
    plan = compile_plan(baseline, device, of)
    assert plan.controls == ("FS-01", "FS-03"), "the stand-in is probed although nothing else asks for it"
    assert plan.listening == (("tcp", 502),)
    assert (plan.accounts, plan.autostart) == (("root",), ("plc",))
    assert (plan.catalogue, plan.health) == (of.digest, device.essential_function.probe)


def test_a_microcontroller_is_sent_no_probes() -> None:
    of = shipped_catalogue()
    device = model(DeviceClass.MCU)
    baseline = tailor(of, device, NOW)
    assert compile_plan(baseline, device, of).controls == ()
    required = {line.control for line in baseline.lines if line.demand is Demand.REQUIRED}
    assert {"BOOT-01", "BOOT-04", "BOOT-05", "BOOT-09", "PHY-01", "PHY-09", "CRY-06", "APP-09", "ACC-07"} <= required


DRIVERS = ("squashfs", "jffs2", "ext4", "vfat", "ubifs")
CARELESS = catalogue(
    # What a copy of a server guide would put into a catalogue: required of every class.
    control("FS-81", effects=(Effect.DISABLES_FILESYSTEM,), filesystems=("squashfs", "jffs2", "vfat")),
    control("FS-82", effects=(Effect.VERIFIES_ROOT,), shared=True),
    control("UPD-81", effects=(Effect.UPGRADES_PACKAGES,)),
    control("FS-83", effects=(Effect.DISABLES_FILESYSTEM,), filesystems=("hfs",)),
    prohibitions=(Prohibition("FS-91", "Disabling such drivers", Severity.HIGH, Effect.DISABLES_FILESYSTEM, DRIVERS),),
)

models = st.builds(
    model,
    st.sampled_from(DeviceClass),
    memory_mib=st.sampled_from([1, 16, 4096]),
    power=st.sampled_from(Power),
    reboot_allowed=st.booleans(),
    vendor_locked=st.booleans(),
    root_filesystem=st.sampled_from(RootFilesystem),
    update=st.builds(Update, st.sampled_from(UpdateKind)),
    expected=st.builds(Expected, root_fs_drivers=st.lists(st.sampled_from(DRIVERS), max_size=3).map(tuple)),
    forbidden=st.lists(st.sampled_from(["FS-05", "SVC-01", "FS-81", "ACC-10"]), max_size=2).map(tuple),
    shared_services=st.lists(
        st.builds(SharedService, st.just("broker"), st.lists(st.sampled_from(DeviceClass), max_size=3).map(tuple)),
        max_size=2,
    ).map(tuple),
    compensations=st.lists(
        st.builds(
            Compensation,
            st.sampled_from(["FS-81", "FS-82", "FS-05", "SVC-01", "KERN-02", "ACC-01"]),
            st.lists(st.sampled_from(["FS-83", "SVC-03", "ACC-10", "FS-81", "XX-99"]), max_size=2).map(tuple),
            st.just("It takes time"),
            st.just("Ada"),
            st.sampled_from(["2020-01-01", "2026-11-20", "2026-11-21", "2030-01-01"]),
        ),
        max_size=3,
    ).map(tuple),
)
ASKED = {Demand.REQUIRED, Demand.COMPENSATED}


@settings(max_examples=40)
@given(models)
def test_never_brick_no_iot_baseline_disables_a_file_system_it_may_boot_from(device: DeviceModel) -> None:
    made = lines(CARELESS, device)
    if device.device_class in {DeviceClass.GATEWAY, DeviceClass.LINUX_IOT, DeviceClass.OT}:
        assert made["FS-81"].demand is Demand.FORBIDDEN
        assert made["FS-83"].demand is Demand.FORBIDDEN
        assert made["FS-91"].demand is Demand.FORBIDDEN
    if set(device.expected.root_fs_drivers) & {"squashfs", "jffs2", "vfat"}:
        assert made["FS-81"].demand is Demand.FORBIDDEN, "a server that boots from it, too"
    elif device.device_class is DeviceClass.SERVER and "FS-81" not in device.forbidden:
        assert made["FS-81"].demand in ASKED, "the passing control: elsewhere it may be asked"


@settings(max_examples=40)
@given(models)
def test_never_brick_no_server_is_asked_to_verify_its_root(device: DeviceModel) -> None:
    made = lines(CARELESS, device)["FS-82"]
    if device.device_class is DeviceClass.SERVER or device.constraints.root_filesystem is RootFilesystem.MUTABLE:
        assert made.demand is Demand.FORBIDDEN
    else:
        assert made.demand in ASKED


@settings(max_examples=40)
@given(models)
def test_never_brick_packages_are_upgraded_only_where_that_is_how_it_is_updated(device: DeviceModel) -> None:
    made = lines(CARELESS, device)["UPD-81"]
    mutable = device.constraints.root_filesystem is RootFilesystem.MUTABLE
    assert (made.demand in ASKED) == (mutable and device.update.kind is UpdateKind.PACKAGE_MANAGER)


@settings(max_examples=40)
@given(models)
def test_every_control_has_one_line_and_every_line_a_sentence(device: DeviceModel) -> None:
    of = shipped_catalogue()
    made = tailor(of, device, NOW).lines
    names = [line.control for line in made]
    assert names[: len(of.controls)] == [control.id for control in of.controls]
    assert len(set(names)) == len(names)
    assert all(line.reason.endswith(".") for line in made)


@settings(max_examples=40)
@given(models)
def test_nothing_is_excused_by_a_stand_in_that_is_not_looked_at(device: DeviceModel) -> None:
    of = shipped_catalogue()
    known = {control.id: control for control in of.controls}
    baseline = tailor(of, device, NOW)
    plan = compile_plan(baseline, device, of)
    for made in baseline.lines:
        assert (made.demand is Demand.COMPENSATED) == bool(made.by)
        for stand_in in made.by:
            assert stand_in != made.control
            ask = known[stand_in].classes[device.device_class].ask
            looked_at = stand_in in plan.controls or known[stand_in].inspected
            assert ask is Ask.MANIFEST or looked_at or device.constraints.memory_mib == 1


@settings(max_examples=40)
@given(models)
def test_no_critical_control_is_excused_but_by_class_condition_or_signature(device: DeviceModel) -> None:
    signed = {entry.control for entry in device.compensations}
    for made in tailor(shipped_catalogue(), device, NOW).lines:
        if made.severity is Severity.CRITICAL and made.demand is Demand.COMPENSATED:
            assert made.control in signed
            assert made.expires is not None
            assert made.expires > NOW


@settings(max_examples=40)
@given(models, st.integers(min_value=0, max_value=3000))
def test_time_only_ever_takes_compensations_away(device: DeviceModel, days: int) -> None:
    of = shipped_catalogue()
    early = {line.control: line.demand for line in tailor(of, device, NOW).lines}
    late = {line.control: line.demand for line in tailor(of, device, Instant(NOW + days * DAY)).lines}
    for name, demand in late.items():
        if early[name] is not demand:
            assert (early[name], demand) == (Demand.COMPENSATED, Demand.REQUIRED)


IMMUTABLE = Replacement(
    when=ConstraintIs(name="root_filesystem", one_of=("immutable",)),
    by=("FS-02",),
    reason="The root cannot change: its image is replaced as a whole.",
)


def test_an_immutable_root_replaces_what_only_a_mutable_one_can_do() -> None:
    patching = control("FS-01", replaced=(IMMUTABLE,))
    made = line(patching, model(root_filesystem=RootFilesystem.IMMUTABLE), control("FS-02"))
    assert (made.demand, made.by) == (Demand.COMPENSATED, ("FS-02",))
    assert "image is replaced as a whole" in made.reason
    assert line(patching, model(), control("FS-02")).demand is Demand.REQUIRED


def test_what_replaces_a_control_must_itself_be_looked_at() -> None:
    unasked = control("FS-02", classes={**EVERYWHERE, DeviceClass.LINUX_IOT: excused()})
    device = model(root_filesystem=RootFilesystem.IMMUTABLE)
    assert line(control("FS-01", replaced=(IMMUTABLE,)), device, unasked).demand is Demand.REQUIRED


def test_the_data_a_device_holds_makes_a_control_weigh_more() -> None:
    step = Raise(when=HoldsData(classes=(Classification.PERSONAL,)), to=Severity.HIGH, reason="It holds personal data.")
    tested = control("FS-01", Severity.LOW, raised=(step,))
    filming = model(data=(DataItem("video", Classification.PERSONAL),))
    made = line(tested, filming)
    assert made.severity is Severity.HIGH
    assert "personal data" in made.reason
    assert line(tested, model()).severity is Severity.LOW


def test_a_locked_vendor_leaves_network_and_site_to_their_owners() -> None:
    locked = model(vendor_locked=True)
    assert line(control("FS-01", stand_in=("FS-02",)), locked, control("FS-02")).demand is Demand.COMPENSATED
    around = control("FS-01", stand_in=("FS-02",), met_by=MetBy.NETWORK)
    assert line(around, locked, control("FS-02")).demand is Demand.REQUIRED


def test_the_stand_ins_of_a_burden_go_before_those_of_the_control() -> None:
    general = {Burden.VENDOR_LOCKED: ("NET-01", "UPD-01")}
    controls = (control("FS-01", stand_in=("FS-02",)), control("FS-02"), control("NET-01"), control("UPD-01"))
    made = lines(catalogue(*controls, stand_ins=general), model(vendor_locked=True))["FS-01"]
    assert made.by == ("NET-01", "UPD-01")
    assert (made.owner, made.expires) == ("security@lamps.example", last_day_ends("2031-01-01"))


def test_what_a_supplier_answers_for_ends_with_its_support() -> None:
    tested = control("FS-01", stand_in=("FS-02",))
    device = model(vendor_locked=True)
    last = Instant(last_day_ends("2031-01-01") - 1)
    assert line(tested, device, control("FS-02"), now=last).demand is Demand.COMPENSATED
    assert line(tested, device, control("FS-02"), now=Instant(last + 1)).demand is Demand.REQUIRED


def test_cheap_checks_often_and_costly_ones_rarely_where_energy_is_short() -> None:
    of = catalogue(control("FS-01"))
    mains, battery = (
        compile_plan(tailor(of, device, NOW), device, of) for device in (model(), model(power=Power.BATTERY))
    )
    assert (mains.light_interval_s, mains.heavy_interval_s) == (3_600, 86_400)
    assert (battery.light_interval_s, battery.heavy_interval_s) == (14_400, 7 * 86_400)
    assert battery.budget.cpu_s <= 3_600 // 20 // 4


def test_a_sitting_takes_a_small_part_of_a_contact_interval() -> None:
    of = catalogue(control("FS-01"))
    for interval, expected in ((60, 5), (900, 11), (86_400, 60)):
        device = model(contact_interval_s=interval)
        assert compile_plan(tailor(of, device, NOW), device, of).budget.cpu_s == expected
