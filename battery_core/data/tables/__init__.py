"""The canonical tables: schema, labels, roles of columns and issues found in rows."""
