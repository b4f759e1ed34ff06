"""FIT images: made by mkimage and by hand, verified and refused."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boot_builders import (
    HASHED,
    IMAGES,
    Tree,
    ec_key,
    fit_by_hand,
    fit_by_mkimage,
    hash_node,
    image_node,
    rsa_key,
    signature_node,
    texts,
)
from holdfast_core.formats.fit import MOST_IMAGES, MOST_PER_NODE, image_data, parse_fit
from holdfast_core.formats.fit_verify import verify_fit
from holdfast_core.kernel.errors import HostileData

KEYS = {"dev": rsa_key().public_key()}
PLAIN = [(name, texts(name)) for name in IMAGES]
NODES = [(name, image_node(name.encode(), name)) for name in IMAGES]


def refusal(data: bytes, keys=KEYS, configuration: str = "") -> str:
    with pytest.raises(HostileData) as caught:
        verify_fit(data, keys, configuration)
    assert caught.value.remedy
    return caught.value.code


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("pss", [False, True])
@pytest.mark.parametrize("algorithm", ["sha256,rsa2048", "sha512,rsa2048", "sha256,rsa3072"])
def test_what_mkimage_signed_verifies(algorithm, pss, external):
    data = fit_by_mkimage(algorithm=algorithm, pss=pss, external=external)
    verified = verify_fit(data, {"dev": rsa_key(bits=int(algorithm[-4:])).public_key()})
    assert verified.key_name == "dev"
    assert verified.configuration.name == "conf"
    assert [each.role for each in verified.images] == ["kernel", "ramdisk", "fdt"]
    kernel = verified.images[0]
    assert image_data(data, kernel.image) == b"kernel" * 100
    assert kernel.digest == hashlib.sha256(b"kernel" * 100).digest()
    assert (kernel.image.type, kernel.image.os, kernel.image.load) == ("kernel", "linux", 0x40000000)
    assert verified.images[1].image.load is None


def test_what_mkimage_signed_with_an_elliptic_curve_verifies():
    data = fit_by_mkimage(algorithm="sha256,ecdsa256")
    assert verify_fit(data, {"dev": ec_key().public_key()}).key_name == "dev"
    assert refusal(data, {"dev": ec_key("other").public_key()}) == "fit.signature"
    assert refusal(data) == "fit.signature"


@pytest.mark.parametrize("hashed", ["sha384", "sha512"])
def test_longer_hashes_of_images_are_taken(hashed):
    assert verify_fit(fit_by_mkimage(hashed=hashed), KEYS)


@pytest.mark.parametrize("hashed", ["sha1", "md5", "crc32"])
def test_weak_hash_of_an_image_is_refused(hashed):
    assert refusal(fit_by_mkimage(hashed=hashed)) == "fit.weak_hash"


def test_weak_signature_is_refused():
    assert refusal(fit_by_mkimage(algorithm="sha1,rsa2048")) == "fit.weak_hash"


def test_signature_of_another_length_than_the_keys_is_refused():
    data = fit_by_hand(key=ec_key(), signature={"algorithm": "sha256,ecdsa256"})
    keys = {"dev": rsa_key().public_key()}
    assert refusal(data, keys) == "fit.signature"
    assert refusal(fit_by_hand(signature={"algorithm": "sha256,ecdsa256"}), {"dev": ec_key().public_key()}) == (
        "fit.signature"
    )


def test_nodes_that_nothing_uses_do_not_disturb_the_regions():
    """Deeper nodes, a signed image in a signed configuration, an image that is not in it: mkimage hashed the same."""
    data = fit_by_mkimage(
        more='unused { data = "u"; type = "script"; hash-1 { algo = "sha256"; }; deep { deeper { c; }; d { }; }; };',
        inside='signature-1 { algo = "sha256,rsa2048"; key-name-hint = "dev"; }; note { n { m { x = "y"; }; }; };',
    )
    assert verify_fit(data, KEYS)
    assert refusal(data.replace(b"note\0", b"noTe\0")) == "fit.signature"


def test_unsigned_is_refused():
    assert refusal(fit_by_mkimage(signed=False)) == "fit.unsigned"
    assert refusal(Tree([("images", NODES), ("configurations", [("conf", PLAIN)])]).bytes(), configuration="conf") == (
        "fit.unsigned"
    )


def test_key_that_nobody_trusts_is_refused():
    assert refusal(fit_by_mkimage(), {"other": rsa_key().public_key()}) == "fit.wrong_key"
    assert refusal(fit_by_mkimage(), {"dev": rsa_key("other").public_key()}) == "fit.signature"
    assert refusal(fit_by_mkimage(), {}) == "fit.wrong_key"


def test_mkimage_that_signed_fewer_images_than_are_used_is_refused():
    assert refusal(fit_by_mkimage(covered='"kernel"')) == "fit.uncovered"


def test_configuration_that_is_not_there_is_refused():
    assert refusal(fit_by_mkimage(), configuration="conf-2") == "fit.no_configuration"


@pytest.mark.parametrize("external", [False, True])
def test_changed_image_is_refused(external):
    data = fit_by_mkimage(external=external)
    assert refusal(data.replace(b"ramdiskramdisk", b"ramdiskRamdisk", 1)) == "fit.image_hash"


def test_every_changed_bit_that_matters_is_refused():
    """A flipped bit is refused, or lies where nothing is booted from: in the unsigned parts."""
    data = fit_by_mkimage()
    good = verify_fit(data, KEYS)
    for at in range(len(data)):
        try:
            found = verify_fit(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], KEYS)
        except HostileData:
            continue
        assert [each.digest for each in found.images] == [each.digest for each in good.images]
        assert found.configuration.name == "conf"
        assert [(e.role, e.image.type, e.image.load) for e in found.images] == [
            (e.role, e.image.type, e.image.load) for e in good.images
        ]


def test_control_by_hand_verifies():
    assert verify_fit(fit_by_hand(), KEYS)
    assert verify_fit(fit_by_hand(signature={"pss": True}), KEYS)
    signed = fit_by_hand(key=ec_key(), signature={"algorithm": "sha256,ecdsa256"})
    assert verify_fit(signed, {"dev": ec_key().public_key()})


@pytest.mark.parametrize("left_out", HASHED)
def test_signature_over_fewer_nodes_is_refused(left_out):
    nodes = tuple(node for node in HASHED if node != left_out)
    assert refusal(fit_by_hand(signature={"nodes": nodes})) == "fit.uncovered"


def test_signature_of_another_configuration_is_refused():
    """The signed configuration is there, and the one that is booted only carries its signature."""
    nodes = tuple(node.replace("/conf", "/other") if node == "/configurations/conf" else node for node in HASHED)
    assert refusal(fit_by_hand(signature={"nodes": nodes})) == "fit.uncovered"


@pytest.mark.parametrize("strings", [0, 5, 40])
def test_signature_over_fewer_strings_is_refused(strings):
    assert refusal(fit_by_hand(signature={"strings": strings})) == "fit.uncovered"


def test_signature_over_more_strings_than_there_are_is_refused():
    node = signature_node(strings=2**31)
    tree = Tree(
        [("images", NODES), ("configurations", [("default", texts("conf")), ("conf", [*PLAIN, ("signature", node)])])]
    )
    assert refusal(tree.bytes()) == "fit.uncovered"


def test_second_hash_of_an_image_must_be_signed_too():
    twice = [*image_node(b"k"), ("hash-2", hash_node(b"k", "sha512"))]
    images = [("kernel", twice), *NODES[1:]]
    assert refusal(fit_by_hand(images=images)) == "fit.uncovered"
    assert verify_fit(fit_by_hand(images=images, signature={"nodes": (*HASHED, "/images/kernel/hash-2")}), KEYS)


def test_image_without_a_hash_is_refused():
    images = [("kernel", [("data", b"k"), ("type", texts("kernel"))]), *NODES[1:]]
    assert refusal(fit_by_hand(images=images)) == "fit.image_hash"


def test_encrypted_image_is_refused():
    images = [("kernel", [*image_node(b"k"), ("cipher", [])]), *NODES[1:]]
    assert refusal(fit_by_hand(images=images)) == "fit.encrypted"


def test_configuration_that_starts_nothing_is_refused():
    assert refusal(fit_by_hand(conf=[("fdt", texts("fdt"))])) == "fit.uncovered"


@pytest.mark.parametrize(
    ("algorithm", "code"),
    [
        ("sha256", "fit.signature"),
        ("", "fit.weak_hash"),
        ("sha256,rsa4096", "fit.signature"),
        ("md5,rsa2048", "fit.weak_hash"),
    ],
)
def test_algorithm_that_is_not_the_keys_is_refused(algorithm, code):
    assert refusal(fit_by_hand(signature={"algorithm": algorithm})) == code


def fit_of(images: list, configuration: list) -> bytes:
    return Tree([("images", images), ("configurations", [("default", texts("c")), ("c", configuration)])]).bytes()


@pytest.mark.parametrize(
    "data",
    [
        Tree([]).bytes(),
        fit_of([("kernel@1", image_node(b"k"))], [("kernel", texts("kernel@1"))]),
        fit_of(NODES, [("kernel@", texts("kernel"))]),
        fit_of(NODES, [("kernel", texts("absent"))]),
        fit_of(NODES, [("fdt", texts("fdt", "fdt"))]),
        fit_of(NODES, [("loadables", texts(*("kernel",) * (MOST_PER_NODE + 1)))]),
        fit_of([("kernel", hash_node(b"k"))], []),
        fit_of([("kernel", [("data", b"k"), ("data-size", bytes(4)), ("data-offset", bytes(4))])], []),
        fit_of([("kernel", [("data-size", bytes(4)), ("data-offset", b"\xff" * 4)])], []),
        fit_of([("kernel", [("data-size", b"\xff" * 4), ("data-offset", bytes(4))])], []),
        fit_of([("kernel", [("data-size", bytes(4)), ("data-position", bytes(4))])], []),
        fit_of([("kernel", [("data-size", bytes(8)), ("data-position", bytes(4))])], []),
        fit_of([("kernel", [("data", b"k"), ("load", bytes(12))])], []),
        fit_of([("kernel", [("data", b"k"), *((f"hash-{n}", []) for n in range(MOST_PER_NODE + 1))])], []),
        fit_of([(f"i{n}", image_node(b"k")) for n in range(MOST_IMAGES + 1)], []),
        fit_of(NODES, [("signature", [("hashed-strings", bytes(12))])]),
        fit_of(NODES, [("signature", [("hashed-strings", b"\0\0\0\1" * 2)])]),
    ],
)
def test_file_that_makes_no_sense_is_refused(data):
    with pytest.raises(HostileData) as caught:
        parse_fit(data)
    assert caught.value.code == "fit.malformed"


def test_unit_address_is_refused_though_it_is_signed():
    images = [("kernel@1", image_node(b"k"))]
    with pytest.raises(HostileData) as caught:
        fit_by_hand(images=images, conf=[("kernel", texts("kernel@1"))])
    assert caught.value.code == "fit.malformed"


def test_cut_anywhere_it_is_refused():
    data = fit_by_mkimage(external=True)
    padding = len(data) - data.rindex(b"fdt") - 3
    for size in range(len(data) - padding):
        assert refusal(data[:size])


@settings(max_examples=300)
@given(st.data())
def test_changed_anywhere_nothing_but_a_refusal_comes(data):
    whole = fit_by_mkimage()
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.binary(min_size=1, max_size=12))
    with suppress(HostileData):
        verify_fit(whole[:at] + change + whole[at + len(change) :], KEYS)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused(data):
    assert refusal(data) == "devicetree.malformed"
