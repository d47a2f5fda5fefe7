"""The number of CPUs, in control groups drawn as containers and services see them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer import usable_cpus


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may run on eight CPUs, whatever the machine has."""
    monkeypatch.setattr("trainer.machine._allowed", lambda: 8)


def draw(root: Path, groups: str, **files: str) -> Path:
    """A root with /proc/self/cgroup, and files below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("1000 1000000", 1),
        ("900000 100000", 8),
        ("50000 10000", 5),
        ("", 8),
        ("100000", 8),
        ("100000 0", 8),
        ("much of it", 8),
    ],
)
def test_the_quota_of_a_container(tmp_path: Path, quota: str, cpus: int) -> None:
    assert usable_cpus(draw(tmp_path, "0::/\n", **{"cpu.max": quota + "\n"})) == cpus


def test_the_least_quota_of_all_groups_around_the_process(tmp_path: Path) -> None:
    files = {"a.slice/cpu.max": "300000 100000\n", "a.slice/b.service/cpu.max": "max 100000\n", "c.slice/cpu.max": "100000 100000\n"}
    assert usable_cpus(draw(tmp_path, "0::/a.slice/b.service/deep\n", **files)) == 3


@pytest.mark.parametrize("path", ["/docker/0123abcd", "/../../other", "/.."])
def test_a_group_that_the_container_does_not_see(tmp_path: Path, path: str) -> None:
    assert usable_cpus(draw(tmp_path, f"0::{path}\n", **{"cpu.max": "400000 100000\n"})) == 4
    (tmp_path / "cpu.max").write_text("100000 100000\n")  # outside of /sys/fs/cgroup
    assert usable_cpus(tmp_path) == 4


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "cpus"), [("250000", 3), ("-1", 8)])
def test_version_1(tmp_path: Path, folder: str, quota: str, cpus: int) -> None:
    groups = "12:cpuset:/one\n4:cpu,cpuacct:/a:b/c\n3:memory:/a:b/c\n1:name=systemd:/\n0::/\n"
    root = draw(tmp_path, groups, **{f"{folder}/a:b/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/a:b/cpu.cfs_period_us": "100000\n"})
    assert usable_cpus(root) == cpus


def test_quotas_of_what_is_not_the_cpu_do_not_count(tmp_path: Path) -> None:
    files = {"cpuset/cpu.cfs_quota_us": "100000\n", "cpuset/cpu.cfs_period_us": "100000\n"}
    assert usable_cpus(draw(tmp_path, "4:cpuset:/\n", **files)) == 8


def test_no_control_groups(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == 8
    assert usable_cpus(draw(tmp_path, "nonsense\n\n:\n0::\n")) == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the process cannot be held to a CPU here")
def test_cpus_that_the_process_may_not_run_on_do_not_count(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from trainer import usable_cpus;"
        f"print(usable_cpus(pathlib.Path({str(tmp_path)!r})), usable_cpus(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "False"]
