"""A library that is installed and does not load, or is not installed: reported in one line, with the command that fixes it.

C++ extensions such as those of torchaudio and torchvision are built against one release of torch. With another they fail while they are
imported, with an OSError of the dynamic linker, a RuntimeError of torch's registry or, where transformers imports lazily, a
ModuleNotFoundError about something else. In all cases the traceback leads through an import into the library.
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
    """Context for imports: a library that does not load raises one `LibraryLoadError`.

    Raises:
        LibraryLoadError: a library does not load; the message names it, the library it conflicts with, and the command that fixes it.
    """
    try:
        yield
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise LibraryLoadError(message) from error


def explain(error: BaseException) -> str | None:
    """What is wrong with a library, in one line with the pip command that fixes it; None if the error has another cause."""
    chain = list(_chain(error))
    if any(isinstance(link, MemoryError) for link in chain):
        return None
    for link in chain:
        missing = _distribution((link.name or "").split(".")[0]) if isinstance(link, ModuleNotFoundError) else ""
        if missing and not _installed(missing):
            return f"{missing} is not installed: {_command([missing])}"
    # The innermost library that was being imported is the broken one; torch below it is the one it conflicts with.
    for link in reversed(chain):
        packages = list(_packages_in_import(link.__traceback__))
        if not packages:
            continue
        partner = packages[-1] if packages[-1] == "torch" else None
        broken = next((name for name in reversed(packages) if name != partner), packages[-1])
        names = [broken, *([partner] if partner and partner != broken else [])]
        beside = f" beside {_named(names[1])}" if len(names) > 1 else ""
        return f"{_named(broken)} does not load{beside} ({first_line(link)}): {_command(names)}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from, the root cause last.

    Not what was being handled meanwhile: an error beside a library that was done without (decord) is none of that library.
    """
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__


def _packages_in_import(traceback: TracebackType | None) -> Iterator[str]:
    """Distributions whose modules an import was executing when it failed, and those they called, outermost first."""
    importing, last = False, ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if name := _distribution(_top_level(code.co_filename)):
            importing |= code.co_name == "<module>"  # Python removes the import's own frames from tracebacks
            if importing and name != last:
                yield (last := name)
        traceback = traceback.tb_next


def _top_level(file: str) -> str:
    """The package under site-packages that a file belongs to, "" for any other file."""
    parts = Path(file).parts
    index = max((index for index, part in enumerate(parts) if part in ("site-packages", "dist-packages")), default=-1)
    return parts[index + 1].removesuffix(".py") if 0 <= index < len(parts) - 1 else ""


@cache
def _distributions() -> dict[str, str]:
    names_of = {module: names[0] for module, names in importlib.metadata.packages_distributions().items()}
    for requirement in _requirements():  # the only source of names for what is not installed
        names_of.setdefault(requirement.replace("-", "_").lower(), requirement)
    return names_of


def _distribution(module: str) -> str:
    return _distributions().get(module, "") if module and module not in (_PRODUCT, "trainer") else ""


@cache
def _requirements() -> dict[str, str]:
    """The product's requirements: distribution -> requirement in pip's syntax, without environment markers."""
    try:
        lines = importlib.metadata.requires(_PRODUCT) or []
    except importlib.metadata.PackageNotFoundError:  # running from a checkout that is not installed
        return {}
    requirements = {}
    for line in lines:
        requirement = line.split(";")[0].strip()
        requirements[re.split(r"[<>=!~\[ ]", requirement)[0]] = requirement
    return requirements


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


def first_line(error: BaseException | None) -> str:
    """The first line of an error's message, or the name of its type."""
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
