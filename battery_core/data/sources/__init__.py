"""One reader a file: raw files of a source in, canonical tables out."""
