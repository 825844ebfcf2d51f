"""The WFC3 set over several splits: R² and coverage of the run's Bayesian ensemble.

Settings, members and sizes are those of ``config/wfc3.yaml``. Split 0 is the edition's own; split k
permutes the 20,001 rows by ``numpy.random.default_rng(k)``, 16,000 of them for training. Trained
members and the rows of finished splits are kept, so that an interrupted call goes on.

Coverage is that of central intervals with randomised ranks (``diagnostics.rank_statistics``): a
truth on an atom (an absent molecule's −13, onto which the models put samples too) gets a random
rank among the samples equal to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.config import read_config
from arielflow.core.files import write_table
from arielflow.core.schema import JOINT
from arielflow.core.seeds import derived_seed
from arielflow.data.ingest import ingest
from arielflow.data.splits import split_planets, subset
from arielflow.editions import get_edition
from arielflow.evaluation.better_scores import r2_score
from arielflow.evaluation.calibration import TABLE_LEVELS, measure_calibration
from arielflow.models import make_estimator
from arielflow.models.ensemble import sample_ensemble

ROOT = Path(__file__).parents[1]
MODEL = "bnn_ensemble"
N_TRAIN = 16_000


def planets_of(split: int, data: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Training and test planets of a split, in the order of its permutation."""
    edition = get_edition("wfc3")
    own = [ingest(data, edition, part)[0] for part in ("train", "test")]
    together = xr.concat(own, "planet", data_vars="minimal", combine_attrs="override")
    rows = [int(str(name).removeprefix("hela")) for name in together["planet"].values]
    stored = together.isel(planet=np.argsort(rows))
    permuted = stored.isel(planet=np.random.default_rng(split).permutation(len(rows)))
    return permuted.isel(planet=slice(0, N_TRAIN)), permuted.isel(planet=slice(N_TRAIN, None))


def trained(split: int, train: xr.Dataset, config: dict, folder: Path, members: int) -> list[Path]:
    """Folders of a split's members, trained if they are not there."""
    spec, seed = config["model_settings"][MODEL], derived_seed(config["seed"], MODEL, split)
    parts = split_planets(train, config["dataset"]["validation_fraction"], seed)
    folders = [folder / f"split{split}" / str(member) for member in range(members)]
    for member, path in enumerate(folders):
        if not (path / "estimator.json").is_file():
            estimator = make_estimator(spec["family"], spec["settings"])
            estimator.fit(
                subset(train, parts, "train"),
                subset(train, parts, "valid"),
                seed=derived_seed(seed, "member", member),
                state_dir=path.with_name(f"{member}.state"),
            )
            estimator.save(path)
    return folders


def measure(row: str, split: int, folders: list[Path], test: xr.Dataset, config: dict) -> dict:
    """One line of the table: R² and coverage by target and their means."""
    posterior = sample_ensemble(
        folders, test, config["posterior"]["n_samples"], seed=derived_seed(config["seed"], row)
    )
    truth, names = test["theta"].values, [str(name) for name in test["target"].values]
    line: dict = {"row": row, "split": split, "members": len(folders)}
    r2 = r2_score(truth, posterior["theta"].values.mean(axis=1))
    line |= {"r2_mean": r2.mean()} | {f"r2_{n}": v for n, v in zip(names, r2, strict=True)}
    calibration = measure_calibration(
        list(zip(posterior["theta"].values, posterior["weight"].values, strict=True)),
        truth,
        low=test["prior_low"].values,
        high=test["prior_high"].values,
        target_names=names,
        seed=derived_seed(config["seed"], "rank"),
    ).table.set_index("target")
    for level in TABLE_LEVELS:
        column = f"coverage_{round(100 * level)}"
        line[f"{column}_mean"] = calibration[column].drop(JOINT).mean()
        line |= {f"{column}_{name}": calibration[column][name] for name in names}
    return line


def main() -> None:
    """Measure every split that the table does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--members", type=int, help="fewer than the configuration's, for a trial")
    parser.add_argument("--config", type=Path, default=ROOT / "config/wfc3.yaml")
    parser.add_argument("--table", type=Path, default=ROOT / "benchmarks/wfc3_splits.csv")
    parser.add_argument("--state", type=Path, default=ROOT / "results/wfc3_splits")
    options = parser.parse_args()
    config = read_config(ROOT / "config.yaml", options.config)
    members = options.members or config["model_settings"][MODEL]["members"]
    lines = pd.read_csv(options.table).to_dict("records") if options.table.is_file() else []
    for split in sorted(set(options.splits) - {line["split"] for line in lines}):
        train, test = planets_of(split, (ROOT / config["dataset"]["path"]).resolve())
        folders = trained(split, train, config, options.state, members)
        for row, used in (("bnn", folders[:1]), (MODEL, folders)):
            lines.append(measure(row, split, used, test, config))
        write_table(pd.DataFrame(lines), options.table)
        print(pd.DataFrame(lines[-2:]).T.to_string(float_format="{:.3f}".format), flush=True)


if __name__ == "__main__":
    main()
