#!/bin/bash
# Train on 4 nodes with Slurm: sbatch contrib/cluster/slurm.sh solver.prototxt
#SBATCH --job-name=cafx
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
# Before its time is up, the job saves a snapshot: submit it again to go on. A job that loses a node runs again by itself.
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

solver=${1:?usage: sbatch slurm.sh SOLVER.prototxt}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

# srun starts one process per task, and passes SIGTERM on to them. --snapshot auto resumes where the job was.
srun --mpi=pmix cafx train --solver "$solver" --communicator mpi --snapshot auto --keep 3

