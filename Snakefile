from arielflow.core.config import merged, read_config
from arielflow.runs import inputs
from arielflow.runs.config_faults import record_settings
from arielflow.runs.frame_runs import has_frames
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")


# The folder of this file, wherever the run is.
HOME = workflow.current_basedir.get_path_or_uri(secret_free=True)


configfile: f"{HOME}/config.yaml"


# Where this is a module, its user's config stands in that file's place and may be a part of it.
default = read_config(workflow.source_path("config.yaml"))
config.update(merged(default, config))
if faults := inputs.run_faults(config, HOME, default):
    raise WorkflowError("\n".join(faults))


# Used with --software-deployment-method apptainer, beside which the rules' conda files are idle.
if config["container"]:

    container: config["container"]


include: "workflow/rules/common.smk"


if has_frames(config):

    include: "workflow/rules/frame_names.smk"
    include: "workflow/rules/frames.smk"

else:

    include: "workflow/rules/spectra.smk"
    include: "workflow/rules/prepare.smk"
    include: "workflow/rules/remote.smk"
    include: "workflow/rules/explore.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/chemistry.smk"
    include: "workflow/rules/retrieve.smk"
    include: "workflow/rules/calibrate.smk"
    include: "workflow/rules/evaluate.smk"
    include: "workflow/rules/trust.smk"
    include: "workflow/rules/deliver.smk"


include: "workflow/rules/publish.smk"


# No rule: what waits for a rule's file, ancient or not, is not looked at for changes of its own when
# that rule has to run.
onstart:
    record_settings(config, f"{RUN}/settings.json")


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        [f"{RUN}/{name}" for name in DELIVERED],
        f"{RUN}/figures",
        [published(name) for name in DELIVERED] if config["publish"] else [],
