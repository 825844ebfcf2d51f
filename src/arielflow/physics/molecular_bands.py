"""Spectroscopic constants of the molecules of the built-in opacities.

Band centres and vibrational frequencies [cm-1]: Herzberg (1945, 1950); Shimanouchi (1972, NSRDS-NBS
39); Tennyson et al. (2013, H2O levels); Rothman et al. (1992, CO2 levels); Brown et al. (2013,
CH4 polyads); Down et al. (2013, NH3). Rotational constants [cm-1]: Herzberg; NIST. Integrated
intensities at 296 K [cm per molecule]: sums over HITRAN (Gordon et al. 2022); methane shortward
of 1.6 um after the band models of Karkoschka & Tomasko (2010).

``effective`` intensities: a band here stands for its polyad and for the hot bands that overlap it,
whose lines are not listed one by one. The intensities of H2O, CO2 and CH4 were scaled by factors
so that their bin means agree with published tables at 1,000 K (``tests/physics/test_opacity.py``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Band:
    """A vibrational band.

    Attributes
    ----------
    centre_cm1 : float
        Band centre [cm-1].
    intensity_cm : float
        Effective integrated intensity at 296 K [cm per molecule].
    quanta : int
        Vibrational quanta exchanged.
    perpendicular : bool
        The transition moment is perpendicular to the top's axis.
    lower_energy_cm1 : float
        Energy of the lower level of a hot band [cm-1], 0 from the ground state.
    """

    centre_cm1: float
    intensity_cm: float
    quanta: int
    perpendicular: bool = False
    lower_energy_cm1: float = 0.0


@dataclass(frozen=True)
class Molecule:
    """Constants of one molecule.

    Attributes
    ----------
    rotation_cm1 : tuple[float, float]
        (B, A - B) of a symmetric top, 0 for the second of linear and spherical ones.
    shape : str
        ``linear``, ``spherical`` or ``symmetric``.
    modes : tuple[tuple[float, int], ...]
        Frequency [cm-1] and degeneracy of each vibration.
    shift_cm1 : tuple[float, ...]
        Red shift of a band per quantum excited in each mode and quantum of the band.
    stretch : float
        Relative change of B per quantum of the band.
    broadening_cm1 : float
        Lorentz half-width at 1 bar of H2/He and 296 K [cm-1], falling as T^-0.6.
    """

    name: str
    mass_u: float
    rotation_cm1: tuple[float, float]
    shape: str
    modes: tuple[tuple[float, int], ...]
    shift_cm1: tuple[float, ...]
    stretch: float
    broadening_cm1: float
    bands: tuple[Band, ...]


def _bands(text: str) -> tuple[Band, ...]:
    """Parse lines ``centre intensity quanta [perpendicular] [lower=energy]``."""
    bands = []
    for centre, intensity, quanta, *options in map(str.split, text.strip().splitlines()):
        lower = [float(o.removeprefix("lower=")) for o in options if o.startswith("lower=")]
        bands.append(
            Band(
                float(centre),
                float(intensity),
                int(quanta),
                "perpendicular" in options,
                *lower,
            )
        )
    return tuple(bands)


H2O = Molecule(
    "H2O",
    18.01528,
    (11.9, 15.98),
    "symmetric",
    ((1594.7, 1), (3657.1, 1), (3755.9, 1)),
    (20.0, 60.0, 60.0),
    0.012,
    0.075,
    _bands("""
    0.01     5.3e-17 1 perpendicular
    1594.7   7.5e-18 1 perpendicular
    2480.0   2.5e-23 2 lower=2000
    3151.6   7.6e-20 2 perpendicular
    3657.1   4.96e-19 1
    3755.9   7.2e-18 1
    4350.0   1.5e-23 2 lower=1595
    4666.8   3.9e-21 3 perpendicular
    5235.0   3.7e-20 2
    5331.3   8.0e-19 2
    6134.0   1e-21 4 perpendicular
    6871.5   5.6e-20 3
    7201.5   5.3e-20 2
    7249.8   5.0e-19 2
    8273.9   2e-21 4
    8807.0   5.0e-20 3
    9833.6   5e-22 5
    10328.7  2.1e-21 4
    10613.4  2.1e-20 3
    11032.4  2.0e-21 3
    12151.2  1.1e-21 4
    13830.9  1.5e-21 4
    14318.8  2e-22 4
    15347.9  1.2e-22 5
    16898.4  2.0e-22 5
    18265.8  1.5e-23 6
    19781.1  2e-23 6
    """),
)

CO2 = Molecule(
    "CO2",
    44.0098,
    (0.390, 0.0),
    "linear",
    ((667.4, 2), (1333.0, 1), (2349.1, 1)),
    (16.0, 24.0, 30.0),
    0.0079,
    0.10,
    _bands("""
    1285.4   3e-22 2
    1388.2   3e-22 2
    1932.5   4.5e-20 3 perpendicular
    2076.9   4.0e-20 3 perpendicular
    2129.8   3e-21 3 perpendicular
    2349.1   9.2e-17 1
    3339.4   2e-22 4 perpendicular
    3612.8   1.03e-18 2
    3714.8   1.6e-18 2
    4853.6   7.8e-21 3
    4977.8   3.5e-20 3
    5099.7   1.1e-20 3
    5315.7   5e-22 3 perpendicular
    6075.9   4e-23 4
    6227.9   4.3e-22 4
    6347.9   4.3e-22 4
    6503.1   5e-23 4
    6972.6   1.5e-21 3
    7283.0   3e-23 5
    8192.6   5e-23 4
    8293.9   8e-23 4
    9517.0   1e-23 5
    11496.9  1e-24 5
    12774.7  8e-25 6
    13900.0  1e-25 6
    """),
)

CO = Molecule(
    "CO",
    28.0104,
    (1.9313, 0.0),
    "linear",
    ((2143.3, 1),),
    (26.5,),
    0.0091,
    0.07,
    _bands("""
    2143.27  9.8e-18 1
    4260.06  7.5e-20 2
    6350.43  4.7e-22 3
    8414.5   3e-24 4
    """),
)

CH4 = Molecule(
    "CH4",
    16.04276,
    (5.241, 0.0),
    "spherical",
    ((1310.8, 3), (1533.3, 2), (2916.5, 1), (3019.5, 3)),
    (10.0, 10.0, 25.0, 30.0),
    0.007,
    0.06,
    _bands("""
    1310.8   5.3e-18 1
    1533.3   1e-19 1
    1700.0   1.5e-21 1 lower=1400
    1850.0   3e-22 1 lower=1700
    2050.0   1.0e-22 1 lower=1900
    2600.0   5.4e-20 2
    2838.0   3.9e-19 2
    3018.9   1.06e-17 1
    3064.0   5e-20 2
    3870.5   6e-21 3
    4223.5   2.6e-19 2
    4340.0   4.2e-19 2
    4540.0   6.2e-20 2
    5588.0   5e-21 3
    5861.0   5.0e-20 3
    6004.6   5.5e-20 2
    7100.0   2e-20 4
    7300.0   1e-20 4
    7510.0   2e-20 3
    8421.0   6e-21 4
    8807.0   1.5e-20 4
    9050.0   5e-21 3
    10000.0  1e-21 4
    10300.0  6e-22 5
    11270.0  2.5e-21 4
    11900.0  2e-22 5
    12750.0  1e-22 5
    13750.0  3e-22 5
    15100.0  3e-23 6
    16150.0  7e-23 6
    18000.0  1e-23 7
    """),
)

NH3 = Molecule(
    "NH3",
    17.03056,
    (9.944, -3.72),
    "symmetric",
    ((950.0, 1), (1627.0, 2), (3336.7, 1), (3443.8, 2)),
    (15.0, 15.0, 60.0, 60.0),
    0.01,
    0.08,
    _bands("""
    950.0    2.3e-17 1
    1627.0   4.6e-18 1 perpendicular
    1882.0   4e-20 2
    2540.0   2e-20 2 perpendicular
    2586.0   2e-20 2 perpendicular
    3220.0   3.5e-19 2 perpendicular
    3336.7   6.5e-19 1
    3443.8   5.0e-19 1 perpendicular
    4055.0   1.2e-20 3 perpendicular
    4305.0   2.0e-19 2
    4435.0   7.5e-19 2 perpendicular
    4956.0   3.0e-19 2 perpendicular
    5053.0   4.5e-19 2 perpendicular
    5300.0   2e-20 3
    6012.0   2.0e-20 3
    6557.0   8e-20 2
    6610.0   2.0e-19 2 perpendicular
    6796.0   4e-20 3 perpendicular
    7600.0   1.5e-20 3
    8090.0   1.5e-20 3 perpendicular
    9610.0   2e-21 3
    10100.0  1e-21 3 perpendicular
    11300.0  2e-22 4
    12620.0  1e-22 4
    15450.0  8e-23 5
    18150.0  1e-23 6
    """),
)

MOLECULES = {molecule.name: molecule for molecule in (H2O, CO2, CO, CH4, NH3)}
