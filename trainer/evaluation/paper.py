"""The figures of the paper (Choi, Kim & Kang 2025, Tables 1 to 5)."""

import json
from dataclasses import dataclass
from pathlib import Path

from trainer.recipe import Recipe

_FILE = Path(__file__).with_name("paper.json")


@dataclass(frozen=True)
class PaperRow:
    """One row of a table; None where the paper has no figure."""

    name: str
    values: tuple[float | None, ...]


def ablation(recipe: Recipe | None) -> str | None:
    """The paper's name of the ablation that a recipe trains, None if it is not one."""
    if recipe is None:
        return None
    if recipe.pairs.matching != "random":
        return "No Random Matching"
    return None if recipe.model.similarity else "No Similarity Predictor"


def va_rows(recipe: Recipe | None = None) -> tuple[PaperRow, ...]:
    """Table 1, and for an ablation its row of Table 3 before it."""
    return _rows("table1", "table3", ablation(recipe))


def retrieval_rows(recipe: Recipe | None = None) -> tuple[PaperRow, ...]:
    """Table 2, and for an ablation its row of Table 5 before it."""
    return _rows("table2", "table5", ablation(recipe))


def summary_rows() -> tuple[PaperRow, ...]:
    """Table 4: F of summaries of TVSum."""
    return _rows("table4")


def _rows(main: str, ablations: str = "", name: str | None = None) -> tuple[PaperRow, ...]:
    tables = json.loads(_FILE.read_text("utf-8"))
    rows = [PaperRow(f"{key} (paper)", tuple(values)) for key, values in tables[main]["rows"].items()]
    if name is not None:
        rows.insert(0, PaperRow(f"{name} (paper)", tuple(tables[ablations]["rows"][name])))
    return tuple(rows)
