"""``python -m cafx.cli``: the ``cafx`` command without its script."""

from cafx.cli.main import main

main()
