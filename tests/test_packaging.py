"""What pip is told: versions that belong together, bounds against releases that nobody has tried, and the versions that were."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
EXACT = ("torch", "torchaudio", "torchvision")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


PINNED = {normal(name): Version(version) for name, version in LOCKED.items()}
REQUIRED = [
    Requirement(line)
    for line in [*PROJECT["project"]["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    if not line.startswith("mmvatool[")
]


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda requirement: requirement.name)
def test_no_untried_major_release_comes_in_by_itself(requirement: Requirement) -> None:
    tried = PINNED.get(normal(requirement.name))
    if requirement.name in EXACT:
        assert str(requirement.specifier) == f"=={tried}"
        return
    if tried is None:  # of bench alone
        assert any(part.operator in ("<", "==") for part in requirement.specifier)
        return
    assert requirement.specifier.contains(tried)
    untried = Version(f"{tried.major + 1}" if tried.major else "1")
    assert not requirement.specifier.contains(untried), f"{requirement}: lets in {untried}"


def test_torch_and_its_partners_are_of_one_release() -> None:
    torch, audio, vision = (PINNED[name] for name in EXACT)
    assert torch == audio
    assert vision.minor == torch.minor + 15  # 0.26 goes with 2.11


def test_the_lock_has_all_that_is_installed_and_no_address() -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", f"{name}=={version}") for name, version in LOCKED.items())
    missing, queue, seen = set(), ["mmvatool"], set()
    while queue:
        name = queue.pop()
        extras = set(EXTRAS) - {"bench"} if name == "mmvatool" else set()
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in (extras or {""})]
            if requirement.marker and not any(requirement.marker.evaluate(environment) for environment in environments):
                continue
            found = normal(requirement.name)
            if found == "mmvatool" or found in seen:
                continue
            seen.add(found)
            if found not in PINNED:
                missing.add(found)
            queue.append(requirement.name)
    assert not missing


def test_this_environment_is_the_locked_one() -> None:
    """Else a test says nothing of what `make` gives."""
    differing = {
        name: metadata.version(name)
        for name in (*EXACT, "numpy", "transformers", "open_clip_torch")
        if metadata.version(name) != LOCKED[name]
    }
    assert not differing


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The archive of the sources, and the wheel that is built from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def test_the_index_takes_what_is_built(built: tuple[Path, Path]) -> None:
    run = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, built)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_metadata_say_what_a_visitor_of_the_index_looks_for(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        fields = email.message_from_bytes(wheel.read(name))
    for field in ("Summary", "Author", "License-Expression", "License-File", "Keywords", "Requires-Python", "Description-Content-Type"):
        assert fields[field], field
    topics = {line.split(" :: ")[0] for line in fields.get_all("Classifier")}
    assert {
        "Development Status",
        "Environment",
        "Intended Audience",
        "Operating System",
        "Programming Language",
        "Topic",
        "Typing",
    } <= topics


def test_the_wheel_has_all_that_is_read_at_run_time_and_no_more(built: tuple[Path, Path]) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("no git checkout")
    files = {name for name in tracked.stdout.split("\0") if name.startswith(("mmvatool/", "trainer/"))}
    recipes = {f"trainer/{name}" for name in tracked.stdout.split("\0") if name.startswith("recipes/")}
    with zipfile.ZipFile(built[1]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == files | recipes
    assert built[1].stat().st_size < 45e6


def test_the_sources_can_be_tested(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "constraints.txt", "pyproject.toml", "tests/smoke.py", "recipes/mmva.toml", "docs/design.md"} <= names
    assert not any(name.startswith((".ci", ".github")) for name in names)
