"""The command line: ``ebmlm demo | train | evaluate | bench``."""
