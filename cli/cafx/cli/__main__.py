"""``python -m cafx.cli``: the command, where its script is not on the path."""

from cafx.cli.main import main

main()
