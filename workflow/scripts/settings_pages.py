"""Write the configuration's schema and reference page anew (`make schema`)."""

from pathlib import Path

from arielflow.core.config import read_config
from arielflow.runs.settings_reference import (
    frame_run_schema,
    reference_text,
    run_schema,
    schema_text,
)

Path("workflow/schemas/config.schema.yaml").write_text(schema_text(run_schema()))
Path("workflow/schemas/frames.schema.yaml").write_text(schema_text(frame_run_schema()))
Path("docs/settings.md").write_text(reference_text(read_config("config.yaml")))
