"""The command line: ``ebmlm demo | train | evaluate | compare | features | data | bench``."""
