"""Two things that loops cannot say: eight words of a picture looked up at once, and bits spread to bytes.

They are written for LLVM, in its vectors. `picture` needs AVX-512 or AVX2; without them, or without the
compiler, render.py draws with loops.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from vecflap.kernels import config

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
PAIR, WORDS, ALL_BYTES = ir.VectorType(I64, 2), ir.VectorType(I64, 8), ir.VectorType(I8, 64)
HALVES = ir.VectorType(I32, 8)  # the lower or the upper halves of eight words
BLOCKS = range(8)  # of eight words: a picture
AHEAD = 8  # pictures: how far ahead of its writing one is asked for from memory


def ways() -> list[str]:
    """What `picture` can use, the best first; nothing, if Numba is told for which processor to compile."""
    if config.DISABLE_JIT or config.CPU_NAME or config.CPU_FEATURES:
        return []
    features = llvm.get_host_cpu_features()
    return [way for way in LOOK_UPS if features.get(way)]


def lanes(builder: Any, which: Sequence[int], vector: Any, other: Any = None) -> Any:
    """Some elements of a vector, or of two, one behind the other."""
    mask = ir.Constant(ir.VectorType(I32, len(which)), list(which))
    return builder.shuffle_vector(vector, other or ir.Constant(vector.type, ir.Undefined), mask)


def splat(builder: Any, value: Any) -> Any:
    """A value eight times."""
    empty = ir.Constant(WORDS, ir.Undefined)
    one = builder.insert_element(empty, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(I32, 8), [0] * 8))


def at(builder: Any, data: Any, index: Any, kind: Any) -> Any:
    """The address of a vector that begins with an element of an array."""
    index = ir.Constant(I64, index) if isinstance(index, int) else index
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def fetch(builder: Any, address: Any) -> None:
    """Ask for memory that will be written soon. It need not exist."""
    kind = I8.as_pointer()
    to_write, soon, data = (ir.Constant(I32, number) for number in (1, 3, 1))
    signature = ir.FunctionType(ir.VoidType(), (kind, I32, I32, I32))
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", (kind,), signature)
    builder.call(prefetch, [builder.bitcast(address, kind), to_write, soon, data])


def look_up_words(builder: Any, table: Any, kinds: Any) -> Iterator[Any]:
    """Of every byte of `kinds`, the word that a table of eight has for it, eight at a time."""
    look_up = builder.module.declare_intrinsic(
        "llvm.x86.avx512.permvar.di.512", (), ir.FunctionType(WORDS, (WORDS, WORDS))
    )
    for block in BLOCKS:
        index = lanes(builder, range(8 * block, 8 * block + 8), kinds)
        yield builder.call(look_up, [table, builder.zext(index, WORDS)])


def look_up_halves(builder: Any, table: Any, kinds: Any) -> Iterator[Any]:
    """The same for AVX2, which has 32-bit numbers looked up: both halves of the words, then put together."""
    look_up = builder.module.declare_intrinsic(
        "llvm.x86.avx2.permd", (), ir.FunctionType(HALVES, (HALVES, HALVES))
    )
    numbers = builder.bitcast(table, ir.VectorType(I32, 16))
    halves = [lanes(builder, range(half, 16, 2), numbers) for half in range(2)]
    for block in BLOCKS:  # the order that AVX2 puts two vectors together in
        index = lanes(builder, [8 * block + i for i in (0, 1, 4, 5, 2, 3, 6, 7)], kinds)
        lower, upper = (builder.call(look_up, [half, builder.zext(index, HALVES)]) for half in halves)
        first = lanes(builder, (0, 8, 1, 9, 4, 12, 5, 13), lower, upper)
        second = lanes(builder, (2, 10, 3, 11, 6, 14, 7, 15), lower, upper)
        yield builder.bitcast(lanes(builder, range(16), first, second), WORDS)


LOOK_UPS = {"avx512f": look_up_words, "avx2": look_up_halves}


def picture(way: str, ground: int, bird_block: int, score_block: int, score_row: int) -> Any:
    """A function for kernels that draws a picture of 64 words, eight at a time.

    way:    one of `ways()`.
    ground: the word of a column with nothing else in it. The bird's 16 words begin at column 8 * bird_block,
    the score's at 8 * score_block; `score_row` is the score's topmost row.
    """

    @intrinsic
    def draw(
        typing, frame, kinds, at_0, at_1, at_2, words, top_0, top_1, top_2, bottom_0, bottom_1, bottom_2,
        birds, bird, down, digits, score,
    ):  # fmt: skip
        """
        frame:      int64 [64], out.
        kinds:      uint8 [any]; at_p: where in it the 64 columns of pipe p begin: 0 where a column is free of
                    the pipe, 2 p + 2 on its body, 2 p + 3 on its lip.
        words:      int64 [any]: words of body and lip; top_p, bottom_p: where it has those above pipe p's
                    gap, and those below it.
        birds:      int64 [any]; bird: where its 16 words begin; down: rows to shift them.
        digits:     uint8 [any]; score: where its 16 bytes begin.
        """
        ints = [types.int64] * 3
        args = [frame, kinds, *ints, words, *ints, *ints, birds, *ints[:2], digits, types.int64]
        return types.void(*args), code

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def data(number: int) -> Any:
            return context.make_array(sig.args[number])(context, builder, args[number]).data

        def load(number: int, index: Any, kind: Any) -> Any:
            return builder.load(at(builder, data(number), index, kind), align=1)

        kind = load(1, args[2], ALL_BYTES)
        for number in (3, 4):
            kind = builder.or_(kind, load(1, args[number], ALL_BYTES))
        free = ir.Constant(PAIR, [ground, ground])
        pipes = [builder.or_(load(5, args[6 + p], PAIR), load(5, args[9 + p], PAIR)) for p in range(3)]
        quads = (lanes(builder, range(4), *pair) for pair in ((free, pipes[0]), pipes[1:]))
        table = lanes(builder, range(8), *quads)
        for block, word in enumerate(LOOK_UPS[way](builder, table, kind)):
            if block - bird_block in (0, 1):
                first = builder.add(args[13], ir.Constant(I64, 8 * (block - bird_block)))
                word = builder.or_(word, builder.shl(load(12, first, WORDS), splat(builder, args[14])))
            if block - score_block in (0, 1):
                first = builder.add(args[16], ir.Constant(I64, 8 * (block - score_block)))
                byte = builder.zext(load(15, first, ir.VectorType(I8, 8)), WORDS)
                word = builder.or_(word, builder.shl(byte, ir.Constant(WORDS, [score_row] * 8)))
            builder.store(word, at(builder, data(0), 8 * block, WORDS), align=8)
            fetch(builder, at(builder, data(0), 8 * (block + len(BLOCKS) * AHEAD), WORDS))
        return context.get_dummy_value()

    return draw


@intrinsic
def spread(typing, out, index, word):  # type: ignore[no-untyped-def]
    """Write the 64 bits of a word as bytes of 0 or 255. out: uint8 [any], from out[index] on."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[2], ir.VectorType(ir.IntType(1), 64))
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        builder.store(builder.sext(bits, ALL_BYTES), at(builder, data, args[1], ALL_BYTES), align=1)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.int64), code
