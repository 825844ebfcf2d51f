"""The benchmark's visits are what they say, and both ways through them give the same light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import frames
import numpy as np
import pytest
from frame_visits import write_visits

PAIRS = {"AIRS-CH0": 125, "FGS1": 1500}
"""Four whole bins and a rest."""


def test_both_ways_give_the_same_light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sensors = tuple(replace(s, n_frames=2 * PAIRS[s.name]) for s in frames.EDITION.sensors)
    short = replace(frames.EDITION, sensors=sensors)
    monkeypatch.setattr(frames, "EDITION", short)
    write_visits(tmp_path, short, ["1001"], seed=5)
    signals = [short.signal_file(tmp_path / "train" / "1001", s, 0) for s in sensors]
    times = [signal.stat().st_mtime_ns for signal in signals]
    write_visits(tmp_path, short, ["1001"], seed=5)
    assert [signal.stat().st_mtime_ns for signal in signals] == times
    (tmp_path / "light_curves").mkdir()
    ours = frames.calibrate(tmp_path, "1001", "arielflow")
    theirs = frames.organisers_order(tmp_path, "1001", frames.ORGANISERS)
    ratio = ours["electrons"] / theirs["electrons"]
    # Cosmic rays stay in theirs, and ours clips: single bright pairs of few.
    np.testing.assert_allclose(np.median(ratio), 1, atol=1e-3)
    np.testing.assert_allclose(ratio, 1, atol=0.03)
    assert ours["scatter_ratio_airs"] == pytest.approx(1, abs=0.05)
    assert ours["scatter_ratio_fgs1"] == pytest.approx(1, abs=0.1)
