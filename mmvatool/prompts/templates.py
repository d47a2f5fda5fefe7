"""Prompts for music: templates, and the candidates that fill their placeholders. Prompts are built on demand."""

import hashlib
import json
import math
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmvatool.errors import SettingsError

DEFAULT = Path(__file__).with_name("templates.toml")
MOST = 2_000_000
"""The most combinations: their scores take minutes with the compact tower, and 16 MB."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Prompts:
    """All combinations of the candidates in the templates, as a sequence: the last placeholder changes fastest.

    Attributes:
        templates: sentences with {placeholders}; a prompt joins them with blanks.
        choices: placeholder -> its candidates, in the order the placeholders first come. One that occurs twice gets the same candidate.
    """

    templates: tuple[str, ...]
    choices: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return math.prod(len(candidates) for candidates in self.choices.values())

    def __getitem__(self, index: int) -> str:
        """The prompt of a number in [0, len)."""
        if not 0 <= index < len(self):
            raise IndexError(f"prompt {index} of {len(self)}")
        filled = {}
        for name, candidates in reversed(self.choices.items()):
            index, choice = divmod(index, len(candidates))
            filled[name] = candidates[choice]
        return " ".join(_PLACEHOLDER.sub(lambda match: filled[match[1]], template) for template in self.templates)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any prompt or their order."""
        content = json.dumps([self.templates, list(self.choices.items())])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def load(path: Path | str | None = None) -> Prompts:
    """Read templates and candidates from a TOML file (docs/formats.md).

    Args:
        path: the file; None for the paper's (Figure 5 of MMVA), which are part of the package.

    Raises:
        SettingsError: it cannot be read, is no TOML, or is invalid: a placeholder without candidates, a list that is
            empty or has an entry twice, more than MOST combinations, ...
    """
    path = DEFAULT if path is None else Path(path)
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}): check its name and permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not a TOML file ({error}): mend it, or see docs/formats.md for how it looks") from error
    try:
        return _parse(document)
    except _WrongError as error:
        raise SettingsError(f"{path}: {error}") from error


class _WrongError(Exception):
    """An error in a file of candidates, and what to do."""


def _parse(document: dict[str, object]) -> Prompts:
    for key in document:
        if key not in ("templates", "candidates"):
            raise _WrongError(f"unknown key {key!r}: allowed are templates and candidates")
    templates = _texts("templates", document.get("templates"))
    lists = document.get("candidates", {})
    if not isinstance(lists, dict):
        raise _WrongError("candidates: must be a table of lists: write [candidates] and below it a line NAME = [...] for each")
    candidates = {name: _texts(f"candidates.{name}", texts) for name, texts in lists.items()}
    choices, used = _choices(templates, candidates)
    if unused := [name for name in candidates if name not in used]:
        raise _WrongError(f"candidates.{unused[0]}: no template has {{{unused[0]}}}: name it in one, or leave the list out")
    prompts = Prompts(templates, choices)
    count = math.prod(map(len, choices.values()))  # len() itself has a limit
    if count > MOST:
        raise _WrongError(f"gives {count:,} combinations: {MOST:,} is the most; shorten its lists")
    return prompts


def _choices(templates: tuple[str, ...], candidates: dict[str, tuple[str, ...]]) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """The candidates of each placeholder, in order of first occurrence, and the names of the lists that are used."""
    choices: dict[str, tuple[str, ...]] = {}
    used: set[str] = set()
    for number, template in enumerate(templates, 1):
        if re.search(r"[{}]", _PLACEHOLDER.sub("", template)):
            raise _WrongError(f"template {number}: has a brace without its other half: write {{name}}")
        for name in _PLACEHOLDER.findall(template):
            # {instrument 1} and {instrument 2} choose from one list, each for itself.
            source = name if name in candidates else re.sub(r" *\d+$", "", name)
            if source not in candidates:
                raise _WrongError(
                    f"template {number}: {{{name}}} has no candidates: there are lists of {', '.join(candidates) or 'nothing'}"
                )
            choices[name] = candidates[source]
            used.add(source)
    return choices, used


def _texts(key: str, value: object) -> tuple[str, ...]:
    """A list of texts, none empty, none twice."""
    if not isinstance(value, list) or not value:
        raise _WrongError(f"{key}: must be a list with at least one text")
    unique: dict[str, None] = {}
    for text in value:
        if not isinstance(text, str) or not text.strip():
            raise _WrongError(f"{key}: {text!r} is not a text, or is empty: write words in quotes")
        if text in unique:
            raise _WrongError(f"{key}: {text!r} is there twice: leave one out")
        unique[text] = None
    return tuple(unique)
