"""Any text as a table: one line that refuses it, or the numbers that Python itself reads there."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from arielflow.core.errors import ArielflowError
from arielflow.core.tables import numeric_column, read_csv

LONGEST_LINE = 600
PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?")
MISSING = ("", "na", "n/a", "nan", "null", "none")
SAMPLED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

NUMBERS = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["1.", ".5", "+1e5", "1E-400", "1e400", "-inf", "Infinity", "00012", " 7 "]),
)
OTHERS = st.sampled_from(
    [*MISSING, "NaN", "1e4 Pa", "10,000", "True", "0x10", "1_000", "١٢", "1e", "--", '"', "a\nb"]
)
CELLS = NUMBERS | NUMBERS | OTHERS | st.text(max_size=5)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(NUMBERS if width > 2 else CELLS, min_size=width, max_size=width), max_size=5
    )
)


def _numbers(path: Path) -> list[list[float]] | None:
    """Columns of numbers as the project reads them, None where it refuses."""
    try:
        table = read_csv(path)
        names = list(table)
        return [numeric_column(path, table, name, names[0]).tolist() for name in names]
    except ArielflowError as error:
        text = str(error)
        assert text.isprintable() and len(text) - len(str(path)) <= LONGEST_LINE, text
        return None


def _expected(text: str) -> list[list[float]]:
    """What Python's own reader of CSV and its own numbers say."""
    rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    cells = [[cell.strip() for cell in row] for row in rows[1:]]
    numbers = [[math.nan if c.lower() in MISSING else float(c) for c in row] for row in cells]
    return [list(column) for column in zip(*numbers, strict=True)] or [[] for _ in rows[0]]


def _check(path: Path, text: str) -> bool:
    path.write_bytes(text.encode(errors="surrogatepass"))
    found = _numbers(path)
    if found is not None:
        np.testing.assert_array_equal(found, _expected(text.removeprefix("\ufeff")))
    return found is not None


@SAMPLED
@given(rows=TABLES, ending=st.sampled_from(["\n", "\r\n", "\r"]))
def test_generated_tables_give_their_numbers_or_a_line(rows, ending, tmp_path: Path) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator=ending)
    writer.writerow([f"c{n}" for n in range(len(rows[0]) if rows else 2)])
    writer.writerows(rows)
    read = _check(tmp_path / "table.csv", stream.getvalue())
    plain = all(PLAIN.fullmatch(cell) for row in rows for cell in row)
    assert read or not plain or ending == "\r", "a table of plain numbers is refused"


@SAMPLED
@given(text=st.text(alphabet=",\",\n\r;\t 019.e+-naif_x\x00\ufeff#'", max_size=80))
@example(text="a,b\n1,2\n")
@example(text='a,b\n"1",2\n')
@example(text='a,b\n1,"2')
@example(text='a,b\n1,"2""3"\n')
@example(text="a,b\n1,2\n\n,\n")
@example(text="a,a\n1,2\n")
@example(text="a;b\n1;2\n")
@example(text='"a\nb",c\n1,2\n')
@example(text="a,b\n1,2,3\n")
@example(text="a,b\r1,2\r")
@example(text="\n\na,b\n1,2\n")
@example(text="a,b\n1,\x00\n")
@example(text="a,b\n1," + "9" * 200_000 + "\n")
@example(text="," * 5000 + "\n")
@example(text="a,b\n\ud800,1\n")
def test_any_text_gives_its_numbers_or_a_line(text: str, tmp_path: Path) -> None:
    _check(tmp_path / "table.csv", text)
