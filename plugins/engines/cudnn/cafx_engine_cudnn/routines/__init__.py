"""One module per routine, and what several share."""
