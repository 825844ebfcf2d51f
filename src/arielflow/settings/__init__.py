"""Every setting of a run: its name, its type and range, its default and what it means.

Nothing but pydantic is imported here, so that the Snakefile can check a whole configuration. From
these classes the schema and the reference page are made (:mod:`arielflow.runs.settings_reference`).
"""
