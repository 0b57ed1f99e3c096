"""Rows of 32 numbers, one for each channel of a layer, for kernels that look them up in tables: written for
LLVM, in vectors, since loops over rows from many places of a table are not vectorised."""

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic as numba_intrinsic

CHANNELS = 32
ROW = ir.VectorType(ir.FloatType(), CHANNELS)
I64 = ir.IntType(64)

intrinsic: Any = numba_intrinsic  # its types count the first argument, which callers leave out


class Rows:
    """The arrays of an intrinsic, in LLVM's terms."""

    def __init__(self, context: Any, builder: Any, sig: Any, args: Any) -> None:
        self.context, self.builder, self.sig, self.args = context, builder, sig, args

    def at(self, argument: int, index: Any) -> Any:
        """The address of an element."""
        array = self.context.make_array(self.sig.args[argument])
        return self.builder.gep(array(self.context, self.builder, self.args[argument]).data, [index])

    def row(self, argument: int, index: Any) -> Any:
        """The address of 32 numbers from an element on."""
        return self.builder.bitcast(self.at(argument, index), ROW.as_pointer())

    def add(self, argument: int, index: Any, added: Any) -> None:
        """Add to 32 numbers from an element on."""
        row = self.row(argument, index)
        self.builder.store(self.builder.fadd(self.builder.load(row, align=4), added), row, align=4)
