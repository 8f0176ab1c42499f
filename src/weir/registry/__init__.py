"""What is declared: organisations, centres, pools, device models, links, capacity, and the province file."""

from weir.registry.capacity import totals
from weir.registry.catalogue import data_folder, device_catalogue
from weir.registry.centres import (
    centre_entry,
    centre_operator,
    list_centres,
    list_devices,
    list_pools,
    set_draining,
    visible_devices_variables,
)
from weir.registry.credit_code import check_credit_code, credit_code_check_character
from weir.registry.declare import apply_province, drop_empty
from weir.registry.difference import ProvinceDiff, diff
from weir.registry.drift import UsablePool, drift, usable
from weir.registry.fact_catalogue import FactForm, FactKind, fact_catalogue
from weir.registry.fact_import import FactFile, import_facts, preview_facts, read_fact_file
from weir.registry.facts import all_facts, facts_of, facts_view
from weir.registry.province_file import read_province
from weir.registry.this_machine import Probe, describe_this_machine, look_at_this_machine

__all__ = [
    "FactFile",
    "FactForm",
    "FactKind",
    "Probe",
    "ProvinceDiff",
    "UsablePool",
    "all_facts",
    "apply_province",
    "centre_entry",
    "centre_operator",
    "check_credit_code",
    "credit_code_check_character",
    "data_folder",
    "describe_this_machine",
    "device_catalogue",
    "diff",
    "drift",
    "drop_empty",
    "fact_catalogue",
    "facts_of",
    "facts_view",
    "import_facts",
    "list_centres",
    "list_devices",
    "list_pools",
    "look_at_this_machine",
    "preview_facts",
    "read_fact_file",
    "read_province",
    "set_draining",
    "totals",
    "usable",
    "visible_devices_variables",
]
