"""Tuples of tables by their address: compiled code hands on one pointer instead of a hundred arrays.

Numba passes a named tuple by value: each call copies what every array in it consists of, seven numbers for each, and
all of that has to be compiled. An `entry` that is given one says `world = addressed(world)`; from there on `world` is
an address, whose fields are read where they are used, and a tuple within it is an address too.

Nothing can be assigned to a tuple, and that is told to the compiler: what was read need not be read again after tables
were written to. An address is good until the entry returns, as are the arrays that are read through it.
"""

import hashlib
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # it ships no types
from numba.core import cgutils, types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.extending import infer_getattr, intrinsic, lower_getattr_generic, register_model
from numba.core.typing.templates import AttributeTemplate


class Address(types.Type):
    """Of a named tuple."""

    def __init__(self, tuple_type: Any) -> None:
        self.tuple_type = tuple_type
        digest = hashlib.sha256(tuple_type.name.encode()).hexdigest()[:12]
        super().__init__(name=f"Address({tuple_type.instance_class.__name__}, {digest})")

    @property
    def key(self) -> Any:
        return self.tuple_type


@register_model(Address)
class _AddressModel(PrimitiveModel):
    def __init__(self, manager: Any, address: Address) -> None:
        super().__init__(manager, address, manager.lookup(address.tuple_type).get_value_type().as_pointer())


def _addressed(typing_context: Any, value: Any) -> Any:
    if isinstance(value, Address):
        return value(value), lambda context, builder, signature, args: args[0]
    if not isinstance(value, types.BaseNamedTuple):
        return None
    return Address(value)(value), _put_aside


addressed: Any = intrinsic(_addressed)
"""The address of a named tuple; of what is one already, itself. For compiled code."""


def _put_aside(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    place = cgutils.alloca_once_value(builder, args[0])
    # Nothing is known of what this yields but that memory was looked at. Else the compiler might take it that the tuple
    # has been there before it was written, or that nobody reads it.
    opaque = ir.FunctionType(place.type, [place.type])
    return builder.asm(opaque, "", "=r,0,~{memory}", [place], side_effect=True)


@infer_getattr
class _Fields(AttributeTemplate):
    key = Address

    def generic_resolve(self, address: Any, name: str) -> Any:  # type: ignore[override]  # Numba has a constant there
        if name not in address.tuple_type.fields:
            return None
        return _handed_on(address.tuple_type[address.tuple_type.fields.index(name)])


def _handed_on(field: Any) -> Any:
    return Address(field) if isinstance(field, types.BaseNamedTuple) else field


def _read(context: Any, builder: Any, address: Any, value: Any, name: str) -> Any:
    index = address.tuple_type.fields.index(name)
    field = address.tuple_type[index]
    place = cgutils.gep_inbounds(builder, value, 0, index)
    if isinstance(field, types.BaseNamedTuple):
        return place
    kind = context.get_value_type(field)
    if isinstance(field, types.Array):
        return _array(context, builder, field, kind, place)
    return _loaded(builder, kind, place)


_declare: Any = lower_getattr_generic(Address)
_declare(_read)


def _array(context: Any, builder: Any, field: Any, kind: Any, place: Any) -> Any:
    """Without a count of references: whoever called the entry keeps it."""
    names = context.data_model_manager[field]._fields
    array = ir.Constant(kind, None)
    for index, (name, part) in enumerate(zip(names, kind.elements, strict=True)):
        if name not in ("meminfo", "parent"):
            at = cgutils.gep_inbounds(builder, place, 0, index)
            array = builder.insert_value(array, _loaded(builder, part, at), index)
    return array


def _loaded(builder: Any, kind: Any, place: Any) -> Any:
    if isinstance(kind, ir.ArrayType):
        value = ir.Constant(kind, ir.Undefined)
        for index in range(kind.count):
            at = cgutils.gep_inbounds(builder, place, 0, index)
            value = builder.insert_value(value, _loaded(builder, kind.element, at), index)
        return value
    if isinstance(kind, ir.LiteralStructType) and not kind.elements:
        return ir.Constant(kind, None)
    load = builder.load(place)
    load.set_metadata("invariant.load", builder.module.add_metadata([]))
    return load


__all__ = ["Address", "addressed"]
