"""What matters here when vecflap is slow: `vecflap doctor`."""

import os
import re
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

import torch

from vecflap import vector
from vecflap.device import cpu_name, gains_by_bfloat16
from vecflap.kernels import CACHE, config

CPU = torch.device("cpu")
DRAWN = {"avx512f": "eight columns at a time, by AVX-512", "avx2": "eight columns at a time, by AVX2"}
RUNTIMES = r"/(lib(?:gomp|iomp5|omp|tbb)[^/\s]*)$"


class Finding(NamedTuple):
    """Something about this machine, and what could be done about it; "" where all is well."""

    about: str
    value: str
    hint: str = ""


def findings() -> list[Finding]:
    """What there is to know."""
    return [*of_processor(), *of_threads(), *of_cuda(), *of_cache()]


def of_processor() -> Iterator[Finding]:
    """Cores, and what the kernels and the networks can use of their instructions."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numba", "numpy"))
    yield Finding("versions", versions)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("processor", f"{cpu_name()}, {cores} cores for this process")
    if config.DISABLE_JIT:
        yield Finding("compiler", "off", "NUMBA_DISABLE_JIT is set: a thousand times slower. Unset it.")
    way = next(iter(vector.ways()), "")
    slow = "" if way else "neither AVX-512 nor AVX2 was found, or NUMBA_CPU_NAME is set: half as fast."
    yield Finding("pictures are drawn", DRAWN.get(way, "column by column"), slow)
    precision = "bfloat16" if gains_by_bfloat16(CPU) else "float32"
    yield Finding("--precision auto", f"{precision} on the CPU")


def of_threads() -> Iterator[Finding]:
    """Threads of torch and Numba, and whose they are."""
    yield Finding("threads", f"Numba {config.NUMBA_NUM_THREADS}, torch {torch.get_num_threads()}")
    layer = config.THREADING_LAYER
    yield Finding("threading layer", f"{layer} (NUMBA_THREADING_LAYER)")
    maps = Path("/proc/self/maps")
    loaded = re.findall(RUNTIMES, maps.read_text(), re.MULTILINE) if maps.exists() else []
    yield Finding("OpenMP runtimes loaded", ", ".join(sorted(set(loaded))) or "none")
    spin, policy = os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY")
    waits = f"GOMP_SPINCOUNT={spin}" if spin else f"OMP_WAIT_POLICY={policy}"
    busy = policy and policy.lower() == "active"
    hint = "idle threads keep a core busy, which two runtimes then share: unset it." if busy else ""
    yield Finding("idle threads wait by", waits, hint)
    try:
        load = os.getloadavg()[0]
    except OSError:
        return
    cores = os.cpu_count() or 1
    hint = "other programs are running: threads beyond the first will cost more than they help."
    yield Finding("load of the last minute", f"{load:.1f} on {cores} cores", hint if load > cores / 2 else "")


def of_cuda() -> Iterator[Finding]:
    """The GPU, if there is one, and what is needed to use it."""
    if not torch.cuda.is_available():
        built = (
            f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a CPU build"
        )
        yield Finding("CUDA", f"no device; {built}")
        return
    for number in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(number)
        what = f"{p.name}, {p.total_memory / 2**30:.0f} GiB, compute capability {p.major}.{p.minor}"
        yield Finding(f"cuda:{number}", what)
    pinned = torch.zeros(1, pin_memory=True).is_pinned()
    hint = "" if pinned else "copies to the device will wait: look at `ulimit -l`."
    yield Finding("pinned memory", "works" if pinned else "refused", hint)
    has = util.find_spec("numba_cuda") is not None
    hint = "" if has else "games on the GPU need it: pip install vecflap[cuda]"
    yield Finding("numba-cuda", metadata.version("numba-cuda") if has else "not installed", hint)


def of_cache() -> Iterator[Finding]:
    """Where compiled kernels are kept."""
    folder = Path(CACHE)
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    size = sum(path.stat().st_size for path in files) / 2**20
    value = f"{folder}, {len(files)} files, {size:.1f} MiB"
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        yield Finding("compiled kernels", value, "cannot be written: every start compiles for a minute.")
    else:
        yield Finding("compiled kernels", value, "" if files else "none yet: the next start takes longer.")
