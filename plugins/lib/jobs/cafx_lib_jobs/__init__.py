"""Data jobs: slices of a manifest, tasks that resume, and the seam for what runs them.

A job is a pure function from a slice of records to one output, run by an executor (group ``cafx.executors``). An
output appears under its name once it is complete, with a side record that proves which task and inputs gave it: a
finished output is a finished task, a crash loses a slice, and the next start goes on.

`cafx_lib_jobs.job` is what commands use; `cafx_lib_jobs.executor` is the seam.
"""

__version__ = "0.1.0"
