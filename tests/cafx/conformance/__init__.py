"""The conformance suite of cafx."""
