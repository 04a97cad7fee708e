"""The order-book way in: files listed, read once, remembered, merged, and turned into the panel."""
