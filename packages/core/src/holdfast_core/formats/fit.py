"""U-Boot's FIT: a device tree that carries images, configurations of them, their hashes and signatures.

1. Reading judges nothing: `holdfast_core.formats.fit_verify` says what a signature covers.
2. A name with a unit address (``kernel@1``) is refused as U-Boot refuses it: two readers could find two nodes
   (CVE-2021-27097, CVE-2021-27138).
3. A configuration's images are those of the roles below, whatever else is in the file.
4. External data (mkimage -E) is read from the same bytes, behind the tree.
5. Every refusal is ``fit.malformed`` or ``devicetree.*``.

Source: Flat Image Tree Specification (fitspec.osfw.foundation) v0.8, chapters 2 to 5; U-Boot 2023.01,
doc/uImage.FIT/source_file_format.txt and signature.txt.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from holdfast_core.formats.devicetree import DeviceTree, Node, parse_device_tree
from holdfast_core.kernel.errors import HostileData

ROLES = ("kernel", "ramdisk", "fdt", "firmware", "loadables", "fpga", "setup", "script", "standalone")
"""The properties of a configuration that name images; ``fdt`` and ``loadables`` may name several."""
DATA_PROPERTIES = ("data", "data-size", "data-position", "data-offset")
"""Where an image's bytes are. Signatures leave these out: the image's hash speaks for them."""
MOST_IMAGES = 64
MOST_CONFIGURATIONS = 64
MOST_PER_NODE = 8
"""Hashes of one image, signatures of one configuration, images of one role."""


class ImageHash(msgspec.Struct, frozen=True):
    """One hash node of an image: its path, the algorithm's name as the file has it, and the value."""

    path: str
    algorithm: str
    value: bytes


class Image(msgspec.Struct, frozen=True):
    """One image. `offset` and `size`, in bytes, say where it lies in the file; `load` is `None` without an address."""

    name: str
    type: str
    os: str
    architecture: str
    compression: str
    load: int | None
    offset: int
    size: int
    hashes: tuple[ImageHash, ...]
    encrypted: bool

    @property
    def path(self) -> str:
        """Its node."""
        return f"/images/{self.name}"


class FitSignature(msgspec.Struct, frozen=True):
    """One signature node of a configuration, as the file states it; nothing of this is itself signed."""

    algorithm: str
    padding: str
    key_name: str
    value: bytes
    hashed_nodes: tuple[str, ...]
    hashed_strings: int
    """How many bytes of the strings block, from its start, are signed."""


class Configuration(msgspec.Struct, frozen=True):
    """One configuration: which images it uses, as pairs of role and image name, and who signed it."""

    name: str
    description: str
    uses: tuple[tuple[str, str], ...]
    signatures: tuple[FitSignature, ...]

    @property
    def path(self) -> str:
        """Its node."""
        return f"/configurations/{self.name}"


class Fit(msgspec.Struct, frozen=True):
    """A FIT image, unverified. `default` is the configuration it proposes; no signature covers that proposal."""

    description: str
    timestamp: int | None
    default: str
    configurations: dict[str, Configuration]
    images: dict[str, Image]
    tree: DeviceTree


def parse_fit(data: bytes) -> Fit:
    """The FIT that `data` is: one device tree, and behind it the external data, if any.

    Raises:
        HostileData: ``fit.malformed``, ``devicetree.malformed``.
        LimitExceeded: ``devicetree.too_large``.
    """
    tree = parse_device_tree(data)
    if any("@" in token.name for token in tree.tokens):
        raise malformed("a name in it has a unit address ('@')")
    root = tree.root
    images = _child(root, "images").children
    configurations = root.children.get("configurations", Node("configurations", {}, {}, {}))
    if len(images) > MOST_IMAGES or len(configurations.children) > MOST_CONFIGURATIONS:
        raise malformed(f"it has more than {MOST_IMAGES} images or {MOST_CONFIGURATIONS} configurations")
    timestamp = root.cells("timestamp")
    read = {name: _image(node, data, tree) for name, node in images.items()}
    return Fit(
        root.text("description"),
        timestamp[0] if timestamp else None,
        configurations.text("default"),
        {name: _configuration(node, read) for name, node in configurations.children.items()},
        read,
        tree,
    )


def image_data(data: bytes, image: Image) -> bytes:
    """The bytes of `image` in the file that it was read from."""
    return data[image.offset : image.offset + image.size]


def _image(node: Node, data: bytes, tree: DeviceTree) -> Image:
    offset, size = _place(node, data, tree)
    path = f"/images/{node.name}"
    load = node.cells("load")
    if len(load) > 2:  # noqa: PLR2004  (an address has 32 or 64 bits)
        raise malformed(f"the image {node.name!r} has a load address of more than 64 bits")
    return Image(
        node.name,
        node.text("type"),
        node.text("os"),
        node.text("arch"),
        node.text("compression"),
        int.from_bytes(node.properties["load"], "big") if load else None,
        offset,
        size,
        tuple(
            ImageHash(f"{path}/{each.name}", each.text("algo"), each.properties.get("value", b""))
            for each in _beginning(node, "hash")
        ),
        "cipher" in node.children,
    )


def _place(node: Node, data: bytes, tree: DeviceTree) -> tuple[int, int]:
    """Where the image's bytes are: in the tree, or behind it as mkimage -E puts them."""
    given = [name for name in DATA_PROPERTIES if name in node.properties]
    if given == ["data"]:
        return node.places["data"], len(node.properties["data"])
    if given not in (["data-size", "data-position"], ["data-size", "data-offset"]):
        raise malformed(f"the image {node.name!r} has no data, or has it twice")
    size, start = _cell(node, "data-size"), _cell(node, given[1])
    offset = start if given[1] == "data-position" else start + tree.size + -tree.size % 4
    if offset < tree.size or offset + size > len(data):
        raise malformed(f"the data of the image {node.name!r} lie outside the file")
    return offset, size


def _configuration(node: Node, images: dict[str, Image]) -> Configuration:
    uses: list[tuple[str, str]] = []
    for role in ROLES:
        names = node.texts(role)
        if len(names) > MOST_PER_NODE or len(set(names)) < len(names):
            raise malformed(f"the configuration {node.name!r} names too many images as {role}, or one twice")
        uses += [(role, name) for name in names]
    if missing := [name for _, name in uses if name not in images]:
        raise malformed(f"the configuration {node.name!r} names an image {missing[0]!r} that is not there")
    return Configuration(
        node.name,
        node.text("description"),
        tuple(uses),
        tuple(_signature(each) for each in _beginning(node, "signature")),
    )


def _signature(node: Node) -> FitSignature:
    strings = node.cells("hashed-strings") or (0, 0)
    if len(strings) != 2 or strings[0]:  # noqa: PLR2004  (offset and size)
        raise malformed("a signature is over strings that do not begin at the first")
    return FitSignature(
        node.text("algo"),
        node.text("padding"),
        node.text("key-name-hint"),
        node.properties.get("value", b""),
        node.texts("hashed-nodes"),
        strings[1],
    )


def _beginning(node: Node, prefix: str) -> Iterator[Node]:
    """The children whose names begin so, as U-Boot looks for them."""
    found = [child for name, child in node.children.items() if name.startswith(prefix)]
    if len(found) > MOST_PER_NODE:
        raise malformed(f"{node.name!r} has more than {MOST_PER_NODE} nodes {prefix!r}")
    yield from found


def _child(node: Node, name: str) -> Node:
    if name not in node.children:
        raise malformed(f"it has no node {name!r}")
    return node.children[name]


def _cell(node: Node, name: str) -> int:
    cells = node.cells(name)
    if len(cells) != 1:
        raise malformed(f"the property {name!r} of {node.name!r} is not one number")
    return cells[0]


def malformed(why: str) -> HostileData:
    """The refusal of a FIT that cannot be read, or could be read in two ways."""
    return HostileData(
        "fit.malformed",
        f"The FIT image could not be read: {why}.",
        remedy="Send it as mkimage wrote it, with names without '@', and nothing else.",
    )
