"""The model file: YAML in, a validated model out, errors that point at the line, and a schema that is current."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.inventory.model_file import (
    EXAMPLES,
    digest,
    dump,
    example_bytes,
    load,
    load_examples,
    schema,
    schema_text,
)
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.inventory.rules import ModelInvalid
from holdfast_core.kernel.errors import HostileData

CAMERA = example_bytes("door-camera")

FAULTS: dict[str, tuple[bytes, bytes, str, str, str]] = {
    "misspelt constraint": (
        b"exposure: public",
        b"exposre: public",
        "model.shape",
        "$.constraints.exposre",
        "'exposure'",
    ),
    "key of another format": (b"schema: 1\n", b"schema: 1\nkind: x\n", "model.shape", "$.kind", "Use one of"),
    "value outside its list": (
        b"power: mains",
        b"power: steam",
        "model.shape",
        "$.constraints.power",
        "battery, harvested, mains",
    ),
    "yes for true": (
        b"encrypted_at_rest: true",
        b"encrypted_at_rest: yes",
        "model.shape",
        "$.data[0].encrypted_at_rest",
        "true or false",
    ),
    "number for a version": (b'version: "1.0.0"', b"version: 2", "model.shape", "$.version", "quotes"),
    "text for a number": (b"memory_mib: 128", b"memory_mib: lots", "model.shape", "$.constraints.memory_mib", ""),
    "octal for a number": (b"memory_mib: 128", b"memory_mib: 0128", "model.shape", "$.constraints.memory_mib", ""),
    "sexagesimal for a number": (
        b"memory_mib: 128",
        b"memory_mib: 2:08",
        "model.shape",
        "$.constraints.memory_mib",
        "",
    ),
    "nothing for a number": (b"memory_mib: 128", b"memory_mib:", "model.shape", "$.constraints.memory_mib", ""),
    "impossible port": (b"port: 8554", b"port: 85540", "model.port", "$.flows[0].port", "65535"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_its_line_its_path_and_a_way_out(name: str) -> None:
    good, bad, code, path, hint = FAULTS[name]
    assert good in CAMERA
    data = CAMERA.replace(good, bad, 1)
    line = next(n for n, text in enumerate(data.split(b"\n"), 1) if bad.strip().split(b"\n")[-1] in text)
    with pytest.raises(ModelInvalid) as refusal:
        load(data)
    error = refusal.value
    assert (error.code, error.path) == (code, path)
    assert error.sentence.startswith(f"Line {line}: {path}: ")
    assert hint in error.remedy


def test_a_missing_key_points_at_the_part_that_lacks_it() -> None:
    with pytest.raises(ModelInvalid, match="missing required field `security_contact`") as refusal:
        load(CAMERA.replace(b"  security_contact: psirt@example.com\n", b""))
    assert refusal.value.path == "$.supplier"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1.10", "1.10"),
        ("12:30", "12:30"),
        ("on", "on"),
        ("0755", "0755"),
        ("2027-01-31", "2027-01-31"),
        ("1e3", "1e3"),
    ],
)
def test_what_older_yaml_would_turn_into_something_else_stays_text(written: str, meant: str) -> None:
    model = load(CAMERA.replace(b"peer: zone:recorders", f"peer: {written}".encode()))
    assert model.flows[0].peer == meant


def test_a_window_needs_no_quotes() -> None:
    text = example_bytes("pump-controller").replace(b'"02:00-04:00"', b"02:00-04:00")
    assert load(text).constraints.maintenance_window == "02:00-04:00"


def test_a_byte_order_mark_is_no_fault() -> None:
    assert load(b"\xef\xbb\xbf" + CAMERA) == load(CAMERA)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "model.shape"),
        (b"# only a comment\n", "model.shape"),
        (b"- a\n", "model.shape"),
        (b"\xff\xfe", "model.not_text"),
        (b"a: [1", "model.not_yaml"),
        (b"a: b: c", "model.not_yaml"),
        (b"\ta: 1", "model.not_yaml"),
        (b"a: \x00", "model.not_yaml"),
        (b'"\\U00110000": 1', "model.not_yaml"),
        (b'"\\ud800": 1', "model.key"),
        (b'a: "\\ud800"', "model.unprintable"),
        (b"1: a", "model.key"),
        (b"[a]: b", "model.key"),
        (b"? {a: b}\n: c", "model.key"),
        (b"--- a\n--- b\n", "model.not_yaml"),
        (b"%YAML 1." + b"9" * 5000 + b"\n--- a\n", "model.not_yaml"),
    ],
)
def test_what_is_no_model_file_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(HostileData) as refusal:
        load(data)
    assert refusal.value.code == code


def test_there_is_an_example_of_every_class() -> None:
    examples = load_examples()
    assert {model.name for model in examples.values()} == set(EXAMPLES) == set(examples)
    assert {model.device_class for model in examples.values()} == set(DeviceClass)


def test_no_example_outside_the_list_is_opened() -> None:
    with pytest.raises(HostileData, match="No example"):
        example_bytes("../model_file.py")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_survives_being_dumped(name: str) -> None:
    model = load(example_bytes(name))
    assert load(dump(model)) == model


def test_the_digest_is_of_what_a_model_says_not_of_how() -> None:
    model = load(CAMERA)
    spelled_out = CAMERA.replace(b"constraints:\n", b"constraints:\n  reboot_allowed: true   # the default\n")
    assert digest(load(spelled_out)) == digest(load(dump(model))) == digest(model)
    assert digest(load(CAMERA.replace(b"port: 8554", b"port: 8555"))) != digest(model)


def test_the_committed_schema_is_current() -> None:
    committed = (resources.files("holdfast.inventory") / "model.schema.json").read_text()
    assert committed == schema_text(), "write holdfast.inventory.model_file.schema_text() to model.schema.json"
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_satisfies_the_schema(name: str) -> None:
    jsonschema.validate(yaml.safe_load(example_bytes(name)), schema(), jsonschema.Draft202012Validator)


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    document = yaml.safe_load(CAMERA)
    document["constraints"]["exposre"] = "public"
    with pytest.raises(jsonschema.ValidationError, match="exposre"):
        jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary(max_size=300) | st.text(alphabet="abc:-[]{}&*!%#|>'\"?,~\\ \n\t01u\ufeff").map(str.encode))
def test_whatever_the_bytes_only_hostile_data_is_raised(data: bytes) -> None:
    with pytest.raises(HostileData) as refusal:
        load(data)
    assert refusal.value.code.startswith("model.")
    assert refusal.value.remedy


@settings(max_examples=25)  # each reads and writes whole files
@given(st.data(), _TREES)
def test_whatever_is_put_into_a_model_only_hostile_data_is_raised(data: st.DataObject, tree: Any) -> None:
    document = msgspec.json.decode(msgspec.json.encode(_EXAMPLES[data.draw(st.sampled_from(EXAMPLES))]))
    place = document
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [
            value for value in (place.values() if isinstance(place, dict) else place) if isinstance(value, dict | list)
        ]
        if not inner:
            break
        place = data.draw(st.sampled_from(inner))
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    if not keys:
        return
    place[data.draw(st.sampled_from(keys))] = tree
    try:
        model = load(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))
    except HostileData:
        return
    assert load(dump(model)) == model
    digest(model)


_EXAMPLES = load_examples()
