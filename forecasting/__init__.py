"""The domain: chips, policies, panel, stock and flow, saturation, export windows, forecasters and scores."""
