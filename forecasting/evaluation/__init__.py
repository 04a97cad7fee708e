"""How good forecasts are: rolling origins, and scores of paths, quantiles and dates."""
