from arielflow.core.files import write_table
from arielflow.editions import get_frame_edition
from arielflow.editions.frames import planet_name
from arielflow.frames.chunk import calibrate_planets
from arielflow.frames.folder import FrameFolder
from arielflow.runs.job import job
from arielflow.settings.frames import CalibrationSettings, LightCurveSettings

with job(snakemake):
    params = snakemake.params
    table = calibrate_planets(
        FrameFolder(params.folder, get_frame_edition(params.edition)),
        [planet_name(name) for name in params.planets],
        params.output,
        CalibrationSettings(**params.calibration),
        LightCurveSettings(**params.light_curves),
    )
    write_table(table, snakemake.output.quality)
