"""Which device a model runs on. torch takes seconds to import, so "auto" asks it only where there are signs of a GPU."""

import platform
import sys
from pathlib import Path

from trainer.constants import DEVICES
from trainer.errors import DeviceError
from trainer.libraries import imports

WORTH_A_GPU = 300
"""Pictures and windows of sound: two CPUs predict so many with the compact towers while torch is imported and begins (docs/speed.md)."""
# Of NVIDIA's driver, of its boards, of WSL's and of AMD's.
_SIGNS = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/dxg", "/dev/kfd")


def pick_device(name: str) -> str:
    """The device for "auto" (CUDA, else MPS, else CPU), "cpu", "cuda" or "mps": one of the last three.

    Raises:
        DeviceError: an unknown name, or a device this machine does not have.
        LibraryLoadError: torch does not load.
    """
    if name not in DEVICES:
        raise DeviceError(f"unknown device {name!r}: allowed are {', '.join(DEVICES)}")
    if name == "cpu" or (name == "auto" and not signs_of_a_gpu()):
        return "cpu"
    with imports():
        import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind in available if available[kind])
    if not available[name]:
        raise DeviceError(f"device {name!r} is not available on this machine: use --device auto or cpu")
    return name


def signs_of_a_gpu() -> bool:
    """Whether there may be a GPU that torch can use, found without torch."""
    if sys.platform == "win32":
        return Path(r"C:\Windows\System32\nvcuda.dll").exists()
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return any(Path(sign).exists() for sign in _SIGNS)
