"""What jobs asked for and used, as Snakemake writes it."""

from __future__ import annotations

from pathlib import Path

from arielflow.runs.resources import measured_jobs, planned_jobs

_PLAIN = "s\tmax_rss\n"
_EXTENDED = "s\tmax_rss\tjobid\trule_name\twildcards\tparams\tthreads\tresources\n"


def test_planned_jobs_are_read_from_a_dry_run() -> None:
    plan = """
[Wed Nov 25 19:12:35 2026]
rule submit:
    output: results/tiny/submission/flow.hdf5
    benchmark: results/tiny/benchmarks/submit.tsv
    resources: tmpdir=/tmp, mem_mb=2000, mem=2 GB, mem_mib=1908, runtime=30
    [Wed Nov 25 19:12:36 2026]
    rule report:
        benchmark: results/tiny/benchmarks/report.tsv
        resources: tmpdir=/tmp, runtime=5, mem_mb=900
rule all:
    resources: tmpdir=/tmp, mem_mb=1000, runtime=5
"""
    assert list(planned_jobs(plan)) == [
        ("submit", "results/tiny/benchmarks/submit.tsv", 2000, 30),
        ("report", "results/tiny/benchmarks/report.tsv", 900, 5),
    ]


def test_measured_jobs_are_read_from_benchmark_files(tmp_path: Path) -> None:
    resources = {
        "tmpdir": "/tmp",
        "mem_mb": 4000,
        "mem": "4 GB",
        "attempt": 2,
        "runtime": 480,
        "gpu": 1,
    }
    wildcards, params = {"model": "flow"}, {"title": 'a "quoted"\ttab', "sizes": [1, 2]}
    words = (12.5, 812.25, 7, "train_model", wildcards, params, 4, resources)
    (tmp_path / "train_flow_0.tsv").write_text(_EXTENDED + "\t".join(map(str, words)) + "\n")
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks/0.tsv").write_text(_PLAIN + "1.5\tNA\n")
    assert measured_jobs(tmp_path) == {
        "chunks/0": {"used": {"seconds": 1.5}},
        "train_flow_0": {
            "rule": "train_model",
            "requested": {"threads": 4, "mem_mb": 4000, "runtime": 480, "gpu": 1, "attempt": 2},
            "used": {"seconds": 12.5, "memory_mb": 812.25},
        },
    }
