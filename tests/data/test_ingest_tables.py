"""Tables of planets: identifiers, malformed text, values that are no numbers."""

from __future__ import annotations

import os
import tracemalloc

import pandas as pd
import pytest
from official_folder import edit_table, first_group, read_split_of, spectra_file

from arielflow.core.errors import ArielflowError
from arielflow.editions.official_files import (
    AUXILIARY_TABLE,
    GROUND_TRUTH,
    PARAMETER_TABLE,
)


def _rename(copy, new: str, table: str | None = None) -> None:
    """Another identifier for the first planet; ``table`` spells it otherwise in the table."""
    with spectra_file(copy) as file:
        file.move(first_group(file), f"Planet_{new}")
        old = {f"Planet_{name}" for name in _table(copy)["planet_ID"]} - set(file)
    (name,) = (group.removeprefix("Planet_") for group in old)
    edit_table(copy, lambda t: t.assign(planet_ID=t["planet_ID"].replace(name, table or new)))


def _table(copy) -> pd.DataFrame:
    return pd.read_csv(
        copy[1] / "TestData" / "AuxillaryTable.csv", dtype={"planet_ID": str}, na_filter=False
    )


@pytest.mark.parametrize("name", ["NA", "nan", "007", "1e3", "β Pic b", "WASP-39 b", "None", "-"])
def test_identifiers_stay_the_words_that_they_are(copy, name) -> None:
    _rename(copy, name)
    planets, _, quality = read_split_of(copy)
    assert name in planets["planet"].values and quality.empty


def test_blanks_around_an_identifier_do_not_count(copy) -> None:
    _rename(copy, "HD 1", "  HD 1 ")
    assert "HD 1" in read_split_of(copy)[0]["planet"].values


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("a/b", "slash"),
        ("a\tb", "does not print"),
        ("a\x07b", "does not print"),
        ("x" * 5000, "has 5000 characters"),
    ],
)
def test_identifiers_that_name_no_group_are_refused_with_their_row(copy, name, says) -> None:
    edit_table(copy, lambda t: t.assign(planet_ID=[*t["planet_ID"][:4], name, *t["planet_ID"][5:]]))
    with pytest.raises(ArielflowError, match=says) as caught:
        read_split_of(copy)
    assert "row 5" in str(caught.value) and len(str(caught.value)) < 400


def _edit_text(copy, edit) -> None:
    path = copy[1] / "TestData" / "AuxillaryTable.csv"
    path.write_text(edit(path.read_text()))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda t: t.replace(",", ";"), "separated by ';'"),
        (
            lambda t: t.replace("\n", ",True\n").replace(",True", ",star_mass_kg", 1),
            "more than once",
        ),
        (lambda t: "", "no header"),
        (lambda t: t + "one,two\n", "has 2 cells"),
        (lambda t: ",".join(f"c{i}" for i in range(100_000)) + "\n" + t, "columns|characters"),
        (lambda t: t.replace("planet_ID", "name", 1), "column planet_ID is missing"),
    ],
)
def test_malformed_tables_are_one_short_line(copy, edit, says) -> None:
    _edit_text(copy, edit)
    with pytest.raises(ArielflowError, match=says) as caught:
        read_split_of(copy)
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_rows_without_content_do_not_count(copy) -> None:
    columns = _table(copy).shape[1]
    _edit_text(copy, lambda t: t + "\n" + "," * (columns - 1) + "\n")
    assert read_split_of(copy)[0].sizes["planet"] == 10


def test_a_column_of_true_and_false_holds_no_numbers(copy) -> None:
    edit_table(copy, lambda t: t.assign(star_mass_kg=True))
    with pytest.raises(ArielflowError, match=r"column star_mass_kg holds 'True'.*10 such cells"):
        read_split_of(copy)


def test_pipes_are_refused_and_not_waited_for(copy) -> None:
    path = copy[1] / "TestData" / "AuxillaryTable.csv"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ArielflowError, match="pipe"):
        read_split_of(copy)


@pytest.mark.parametrize("table", [AUXILIARY_TABLE, f"{GROUND_TRUTH}/{PARAMETER_TABLE}"])
def test_a_table_of_many_more_rows_than_planets_is_not_read(copy, table) -> None:
    path = copy[1] / "TrainingData" / table
    row = path.read_text().splitlines()[1]
    with path.open("a") as stream:
        stream.writelines(f"{row}\n" for _ in range(300_000))
    tracemalloc.start()
    with pytest.raises(ArielflowError, match="lines, expected one per planet"):
        read_split_of(copy, "train")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
