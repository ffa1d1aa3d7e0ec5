"""LMDB against what every kind of database promises."""

from cafx.conformance.databases import database_suite

TestLMDB = database_suite("LMDB")
