"""The grid of equilibrium chemistry: interpolation, derivatives, its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from equilibrium_points import inside
from torch.autograd import forward_ad

from arielflow.core.errors import ArielflowError
from arielflow.physics.equilibrium import AXES, EquilibriumGrid, read_grid, write_grid


@pytest.fixture(scope="module")
def uneven() -> EquilibriumGrid:
    """A grid with uneven axes whose values have no order."""
    axes = (
        np.array([-1.0, 0.3, 2.0, 3.0]),
        np.array([0.1, 0.5, 0.9, 1.0, 1.5]),
        np.array([200.0, 500.0, 900.0, 2000.0, 3400.0]),
        np.array([1e-5, 1.0, 3e3, 1e6]),
    )
    shape = (*map(len, axes), 3)
    table = np.random.default_rng(1).uniform(-12, -1, shape).astype(np.float32)
    return EquilibriumGrid(*axes, ("H2O", "CO", "CH4"), table, {"fingerprint": "none"})


# Interpolation


def test_a_point_of_the_grid_has_its_own_value(uneven: EquilibriumGrid) -> None:
    shape = uneven.log_mixing_ratio.shape
    for i, k in np.ndindex(shape[:2]):
        found = uneven.mixing_ratios(
            torch.tensor(uneven.log_metallicity[[i]]).expand(shape[2]),
            torch.tensor(uneven.c_to_o[[k]]).expand(shape[2]),
            torch.tensor(uneven.temperature_k)[:, None].expand(-1, shape[3]),
            torch.tensor(uneven.pressure_pa),
        )
        assert found.dtype == torch.float64 and found.shape == shape[2:]
        expected = 10 ** uneven.log_mixing_ratio[i, k].astype(float)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_between_points_the_logarithm_is_linear_in_each_coordinate(uneven: EquilibriumGrid) -> None:
    from scipy.interpolate import RegularGridInterpolator

    arguments = inside(uneven)
    axes = [uneven.log_metallicity, uneven.c_to_o, -1 / uneven.temperature_k]
    axes.append(np.log10(uneven.pressure_pa))
    table = RegularGridInterpolator(axes, uneven.log_mixing_ratio.astype(float))
    metallicity, c_to_o, temperature, pressure = (value.numpy() for value in arguments)
    points = np.broadcast_arrays(
        metallicity[:, None], c_to_o[:, None], -1 / temperature, np.log10(pressure)
    )
    expected = table(np.stack(points, axis=-1))
    found = uneven.mixing_ratios(*arguments).log10()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_beyond_the_ends_the_end_is_taken(uneven: EquilibriumGrid) -> None:
    ends = [np.array([getattr(uneven, name)[0], getattr(uneven, name)[-1]]) for name in AXES]
    beyond = [ends[0] + [-1, 1], ends[1] * [0.5, 2], ends[2] * [0.5, 2], ends[3] * [0.1, 10]]

    def at(values: list[np.ndarray]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        given = [torch.tensor(v).requires_grad_() for v in values]
        return uneven.mixing_ratios(given[0], given[1], given[2][:, None] + 0 * given[3], given[3])

    torch.testing.assert_close(at(beyond), at(ends))
    given = [torch.tensor(v[:1]).requires_grad_() for v in beyond]
    total = uneven.mixing_ratios(given[0], given[1], given[2][:, None], given[3]).sum()
    assert all(not g.any() for g in torch.autograd.grad(total, given))


def test_what_is_no_number_stays_none(uneven: EquilibriumGrid) -> None:
    arguments = inside(uneven)
    arguments[2][1, 2] = torch.nan
    arguments[1][3] = torch.nan
    lost = uneven.mixing_ratios(*arguments).isnan().all(dim=-1)
    expected = torch.zeros_like(lost)
    expected[1, 2] = expected[3] = True
    assert torch.equal(lost, expected)


def test_shapes_that_do_not_go_together_are_refused(uneven: EquilibriumGrid) -> None:
    metallicity, c_to_o, temperature, pressure = inside(uneven)
    for wrong in (
        (metallicity[:3], c_to_o, temperature, pressure),
        (metallicity, c_to_o, temperature[:, :5], pressure),
        (metallicity, c_to_o, temperature[0], pressure),
        (metallicity[0], c_to_o[0], temperature, pressure),
    ):
        with pytest.raises(ArielflowError, match=r"expected \(n,\), \(n,\), \(n, layer\)") as error:
            uneven.mixing_ratios(*wrong)
        assert "\n" not in str(error.value)


# Derivatives


@pytest.mark.parametrize("number", range(4), ids=AXES)
def test_derivatives_agree_with_central_differences(uneven: EquilibriumGrid, number: int) -> None:
    arguments = inside(uneven)

    def total(value: torch.Tensor) -> torch.Tensor:
        given = [*arguments[:number], value, *arguments[number + 1 :]]
        return uneven.mixing_ratios(*given).log10().sum()

    value = arguments[number].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(value), value)
    for place in np.ndindex(value.shape):
        step = torch.zeros_like(value)
        step[place] = 1e-6 * value[place].abs().detach()
        with torch.no_grad():
            difference = (total(value + step) - total(value - step)) / (2 * step[place])
        assert gradient[place].item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-12)


def test_forward_mode_gives_the_derivatives_of_reverse_mode(uneven: EquilibriumGrid) -> None:
    arguments = [a.requires_grad_() for a in inside(uneven)]
    weights = torch.linspace(0.5, 2, 3, dtype=torch.float64)

    def total(*given: torch.Tensor) -> torch.Tensor:
        return (weights * uneven.mixing_ratios(*given).log10()).sum()

    gradients = torch.autograd.grad(total(*arguments), arguments)
    tangents = [torch.sin(1 + a.detach()) * a.detach() for a in arguments]
    expected = sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True))
    with forward_ad.dual_level():
        duals = [
            forward_ad.make_dual(a.detach(), t) for a, t in zip(arguments, tangents, strict=True)
        ]
        found = forward_ad.unpack_dual(total(*duals)).tangent
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    jacobian = torch.func.jacfwd(total)(*(a.detach() for a in arguments))
    torch.testing.assert_close(jacobian, gradients[0], rtol=1e-10, atol=1e-12)


# Its file


def test_a_grid_survives_its_file(uneven: EquilibriumGrid, tmp_path: Path) -> None:
    write_grid(uneven, tmp_path / "grid.npz")
    found = read_grid(tmp_path / "grid.npz")
    for name in (*AXES, "log_mixing_ratio"):
        np.testing.assert_array_equal(getattr(found, name), getattr(uneven, name))
    assert (found.molecules, found.provenance) == (uneven.molecules, uneven.provenance)
    arguments = inside(uneven)
    torch.testing.assert_close(found.mixing_ratios(*arguments), uneven.mixing_ratios(*arguments))


def _with(grid: EquilibriumGrid, path: Path, **changed: np.ndarray) -> None:
    write_grid(replace(grid, **changed), path)


DAMAGES = {
    "missing": lambda grid, path: None,
    "empty": lambda grid, path: path.touch(),
    "folder": lambda grid, path: path.mkdir(),
    "text": lambda grid, path: path.write_text("H2O,CO\n"),
    "cut": lambda grid, path: (write_grid(grid, path), path.write_bytes(path.read_bytes()[:900])),
    "other archive": lambda grid, path: np.savez(path, index=np.arange(3)),
    "no numbers": lambda grid, path: _with(grid, path, c_to_o=np.array(list("abcde"))),
    "NaN": lambda grid, path: _with(
        grid, path, log_mixing_ratio=np.full_like(grid.log_mixing_ratio, np.nan)
    ),
    "more than all": lambda grid, path: _with(grid, path, log_mixing_ratio=-grid.log_mixing_ratio),
    "other shape": lambda grid, path: _with(grid, path, log_mixing_ratio=grid.log_mixing_ratio[1:]),
    "other axis": lambda grid, path: _with(grid, path, temperature_k=grid.temperature_k[:3]),
    "descending": lambda grid, path: _with(grid, path, pressure_pa=grid.pressure_pa[::-1]),
    "no pressure": lambda grid, path: _with(grid, path, pressure_pa=grid.pressure_pa - 1),
    "infinite": lambda grid, path: _with(grid, path, c_to_o=grid.c_to_o / [1, 1, 1, 1, 0.0]),
    "molecules": lambda grid, path: _with(grid, path, molecules=("H2O",)),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_grid_is_refused_in_one_line(uneven, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "grid.npz"
    DAMAGES[damage](uneven, path)
    with pytest.raises(ArielflowError, match=r"grid\.npz: .*make it again$") as error:
        read_grid(path)
    assert "\n" not in str(error.value)
