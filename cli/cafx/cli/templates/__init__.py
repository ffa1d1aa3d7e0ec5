"""Templates of plugins: a folder per kind with its module, its test and its usage, and ``common`` for all kinds."""
