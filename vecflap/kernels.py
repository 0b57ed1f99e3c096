"""How vecflap compiles with Numba: two decorators, and a cache of kernels that notices changed sources.

Numba's own cache looks at the file of the kernel only, so a changed rule in another file would go unnoticed.
Here the cache is a folder per user, named by a hash of all of the package's sources (NUMBA_CACHE_DIR, where
set, replaces it).
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numba

config: Any = numba.config  # Numba's own types leave out what is used here
njit: Any = numba.njit

PARALLEL = Lock()
"""Held while Numba's threads play: its `workqueue` layer ends the process when two threads use it at once."""

inlined = njit(forceinline=True, _nrt=False, error_model="numpy")
"""For functions that only kernels call. They allocate nothing, so Numba's reference counting (`_nrt`) is off:
its atomic increments for every array passed took 19 of the 25 ns that the rules of one game took."""


def cache_folder() -> str:
    """Where this version of the package keeps its compiled kernels."""
    sources = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(root / "vecflap" / sources.hexdigest()[:16])


CACHE = config.CACHE_DIR or cache_folder()


def kernel(**options: Any) -> Callable[[Callable], Any]:
    """Compile a function that Python calls, on the caller's arrays: once a machine, free of the
    interpreter's lock."""

    def compiled(function: Callable) -> Any:
        before, config.CACHE_DIR = config.CACHE_DIR, CACHE  # Numba reads it when it decorates
        try:
            return njit(nogil=True, cache=True, error_model="numpy", **options)(function)
        finally:
            config.CACHE_DIR = before

    return compiled
