"""Stages: files in, files out. They compose the other packages; DVC, Prefect and the command line call them."""
