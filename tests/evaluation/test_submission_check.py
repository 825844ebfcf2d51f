"""Hostile and implausible submissions: refused by the checker and the score alike, or warned of."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from submission_files import Files, written

from arielflow.core.errors import ArielflowError
from arielflow.editions import get_edition
from arielflow.evaluation.submission.check import check_submission, review_submission
from arielflow.evaluation.submission.write import score_submission


@pytest.fixture(params=["adc2023", "adc2022"])
def files(request, tmp_path: Path) -> Files:
    """Edition, folder with TestData, and a valid submission for its six planets."""
    return written(get_edition(request.param), tmp_path)


@pytest.fixture
def truth(files: Files, tmp_path: Path) -> Path:
    """The submission's own samples as the truth, the last planet without any."""
    path = tmp_path / "Tracedata.hdf5"
    with h5py.File(files[2]) as source, h5py.File(path, "w") as file:
        for name in source:
            for dataset in ("tracedata", "weights"):
                last = name == sorted(source)[-1]
                file[f"{name}/{dataset}"] = np.nan if last else source[name][dataset][()]
    return path


def _link(link):
    def spoil(file: h5py.File, name: str) -> None:
        del file[name]["weights"]
        file[name]["weights"] = link

    return spoil


def _other(name: str, **settings):
    """A planet's dataset made anew, as ``settings`` or their function of its values say."""

    def spoil(file: h5py.File, group: str) -> None:
        values = file[group][name][()]
        del file[group][name]
        made = {k: v(values) if callable(v) else v for k, v in settings.items()}
        file[group].create_dataset(name, **made)

    return spoil


def _virtual(file: h5py.File, name: str) -> None:
    layout = h5py.VirtualLayout((1200,), dtype=float)
    layout[:] = h5py.VirtualSource(file[name]["weights"])
    del file[name]["weights"]
    file[name].create_virtual_dataset("weights", layout)


def _external(file: h5py.File, name: str) -> None:
    raw = Path(file.filename).with_name("raw")
    raw.write_bytes(file[name]["weights"][()].tobytes())
    del file[name]["weights"]
    file[name].create_dataset("weights", (1200,), float, external=[(str(raw), 0, 9600)])


def _partly(file: h5py.File, name: str) -> None:
    del file[name]["weights"]
    file[name].create_dataset("weights", (1200,), float, chunks=(100,))[:100] = 0.01


def _inside(file: h5py.File, name: str) -> None:
    del file[name]["weights"]
    file[name].create_group("weights")


def _identifier(value):
    return lambda file, name: file[name].attrs.__setitem__("ID", value)


_MANY = 10**9


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_link(h5py.ExternalLink("other.hdf5", "/x")), "weights is an external link"),
        (_link(h5py.SoftLink("/nowhere")), "weights is a soft link"),
        (_link(h5py.SoftLink("weights")), "weights is a soft link"),
        (_virtual, "weights is a virtual dataset"),
        (_external, "weights keeps its values in another file"),
        (_partly, "weights declares 1200 values that were never written"),
        (_inside, "weights is a group"),
        (_other("tracedata", data=lambda v: v.astype("S20")), "tracedata holds text"),
        (_other("tracedata", data=lambda v: v.astype(complex)), "tracedata holds complex"),
        (_other("tracedata", data=lambda v: v > 0), "tracedata holds booleans"),
        (_other("weights", data=h5py.Empty("f8")), "weights holds nothing"),
        (_other("weights", data=1.0), r"weights have shape \(\)"),
        (_other("weights", shape=(_MANY,), dtype="f8"), r"weights have shape \(1000000000,\)"),
        (_other("tracedata", shape=(_MANY, 7), dtype="f8"), "1000000000 samples, expected"),
        (
            _other("weights", shape=(1200,), dtype="f8", maxshape=(None,), chunks=(1 << 27,)),
            "weights is stored in chunks of 1073741824 bytes",
        ),
        (_other("weights", data=lambda v: v * 1e308), "weights sum to"),
        (_other("weights", data=lambda v: np.full(len(v), 1e308)), "weights sum to inf"),
        (lambda f, n: f[n].create_group("more"), "holds more, expected tracedata and weights"),
        (lambda f, n: f[n].__setitem__("up", f["/"]), "holds up, expected"),
        (_identifier("2"), "attribute ID is text '2', expected the integer 2"),
        (_identifier([2]), r"attribute ID holds integers of shape \(1,\), expected the integer 2"),
        (_identifier(2.0), "attribute ID holds floating-point numbers, expected the integer 2"),
        (_identifier(True), "attribute ID holds booleans"),
        (_identifier(np.uint64(2**64 - 1)), "attribute ID is 9223372036854775807, expected 2"),
        (lambda f, n: f[n].attrs.__delitem__("ID"), "attribute ID is missing, expected the int"),
    ],
)
def test_what_is_no_plain_number_is_refused_and_never_scored(files, truth, spoil, says) -> None:
    edition, folder, path = files
    name = edition.group(edition.identifiers("test", 6)[2])
    with h5py.File(path, "r+") as file:
        spoil(file, name)
    faults = check_submission(path, edition, folder)
    assert len([f for f in faults if f.startswith(f"{name}: ") and re.search(says, f)]) == 1, faults
    assert all("\n" not in fault and len(fault) < 300 for fault in faults)
    with pytest.raises(ArielflowError) as fault:
        score_submission(path, edition, truth, seed=0, test_folder=folder)
    assert f"{path}: {name}: " in str(fault.value) and "faults in all" in str(fault.value)


def test_a_group_that_is_none_is_one_fault(files) -> None:
    edition, folder, path = files
    with h5py.File(path, "r+") as file:
        first, second, third = sorted(file)[:3]
        for name, value in ((first, 1.0), (second, h5py.SoftLink(f"/{third}"))):
            del file[name]
            file[name] = value
    faults = check_submission(path, edition, folder)
    assert len(faults) == 2 and "is no group" in faults[0] and "is a soft link" in faults[1]


def test_planets_of_another_set_are_one_line(files) -> None:
    edition, folder, path = files
    other = get_edition("adc2022" if edition.name == "adc2023" else "adc2023")
    with h5py.File(path, "r+") as file:
        for old, new in zip(sorted(file), other.identifiers("test", 6), strict=True):
            # Planets of 2022 are named by digits alone: other names are told apart by that.
            file.move(old, other.group(f"9{new}" if new.isdigit() else new))
    (fault,) = check_submission(path, edition, folder)
    assert "holds none of the 6 planets of the test data" in fault
    assert f"these look like edition {other.name}'s" in fault
    with h5py.File(path, "w"):
        pass
    (fault,) = check_submission(path, edition, folder)
    assert "holds none of the 6 planets" in fault and "and 3 more are missing" in fault


def test_equal_faults_are_folded_for_people(files) -> None:
    edition, folder, path = files
    with h5py.File(path, "r+") as file:
        for number, name in enumerate(sorted(file)):
            file[name]["weights"][:] = (0.5 + number / 100) / 1200
    found = review_submission(path, edition, folder)
    assert len(found.fault_lines) == 6
    (line,) = found.folded_lines
    assert "weights sum to 0.5" in line and "and 5 more planets with this fault" in line


def _scored(files: Files, truth: Path, **settings) -> dict[str, float]:
    edition, _, path = files
    return score_submission(path, edition, truth, seed=0, **settings)


def test_planets_must_be_those_of_the_truth(files: Files, truth: Path) -> None:
    edition, folder, path = files
    assert len(_scored(files, truth)) == 5
    with h5py.File(path, "r+") as file:
        one, two = sorted(file)[:2]
        file[one].attrs["ID"], file[two].attrs["ID"] = file[two].attrs["ID"], file[one].attrs["ID"]
    assert len(_scored(files, truth)) == 5  # the order is only known with the test data
    with pytest.raises(ArielflowError, match="attribute ID is 1, expected 0"):
        _scored(files, truth, test_folder=folder)
    with h5py.File(path, "r+") as file:
        file[one].attrs["ID"] = file[two].attrs["ID"]
    with pytest.raises(ArielflowError, match="like that of another planet"):
        _scored(files, truth)
    with h5py.File(path, "r+") as file:
        file.move(one, edition.group("stranger"))
    with pytest.raises(ArielflowError, match=f"{one}: planet is missing"):
        _scored(files, truth)
    with h5py.File(truth, "r+") as file:
        del file[one]
    with pytest.raises(ArielflowError, match="is in one of them alone"):
        _scored(files, truth, test_folder=folder)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_link(h5py.SoftLink("tracedata")), "weights is a soft link"),
        (_link(h5py.ExternalLink("other.hdf5", "/x")), "weights is an external link"),
        (_other("tracedata", data=lambda v: v.astype("S20")), "tracedata holds text"),
        (_other("weights", data=lambda v: -v), "1200 weights are negative"),
        (_other("weights", data=lambda v: v * 1e308), "weights sum to"),
        (_other("weights", data=lambda v: v * np.nan), "1200 weights are not finite"),
        (_other("tracedata", data=lambda v: v * np.inf), "are not finite"),
        (_other("tracedata", data=lambda v: v[:, :3]), "check the edition"),
        (_other("weights", data=np.nan), r"weights have shape \(\)"),
        (_other("weights", shape=(_MANY,), dtype="f8"), "weights have shape"),
        (lambda f, n: f.__setitem__("stray", 1.0), "stray.* is no group"),
        (lambda f, n: f.create_group("Planet_" + "7" * 5000), "tracedata' is missing|is missing"),
    ],
)
def test_a_damaged_truth_is_refused(files: Files, truth: Path, spoil, says: str) -> None:
    with h5py.File(truth, "r+") as file:
        spoil(file, sorted(file)[1])
    with pytest.raises(ArielflowError, match=says) as fault:
        _scored(files, truth)
    assert "\n" not in str(fault.value) and len(str(fault.value)) < 500


def test_a_truth_that_declares_more_than_it_holds_is_refused(files: Files, truth: Path) -> None:
    with h5py.File(truth, "r+") as file:
        for name in list(file)[:5]:
            del file[name]["tracedata"], file[name]["weights"]
            size = 10**6
            settings = {"dtype": "f4", "chunks": True, "compression": "gzip", "shuffle": True}
            file[name].create_dataset("weights", data=np.full(size, 1 / size), **settings)
            shape = (size, len(files[0].targets))
            file[name].create_dataset("tracedata", data=np.zeros(shape, "f4"), **settings)
    with pytest.raises(ArielflowError, match="declares far more samples than it has bytes"):
        _scored(files, truth)
