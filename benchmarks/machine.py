"""The machine that a figure was measured on, without names of hosts or people."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import imageio_ffmpeg

PACKAGES = ("torch", "moviepy", "decord", "av", "torchcodec", "scenedetect", "opencv-python", "opencv-python-headless", "numpy")


def describe() -> list[str]:
    """Lines about the processor, the memory and the versions."""
    cpu = re.search(r"model name\s*: (.*)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [f"{cpu[1] if cpu else platform.machine()}, {cores} cores"]
    if memory:
        lines[0] += f", {int(memory[1]) / 2**20:.0f} GiB of memory"
    lines[0] += f", {platform.system()}"
    if hasattr(os, "getloadavg"):
        lines.append(f"load average at the start: {os.getloadavg()[0]:.1f} (0 is an idle machine)")
    lines.append(
        ", ".join(
            [f"Python {platform.python_version()}", f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}", *filter(None, map(_version, PACKAGES))]
        )
    )
    return lines


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def _version(package: str) -> str | None:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None
