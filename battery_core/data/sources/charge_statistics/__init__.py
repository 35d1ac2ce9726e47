"""Sources XJTU, TJU, HUST and MIT: charge statistics per cycle."""
