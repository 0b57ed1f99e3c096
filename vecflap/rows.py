"""Rows of numbers, one for each channel of a layer, for kernels that look them up in tables: written for
LLVM, in vectors, since loops over rows from many places of a table are not vectorised."""

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic as numba_intrinsic

I64 = ir.IntType(64)

intrinsic: Any = numba_intrinsic  # its types count the first argument, which callers leave out


class Rows:
    """The arrays of an intrinsic, in LLVM's terms, and the zero of a row."""

    def __init__(self, channels: int, context: Any, builder: Any, sig: Any, args: Any) -> None:
        self.context, self.builder, self.sig, self.args = context, builder, sig, args
        self.zero = ir.Constant(ir.VectorType(ir.FloatType(), channels), None)

    def at(self, argument: int, index: Any) -> Any:
        """The address of an element."""
        array = self.context.make_array(self.sig.args[argument])
        return self.builder.gep(array(self.context, self.builder, self.args[argument]).data, [index])

    def row(self, argument: int, index: Any) -> Any:
        """The address of a row of numbers from an element on."""
        return self.builder.bitcast(self.at(argument, index), self.zero.type.as_pointer())

    def add(self, argument: int, index: Any, added: Any) -> None:
        """Add to a row of numbers from an element on."""
        row = self.row(argument, index)
        self.builder.store(self.builder.fadd(self.builder.load(row, align=4), added), row, align=4)
