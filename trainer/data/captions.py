"""Caption clips from a CSV, by LP-MusicCaps or by a command, and refine the captions; results are stored, so that runs can be resumed.

The recipe's table:

    [captions]
    captioner = "lp-musiccaps"            # or "command", or "csv"
    weights = "weights/lp-musiccaps"      # lp-musiccaps: folder of its checkpoint and BART's config and tokenizer
    command = ["my-captioner", "--fast"]  # command: reads a path per line from stdin, writes path<TAB>caption lines
    csv = "captions.csv"                  # csv: id and caption
    refine = ["rule", "llm"]              # refinements, in this order
    batch_size = 16

    [captions.llm]
    model = "weights/llama-3.1-8b"        # folder or hub name; with an endpoint, its name of the model
    endpoint = "http://localhost:8000/v1" # OpenAI-compatible; without it the model runs locally
    key_env = "OPENAI_API_KEY"            # environment variable with the key
    workers = 8                           # requests at a time
    max_new_tokens = 160
"""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trainer.data import refine
from trainer.data.building import Progress
from trainer.data.table import read_captions, text_fault
from trainer.errors import DataError, RecipeError

CAPTIONERS = {"lp-musiccaps": "weights", "command": "command", "csv": "csv"}
"""Captioner -> its required setting."""

_LINE_START = b'{"key": "'

REFINEMENTS = ("rule", "llm")


@dataclass(frozen=True)
class LlmRecipe:
    """The language model that rewrites captions."""

    model: str = ""
    endpoint: str = ""
    key_env: str = "OPENAI_API_KEY"
    workers: int = 8
    max_new_tokens: int = 160


@dataclass(frozen=True)
class CaptionRecipe:
    """How clips are captioned; see the module."""

    captioner: str = "csv"
    weights: str = ""
    command: tuple[str, ...] = ()
    csv: str = ""
    refine: tuple[str, ...] = ("rule",)
    batch_size: int = 16
    llm: LlmRecipe = LlmRecipe()


def parse(table: Mapping[str, Any]) -> CaptionRecipe:
    """Check the `captions` table of a recipe.

    Raises:
        RecipeError: an unknown key, a wrong type or an invalid value, with the key's name and what is allowed.
    """
    table = dict(table)
    llm = table.pop("llm", {})
    if not isinstance(llm, Mapping):
        raise RecipeError(f"captions.llm: {llm!r} is not a table; allowed are {', '.join(_names(LlmRecipe))}")
    recipe = CaptionRecipe(**_checked(table, CaptionRecipe, "captions"), llm=LlmRecipe(**_checked(llm, LlmRecipe, "captions.llm")))
    if recipe.captioner not in CAPTIONERS:
        raise RecipeError(f"captions.captioner: {recipe.captioner!r}; allowed are {', '.join(CAPTIONERS)}")
    needed = CAPTIONERS[recipe.captioner]
    if not getattr(recipe, needed):
        raise RecipeError(f"captions.{needed}: captioner {recipe.captioner!r} needs it; set it")
    if unknown := [name for name in recipe.refine if name not in REFINEMENTS]:
        raise RecipeError(f"captions.refine: {unknown[0]!r}; allowed are {', '.join(REFINEMENTS)}")
    if "llm" in recipe.refine and not recipe.llm.model:
        raise RecipeError("captions.llm.model: refine has 'llm', which needs it: a folder, a hub name, or the endpoint's name of a model")
    if recipe.llm.endpoint and not recipe.llm.endpoint.startswith(("http://", "https://")):
        raise RecipeError(f"captions.llm.endpoint: {recipe.llm.endpoint!r} must begin with http:// or https://")
    return recipe


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind) if field.name != "llm"]


def _checked(table: Mapping[str, Any], kind: type, where: str) -> dict[str, Any]:
    defaults = kind()
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _names(kind):
            raise RecipeError(f"{where}.{key}: no such key; allowed are {', '.join(_names(kind))}")
        wanted = type(getattr(defaults, key))
        if wanted is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = tuple(value)
        if type(value) is not wanted or (wanted is int and value < 1):
            allowed = {str: "a text", int: "a whole number of at least 1", tuple: "a list of texts"}[wanted]
            raise RecipeError(f"{where}.{key}: {value!r} is not {allowed}")
        values[key] = value
    return values


class Cache:
    """Captions of earlier runs by the hash of their input, in a file of JSON lines that are appended at once.

    A partial last line, from an interrupted run, is removed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[str, str] = {}
        content = file.read_bytes() if file.is_file() else b""
        *lines, torn = content.split(b"\n")
        if torn and not (torn.startswith(_LINE_START) or _LINE_START.startswith(torn)):
            lines.append(torn)
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                self.known[entry["key"]] = entry["text"]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{file} line {number}: not one of the captions kept here; delete the file to start anew") from error
        if torn:
            os.truncate(file, len(content) - len(torn))

    def fill(self, keys: Sequence[str], make: Callable[[list[int]], Iterator[str]], progress: Progress) -> list[str]:
        """The text of each key; `make` generates the unknown ones from their indices, each key once."""
        first = {key: index for index, key in reversed(list(enumerate(keys))) if key not in self.known}
        wanted = sorted(first.values())
        if wanted:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab", buffering=0) as lines:
                for index, text in progress(zip(wanted, make(wanted), strict=True), len(wanted)):
                    self.known[keys[index]] = text
                    if not text_fault(text):  # broken ones are generated again
                        lines.write(json.dumps({"key": keys[index], "text": text}).encode() + b"\n")
        return [self.known[key] for key in keys]


def make(
    clips: Sequence[tuple[str, Path]],
    recipe: CaptionRecipe,
    cache_file: Path,
    *,
    device: str = "auto",
    progress: Progress = lambda items, total: items,
) -> tuple[dict[str, str], list[str]]:
    """Caption clips and refine the captions.

    Args:
        clips: id and sound file of each.
        recipe: how to caption and refine.
        cache_file: JSON lines with the results so far; created if missing.
        device: for local models: "auto", "cpu", "cuda" or "mps".
        progress: wraps the iterable of captions to generate, for a progress bar.

    Returns:
        Captions by id, and a line for each clip without a caption or with a broken one.

    Raises:
        DataError: the CSV, the command or the endpoint fails.
        WeightsError: a model's weights are not available.
        DeviceError: the device is not available.
    """
    problems: list[str] = []
    cache = Cache(cache_file)
    if recipe.captioner == "csv":
        file = Path(recipe.csv).expanduser()
        known = read_captions(file, problems)
        texts = {name: known[name] for name, _ in clips if known.get(name)}
        problems += [f"{file}: no caption for clip {name}; add one" for name, _ in clips if name not in known]
    else:
        generated = _caption(clips, recipe, cache, device, progress)
        texts = {}
        for (name, path), text in zip(clips, generated, strict=True):
            if fault := text_fault(text):
                problems.append(f"{path}: its caption {text[:40]!a} {fault.split(';')[0]}; leave the clip out or use another captioner")
            else:
                texts[name] = " ".join(text.split())
    for refinement in recipe.refine:
        if refinement == "rule":
            texts = {name: refine.by_rule(text) for name, text in texts.items()}
        else:
            texts = dict(zip(texts, _rewrite(list(texts.values()), recipe, cache, device, progress), strict=True))
    return texts, problems


def _caption(clips: Sequence[tuple[str, Path]], recipe: CaptionRecipe, cache: Cache, device: str, progress: Progress) -> list[str]:
    paths = [path for _, path in clips]
    if recipe.captioner == "command":
        method = json.dumps(["command", *recipe.command])
    else:
        from trainer.data.lp_musiccaps import checkpoint_of  # imports torch and transformers

        method = f"lp-musiccaps {_digest_of(checkpoint_of(Path(recipe.weights).expanduser()))}"
    keys = [_key(method, _digest_of(path)) for path in paths]

    def generate(wanted: list[int]) -> Iterator[str]:
        chosen = [paths[index] for index in wanted]
        if recipe.captioner == "command":
            return run_command(recipe.command, chosen)
        import torch

        from trainer.data.lp_musiccaps import Captioner
        from trainer.devices import pick_device

        return Captioner(Path(recipe.weights).expanduser(), torch.device(pick_device(device)), recipe.batch_size).caption(chosen)

    return cache.fill(keys, generate, progress)


def _rewrite(texts: Sequence[str], recipe: CaptionRecipe, cache: Cache, device: str, progress: Progress) -> list[str]:
    llm = recipe.llm
    method = json.dumps(["llm", llm.model, llm.endpoint, llm.max_new_tokens, refine.PROMPT, refine.EXAMPLES])

    def generate(wanted: list[int]) -> Iterator[str]:
        chosen = [texts[index] for index in wanted]
        if llm.endpoint:
            return refine.through_endpoint(
                chosen, url=llm.endpoint, model=llm.model, key_env=llm.key_env, max_new_tokens=llm.max_new_tokens, workers=llm.workers
            )
        import torch

        from trainer.data.language_model import LocalModel
        from trainer.devices import pick_device

        return LocalModel(
            str(Path(llm.model).expanduser()), torch.device(pick_device(device)), llm.max_new_tokens, recipe.batch_size
        ).refine(chosen)

    return cache.fill([_key(method, text) for text in texts], generate, progress)


def run_command(command: Sequence[str], paths: Sequence[Path]) -> Iterator[str]:
    """Run an external captioner, which reads a path per line from stdin and writes `path<TAB>caption` lines in the same order.

    Raises:
        DataError: it cannot be started, fails, or writes other lines.
    """
    with tempfile.TemporaryFile() as inputs, tempfile.TemporaryFile() as errors:
        # Files instead of pipes, so that a captioner that reads or logs everything at once cannot deadlock.
        names = [str(path.resolve()) for path in paths]
        inputs.write("".join(f"{name}\n" for name in names).encode())
        inputs.seek(0)
        try:
            process = subprocess.Popen(list(command), stdin=inputs, stdout=subprocess.PIPE, stderr=errors)
        except OSError as error:
            raise DataError(f"{command[0]}: the captioner cannot be started ({error.strerror}); check captions.command") from error
        done = 0
        with process:
            try:
                for line in process.stdout or ():
                    # The path is repeated so that a missing or extra line cannot shift the captions of all following clips.
                    name, _, caption = line.decode("utf-8", "surrogateescape").rstrip("\r\n").partition("\t")
                    if done == len(names) or name != names[done]:
                        wanted = f"{names[done]}<TAB>caption" if done < len(names) else "nothing more"
                        raise DataError(
                            f"{command[0]}: the captioner's line {done + 1} is {name[:100]!a}..., expected {wanted}; correct it"
                        )
                    done += 1
                    yield caption
            except BaseException:
                process.kill()
                raise
        errors.seek(0)
        message = errors.read().decode(errors="replace").strip().splitlines() or ["no message"]
        if process.returncode or done < len(names):
            raise DataError(
                f"{command[0]}: the captioner ended with code {process.returncode} after {done} of {len(names)} clips ({message[-1][:200]}); "
                "run it by hand, then go on: captions that were made are kept"
            )


def _key(method: str, content: str) -> str:
    return hashlib.sha256(json.dumps([method, content]).encode()).hexdigest()


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
