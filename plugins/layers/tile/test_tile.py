"""Tile passes the conformance suite."""

from cafx.conformance import layer_suite

TestTile = layer_suite("Tile")
