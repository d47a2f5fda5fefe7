"""A library that is installed and does not load, or is not installed: said in one line, with the command that mends it.

C++ extensions of torchaudio, torchvision and the like are made against the torch of one release. Beside another they fail while they are
imported, with an OSError of the dynamic linker, a RuntimeError of torch's registry or, where transformers imports lazily, a
ModuleNotFoundError about something else. What all have in common is that the traceback leads through an import into the library.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType

from trainer.errors import LibraryLoadError

_PRODUCT = "mmvatool"


@contextmanager
def imports() -> Iterator[None]:
    """Around imports: a library that does not load is one line.

    Raises:
        LibraryLoadError: it does not; the message names it, what it was made for, and the command that mends it.
    """
    try:
        yield
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        raise LibraryLoadError(told) from error


def explain(error: BaseException) -> str | None:
    """What is wrong with a library, in one line with the pip command that mends it; None if the error is about something else."""
    chain = list(_chain(error))
    if any(isinstance(link, MemoryError) for link in chain):
        return None
    for link in chain:
        missing = _distribution((link.name or "").split(".")[0]) if isinstance(link, ModuleNotFoundError) else ""
        if missing and not _installed(missing):
            return f"{missing} is not installed: {_command([missing])}"
    # The library is the last, on the way down, that was being imported; below it stands the partner that it does not get on with.
    for link in reversed(chain):
        packages = list(_packages_in_import(link.__traceback__))
        if not packages:
            continue
        partner = packages[-1] if packages[-1] == "torch" else None
        broken = next((name for name in reversed(packages) if name != partner), packages[-1])
        names = [broken, *([partner] if partner and partner != broken else [])]
        beside = f" beside {_named(names[1])}" if len(names) > 1 else ""
        return f"{_named(broken)} does not load{beside} ({_first_line(link)}): {_command(names)}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from, the root cause last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _packages_in_import(traceback: TracebackType | None) -> Iterator[str]:
    """Distributions whose modules were being executed by an import when it failed, and what they called, from the outside in."""
    importing, last = False, ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if name := _distribution(_top_level(code.co_filename)):
            importing |= code.co_name == "<module>"  # Python takes the import's own frames out of tracebacks
            if importing and name != last:
                yield (last := name)
        traceback = traceback.tb_next


def _top_level(file: str) -> str:
    """The package under site-packages that a file belongs to, "" for any other file."""
    parts = Path(file).parts
    at = max((index for index, part in enumerate(parts) if part in ("site-packages", "dist-packages")), default=-1)
    return parts[at + 1].removesuffix(".py") if 0 <= at < len(parts) - 1 else ""


@cache
def _distributions() -> dict[str, str]:
    found = {module: names[0] for module, names in importlib.metadata.packages_distributions().items()}
    for requirement in _requirements():  # of what is not installed nothing else knows the name
        found.setdefault(requirement.replace("-", "_").lower(), requirement)
    return found


def _distribution(module: str) -> str:
    return _distributions().get(module, "") if module and module not in (_PRODUCT, "trainer") else ""


@cache
def _requirements() -> dict[str, str]:
    """What the product requires: distribution -> requirement as pip takes it, without its condition."""
    try:
        lines = importlib.metadata.requires(_PRODUCT) or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return {}
    found = {}
    for line in lines:
        requirement = line.split(";")[0].strip()
        found[re.split(r"[<>=!~\[ ]", requirement)[0]] = requirement
    return found


def _command(names: list[str]) -> str:
    """The pip command that installs these as the product requires them."""
    wanted = {_normal(name): requirement for name, requirement in _requirements().items()}
    asked = [wanted.get(_normal(name), name) for name in names]
    quoted = " ".join(f"'{requirement}'" if re.search(r"[<>*! ]", requirement) else requirement for requirement in asked)
    again = "" if any("==" in requirement for requirement in asked) else "--force-reinstall "
    return f"{Path(sys.executable).name} -m pip install {again}{quoted}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _named(name: str) -> str:
    """A distribution with its version."""
    return f"{name} {importlib.metadata.version(name)}" if _installed(name) else name


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
