"""Rows of numbers, one for each channel of a layer, for kernels that look them up in tables: written for
LLVM, in vectors, since loops over rows from many places of a table are not vectorised."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as numba_intrinsic

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)

intrinsic: Any = numba_intrinsic  # its types count the first argument, which callers leave out


class Rows:
    """The arrays of an intrinsic, in LLVM's terms, and the zero of a row. Numbers are float32; an array of
    uint16 holds bfloat16, the upper halves of such numbers, which neither NumPy nor Numba know."""

    def __init__(self, channels: int, context: Any, builder: Any, sig: Any, args: Any) -> None:
        self.context, self.builder, self.sig, self.args = context, builder, sig, args
        self.channels = channels
        self.zero = ir.Constant(ir.VectorType(ir.FloatType(), channels), None)

    def at(self, argument: int, index: Any) -> Any:
        """The address of an element."""
        array = self.context.make_array(self.sig.args[argument])
        return self.builder.gep(array(self.context, self.builder, self.args[argument]).data, [index])

    def load(self, argument: int, index: Any) -> Any:
        """A row of numbers, from an element on."""
        if self.sig.args[argument].dtype != types.uint16:
            return self.builder.load(self.row(argument, index, ir.FloatType()), align=4)
        halves = self.builder.load(self.row(argument, index, I16), align=2)
        bits = self.builder.shl(self.builder.zext(halves, self.all_of(I32, 0).type), self.all_of(I32, 16))
        return self.builder.bitcast(bits, self.zero.type)

    def store(self, numbers: Any, argument: int, index: Any) -> None:
        """Write a row of numbers from an element on; to bfloat16 they are rounded, ties to even."""
        if self.sig.args[argument].dtype != types.uint16:
            self.builder.store(numbers, self.row(argument, index, ir.FloatType()), align=4)
            return
        sixteen = self.all_of(I32, 16)
        bits = self.builder.bitcast(numbers, sixteen.type)
        odd = self.builder.and_(self.builder.lshr(bits, sixteen), self.all_of(I32, 1))
        bits = self.builder.add(bits, self.builder.add(odd, self.all_of(I32, 0x7FFF)))
        halves = self.builder.trunc(self.builder.lshr(bits, sixteen), self.all_of(I16, 0).type)
        self.builder.store(halves, self.row(argument, index, I16), align=2)

    def add(self, argument: int, index: Any, added: Any) -> None:
        """Add to a row of numbers from an element on."""
        self.store(self.builder.fadd(self.load(argument, index), added), argument, index)

    def row(self, argument: int, index: Any, kind: Any) -> Any:
        """The address of a row from an element on."""
        return self.builder.bitcast(self.at(argument, index), self.all_of(kind, 0).type.as_pointer())

    def all_of(self, kind: Any, number: int) -> Any:
        """A row of one whole number."""
        return ir.Constant(ir.VectorType(kind, self.channels), [number] * self.channels)
