"""Everything that people read: model card, tables, figures and HTML pages."""
