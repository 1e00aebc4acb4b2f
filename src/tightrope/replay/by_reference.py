"""How compiled functions see a ``ReplayState``: by reference.

Numba passes a named tuple of arrays by value, some 350 machine words at every call; that took most of a replay's time, and of its
compilation. Here a ``ReplayState`` is a pointer to its arrays, which live on the stack of the call that came from Python, and reading a
field loads what is needed of it. Nothing else changes: the functions are the same Python.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.imputils import impl_ret_borrowed
from numba.core.types import NamedTuple, Type
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.core.typing.typeof import typeof
from numba.extending import NativeValue, lower_getattr_generic, register_model, typeof_impl, unbox

from tightrope.replay.state import ReplayState


class WorldType(Type):
    """A pointer to the arrays of a world; ``dtype`` is the named tuple of their types."""

    def __init__(self, dtype: NamedTuple) -> None:
        """Name the type after the arrays'."""
        self.dtype = dtype
        super().__init__(name=f"ReplayState({dtype})")


@typeof_impl.register(ReplayState)
def typeof_world(value: ReplayState, _: object) -> WorldType:
    """Return the type of a world."""
    return WorldType(NamedTuple([typeof(array) for array in value], ReplayState))


register_model(WorldType)(models.PointerModel)


@infer_getattr
class WorldFields(AttributeTemplate):
    """A world has the fields of ``ReplayState``."""

    key = WorldType

    # pyrefly: ignore[missing-override-decorator]
    def generic_resolve(self, world: WorldType, name: str) -> object:
        """Return the type of a field, None where there is none of that name."""
        return world.dtype[ReplayState._fields.index(name)] if name in ReplayState._fields else None


@lower_getattr_generic(WorldType)
def load_field(context: Any, builder: Any, world: WorldType, pointer: Any, name: str) -> object:
    """Load a field's array through the pointer."""
    place = ReplayState._fields.index(name)
    field = world.dtype[place]
    address = cgutils.gep_inbounds(builder, pointer, 0, place)
    return impl_ret_borrowed(context, builder, field, load_parts(builder, address, address.type.pointee))


def load_parts(builder: Any, address: Any, kind: Any) -> object:
    """Load a structure part by part, each load marked: a world's arrays stay where they are while compiled code runs.

    So data pointers need not be loaded again after every store.
    """
    if not hasattr(kind, "elements"):
        loaded = builder.load(address)
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded
    whole = ir.Constant(kind, ir.Undefined)
    for part, inner in enumerate(kind.elements):
        value = load_parts(builder, cgutils.gep_inbounds(builder, address, 0, part), inner)
        whole = builder.insert_value(whole, value, part)
    return whole


@unbox(WorldType)
def from_python(world: WorldType, value: Any, call: Any) -> NativeValue:
    """Unpack a world's arrays onto the stack of the call, and point to them."""
    arrays = call.unbox(world.dtype, value)
    stored = cgutils.alloca_once_value(call.builder, arrays.value)
    # Where the loads are marked as they are, no optimiser may see the store that they depend on.
    hidden = ir.FunctionType(stored.type, [stored.type])
    pointer = call.builder.asm(hidden, "", "=r,0,~{memory}", [stored], side_effect=True)
    return NativeValue(pointer, is_error=arrays.is_error, cleanup=arrays.cleanup)
