"""Where tensors live, and what can be done there."""

import gc
import platform
import re
from pathlib import Path

import torch


def find_device(name: str) -> torch.device:
    """The device of a name, or of `auto`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device {name} is none of: auto, cpu, cuda, cuda:0, cuda:1, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name}: vecflap trains on cpu and cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        why = "torch was built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        raise ValueError(f"--device {name}: {why}. Train with --device cpu, or auto.")
    if device.index is not None and device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise ValueError(
            f"--device {name}: there are {torch.cuda.device_count()} CUDA devices, from cuda:0 on."
        )
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def gains_by_bfloat16(device: torch.device) -> bool:
    """Whether networks are faster in bfloat16. Of CPUs those with AMX, and AMD's that have instructions for
    it: there a selection took 0.6 times as long as in float32 (an EPYC). A Xeon with such instructions, and
    without AMX, took 1.4 times as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if "AMD" in cpu_name():
        return torch.cpu._is_avx512_bf16_supported()
    return torch.cpu._is_amx_tile_supported()


def cpu_name() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def free_memory(device: torch.device) -> int:
    """Bytes that a device still has; on a CPU also those that the process's control group may use."""
    if device.type == "cuda":
        gc.collect()  # rings and graphs of earlier runs
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    try:
        free = 1024 * int(re.findall(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())[0])
    except OSError:  # not Linux: its allocator says when there is none
        return 2**63
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):  # no group, or no limit: "max"
        return free
    return min(free, limit - used)
