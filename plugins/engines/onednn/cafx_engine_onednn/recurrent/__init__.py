"""Recurrent layers: products of one time step and their cells in one kernel, all steps in one program."""
