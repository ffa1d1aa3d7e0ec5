"""The templates are valid, and name options that exist."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cafx.cli.train import train

HERE = Path(__file__).parent
OPTIONS = {name for parameter in train.params for name in parameter.opts}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_script_for_slurm_is_valid() -> None:
    subprocess.run(["bash", "-n", str(HERE / "slurm.sh")], check=True)
    (line,) = (each for each in (HERE / "slurm.sh").read_text().splitlines() if each.startswith("srun"))
    used = line.partition("cafx train")[2].split()
    assert {word for word in used if word.startswith("--")} <= OPTIONS


def test_the_job_for_kubernetes_is_valid() -> None:
    job: dict[str, Any] = yaml.safe_load((HERE / "mpijob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    replicas = job["spec"]["mpiReplicaSpecs"]
    (launcher,) = replicas["Launcher"]["template"]["spec"]["containers"]
    assert int(launcher["args"][1]) == replicas["Worker"]["replicas"] * job["spec"]["slotsPerWorker"]
    assert {word for word in launcher["args"] if word.startswith("--")} <= OPTIONS
    for each in replicas.values():
        volumes = {volume["name"] for volume in each["template"]["spec"]["volumes"]}
        for container in each["template"]["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
