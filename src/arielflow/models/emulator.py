"""A network in the place of the radiative transfer (Himes et al. 2022, PSJ 3, 91).

It predicts, for every bin, how many scale heights the planet looks larger than its disk,
(depth R_star² − R²) / 2 R H, with H the scale height of hydrogen and helium alone. The star needs
no learning: every term of the transit depth carries 1/R_star², so that depth R_star² − R² depends
on the planet alone. Nor do sizes: what is left varies by units, not by orders of magnitude.

The inputs are the forward model's own parameters in the combinations that its equations hold:
ln(H/R) sets the geometry, ln √(R H) the length of the chord through the atmosphere, ln T the
cross-sections, beside the log10 mixing ratios. Radius, mass and temperature follow from the first
three, so nothing is lost.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.core.schema import MOLECULES, target_index
from arielflow.core.seeds import fingerprint
from arielflow.models.base import SpectrumEmulator
from arielflow.models.features import planet_tensors
from arielflow.models.network_file import load_network, save_network
from arielflow.models.training import train
from arielflow.physics.forward import ForwardModel
from arielflow.physics.systems import JUPITER_RADIUS_M, scale_height_m, surface_gravity_m_s2
from arielflow.settings.emulator import Config

_WIDTHS = {"dense": (2048,) * 4, "convolution": (4096,) * 3}
_CHANNELS = 256
_KERNEL = 3
_N_SYSTEM_INPUTS = 3
# Rows whose activations are held at once; bounds the memory of a large batch.
_ROWS_AT_ONCE = 8192


class _Network(nn.Module):
    """Standardisation and layers: inputs (row, input) to scale heights (row, wavelength)."""

    def __init__(self, config: Config, n_inputs: int, n_bins: int) -> None:
        super().__init__()
        for name, size in (("input", n_inputs), ("output", n_bins)):
            self.register_buffer(f"{name}_mean", torch.zeros(size, dtype=torch.float64))
            self.register_buffer(f"{name}_deviation", torch.ones(size, dtype=torch.float64))
        self.register_buffer("input_low", torch.zeros(n_inputs, dtype=torch.float64))
        self.register_buffer("input_high", torch.zeros(n_inputs, dtype=torch.float64))
        self.register_buffer("wavelength_um", torch.zeros(n_bins, dtype=torch.float64))
        # A smooth activation keeps the likelihood smooth; the lecture's network has leaky ReLUs.
        activation = nn.SiLU if config.architecture == "dense" else nn.LeakyReLU
        layers: list[nn.Module] = []
        first = n_inputs
        if config.architecture == "convolution":
            channels = config.channels or _CHANNELS
            convolution = nn.Conv1d(1, channels, _KERNEL, padding="same")
            layers = [nn.Unflatten(1, (1, n_inputs)), convolution, activation(), nn.Flatten()]
            first = channels * n_inputs
        widths = (first, *(config.widths or _WIDTHS[config.architecture]))
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), activation()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_bins))

    def fit_scalers(self, inputs: Tensor, outputs: Tensor) -> None:
        for name, values in (("input", inputs), ("output", outputs)):
            getattr(self, f"{name}_mean").copy_(values.mean(dim=0))
            getattr(self, f"{name}_deviation").copy_(values.std(dim=0).clamp(min=1e-9))
        self.input_low.copy_(inputs.amin(dim=0))
        self.input_high.copy_(inputs.amax(dim=0))

    def standardise(self, name: str, values: Tensor) -> Tensor:
        mean, deviation = getattr(self, f"{name}_mean"), getattr(self, f"{name}_deviation")
        return ((values - mean) / deviation).float()

    def forward(self, inputs: Tensor) -> Tensor:
        standardised = self.layers(self.standardise("input", inputs)).double()
        return standardised * self.output_deviation + self.output_mean


class Emulator(SpectrumEmulator):
    """See the module's docstring and :class:`SpectrumEmulator`.

    Attributes
    ----------
    calls
        Number of spectra predicted.
    extrapolated
        Number of spectra of which an input lay outside the training planets' range.
    """

    family: ClassVar[str] = "surrogate"
    state_files: ClassVar[tuple[str, ...]] = ("network.safetensors",)
    Config = Config
    network: _Network

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.calls = self.extrapolated = 0

    @property
    def wavelength_um(self) -> np.ndarray:
        """Centres of the bins, shape (wavelength,) [um]."""
        return self.network.wavelength_um.cpu().numpy()

    def fit(
        self,
        train_planets: xr.Dataset,
        valid_planets: xr.Dataset,
        *,
        seed: int,
        device: str = "auto",
        state_dir: Path | None = None,
        annotated: xr.Dataset | None = None,
    ) -> pd.DataFrame:
        """See :meth:`TrainedModel.fit`; the spectra must be free of noise.

        Raises
        ------
        ArielflowError
            The planets have noise, or lack a mass, a temperature, a radius or abundances.
        """
        splits = {"train": train_planets, "valid": valid_planets}
        examples = {name: _examples(planets) for name, planets in splits.items()}
        self.molecules = _molecules(train_planets)
        inputs, outputs = examples["train"]
        torch.manual_seed(seed)
        self.network = _Network(self.config, inputs.shape[1], outputs.shape[1])
        self.network.fit_scalers(inputs, outputs)
        self.network.wavelength_um.copy_(torch.tensor(train_planets["wavelength"].values))
        scaled = {
            name: (pair[0], self.network.standardise("output", pair[1]))
            for name, pair in examples.items()
        }

        def loss(split: str, index: Tensor, _: torch.Generator) -> Tensor:
            inputs, outputs = (values[index.cpu()] for values in scaled[split])
            network = self.network
            device = network.input_mean.device
            predicted = network.layers(network.standardise("input", inputs.to(device)))
            return nn.functional.mse_loss(predicted, outputs.to(device))

        return train(
            self.network,
            loss,
            (len(inputs), len(examples["valid"][0])),
            self.config.training,
            seed=seed,
            device=device,
            state_dir=state_dir,
            identity=fingerprint(
                code_digest(type(self).__module__),
                self.config.model_dump(),
                seed,
                *(values.numpy() for pair in examples.values() for values in pair),
            ),
        )

    def __call__(
        self,
        radius_m: Tensor | np.ndarray,
        mass_kg: Tensor | np.ndarray,
        temperature_k: Tensor | np.ndarray,
        star_radius_m: Tensor | np.ndarray,
        log_mixing_ratio: Tensor | np.ndarray,
    ) -> Tensor:
        """See :meth:`SpectrumEmulator.__call__`.

        A planet whose parameters are not finite or whose mixing ratios exceed one gets NaN, as from
        the forward model. Outside the training planets' range the network extrapolates; such
        planets are counted in ``extrapolated``.
        """
        given = radius_m, mass_kg, temperature_k, star_radius_m, log_mixing_ratio
        device = self.network.input_mean.device
        radius, mass, temperature, star_radius, mixing = (
            torch.as_tensor(values).to(device, torch.float64) for values in given
        )
        if mixing.shape[1:] != (len(self.molecules),):
            raise ArielflowError(
                f"surrogate: mixing ratios have shape {tuple(mixing.shape)}, expected "
                f"(planet, {len(self.molecules)}): {', '.join(self.molecules)}; give these"
            )
        inputs, height = _inputs(radius, mass, temperature, mixing)
        self._count(inputs.detach())
        parts = inputs.split(_ROWS_AT_ONCE)
        scale_heights = torch.cat([self.network(part) for part in parts])
        above = scale_heights * (2 * radius * height)[:, None]
        depth = (radius[:, None] ** 2 + above) / star_radius[:, None] ** 2
        physical = (10.0**mixing).sum(dim=1, keepdim=True) <= 1
        return torch.where(physical, depth, torch.nan)

    def _count(self, inputs: Tensor) -> None:
        network = self.network
        outside = (inputs < network.input_low) | (inputs > network.input_high)
        self.calls += len(inputs)
        self.extrapolated += int(outside.any(dim=1).sum())

    @torch.no_grad()
    def predict(self, *parameters: np.ndarray) -> np.ndarray:
        """See :meth:`SpectrumEmulator.predict`."""
        return self(*parameters).cpu().numpy()

    def forward_model(self, planets: xr.Dataset) -> ForwardModel:
        """See :meth:`SpectrumEmulator.forward_model`."""
        own, asked = self.wavelength_um, planets["wavelength"].values
        if own.shape != asked.shape or not np.allclose(own, asked):
            raise ArielflowError(
                f"surrogate: trained for {len(own)} bins of {own[0]:.4g} to {own[-1]:.4g} um, the "
                f"planets have {len(asked)} of {asked[0]:.4g} to {asked[-1]:.4g} um; train it on "
                "planets of this edition"
            )
        return ForwardModel(self, planets)

    def _save_state(self, directory: Path) -> None:
        path = directory / self.state_files[0]
        save_network(self.network, path, {"molecules": ",".join(self.molecules)})

    def _load_state(self, directory: Path) -> None:
        def build(state: dict[str, Tensor], metadata: dict[str, str]) -> _Network:
            self.molecules = tuple(metadata["molecules"].split(","))
            inputs, bins = len(state["input_mean"]), len(state["output_mean"])
            known = len(set(self.molecules) & set(MOLECULES))
            if known != len(self.molecules) or known + _N_SYSTEM_INPUTS != inputs:
                raise ValueError(f"{inputs} inputs for the molecules {metadata['molecules']}")
            return _Network(self.config, inputs, bins)

        self.network = load_network(directory / self.state_files[0], build)


def _molecules(planets: xr.Dataset) -> tuple[str, ...]:
    return tuple(name for name in planets["target_quantity"].values if name in MOLECULES)


def _inputs(
    radius_m: Tensor, mass_kg: Tensor, temperature_k: Tensor, log_mixing_ratio: Tensor
) -> tuple[Tensor, Tensor]:
    """The network's unscaled inputs (planet, input), and the scale heights (planet,) [m]."""
    height = scale_height_m(temperature_k, surface_gravity_m_s2(mass_kg, radius_m))
    system = [height / radius_m, torch.sqrt(radius_m * height), temperature_k]
    return torch.cat([torch.log(torch.stack(system, dim=1)), log_mixing_ratio], dim=1), height


def _examples(planets: xr.Dataset) -> tuple[Tensor, Tensor]:
    """Inputs (planet, input) and scale heights above the disk (planet, wavelength)."""
    data = planet_tensors(planets)
    temperature, radius = (
        target_index(planets, f"planet_{name}") for name in ("temperature", "radius")
    )
    molecules = [target_index(planets, name) for name in _molecules(planets)]
    noise = planets.attrs.get("noise")
    if noise != "free" or not data.physical or temperature is None or not molecules:
        raise ArielflowError(
            f"surrogate: training planets of edition {planets.attrs.get('edition')} (noise "
            f"{noise!r}, targets {', '.join(planets['target_quantity'].values)}) cannot be used; "
            "expected noise-free spectra, star and planet described, temperature and mixing "
            "ratios as targets; train it on adc2022, adc2023 or a simulated set of them"
        )
    radius_m = data.known_radius_m if radius is None else data.theta[:, radius] * JUPITER_RADIUS_M
    inputs, height = _inputs(
        radius_m, data.mass_kg, data.theta[:, temperature], data.theta[:, molecules]
    )
    above = data.depth * data.star_radius_m[:, None] ** 2 - radius_m[:, None] ** 2
    return inputs, above / (2 * radius_m * height)[:, None]
