"""Read CSV files of labels: columns by name, the id by position, errors with file and row."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import DataError

NAMED = ("valence", "arousal", "caption", "track", "text", "group", "source", "split")
"""Columns that are identified by name and are therefore never the id."""


@dataclass(frozen=True)
class Row:
    """One row of a CSV.

    Attributes:
        file: the CSV.
        number: of the row; the header is row 1, as in spreadsheets.
        id: the cell of the id column.
        cells: name -> text of the named columns that exist; text that is not UTF-8 contains lone surrogates.
    """

    file: Path
    number: int
    id: str
    cells: dict[str, str]

    @property
    def where(self) -> str:
        """File, row and id, for the beginning of a message."""
        return f"{self.file} row {self.number} (id {self.id.encode('utf-8', 'replace').decode()!r})"

    def number_in(self, column: str, low: float, high: float, cure: str) -> float:
        """The cell as a number in [low, high].

        Raises:
            DataError: empty, not a number, NaN, or out of range; the message ends with `cure`.
        """
        text = self.cells[column].strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            what = "is not a number" if math.isnan(value) else f"is outside [{low:g}, {high:g}]"
            raise DataError(f"{self.where}: {column} {text!r} {what}; {cure}")
        return value

    def text(self, column: str) -> str:
        """The cell with normalised white space.

        Raises:
            DataError: empty, not UTF-8, or with replacement or control characters.
        """
        text = " ".join(self.cells[column].split())
        if fault := text_fault(text):
            raise DataError(f"{self.where}: the {column} {fault}")
        return text


def text_fault(text: str) -> str:
    """What is wrong with a text (empty, or signs of a wrong encoding) and the cure; "" if nothing is."""
    if not text.strip():
        return "is empty; fill it in"
    broken = [char for char in text if "\ud800" <= char <= "\udfff" or char == "\ufffd" or (char < " " and char not in "\t\r\n")]
    return f"has broken Unicode ({broken[0]!a}); save the file as UTF-8 or correct the text" if broken else ""


def read_captions(file: Path, problems: list[str]) -> dict[str, str]:
    """Captions by id from a CSV of ids and a `caption` column; a broken one is added to `problems` and is "".

    Raises:
        DataError: as `read_rows`.
    """
    captions = {}
    for row in read_rows(file, ("caption",), problems):
        try:
            captions[row.id] = row.text("caption")
        except DataError as error:
            captions[row.id] = ""
            problems.append(str(error))
    return captions


def read_rows(file: Path, needed: tuple[str, ...], skipped: list[str], id_name: str | None = None, delimiter: str = ",") -> Iterator[Row]:
    """Yield the rows of a CSV, except blank ones.

    The id is the second column, as in IMEMNet-C, or the first unnamed column if the second is named.

    Args:
        file: a CSV in UTF-8 with a header.
        needed: the required columns in lower case; case and surrounding blanks of the header are ignored.
        skipped: gets a line for each row with too few cells or no id.
        id_name: the column of the id in lower case, for a file whose columns all have names.
        delimiter: between the cells.

    Raises:
        DataError: no such file, no header, a column is missing or occurs twice, or it is not CSV.
    """
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            reader = csv.reader(lines, delimiter=delimiter)
            header = [name.strip().lower() for name in next(reader, [])]
            id_column, columns = _columns(file, header, needed, id_name)
            for number, cells in enumerate(reader, 2):
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) <= max(id_column, *(columns[name] for name in needed)) or not cells[id_column].strip():
                    skipped.append(f"{file} row {number}: {len(cells)} cells, expected {len(header)} with an id; correct or delete the row")
                    continue
                named = {name: cells[column] for name, column in columns.items() if column < len(cells)}
                yield Row(file, number, cells[id_column].strip(), named)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; name the folder that holds it, or write it ({', '.join(('id', *needed))})") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{file}: not a readable CSV ({error}); save it as CSV in UTF-8") from error


def _columns(file: Path, header: list[str], needed: tuple[str, ...], id_name: str | None) -> tuple[int, dict[str, int]]:
    needed = (id_name, *needed) if id_name else needed
    columns = {name: header.index(name) for name in (*NAMED, *needed) if name in header}
    missing = [name for name in needed if name not in columns]
    if missing:
        shown = ",".join(header).encode("utf-8", "replace").decode()[:100]
        raise DataError(f"{file} row 1: no column {missing[0]!r} in the header {shown!r}; it must name {', '.join(needed)} (in UTF-8)")
    if any(header.count(name) > 1 for name in needed):
        raise DataError(
            f"{file} row 1: a column comes twice in the header {','.join(header)[:100]!r}; name each of {', '.join(needed)} once"
        )
    if id_name:
        return columns[id_name], columns
    free = [column for column in range(len(header)) if column not in columns.values()]
    if not free:
        raise DataError(f"{file} row 1: no column for the id beside {', '.join(header)[:100]}; put the id first")
    return (1 if 1 in free else free[0]), columns
