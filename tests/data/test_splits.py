"""Training and validation planets."""

from __future__ import annotations

import pytest

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import Quality
from arielflow.data.splits import read_split, split_planets, subset


def test_split_is_seeded_disjoint_and_leaves_unusable_planets_out(simulated) -> None:
    planets = simulated.copy(deep=True)
    planets["quality"].values[7] = int(Quality.NON_FINITE_SPECTRUM)
    split = split_planets(planets, 0.2, seed=3)
    assert split.equals(split_planets(planets, 0.2, seed=3))
    assert not split.equals(split_planets(planets, 0.2, seed=4))
    train, valid = (subset(planets, split, name) for name in ("train", "valid"))
    names = [set(part["planet"].values) for part in (train, valid)]
    assert not names[0] & names[1] and sum(map(len, names)) == planets.sizes["planet"] - 1
    assert str(planets["planet"].values[7]) not in names[0] | names[1]


def test_split_keeps_identifiers_as_they_are(simulated, tmp_path) -> None:
    names = ["NA", "nan", "007", "HD 1, b", 'say "b"', *map(str, range(295))]
    planets = simulated.assign_coords(planet=names)
    split_planets(planets, 0.1, seed=1).to_csv(tmp_path / "split.csv", index=False)
    split = read_split(tmp_path / "split.csv")
    found = [
        p for part in ("train", "valid") for p in subset(planets, split, part)["planet"].values
    ]
    assert sorted(found) == sorted(names)
    (tmp_path / "split.csv").write_text("planet\n1\n")
    with pytest.raises(ArielflowError, match="expected planet_ID and subset"):
        read_split(tmp_path / "split.csv")
