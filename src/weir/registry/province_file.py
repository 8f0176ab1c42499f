"""The province file: read, checked against itself and the catalogue, and brought into one form."""

from collections.abc import Mapping
from dataclasses import replace

from weir.model.province import Centre, DeviceModel, Link, Province
from weir.registry.catalogue import device_catalogue
from weir.registry.document import parse_document, read_document
from weir.registry.province_rules import province_faults

KIND = "invalid-province"


def read_province(text: str, source: str, catalogue: Mapping[str, DeviceModel] | None = None) -> Province:
    """The province that a YAML text declares; `source` names the text in messages.

    It is whole and consistent: every id that it mentions is declared, every pool's device is in `devices` of
    the file or in the catalogue (Weir's own unless given), and every number is in range. It is in one form:
    each link once with a < b, a centre's carbon intensity laid into its pools. Raises ProblemError naming
    each field with its line, its value and what is accepted.
    """
    document = read_document(text, source)
    province = parse_document(document, Province, kind=KIND)
    faults = province_faults(province, device_catalogue() if catalogue is None else catalogue)
    if faults:
        raise document.problem(KIND, faults)
    return in_one_form(province)


def in_one_form(province: Province) -> Province:
    """The same province, with each link's ends in order and each centre's carbon intensity in its pools."""
    return replace(
        province,
        centres=tuple(_with_carbon(centre) for centre in province.centres),
        links=tuple(_ordered(link) for link in province.links),
    )


def _with_carbon(centre: Centre) -> Centre:
    if centre.carbon_g_per_kwh is None:
        return centre
    pools = (
        replace(pool, carbon_g_per_kwh=centre.carbon_g_per_kwh) if pool.carbon_g_per_kwh is None else pool
        for pool in centre.pools
    )
    return replace(centre, pools=tuple(pools))


def _ordered(link: Link) -> Link:
    return link if link.a < link.b else replace(link, a=link.b, b=link.a)
