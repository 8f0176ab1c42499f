"""The device catalogue, and where the data files that ship with Weir lie."""

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import weir
from weir.model.province import DeviceModel
from weir.registry.document import parse_document, read_document

CATALOGUE_VERSION = 1


def data_folder(name: str) -> Path:
    """The folder `catalogue` or `provinces`: inside an installed package, else at the root of a checkout."""
    package = Path(weir.__file__).parent
    for folder in (package / "data" / name, package.parents[1] / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the data folder {name!r} is missing from this installation of Weir; install it anew"
    )


@functools.cache
def device_catalogue() -> Mapping[str, DeviceModel]:
    """The device models that Weir knows, by id. Read once."""
    file = data_folder("catalogue") / "devices.yaml"
    return MappingProxyType({model.id: model for model in read_devices(file.read_text("utf-8"), file.name)})


def read_devices(text: str, source: str) -> tuple[DeviceModel, ...]:
    """The device models of a catalogue file. Raises ProblemError naming line, field and what is accepted."""
    document = read_document(text, source)
    version = document.values.get("version") if isinstance(document.values, dict) else None
    if version != CATALOGUE_VERSION:
        raise document.problem(
            "invalid-catalogue", [(("version",), version, f"give version: {CATALOGUE_VERSION}")]
        )
    models = parse_document(document, tuple[DeviceModel, ...], at=("devices",), kind="invalid-catalogue")
    seen: dict[str, int] = {}
    for index, model in enumerate(models):
        if model.id in seen:
            found = [
                (("devices", index, "id"), model.id, f"devices[{seen[model.id]}] has this id; choose another")
            ]
            raise document.problem("invalid-catalogue", found)
        seen[model.id] = index
    return models
