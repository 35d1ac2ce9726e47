"""Tables for the terminal, the run page and Markdown."""
